# SPDX-License-Identifier: BSD-2-Clause
"""Sending: every accepted byte arrives, once and in order."""

from __future__ import annotations

import array
import errno
import io
import os
import socket

import pytest

from support.outcome import outcome, source
from support.streams import SIZES, Stream, digest, fill, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker, until

SENDERS = {
    "send": lambda s, data: s.send(data),
    "sendall": lambda s, data: s.sendall(data),
    "sendmsg": lambda s, data: s.sendmsg([data]),
}


@pytest.fixture(params=SENDERS.values(), ids=SENDERS.keys())
def send(request):
    return request.param


@pytest.mark.parametrize("size", SIZES)
def test_sendall_delivers_every_size(stream: Stream, size: int) -> None:
    data = payload(size)
    reader = Worker(recv_exactly, stream.peer, size)
    assert stream.sock.sendall(data) is None
    assert digest(reader.result()) == digest(data)


@pytest.mark.parametrize("size", SIZES)
def test_send_returns_how_many_bytes_it_accepted(stream: Stream, size: int) -> None:
    data = memoryview(payload(size))
    reader = Worker(recv_exactly, stream.peer, size)
    sent = 0
    while sent < size:
        n = stream.sock.send(data[sent:])
        assert 1 <= n <= size - sent
        sent += n
    assert digest(reader.result()) == digest(bytes(data))


def test_empty_data_can_be_sent(stream: Stream) -> None:
    assert stream.sock.send(b"") == 0
    assert stream.sock.sendall(b"") is None
    assert stream.sock.sendmsg([]) == 0
    assert stream.sock.sendmsg([b"", b""]) == 0
    stream.sock.sendall(b"x")
    assert stream.peer.recv(10) == b"x"


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"-memoryview-")[1:-1],
        array.array("i", [1, 2, 3]),
    ],
    ids=lambda data: type(data).__name__,
)
def test_bytes_like_objects_are_sent(stream: Stream, send, data) -> None:
    expected = bytes(data)
    send(stream.sock, data)
    assert recv_exactly(stream.peer, len(expected)) == expected


def test_sendmsg_gathers_its_buffers(stream: Stream) -> None:
    parts = [b"ab", bytearray(b""), memoryview(b"cde"), b"f"]
    assert stream.sock.sendmsg(parts) == 6
    assert recv_exactly(stream.peer, 6) == b"abcdef"


def test_sendmsg_accepts_any_iterable(stream: Stream) -> None:
    assert stream.sock.sendmsg(part for part in (b"a", b"b")) == 2
    assert recv_exactly(stream.peer, 2) == b"ab"


def test_sendmsg_with_more_buffers_than_the_kernel_accepts(stream: Stream, oracle: Stream) -> None:
    parts = [b"x"] * (os.sysconf("SC_IOV_MAX") + 1)
    assert outcome(stream.sock.sendmsg, parts) == outcome(oracle.sock.sendmsg, parts)


def test_flags_are_accepted(stream: Stream) -> None:
    assert stream.sock.send(b"a", socket.MSG_DONTWAIT) == 1
    assert stream.sock.sendall(b"b", socket.MSG_NOSIGNAL) is None
    assert stream.sock.sendmsg([b"c"], [], socket.MSG_DONTWAIT) == 1
    assert recv_exactly(stream.peer, 3) == b"abc"


def test_dontwait_does_not_wait(stream: Stream) -> None:
    fill(stream.sock)
    with pytest.raises(BlockingIOError) as caught:
        while True:  # the relay may have made room meanwhile
            stream.sock.send(b"x" * 65536, socket.MSG_DONTWAIT)
    assert caught.value.args == (errno.EAGAIN, "Resource temporarily unavailable")


