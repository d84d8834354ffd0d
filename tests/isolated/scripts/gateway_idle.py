# SPDX-License-Identifier: BSD-2-Clause
"""In no state of a gateway and its channels does waiting use processor time."""

import contextlib
import select
import socket
import sys
import threading

from support import gateways, scripted
from support.footprint import cpu_seconds
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import fill
from support.waiting import readable, until

PERIOD = 0.4  # seconds of waiting
ALLOWED = 0.05  # seconds of CPU in PERIOD; a spinning loop uses all of it

STATES = []
quiet = threading.Event()


def state(serve):
    def register(function):
        STATES.append((serve, function))
        return function

    return register


def says_and_waits(data: bytes):
    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(data)
            quiet.wait(20)

    return serve


@state(scripted.until_eof)
def open_and_idle(gateway, channel) -> None:
    pass


@state(says_and_waits(b"x" * 10_000_000))
def output_unread(gateway, channel) -> None:
    assert readable(channel)


@state(lambda sock: sock.sendall(b"x" * 300_000))
def ended_with_output_unread(gateway, channel) -> None:
    assert readable(channel)


@state(says_and_waits(b""))
def full(gateway, channel) -> None:
    fill(channel)


@state(says_and_waits(b""))
def half_closed(gateway, channel) -> None:
    channel.shutdown(socket.SHUT_WR)


@state(says_and_waits(b"x"))
def shut_for_reading(gateway, channel) -> None:
    channel.shutdown(socket.SHUT_RD)


@state(lambda sock: sock.shutdown(socket.SHUT_WR) or scripted.until_eof(sock))
def target_half_closed(gateway, channel) -> None:
    channel.settimeout(20)
    assert channel.recv(1) == b""


@state(scripted.resets)
def target_gone(gateway, channel) -> None:
    assert readable(channel)


@state(scripted.until_eof)
def gateway_closed_and_not_asked(gateway, channel) -> None:
    gateway.close()
    assert readable(channel)


@state(scripted.until_eof)
def gateway_lost_and_not_asked(gateway, channel) -> None:
    gateways.kill_sessions(server)
    until(lambda: not gateway.is_connected, "the loss is known")


@state(scripted.until_eof)
def channel_closed(gateway, channel) -> None:
    channel.close()


@state(scripted.until_eof)
def an_open_is_waiting(gateway, channel) -> None:
    with contextlib.suppress(TimeoutError):
        gateway.open_channel("direct-tcpip", hole.getsockname(), timeout=0.05)


def used_by(period: float) -> float:
    """Seconds of CPU in the quietest of three periods, because data may still arrive."""
    least = period
    for _ in range(3):
        before = cpu_seconds()
        select.select([], [], [], period)
        least = min(least, cpu_seconds() - before)
        if least <= ALLOWED:
            break
    return least


busy = []
with PrivateSshd() as server, scripted.black_hole() as (hole, _):
    for serve, make in STATES:
        quiet.clear()
        with Target(serve) as target:
            gateway = gateways.to(server)
            channel = gateways.connect(gateway, target.address, linger=0)
            make(gateway, channel)
            select.select([], [], [], 0.1)  # wait for data that is on its way
            if (used := used_by(PERIOD)) > ALLOWED:
                busy.append(f"{make.__name__}: {used:.2f} s in {PERIOD} s")
            quiet.set()
            channel.close()
            gateway.close()
sys.exit("\n".join(busy) or 0)
