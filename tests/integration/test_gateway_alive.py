# SPDX-License-Identifier: BSD-2-Clause
"""server_alive_interval: a silent gateway is probed, and declared lost if it stays silent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sshgateway import Gateway, GatewayLostError
from support import gateways, scripted
from support.footprint import children
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import payload, recv_exactly
from support.waiting import DEADLINE, Worker, at_last, until

INTERVAL = 0.2


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateSshd]:
    """A server of this module's own, because its sessions are stopped."""
    with PrivateSshd() as server:
        yield server


@contextlib.contextmanager
def stopped(server: PrivateSshd) -> Iterator[None]:
    """Stop the server's sessions, as if its machine hung."""
    assert server._keeper is not None
    pids = [
        pid
        for listening in children(server._keeper.pid)
        for session in children(listening)
        for pid in (session, *children(session))
    ]
    assert pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # the session of a gateway that was closed
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def watched(server: PrivateSshd, count_max: int = 10, **options) -> Gateway:
    return gateways.to(
        server,
        server_alive_interval=INTERVAL,
        server_alive_count_max=count_max,
        **options,
    )


def raises_lost(call) -> GatewayLostError:
    with pytest.raises(GatewayLostError, match="server_alive_interval") as caught:
        call()
    assert isinstance(caught.value, ConnectionResetError | BrokenPipeError)
    assert not isinstance(caught.value, TimeoutError), (
        "Paramiko would retry a timeout without limit"
    )
    return caught.value


def test_a_gateway_that_hangs_is_lost_and_all_channels_fail(server) -> None:
    with Target(gateways.echo) as target, watched(server) as gateway:
        channels = [gateway.open_channel("direct-tcpip", target.address) for _ in range(5)]
        readers = [Worker(channel.recv, 1) for channel in channels]
        with stopped(server):
            began = time.monotonic()
            for channel, reader in zip(channels, readers, strict=True):
                error = raises_lost(reader.result)
                assert str(gateway) in str(error)
                assert channel.recv(1) == b""
            assert time.monotonic() - began >= INTERVAL
            assert not gateway.is_connected
        for channel in channels:
            channel.close()
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            channel.sendall(b"again")
            assert recv_exactly(channel, 5) == b"again"


def test_a_gateway_that_hangs_while_much_is_sent_to_it_is_lost(server) -> None:
    """The queue to the gateway is full, so no probe can be sent."""
    with (
        Target(gateways.echo) as target,
        watched(server) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(4 * DEADLINE)
        channel.sendall(b"x")
        recv_exactly(channel, 1)  # before the first byte arrives, sends do not fail
        with stopped(server):
            raises_lost(lambda: channel.sendall(bytes(50_000_000)))


def test_a_gateway_that_hangs_while_a_channel_is_opened_is_lost(server) -> None:
    with watched(server) as gateway, stopped(server):
        raises_lost(lambda: gateway.open_channel("direct-tcpip", ("127.0.0.1", 9)))


def test_an_idle_gateway_stays_open_and_its_round_trip_is_measured(server) -> None:
    with watched(server) as gateway, Target(gateways.echo) as target:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            for _ in range(12):  # one more than the number of unanswered probes allowed
                before = gateway.stats.bytes_received
                until(lambda: gateway.stats.bytes_received > before, "the probe was answered")  # noqa: B023
            round_trip = gateway.stats.round_trip
            assert round_trip is not None and 0 < round_trip < DEADLINE
            channel.sendall(b"x")
            assert recv_exactly(channel, 1) == b"x"
        assert gateway.is_connected


def test_a_pending_open_does_not_hide_the_answers(server) -> None:
    """While an open is pending the probe is another message."""
    with scripted.black_hole() as (listener, _), watched(server) as gateway:
        opener = Worker(gateway.open_channel, "direct-tcpip", listener.getsockname())
        lives = 15 * INTERVAL
        until(lambda: gateway.stats.bytes_sent > 0, "the open was sent")
        threading.Event().wait(lives)  # longer than the gateway may be silent
        assert gateway.is_connected
        assert opener.is_alive()
        gateway.close()
        with pytest.raises(GatewayLostError, match="this program closed"):
            opener.result()


def test_traffic_in_one_direction_is_a_sign_of_life(server) -> None:
    """While bytes arrive, no probe is sent."""
    stop = threading.Event()

    def drip(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(INTERVAL / 4):
                sock.sendall(b".")

    with Target(drip) as target, watched(server) as gateway:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            channel.settimeout(DEADLINE)

            def is_not_asked() -> None:
                recv_exactly(channel, 4)
                sent = gateway.stats.bytes_sent
                recv_exactly(channel, 36)
                assert gateway.stats.bytes_sent == sent

            at_last(is_not_asked)
        stop.set()


def test_without_an_interval_no_probe_is_sent(server) -> None:
    with (
        Target(gateways.echo) as target,
        gateways.to(server) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.sendall(b"x")
        recv_exactly(channel, 1)

        def nothing_is_sent() -> None:  # after the channel's window has been adjusted
            sent = gateway.stats.bytes_sent
            threading.Event().wait(4 * INTERVAL)
            assert gateway.stats.bytes_sent == sent

        at_last(nothing_is_sent)


def test_many_probes_leave_nothing_in_libssh2(sshd) -> None:
    """libssh2's own keepalive would keep each answer (libssh2#623) and search all of them on
    each read.  Here a channel works as before after some hundred probes."""
    with scripted.ParamikoServer(sshd, password="x") as server:
        gateway = server.gateway(server_alive_interval=0.005, server_alive_count_max=1000)
        with gateway, gateway.open_channel("direct-tcpip", ("target", 22)) as channel:
            channel.settimeout(4 * DEADLINE)
            before = gateway.stats.bytes_received
            until(lambda: gateway.stats.bytes_received > before + 300 * 60, "300 answers")
            data = payload(100_000)
            sender = Worker(channel.sendall, data)
            assert recv_exactly(channel, len(data)) == data
            sender.result()


@pytest.mark.parametrize("interval", [-1, -0.001, float("nan"), float("inf"), 1e7])
def test_an_invalid_interval_is_refused(interval) -> None:
    with pytest.raises(ValueError, match="server_alive_interval must be 0 to"):
        Gateway("host", server_alive_interval=interval)


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_an_invalid_count_is_refused(count) -> None:
    with pytest.raises(ValueError, match="server_alive_count_max must be 1 to"):
        Gateway("host", server_alive_count_max=count)
