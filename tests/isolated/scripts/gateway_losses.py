# SPDX-License-Identifier: BSD-2-Clause
"""Loses one gateway many times, during transfers and during logins.

``killed``: the server's session is killed.  ``cut``: the TCP connection is cut after a
random number of bytes.  Prints how much memory that took.
"""

import contextlib
import gc
import random
import sys

from sshgateway import GatewayError, GatewayLostError
from support import gateways, scripted
from support.crowd import Crowd
from support.footprint import Snapshot, allocated_kib
from support.gateways import Target
from support.sshd import PrivateSshd
from support.waiting import DEADLINE, until

WAY, COUNT = sys.argv[1], int(sys.argv[2])
LARGEST = 400_000  # upper limit for the bytes before the cut; a login takes 4 000
heard = lost = 0
size = 0


def cut(sock) -> None:
    scripted.cut_after((server.host, server.port), size)(sock)


def transfer() -> None:
    """Send and receive on three channels until the gateway is lost."""
    with contextlib.ExitStack() as stack:
        channels = [
            stack.enter_context(gateway.open_channel("direct-tcpip", address))
            for address in (crowd.echo, crowd.flood, crowd.flood)
        ]
        for channel in channels:
            channel.settimeout(4 * DEADLINE)
        channels[0].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):  # bounded, because recv() reports the loss first
                channels[0].send(b"x" * 65536)
        channels[0].settimeout(4 * DEADLINE)
        assert channels[1].recv(1) == b"\0"
        if WAY == "killed":
            gateways.kill_sessions(server)
        for channel in channels:
            ends_once(channel)


def ends_once(channel) -> None:
    """recv() returns the data that arrived, then raises the reason, then returns b""."""
    global lost
    try:
        while channel.recv(65536):
            pass
        raise AssertionError("an end like any other")
    except GatewayLostError as error:
        lost += 1
        assert str(gateway) in str(error), error
    assert channel.recv(1) == b""


def lose() -> None:
    """Lose the gateway once; if it is lost while channels are opened, that raises an error."""
    global heard, size
    size = random.randrange(200, LARGEST)
    try:
        transfer()
    except GatewayError as error:
        assert WAY == "cut", error
        heard += 1
        gateway.close()  # it may have been opened again for the last channel
    for _, worker in relay._connections:
        worker.result()
    relay._connections.clear()
    until(lambda: not gateway.is_connected, "the loss is known")


with PrivateSshd() as server, Crowd() as crowd, Target(cut) as relay:
    clean = Snapshot.take()
    port = relay.address[1] if WAY == "cut" else server.port
    gateway = gateways.to(server, port=port, known_hosts=[], strict_host_key_checking="no")
    random.seed(1)
    for _ in range(20 + COUNT // 10):
        lose()
    gateway.close()
    gc.collect()
    left, warm = clean.wait_clean(10), allocated_kib()
    assert not left, left
    heard = lost = 0
    for _ in range(COUNT):
        lose()
    gateway.close()
    gc.collect()
    left = clean.wait_clean(10)
    assert not left, left
    assert 3 * heard + lost >= 3 * COUNT, (heard, lost)
    print("grown by", allocated_kib() - warm, "KiB")
    print(f"{COUNT} losses: {lost} channels told, {heard} errors while opening")
