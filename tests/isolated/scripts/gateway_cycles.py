# SPDX-License-Identifier: BSD-2-Clause
"""Opens and closes gateways and channels many times: nothing is left, no memory is lost."""

import contextlib
import gc
import socket
import sys
import threading

from sshgateway import ChannelOpenError, Gateway, GatewayError
from support import gateways
from support.footprint import Snapshot, rss_kib
from support.gateways import Target
from support.sshd import PrivateSshd

WHAT, CYCLES = sys.argv[1], int(sys.argv[2])


def use(channel, number: int) -> None:
    channel.settimeout(10)
    if number % 4 == 0:
        channel.sendall(b"hello")
        assert channel.recv(5) == b"hello"
    elif number % 4 == 1:
        with channel.makefile("rb") as file:
            assert file.fileno() == channel.fileno()
    elif number % 4 == 2:
        channel.shutdown(socket.SHUT_WR)
        assert channel.recv(1) == b""
    # and one that is closed with data on its way
    elif number % 4 == 3:
        channel.sendall(b"x" * 10_000)


def gateway_cycle(number: int) -> None:
    with gateways.to(server) as gateway:
        if number % 2:
            with gateway.open_channel("direct-tcpip", target.address) as channel:
                use(channel, number)
        elif number % 4 == 2:
            gateway.open_channel("direct-tcpip", target.address).close()
    if number % 10 == 0:
        with contextlib.suppress(GatewayError):
            gateways.to(server, known_hosts=[]).open()
        with contextlib.suppress(GatewayError):
            gateways.to(server, key_filename=None).open()


def channel_cycle(number: int) -> None:
    with shared.open_channel("direct-tcpip", target.address) as channel:
        use(channel, number)
    if number % 10 == 0:
        with contextlib.suppress(ChannelOpenError):
            shared.open_channel("direct-tcpip", ("127.0.0.1", refusing))


def echo(listener: socket.socket) -> None:
    """Serve one connection at a time without threads, to keep this side's memory steady."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, contextlib.suppress(OSError):
            gateways.echo(sock)


class Quiet(Target):
    def _run(self) -> None:
        echo(self._listener)


with PrivateSshd() as server, Quiet(gateways.echo) as target:
    refusing = gateways.closed_port()
    clean = Snapshot.take()
    shared: Gateway = gateways.to(server)
    if WHAT == "channels":
        shared.open()
    cycle = {"gateways": gateway_cycle, "channels": channel_cycle}[WHAT]
    # Warm-up for the caches of Python and the arenas of malloc.
    for number in range(max(20, CYCLES // 4)):
        cycle(number)
    gc.collect()
    before, warm = Snapshot.take(), rss_kib()
    for number in range(CYCLES):
        cycle(number)
    gc.collect()
    left = before.wait_clean(10)
    assert not left, left
    shared.close()
    left = clean.wait_clean(10)
    assert not left, left
    print("grown by", rss_kib() - warm, "KiB")
    assert threading.active_count() == 2
