# SPDX-License-Identifier: BSD-2-Clause
"""Paramiko, the newest and 2.12, logs in through a channel of a Gateway."""

from __future__ import annotations

import threading

import paramiko
import pytest

from sshgateway import ChannelOpenError, GatewayLostError
from support import gateways, logins


@pytest.fixture(scope="module")
def where(sshd):
    return logins.settings(sshd, gateway=sshd)


def test_paramiko_connects_and_executes_a_command(perform, where) -> None:
    perform("connect_and_exec", where)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_sftp_moves_100_mb_both_ways(perform, where) -> None:
    perform("sftp_put_and_get", where)


def test_sftp_moves_a_small_file_both_ways(where) -> None:
    logins.sftp_put_and_get(where, megabytes=3)


def test_paramiko_closes_from_another_thread(perform, where) -> None:
    perform("close_from_another_thread", where)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_twenty_logins_through_twenty_gateways(where) -> None:
    logins.twenty_at_once(where)


@pytest.mark.limit(60)
def test_ten_logins_at_once_through_one_gateway(where, sshd) -> None:
    before = gateways.logins(sshd)
    results = []
    with gateways.to(sshd) as gateway:

        def one(number: int) -> None:
            channel = gateway.open_channel("direct-tcpip", (sshd.host, sshd.port), ("", 0))
            with logins.login(where, channel) as client:
                results.append(logins.run(client, f"echo {number}"))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == sorted(b"%d\n" % number for number in range(10))
    assert gateways.logins(sshd) == before + 1 + 10


def test_paramiko_shows_the_names_of_the_channel(where, sshd) -> None:
    with logins.login(where) as client:
        assert client.get_transport().getpeername() == (sshd.host, sshd.port)


def test_a_gateway_replaces_a_paramiko_transport(where, sshd) -> None:
    """Fabric calls ``gateway.open()``, then ``gateway.transport.open_channel``."""
    gateway = gateways.to(sshd)
    gateway.open()
    channel = gateway.transport.open_channel(
        kind="direct-tcpip", dest_addr=(sshd.host, int(sshd.port)), src_addr=("", 0)
    )
    with logins.login(where, channel) as client:
        assert logins.run(client, "echo hello") == b"hello\n"
    channel.close()
    gateway.close()


def test_a_refused_channel_is_reported_before_paramiko_starts(where, sshd) -> None:
    with (
        pytest.raises(ChannelOpenError, match="refused"),
        logins.login(where | {"port": gateways.closed_port()}),
    ):
        pass


def test_the_loss_of_the_gateway_ends_paramikos_session(where, sshd) -> None:
    gateway = gateways.to(sshd)
    channel = gateway.open_channel("direct-tcpip", (sshd.host, sshd.port))
    with logins.login(where, channel) as client:
        gateway.close()
        client.get_transport().join(logins.TIMEOUT)
        assert not client.get_transport().is_active()
        with pytest.raises((paramiko.SSHException, EOFError, OSError)):
            client.exec_command("echo never", timeout=logins.TIMEOUT)


def test_a_loss_during_the_banner_is_reported(where, sshd) -> None:
    """recv() raises the reason, and Paramiko passes it on."""
    with gateways.Target(lambda sock: sock.recv(1)) as target, gateways.to(sshd) as gateway:
        channel = gateway.open_channel("direct-tcpip", target.address)
        transport = paramiko.Transport(channel)
        transport.banner_timeout = logins.TIMEOUT
        gateway.close()
        with pytest.raises(paramiko.SSHException) as caught:
            transport.start_client(timeout=logins.TIMEOUT)
        transport.close()
        transport.join(logins.TIMEOUT)
        channel.close()
    assert "this program closed" in str(caught.value) or isinstance(caught.value, GatewayLostError)
