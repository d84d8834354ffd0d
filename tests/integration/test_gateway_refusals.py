# SPDX-License-Identifier: BSD-2-Clause
"""Channels that are refused: the reason, and no effect on anything else."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from sshgateway import (
    ChannelOpenError,
    DirectTcpipChannel,
    Gateway,
    GatewayLostError,
    build_info,
)
from support import gateways, scripted
from support.gateways import Target, closed_port
from support.sshd import PrivateSshd
from support.waiting import DEADLINE, Worker, until

#: The system's libssh2 keeps only the number of the reason, not the description.
SERVERS_WORDS = build_info()["libssh2"] == "pinned"


@pytest.fixture(scope="module")
def forbidding() -> Iterator[PrivateSshd]:
    with PrivateSshd({"AllowTcpForwarding": "no", "AllowStreamLocalForwarding": "no"}) as server:
        yield server


def refusal(gateway: Gateway, *target, **options) -> ChannelOpenError:
    with pytest.raises(ChannelOpenError) as caught:
        gateway.open_channel(*target, **options)
    error = caught.value
    assert isinstance(error, ConnectionRefusedError)
    assert error.errno == errno.ECONNREFUSED
    assert len(error.args) == 2
    assert error.dest_addr == target[1]
    assert error.gateway == str(gateway)
    assert gateway.is_connected, "a refused channel must not end the gateway"
    return error


def works(gateway: Gateway) -> None:
    with (
        Target(gateways.echo) as target,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(DEADLINE)
        channel.sendall(b"works")
        assert channel.recv(10) == b"works"


def test_a_target_that_refuses_is_reported(sshd) -> None:
    with gateways.to(sshd) as gateway:
        address = ("127.0.0.1", closed_port())
        error = refusal(gateway, "direct-tcpip", address)
        assert error.reason == 2
        assert f"127.0.0.1:{address[1]}" in str(error)
        assert str(error).count("connect failed") == 1
        assert ("(Connection refused)" in str(error)) == SERVERS_WORDS
        works(gateway)


def test_a_target_with_an_unknown_name_is_reported(sshd) -> None:
    with gateways.to(sshd) as gateway:
        error = refusal(gateway, "direct-tcpip", ("no-such-host.invalid", 22))
        assert error.reason == 2
        assert "no-such-host.invalid:22" in str(error)
        assert ("not known" in str(error)) == SERVERS_WORDS
        works(gateway)


def test_a_missing_unix_socket_is_reported(sshd, short_path) -> None:
    path = str(short_path / "nobody")
    with gateways.to(sshd) as gateway:
        error = refusal(gateway, "direct-streamlocal@openssh.com", path)
        assert path in str(error)
        works(gateway)


@pytest.mark.parametrize(
    "options", [{"PermitOpen": "none"}, {"AllowTcpForwarding": "no"}], ids=str
)
def test_a_gateway_that_forbids_forwarding_is_reported(options) -> None:
    with PrivateSshd(options) as server, gateways.to(server) as gateway:
        error = refusal(gateway, "direct-tcpip", ("127.0.0.1", server.port))
        assert error.reason == 1
        assert "administratively prohibited" in str(error)
        assert "AllowTcpForwarding" in str(error) and "PermitOpen" in str(error)


def test_a_gateway_that_forbids_unix_sockets_is_reported(forbidding, short_path) -> None:
    path = str(short_path / "any")
    with gateways.to(forbidding) as gateway:
        assert refusal(gateway, "direct-streamlocal@openssh.com", path).reason in (
            1,
            2,
        )  # OpenSSH's reason is 2


@pytest.mark.parametrize("reason", [1, 2, 3, 4])
def test_each_reason_of_rfc_4254_is_reported(sshd, reason: int) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server:
        server.refusal = reason
        with server.gateway() as gateway:
            assert refusal(gateway, "direct-tcpip", ("target", 22)).reason == reason
            server.refusal = 0
            gateway.open_channel("direct-tcpip", ("target", 22)).close()


def test_a_gateway_that_is_lost_while_a_channel_is_opened(sshd) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server:
        server.hold.clear()
        gateway = server.gateway()
        gateway.open()
        opener = Worker(gateway.open_channel, "direct-tcpip", ("target", 22))
        until(lambda: server.opened, "the open has arrived")
        server.transports[0].sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(GatewayLostError) as caught:
            opener.result()
        assert str(gateway) in str(caught.value)
        gateway.close()


# --- Arguments --------------------------------------------------------------------------


def opens(*arguments, **options) -> Callable[[Gateway], object]:
    return lambda gateway: gateway.open_channel(*arguments, **options)


TCP = "direct-tcpip"
TARGET = ("target", 22)
BAD_CALLS = {
    "session": (ValueError, "session", opens("session", TARGET)),
    "x11": (ValueError, "direct-tcpip", opens("x11", TARGET)),
    "no target": (ValueError, "dest_addr", opens(TCP)),
    "port 0": (ValueError, "port", opens(TCP, ("target", 0))),
    "port too big": (OverflowError, "65535", opens(TCP, ("target", 65536))),
    "negative": (OverflowError, "65535", opens(TCP, ("target", -1))),
    "a string": (TypeError, "dest_addr", opens(TCP, "target:22")),
    "a number": (TypeError, "dest_addr", opens(TCP, (5, 22))),
    "a source": (TypeError, "src_addr", opens(TCP, TARGET, "me")),
    "a path": (TypeError, "path", lambda gateway: gateway.open_unix("")),
    "a path of bytes": (TypeError, "path", lambda gateway: gateway.open_unix(b"/x")),
    "window": (ValueError, "window_size", opens(TCP, TARGET, window_size=1)),
    "packet": (ValueError, "max_packet", opens(TCP, TARGET, max_packet_size=1)),
    "timeout": (ValueError, "imeout", opens(TCP, TARGET, timeout=-1)),
    "open": (ValueError, "imeout", lambda gateway: gateway.open(timeout=-1)),
    "a class": (TypeError, "ateway", lambda _: DirectTcpipChannel(None, TARGET)),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_an_invalid_argument_is_reported_without_connecting(name: str) -> None:
    kind, words, call = BAD_CALLS[name]
    with Target(scripted.says()) as target:
        gateway = gateways.to_address(target.address, timeout=0.3)
        with pytest.raises(kind, match=words):
            call(gateway)
        assert not target._connections, "the gateway must not connect"