def test_a_full_stream_keeps_the_accepted_bytes(stream: Stream) -> None:
    sent = fill(stream.sock, b"0123456789abcdef" * 4096)
    stream.sock.shutdown(socket.SHUT_WR)
    got = recv_all(stream.peer)
    assert len(got) == sent
    assert got == (b"0123456789abcdef" * (sent // 16 + 1))[:sent]


def test_a_blocked_sender_continues_when_the_reader_reads(stream: Stream) -> None:
    data = payload(4_000_000)
    sender = Worker(stream.sock.sendall, data)
    assert digest(recv_exactly(stream.peer, len(data))) == digest(data)
    assert sender.result() is None


def test_send_after_the_peer_has_closed_raises_broken_pipe(stream: Stream, send) -> None:
    """The relay notices the closed peer only when it writes; until then send() succeeds.

    The peer sends one byte first, because before the first byte of a proxy command only
    recv() reports that the command has died.
    """
    stream.peer.sendall(b"x")
    assert stream.sock.recv(1) == b"x"
    stream.peer.close()
    stream.sock.settimeout(DEADLINE)

    def broken() -> BrokenPipeError | None:
        try:
            send(stream.sock, b"x")
        except BrokenPipeError as error:
            return error
        return None

    error = until(broken, "BrokenPipeError")
    assert len(error.args) == 2
    assert error.errno == errno.EPIPE
    assert isinstance(error.args[1], str)


@pytest.mark.ours
def test_bytes_sent_counts_the_accepted_bytes(stream: Stream) -> None:
    sock = stream.sock
    for send in SENDERS.values():
        send(sock, b"12345")
    assert sock.bytes_sent == 15
    with sock.makefile("wb") as file:
        file.write(b"12345")
    assert sock.bytes_sent == 20
    assert sock.sendfile(io.BytesIO(b"12345")) == 5
    assert sock.bytes_sent == 25
    assert recv_exactly(stream.peer, 25) == b"12345" * 5
    assert sock.bytes_received == 0


# --- sendfile ---------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(payload(300_000))
    with open(path, "rb") as f:
        yield f


@pytest.mark.parametrize("offset", [0, 1, 250_000, 300_000, 400_000])
@pytest.mark.parametrize("count", [None, 1, 100_000])
def test_sendfile_sends_the_requested_part(stream: Stream, file, offset, count) -> None:
    expected = payload(300_000)[offset:][:count]
    reader = Worker(recv_exactly, stream.peer, len(expected))
    assert stream.sock.sendfile(file, offset, count) == len(expected)
    assert reader.result() == expected
    if expected:
        assert file.tell() == offset + len(expected)


def test_sendfile_sends_a_file_without_a_descriptor(stream: Stream) -> None:
    data = payload(300_000)
    reader = Worker(recv_exactly, stream.peer, len(data) - 5)
    assert stream.sock.sendfile(io.BytesIO(data), 5) == len(data) - 5
    assert reader.result() == data[5:]


def test_sendfile_works_with_a_timeout(stream: Stream, file) -> None:
    stream.sock.settimeout(DEADLINE)
    reader = Worker(recv_exactly, stream.peer, 300_000)
    assert stream.sock.sendfile(file) == 300_000
    assert reader.result() == payload(300_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.sendfile(io.BytesIO(b"x"), 0, 0),
        lambda s: s.sendfile(io.BytesIO(b"x"), 0, -1),
        lambda s: s.sendfile(io.BytesIO(b"x"), 0, "x"),
        lambda s: s.sendfile(io.BytesIO(b"x"), -1),
        lambda s: s.sendfile(None),
    ],
    ids=source,
)
def test_sendfile_refuses_the_arguments_that_socket_refuses(
    stream: Stream, oracle: Stream, call
) -> None:
    assert outcome(call, stream.sock) == outcome(call, oracle.sock)


def test_sendfile_refuses_text(stream: Stream) -> None:
    with pytest.raises(TypeError, match="bytes-like object is required, not 'str'"):
        stream.sock.sendfile(io.StringIO("text"))


def test_sendfile_on_a_non_blocking_stream_is_refused(
    stream: Stream, oracle: Stream, file
) -> None:
    for pair in (stream, oracle):
        pair.sock.setblocking(False)
    assert outcome(stream.sock.sendfile, file) == outcome(oracle.sock.sendfile, file)
    assert outcome(stream.sock.sendfile, file)[1] is ValueError
