# SPDX-License-Identifier: BSD-2-Clause
"""Opens a thousand channels on one gateway; prints how much memory the rounds took.

Each round closes a few of them and opens others.
"""

import gc
import random
import select
import socket
import sys
import time

from support import gateways
from support.crowd import Crowd, many_descriptors
from support.footprint import Snapshot, cpu_seconds, native_threads, rss_kib
from support.sshd import PrivateSshd
from support.streams import recv_exactly
from support.waiting import DEADLINE, at_last, readable, until

COUNT, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
EACH_ROUND = 8  # channels that are replaced
WARM_UP = 30  # rounds, for the arenas of malloc and the caches of Python
PERIOD = 0.5  # seconds of waiting
ALLOWED = 0.01  # seconds of CPU in PERIOD


def open_one() -> socket.socket:
    channel = gateway.open_channel("direct-tcpip", crowd.echo)
    channel.settimeout(4 * DEADLINE)
    return channel


def echo_on_all() -> float:
    """Seconds for an echo on all channels, the best of three because of other load."""
    best = float("inf")
    for round_ in range(3):
        start = time.monotonic()
        for number, channel in enumerate(channels):
            channel.sendall(b"%4d%4d" % (round_, number) * 64)
        for number, channel in enumerate(channels):
            assert recv_exactly(channel, 512) == b"%4d%4d" % (round_, number) * 64
        best = min(best, time.monotonic() - start)
    return best


def as_fast_as_alone() -> float:
    now = echo_on_all()
    assert now < 4 * alone + 0.1, f"{now:.3f} s instead of {alone:.3f} s"
    return now


def replace_some() -> None:
    for index in random.sample(range(len(channels)), EACH_ROUND):
        channels[index].sendall(b"x")
        if index % 2:
            assert channels[index].recv(1) == b"x"
        channels[index].close()
        channels[index] = open_one()


def thread_seconds(tid: int) -> float:
    """Processor time of one thread, in seconds."""
    with open(f"/proc/self/task/{tid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e9


def waiting_is_free() -> None:
    at_last(costs_nothing)


def costs_nothing() -> None:
    select.select([], [], [], 0.2)  # wait for data that is on its way
    (loop,) = native_threads() - clean.native
    before, loops = cpu_seconds(), thread_seconds(loop)
    select.select([], [], [], PERIOD)
    assert cpu_seconds() - before < ALLOWED, cpu_seconds() - before
    assert thread_seconds(loop) - loops < ALLOWED, thread_seconds(loop) - loops


def count() -> int:
    return gateway.stats.channels_open


with many_descriptors(4 * COUNT + 100), PrivateSshd() as server, Crowd() as crowd:
    clean = Snapshot.take()
    gateway = gateways.to(server)
    gateway.open()
    channels = [open_one() for _ in range(COUNT)]
    assert count() == COUNT
    alone = echo_on_all()
    waiting_is_free()

    # A channel whose reader has stopped must not slow the others down.
    channels[0].close()
    channels[0] = stalled = gateway.open_channel("direct-tcpip", crowd.flood)
    assert readable(stalled)
    del channels[0]
    beside = at_last(as_fast_as_alone)
    waiting_is_free()
    channels.insert(0, open_one())
    stalled.close()

    for channel in channels[1::2]:
        channel.close()
    channels[1::2] = [open_one() for _ in channels[1::2]]
    echo_on_all()
    until(lambda: count() == COUNT, "the others are closed")

    for _ in range(WARM_UP):
        replace_some()
    gc.collect()
    held, warm = Snapshot.take(), rss_kib()
    for _ in range(ROUNDS):
        replace_some()
    gc.collect()
    until(lambda: count() == COUNT, "the others are closed")
    kib = rss_kib() - warm
    now = Snapshot.take()
    assert len(now.fds) == len(held.fds), (len(held.fds), len(now.fds))
    assert now.native == held.native
    at_last(as_fast_as_alone)
    waiting_is_free()
    for channel in channels:
        channel.close()
    until(lambda: count() == 0, "all are closed")
    gateway.close()
    left = clean.wait_clean()
    assert not left, left[:10]
    print("grown by", kib, "KiB")
    print(f"echo on all: {alone * 1000:.0f} ms, beside a stalled one {beside * 1000:.0f} ms")
