# SPDX-License-Identifier: BSD-2-Clause
"""asyncio, ssl, http.client, selectors and Unix sockets over channels of a Gateway."""

from __future__ import annotations

import asyncio
import http.client
import selectors
import socket
import ssl
from collections.abc import Iterator

import gateways
import pytest
import web
from streams import digest, payload, recv_all, recv_exactly
from waiting import DEADLINE, Worker

from sshgateway import DirectTcpipChannel, Gateway


@pytest.fixture(scope="module")
def gateway(sshd) -> Iterator[Gateway]:
    with gateways.to(sshd) as gateway:
        yield gateway


def channel_to(gateway: Gateway, address: tuple[str, int]) -> DirectTcpipChannel:
    channel = gateway.open_channel("direct-tcpip", address)
    channel.settimeout(DEADLINE)
    return channel


# --- http.client, ssl -----------------------------------------------------------------


def test_http_client_talks_over_a_channel(gateway, http_address) -> None:
    connection = http.client.HTTPConnection(*http_address)
    connection._create_connection = lambda address, *_args, **_options: channel_to(
        gateway, address
    )
    web.exchange(connection)
    connection.close()


def test_https_over_a_channel(gateway, https_address, contexts) -> None:
    channel = channel_to(gateway, https_address)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = contexts[1].wrap_socket(channel, server_hostname="localhost")
    assert connection.sock.version().startswith("TLS")
    assert channel.fileno() == -1, "wrap_socket has taken the descriptor over"
    web.exchange(connection)
    connection.close()


def test_a_wrapped_channel_outlives_our_object(gateway, https_address, contexts) -> None:
    wrapped = contexts[1].wrap_socket(
        channel_to(gateway, https_address), server_hostname="localhost"
    )
    with wrapped:
        wrapped.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert recv_all(wrapped).endswith(web.BODY[-1000:])


def test_ssl_finds_a_wrong_name(gateway, https_address, contexts) -> None:
    with (
        channel_to(gateway, https_address) as channel,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        contexts[1].wrap_socket(channel, server_hostname="other.example")


# --- asyncio --------------------------------------------------------------------------


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 4 * DEADLINE))


def test_asyncio_moves_much_both_ways(gateway) -> None:
    async def talk(address: tuple[str, int]) -> None:
        channel = channel_to(gateway, address)
        channel.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=channel)
        assert writer.get_extra_info("peername") == address
        assert writer.get_extra_info("sockname") == ("", 0)
        data = payload(2_000_000)

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert digest(await reader.read()) == digest(data)
        await sending
        writer.close()
        await writer.wait_closed()

    with gateways.Target(gateways.echo) as target:
        run(talk(target.address))


def test_asyncio_starts_tls_on_it(gateway, https_address, contexts) -> None:
    async def talk() -> None:
        channel = channel_to(gateway, https_address)
        channel.setblocking(False)
        reader, writer = await asyncio.open_connection(
            sock=channel, ssl=contexts[1], server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await writer.drain()
        assert (await reader.read()).endswith(web.BODY[-1000:])
        writer.close()
        await writer.wait_closed()

    run(talk())


# --- selectors ------------------------------------------------------------------------


def test_one_selector_serves_forty_channels(gateway) -> None:
    """All on one connection: a packet of one must not hide those of another."""
    with gateways.Target(gateways.echo) as target, selectors.DefaultSelector() as selector:
        wanted, sent, got = {}, {}, {}
        for number in range(40):
            channel = channel_to(gateway, target.address)
            channel.setblocking(False)
            wanted[channel] = b"%d " % number * 20_000
            sent[channel], got[channel] = 0, b""
            selector.register(channel, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while any(got[channel] != data for channel, data in wanted.items()):
            ready = selector.select(DEADLINE)
            assert ready, "nothing is ready"
            for key, events in ready:
                channel, data = key.fileobj, wanted[key.fileobj]
                if events & selectors.EVENT_WRITE:
                    sent[channel] += channel.send(data[sent[channel] :])
                    if sent[channel] == len(data):
                        selector.modify(channel, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    got[channel] += channel.recv(65536)
        for channel in wanted:
            channel.close()


# --- Unix sockets ---------------------------------------------------------------------


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


def test_a_unix_socket_is_reached_by_the_name_of_its_kind(gateway, short_path) -> None:
    path = short_path / "server"
    with gateways.Target(lambda sock: sock.sendall(b"here"), str(path)):
        channel = DirectTcpipChannel(gateway, path, kind="direct-streamlocal@openssh.com")
        with channel:
            assert recv_all(channel) == b"here"
            assert str(path) in repr(channel)
