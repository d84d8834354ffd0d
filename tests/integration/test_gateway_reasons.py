# SPDX-License-Identifier: BSD-2-Clause
"""Finding out why the stream that carried a session has ended: within limits."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

import pytest

from sshgateway import GatewayError, GatewayLostError, ProxyCommand, _connectors
from support import gateways
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import digest, payload, recv_exactly
from support.waiting import DEADLINE, Worker, readable, until

FLOODS = {
    "lines": "exec yes",
    "lines after the version": "echo SSH-2.0-x; exec yes",
    "zeros after the version": "echo SSH-2.0-x; exec cat /dev/zero",
}


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time limit of its own, so that only the caller's limits end the search."""
    monkeypatch.setattr(_connectors, "_TIME_FOR_A_REASON", 3600)


@pytest.fixture(scope="module")
def second() -> Iterator[PrivateSshd]:
    with PrivateSshd(name="second") as server:
        yield server


@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS.keys())
def test_open_through_a_program_that_floods_ends(sshd: PrivateSshd, script: str) -> None:
    sock = ProxyCommand(["sh", "-c", script], linger=0)
    with pytest.raises((GatewayError, TimeoutError)) as caught:
        gateways.to(sshd, sock=sock, timeout=3).open()
    assert len(caught.value.args) == 2
    assert sock.closed


@pytest.mark.parametrize("version", [b"", b"SSH-2.0-x\r\n"])
def test_open_through_a_gateway_to_a_server_that_floods_ends(
    sshd: PrivateSshd, version: bytes
) -> None:
    def flood(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(version)
            while True:
                sock.sendall(b"y\n" * 4096)

    with Target(flood) as target, gateways.to(sshd) as first:
        gateway = gateways.to_address(target.address, gateway=first, timeout=3)
        with pytest.raises((GatewayError, TimeoutError)):
            gateway.open()


def test_a_channel_ends_although_the_program_floods(sshd: PrivateSshd) -> None:
    """The server is gone, and the program sends without end instead."""
    command = f"socat - TCP:{sshd.host}:{sshd.port}; exec yes"
    sock = ProxyCommand(["sh", "-c", command], linger=0)
    with Target(gateways.echo) as target, gateways.to(sshd, sock=sock) as gateway:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            gateways.kill_sessions(sshd)
            with pytest.raises(GatewayLostError):
                channel.recv(1)
            assert channel.recv(1) == b""
        assert sock.bytes_received <= _connectors._BYTES_FOR_A_REASON


# --- A loss whose reason does not come ------------------------------------------------------


@pytest.fixture
def lost(sshd: PrivateSshd, second: PrivateSshd) -> Iterator[object]:
    """A channel two hops deep, lost because the second server is stopped: the stream through
    the first gateway has not ended."""
    first = gateways.to(sshd)
    gateway = gateways.to(
        second, gateway=first, server_alive_interval=0.1, server_alive_count_max=1
    )
    with (
        Target(gateways.echo) as target,
        first,
        gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        gateways.kill_sessions(second, signal.SIGSTOP)
        try:
            until(lambda: not gateway.is_connected, "the loss is noticed")
            assert readable(channel)
            yield channel
        finally:
            gateways.kill_sessions(second, signal.SIGCONT)


def test_recv_with_a_timeout_does_not_wait_longer_for_the_reason(lost) -> None:
    lost.settimeout(0.2)
    with pytest.raises(GatewayLostError, match="lost the connection"):
        lost.recv(1)
    assert lost.recv(1) == b""


NON_BLOCKING = {
    "settimeout(0)": lambda s: s.settimeout(0) or s.recv(1),
    "MSG_DONTWAIT": lambda s: s.recv(1, socket.MSG_DONTWAIT),
}


@pytest.mark.parametrize("receive", NON_BLOCKING.values(), ids=NON_BLOCKING.keys())
def test_recv_that_does_not_wait_does_not_wait_for_the_reason(lost, receive) -> None:
    with pytest.raises(GatewayLostError):
        receive(lost)


def test_send_that_does_not_wait_does_not_wait_for_the_reason(lost) -> None:
    lost.settimeout(0)

    def broken() -> bool:
        try:
            lost.send(b"x" * 65536)  # the first ones count as sent
        except GatewayLostError:
            return True
        return False

    until(broken, "send raises the reason")


# --- The reason and the threads that want it ------------------------------------------------


def test_all_channels_of_a_lost_gateway_get_the_reason(sshd: PrivateSshd) -> None:
    command = f"socat - TCP:{sshd.host}:{sshd.port}; echo the cable broke >&2; exit 4"
    sock = ProxyCommand(["sh", "-c", command])
    with (
        Target(gateways.echo) as target,
        gateways.to(sshd, sock=sock) as gateway,
        contextlib.ExitStack() as stack,
    ):
        channels = [
            stack.enter_context(gateway.open_channel("direct-tcpip", target.address))
            for _ in range(10)
        ]
        readers = [Worker(channel.recv, 1) for channel in channels]
        gateways.kill_sessions(sshd)
        for reader in readers:
            with pytest.raises(GatewayLostError, match="the cable broke"):
                reader.result()


def test_a_channel_of_before_takes_nothing_from_the_connection_of_now(
    sshd: PrivateSshd, second: PrivateSshd
) -> None:
    """The gateway was opened again; its stream carries another session now."""
    data = payload(3_000_000)
    with (
        Target(lambda sock: sock.sendall(data)) as target,
        gateways.to(sshd) as first,
        gateways.to(second, gateway=first) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as old,
    ):
        gateways.kill_sessions(second)
        until(lambda: not gateway.is_connected, "the loss is noticed")
        old.settimeout(0.2)
        with gateway.open_channel("direct-tcpip", target.address) as new:
            new.settimeout(4 * DEADLINE)
            reader = Worker(recv_exactly, new, len(data))
            with pytest.raises(GatewayLostError):
                while old.recv(65536):  # the data from before the loss
                    pass
            assert digest(reader.result()) == digest(data)


def test_a_reason_that_is_not_there_yet_comes_later() -> None:
    sock = ProxyCommand(["sh", "-c", "printf abc; read x; echo why >&2; exit 3"])
    carrier = _connectors.Carrier(sock)
    assert carrier.reason(0) == ""
    sock.sendall(b"\n")
    for _ in range(2):
        assert "why" in carrier.reason(None)
        assert "why" in carrier.reason(0)
    carrier.close()


def test_no_more_than_the_limit_is_read_in_all() -> None:
    sock = ProxyCommand("yes", linger=0)
    carrier = _connectors.Carrier(sock)
    for at_most in (None, 0, 1, None):
        assert carrier.reason(at_most) == ""
        assert sock.bytes_received <= _connectors._BYTES_FOR_A_REASON
    carrier.close()
    assert carrier.reason(None) == ""


def test_no_more_than_the_limit_is_waited_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connectors, "_TIME_FOR_A_REASON", 0.1)
    sock = ProxyCommand("cat")
    carrier = _connectors.Carrier(sock)
    assert carrier.reason(None) == ""
    assert carrier._seconds_left == 0
    monkeypatch.setattr(_connectors, "_TIME_FOR_A_REASON", 3600)
    assert carrier.reason(None) == ""
    carrier.close()


def test_a_closed_connection_is_no_reason() -> None:
    sock = ProxyCommand("cat")
    carrier = _connectors.Carrier(sock)
    carrier.close()
    assert carrier.reason(None) == ""
