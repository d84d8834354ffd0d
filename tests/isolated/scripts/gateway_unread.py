# SPDX-License-Identifier: BSD-2-Clause
"""Targets send without end to readers that have stopped; prints the memory that takes.

Each reader may first read a given number of MB, so that its window grows.
"""

import select
import sys

from support import gateways
from support.crowd import Crowd, many_descriptors
from support.footprint import Snapshot, cpu_seconds, rss_kib
from support.sshd import PrivateSshd
from support.waiting import DEADLINE, readable

COUNT, FIRST = int(sys.argv[1]), int(sys.argv[2]) * 1_000_000
PERIOD = 0.5  # seconds of waiting
ALLOWED = 0.02  # seconds of CPU in PERIOD
PERIODS = 60


def received() -> int:
    return gateway.stats.bytes_received


def open_one():
    channel = gateway.open_channel("direct-tcpip", crowd.flood)
    channel.settimeout(4 * DEADLINE)
    buffer = bytearray(65536)
    left = FIRST
    while left > 0:
        left -= channel.recv_into(buffer)
    return channel


def settle() -> None:
    """Wait until no more data arrives, and waiting takes no time of the CPU.

    On a busy machine the servers may send their data late.
    """
    used, before = ALLOWED, -1
    for _ in range(PERIODS):
        start, before = cpu_seconds(), received()
        select.select([], [], [], PERIOD)
        used = cpu_seconds() - start
        if before == received() and used < ALLOWED:
            return
    raise AssertionError(f"{used} s of CPU in {PERIOD} s, {received() - before} bytes")


with many_descriptors(4 * COUNT + 100), PrivateSshd() as server, Crowd() as crowd:
    clean = Snapshot.take()
    gateway = gateways.to(server)
    gateway.open()
    before = rss_kib()
    stalled = [open_one() for _ in range(COUNT)]
    settle()
    kib, mb = rss_kib() - before, received() / 1e6 - COUNT * FIRST / 1e6
    with gateway.open_channel("direct-tcpip", crowd.echo) as channel:
        channel.settimeout(4 * DEADLINE)
        channel.sendall(b"x" * 100)
        assert channel.recv(100) == b"x" * 100
    for channel in stalled[::10]:
        assert readable(channel)
        for _ in range(4):
            assert channel.recv(65536).count(0) > 0
    for channel in stalled:
        channel.close()
    gateway.close()
    left = clean.wait_clean(10)
    assert not left, left[:10]
    print("grown by", kib, "KiB")
    print(f"{COUNT} readers: {mb:.0f} MB unread, after all {rss_kib() - before} KiB")
