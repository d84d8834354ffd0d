# SPDX-License-Identifier: BSD-2-Clause
"""asyncio, ssl, http.client, selectors and file objects on both kinds of stream."""

from __future__ import annotations

import asyncio
import http.client
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sshgateway import Gateway, ProxyCommand
from support import gateways, web
from support.streams import digest, open_proxycommand, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker

Connect = Callable[[tuple[str, int]], Any]


def through_socat(address: tuple[str, int]) -> ProxyCommand:
    return ProxyCommand("socat - TCP:{}:{}".format(*address), peername=address)


@pytest.fixture(scope="module")
def gateway(sshd) -> Iterator[Gateway]:
    with gateways.to(sshd) as gateway:
        yield gateway


@pytest.fixture(params=["ProxyCommand", "DirectTcpipChannel"])
def connect(request, gateway) -> Connect:
    """A stream to an address: through a proxy command, or through a gateway."""

    def connect(address: tuple[str, int]) -> Any:
        if request.param == "ProxyCommand":
            stream: Any = through_socat(address)
        else:
            stream = gateway.open_channel("direct-tcpip", address)
        stream.settimeout(DEADLINE)
        return stream

    return connect


# --- http.client, ssl -----------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    """An HTTPConnection; http.client calls the factory and sets TCP_NODELAY."""

    def __init__(self, address: tuple[str, int], connect: Connect) -> None:
        super().__init__("localhost", address[1])
        self._create_connection = lambda *_args, **_options: connect(address)


def test_http_client_works_on_it(connect, http_address) -> None:
    connection = Connection(http_address, connect)
    web.exchange(connection)
    connection.close()


def test_https_works_on_it(connect, https_address, contexts) -> None:
    sock = connect(https_address)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = contexts[1].wrap_socket(sock, server_hostname="localhost")
    assert connection.sock.version().startswith("TLS")
    assert sock.fileno() == -1, "wrap_socket must take the descriptor"
    web.exchange(connection)
    connection.close()


def test_a_wrapped_stream_outlives_our_object(connect, https_address, contexts) -> None:
    wrapped = contexts[1].wrap_socket(connect(https_address), server_hostname="localhost")
    with wrapped:
        wrapped.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert recv_all(wrapped).endswith(web.BODY[-1000:])


def test_ssl_detects_a_wrong_name(connect, https_address, contexts) -> None:
    with connect(https_address) as sock, pytest.raises(ssl.SSLCertVerificationError):
        contexts[1].wrap_socket(sock, server_hostname="other.example")


def test_ssl_over_memory_does_not_use_the_descriptor(connect, https_address, contexts) -> None:
    """SSLObject takes no descriptor; the test passes it the bytes that recv() returns."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = contexts[1].wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connect(https_address) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        assert tls.getpeercert()


# --- asyncio --------------------------------------------------------------------------


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 4 * DEADLINE))


def test_asyncio_streams_work_on_it() -> None:
    async def talk() -> None:
        sock = ProxyCommand("cat")
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"line one\nline two\n")
        await writer.drain()
        assert await reader.readline() == b"line one\n"
        assert await reader.readline() == b"line two\n"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(talk())


def test_asyncio_moves_much_data_both_ways(connect) -> None:
    async def talk(address: tuple[str, int]) -> None:
        sock = connect(address)
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        assert writer.get_extra_info("peername") == address
        assert writer.get_extra_info("sockname") == ("", 0)
        assert writer.get_extra_info("socket").fileno() == sock.fileno()
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


def test_asyncio_reports_the_reason_of_the_end() -> None:
    async def fail() -> None:
        sock = ProxyCommand(["sh", "-c", "read x; echo the reason >&2; exit 255"])
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"\n")
        with pytest.raises(ConnectionResetError, match="the reason"):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    run(fail())


def test_asyncio_low_level_calls_accept_it() -> None:
    async def talk() -> None:
        loop = asyncio.get_running_loop()
        with ProxyCommand("cat") as sock:
            sock.setblocking(False)
            await loop.sock_sendall(sock, b"hello")
            assert await loop.sock_recv(sock, 10) == b"hello"
            buffer = bytearray(5)
            await loop.sock_sendall(sock, b"again")
            assert await loop.sock_recv_into(sock, buffer) == 5
            assert buffer == b"again"

    run(talk())


def test_asyncio_starts_tls_on_it(connect, https_address, contexts) -> None:
    async def talk() -> None:
        sock = connect(https_address)
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=contexts[1], server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await writer.drain()
        assert (await reader.read()).endswith(web.BODY[-1000:])
        writer.close()
        await writer.wait_closed()

    run(talk())


# --- selectors and files ----------------------------------------------------------------


def test_one_selector_serves_many_streams(connect) -> None:
    """On one connection, too: a packet for one channel must not hide those for another."""
    with gateways.Target(gateways.echo) as target, selectors.DefaultSelector() as selector:
        wanted, sent, got = {}, {}, {}
        for number in range(30):
            sock = connect(target.address)
            sock.setblocking(False)
            wanted[sock] = b"%d " % number * 20_000
            sent[sock], got[sock] = 0, b""
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while any(got[sock] != data for sock, data in wanted.items()):
            ready = selector.select(DEADLINE)
            assert ready, "a stream must be ready"
            for key, events in ready:
                sock, data = key.fileobj, wanted[key.fileobj]
                if events & selectors.EVENT_WRITE:
                    sent[sock] += sock.send(data[sent[sock] :])
                    if sent[sock] == len(data):
                        selector.modify(sock, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    got[sock] += sock.recv(65536)
        for sock in wanted:
            sock.close()


def test_a_file_reads_lines_while_another_thread_writes() -> None:
    lines = [b"%d\n" % number for number in range(20_000)]
    with ProxyCommand("cat") as sock, sock.makefile("rb") as file:

        def write() -> None:
            with sock.makefile("wb") as out:
                out.writelines(lines)
            sock.shutdown(socket.SHUT_WR)

        writer = Worker(write)
        assert list(file) == lines
        writer.result()


# --- Descriptors that outlive our object -----------------------------------------------


def test_a_detached_descriptor_outlives_the_object() -> None:
    pair = open_proxycommand()
    plain = socket.socket(fileno=pair.sock.detach())
    pair.sock = plain  # that was the last reference to our object
    data = payload(1_000_000)
    reader = Worker(recv_exactly, pair.peer, len(data))
    plain.sendall(data)
    assert digest(reader.result()) == digest(data)
    pair.close()


def test_a_duplicate_outlives_the_object() -> None:
    pair = open_proxycommand()
    copy = pair.sock.dup()
    pair.sock.close()
    pair.sock = copy
    copy.sendall(b"alive")
    assert recv_exactly(pair.peer, 5) == b"alive"
    pair.close()
