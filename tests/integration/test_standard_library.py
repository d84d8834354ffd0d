# SPDX-License-Identifier: BSD-2-Clause
"""asyncio, ssl, http.client, selectors and file objects over a ProxyCommand."""

from __future__ import annotations

import asyncio
import http.client
import selectors
import socket
import ssl

import pytest
import web
from streams import digest, open_proxycommand, payload, recv_all, recv_exactly
from waiting import DEADLINE, Worker

from sshgateway import ProxyCommand


def through_socat(address: tuple[str, int]) -> ProxyCommand:
    sock = ProxyCommand("socat - TCP:{}:{}".format(*address))
    sock.settimeout(DEADLINE)
    return sock


# --- http.client, ssl -----------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    """http.client asks for a connection and sets TCP_NODELAY on it."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__("localhost", address[1])
        self._create_connection = lambda *_args, **_options: through_socat(address)


def test_http_client_talks_over_it(http_address) -> None:
    connection = Connection(http_address)
    web.exchange(connection)
    connection.close()


def test_https_over_socat(https_address, contexts) -> None:
    sock = through_socat(https_address)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = contexts[1].wrap_socket(sock, server_hostname="localhost")
    assert connection.sock.version().startswith("TLS")
    assert sock.fileno() == -1, "wrap_socket has taken the descriptor over"
    web.exchange(connection)
    connection.close()


def test_a_wrapped_stream_outlives_our_object(https_address, contexts) -> None:
    wrapped = contexts[1].wrap_socket(through_socat(https_address), server_hostname="localhost")
    with wrapped:
        wrapped.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert recv_all(wrapped).endswith(web.BODY[-1000:])


def test_ssl_finds_a_wrong_name(https_address, contexts) -> None:
    with through_socat(https_address) as sock, pytest.raises(ssl.SSLCertVerificationError):
        contexts[1].wrap_socket(sock, server_hostname="other.example")


def test_ssl_over_memory_leaves_the_object_alone(https_address, contexts) -> None:
    """SSLObject: no descriptor is taken over; what recv returns is fed in."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = contexts[1].wrap_bio(incoming, outgoing, server_hostname="localhost")
    with through_socat(https_address) as sock:
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


def test_asyncio_streams_over_it() -> None:
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


def test_asyncio_moves_much_both_ways() -> None:
    async def talk() -> None:
        sock = ProxyCommand("cat")
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
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

    run(talk())


def test_asyncio_knows_its_peer() -> None:
    async def ask() -> None:
        sock = ProxyCommand("cat", peername=("db1", 22))
        sock.setblocking(False)
        _, writer = await asyncio.open_connection(sock=sock)
        assert writer.get_extra_info("peername") == ("db1", 22)
        assert writer.get_extra_info("sockname") == ("", 0)
        assert writer.get_extra_info("socket").fileno() == sock.fileno()
        writer.close()
        await writer.wait_closed()

    run(ask())


def test_asyncio_tells_the_reason_of_the_end() -> None:
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


def test_asyncio_low_level_calls_take_it() -> None:
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


def test_asyncio_starts_tls_on_it(https_address, contexts) -> None:
    async def talk() -> None:
        sock = through_socat(https_address)
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


def test_one_selector_serves_many_streams() -> None:
    streams = {}
    with selectors.DefaultSelector() as selector:
        for number in range(20):
            sock = ProxyCommand("cat")
            sock.setblocking(False)
            streams[sock] = b"%d " % number * 1000
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        sent = dict.fromkeys(streams, 0)
        got = dict.fromkeys(streams, b"")
        while any(got[sock] != data for sock, data in streams.items()):
            ready = selector.select(DEADLINE)
            assert ready, "nothing is ready"
            for key, events in ready:
                sock, data = key.fileobj, streams[key.fileobj]
                if events & selectors.EVENT_WRITE:
                    sent[sock] += sock.send(data[sent[sock] :])
                    if sent[sock] == len(data):
                        selector.modify(sock, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    got[sock] += sock.recv(65536)
    for sock in streams:
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


# --- What outlives our object ---------------------------------------------------------


def test_a_detached_descriptor_outlives_the_object() -> None:
    pair = open_proxycommand()
    plain = socket.socket(fileno=pair.sock.detach())
    pair.sock = plain  # the last reference to our object is gone
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
