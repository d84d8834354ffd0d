# SPDX-License-Identifier: BSD-2-Clause
"""Unix sockets, reached through channels of the type direct-streamlocal@openssh.com."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sshgateway import DirectTcpipChannel, Gateway
from support import gateways
from support.streams import digest, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker


@pytest.fixture(scope="module")
def gateway(sshd) -> Iterator[Gateway]:
    with gateways.to(sshd) as gateway:
        yield gateway


def test_a_unix_socket_server_is_reached(gateway, short_path) -> None:
    path = str(short_path / "server")
    data = payload(1_000_000)
    with gateways.Target(gateways.echo, path) as target, gateway.open_unix(path) as channel:
        assert channel.getpeername() == target.address
        channel.settimeout(4 * DEADLINE)
        sender = Worker(channel.sendall, data)
        assert digest(recv_exactly(channel, len(data))) == digest(data)
        sender.result()
        channel.shutdown(socket.SHUT_WR)
        assert channel.recv(1) == b""


def test_a_unix_socket_is_reached_by_the_channel_type(gateway, short_path) -> None:
    path = short_path / "server"
    with gateways.Target(lambda sock: sock.sendall(b"here"), str(path)):
        channel = DirectTcpipChannel(gateway, path, kind="direct-streamlocal@openssh.com")
        with channel:
            assert recv_all(channel) == b"here"
            assert str(path) in repr(channel)
