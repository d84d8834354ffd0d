# SPDX-License-Identifier: BSD-2-Clause
"""Receiving: which bytes arrive, in which pieces, and how each method returns them."""

from __future__ import annotations

import array
import socket

import pytest

from support.streams import SIZES, Stream, digest, payload, recv_all, recv_exactly
from support.waiting import Worker, readable

RECEIVERS = {
    "recv": lambda s, n: s.recv(n),
    "recv_into": lambda s, n: _into(s.recv_into, n),
    "recvfrom": lambda s, n: s.recvfrom(n)[0],
    "recvfrom_into": lambda s, n: _into(lambda b: s.recvfrom_into(b)[0], n),
    "recvmsg": lambda s, n: s.recvmsg(n)[0],
    "recvmsg_into": lambda s, n: _into(lambda b: s.recvmsg_into([b])[0], n),
}


def _into(receive, n):
    buffer = bytearray(n)
    return bytes(buffer[: receive(buffer)])


@pytest.fixture(params=RECEIVERS.values(), ids=RECEIVERS.keys())
def receive(request):
    return request.param


def test_each_method_receives_what_was_sent(stream: Stream, receive) -> None:
    stream.peer.sendall(b"hello")
    assert receive(stream.sock, 100) == b"hello"


def test_each_method_returns_nothing_at_the_end_however_often(stream: Stream, receive) -> None:
    stream.peer.shutdown(socket.SHUT_WR)
    assert [receive(stream.sock, 10) for _ in range(3)] == [b"", b"", b""]


@pytest.mark.slow  # the end of a relay whose child lives on is held back for 0.2 s
def test_each_method_delivers_the_data_before_the_end(stream: Stream, receive) -> None:
    stream.peer.sendall(b"last words")
    stream.peer.close()
    got = b""
    while piece := receive(stream.sock, 4):
        assert len(piece) <= 4
        got += piece
    assert got == b"last words"


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_every_size_arrives_whole(stream: Stream, size: int) -> None:
    data = payload(size)
    sender = Worker(_send_and_end, stream.peer, data)
    got = recv_all(stream.sock)
    sender.result()
    assert len(got) == size
    assert digest(got) == digest(data)


def _send_and_end(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("size", [1, 7, 4096, 70_000])
def test_no_read_returns_more_than_was_asked_for(stream: Stream, size: int) -> None:
    data = payload(150_000)
    sender = Worker(stream.peer.sendall, data[: 20 * size])
    got = b""
    while len(got) < len(data[: 20 * size]):
        piece = stream.sock.recv(size)
        assert 1 <= len(piece) <= size
        got += piece
    sender.result()
    assert got == data[: 20 * size]


def test_recv_returns_available_data_without_waiting_for_more(stream: Stream) -> None:
    stream.peer.sendall(b"abc")
    assert stream.sock.recv(65536) == b"abc"


def test_recv_of_zero_bytes_returns_at_once_and_takes_nothing(stream: Stream, receive) -> None:
    stream.peer.sendall(b"x")
    assert readable(stream.sock)
    assert receive(stream.sock, 0) == b""
    assert receive(stream.sock, 10) == b"x"


def test_recv_of_zero_bytes_does_not_wait_for_data(stream: Stream) -> None:
    assert stream.sock.recv(0) == b""
    assert stream.sock.recv_into(bytearray()) == 0


def test_peek_leaves_the_data(stream: Stream) -> None:
    stream.peer.sendall(b"peek")
    assert stream.sock.recv(2, socket.MSG_PEEK) == b"pe"
    assert stream.sock.recv(10, socket.MSG_PEEK) == b"peek"
    assert stream.sock.recv(10) == b"peek"


def test_peek_reports_the_end(stream: Stream) -> None:
    stream.peer.shutdown(socket.SHUT_WR)
    assert stream.sock.recv(1, socket.MSG_PEEK) == b""
    assert stream.sock.recv(1) == b""


def test_waitall_waits_for_all(stream: Stream) -> None:
    data = payload(50_000)
    reader = Worker(stream.sock.recv, len(data), socket.MSG_WAITALL)
    for start in range(0, len(data), 5000):
        stream.peer.sendall(data[start : start + 5000])
    assert reader.result() == data


def test_waitall_is_cut_short_by_the_end(stream: Stream) -> None:
    stream.peer.sendall(b"short")
    stream.peer.shutdown(socket.SHUT_WR)
    assert stream.sock.recv(100, socket.MSG_WAITALL) == b"short"


def test_dontwait_does_not_wait(stream: Stream) -> None:
    with pytest.raises(BlockingIOError) as caught:
        stream.sock.recv(1, socket.MSG_DONTWAIT)
    assert caught.value.args == (11, "Resource temporarily unavailable")
    stream.peer.sendall(b"x")
    assert readable(stream.sock)
    assert stream.sock.recv(10, socket.MSG_DONTWAIT) == b"x"


def test_recv_into_fills_only_what_it_received(stream: Stream) -> None:
    buffer = bytearray(b".........")
    stream.peer.sendall(b"abc")
    assert stream.sock.recv_into(buffer) == 3
    assert buffer == b"abc......"


def test_recv_into_stops_at_nbytes(stream: Stream) -> None:
    buffer = bytearray(10)
    stream.peer.sendall(b"abcdef")
    assert stream.sock.recv_into(buffer, 4) == 4
    assert buffer[:5] == b"abcd\0"
    assert stream.sock.recv_into(buffer, 0) == 2  # 0 means the whole buffer
    assert buffer[:2] == b"ef"


def test_recv_into_accepts_keyword_arguments(stream: Stream) -> None:
    buffer = bytearray(10)
    stream.peer.sendall(b"abcdef")
    assert stream.sock.recv_into(buffer=buffer, nbytes=3, flags=0) == 3
    assert stream.sock.recvfrom_into(buffer=buffer, nbytes=2, flags=0)[0] == 2
    assert buffer[:3] == b"dec"


@pytest.mark.parametrize("typecode", ["B", "H", "i", "d"])
def test_recv_into_counts_bytes_of_wide_arrays(stream: Stream, typecode: str) -> None:
    buffer = array.array(typecode, [0] * 4)
    data = payload(4 * buffer.itemsize)
    stream.peer.sendall(data)
    assert stream.sock.recv_into(buffer, 0, socket.MSG_WAITALL) == len(data)
    assert buffer.tobytes() == data


def test_recv_into_writes_through_a_slice(stream: Stream) -> None:
    buffer = bytearray(8)
    stream.peer.sendall(b"xyz")
    assert stream.sock.recv_into(memoryview(buffer)[2:5]) == 3
    assert buffer == b"\0\0xyz\0\0\0"


def test_recvmsg_into_scatters_over_the_buffers(stream: Stream) -> None:
    buffers = [bytearray(2), bytearray(0), bytearray(3), bytearray(4)]
    stream.peer.sendall(b"abcdefg")
    assert readable(stream.sock)
    count, ancillary, flags, _ = stream.sock.recvmsg_into(buffers)
    assert (count, ancillary, flags) == (7, [], 0)
    assert buffers == [b"ab", b"", b"cde", b"fg\0\0"]


def test_recvmsg_accepts_flags(stream: Stream) -> None:
    stream.peer.sendall(b"abc")
    assert stream.sock.recvmsg(10, 0, socket.MSG_PEEK)[0] == b"abc"
    assert stream.sock.recvmsg(10)[:3] == (b"abc", [], 0)


@pytest.mark.parametrize("flag", [0, socket.MSG_CMSG_CLOEXEC])
def test_recvmsg_returns_the_flags_that_the_kernel_returns(
    stream: Stream, oracle: Stream, flag: int
) -> None:
    for pair in (stream, oracle):
        pair.peer.sendall(b"12")
    for call in (
        lambda s: s.recvmsg(1, 0, flag),
        lambda s: s.recvmsg_into([bytearray(1)], 0, flag),
    ):
        assert call(stream.sock) == call(oracle.sock)


def test_addresses_are_those_of_a_connected_stream(stream: Stream, oracle: Stream) -> None:
    for pair in (stream, oracle):
        pair.peer.sendall(b"1234")
    for call in (
        lambda s: s.recvfrom(1),
        lambda s: s.recvfrom_into(bytearray(1)),
        lambda s: s.recvmsg(1),
        lambda s: s.recvmsg_into([bytearray(1)]),
    ):
        assert call(stream.sock) == call(oracle.sock)


def test_a_waiting_reader_gets_data_that_arrives_later(stream: Stream) -> None:
    reader = Worker(recv_exactly, stream.sock, 10)
    stream.peer.sendall(b"01234")
    stream.peer.sendall(b"56789")
    assert reader.result() == b"0123456789"


def test_both_directions_work_at_once(stream: Stream) -> None:
    """1 MB each way at the same time; all four ends run in threads."""
    up, down = payload(1_000_000, 2), payload(1_000_000, 3)
    workers = [
        Worker(stream.sock.sendall, up),
        Worker(stream.peer.sendall, down),
    ]
    at_peer = Worker(recv_exactly, stream.peer, len(up))
    at_sock = Worker(recv_exactly, stream.sock, len(down))
    assert digest(at_peer.result()) == digest(up)
    assert digest(at_sock.result()) == digest(down)
    for worker in workers:
        worker.result()


@pytest.mark.ours
def test_bytes_received_counts_what_the_methods_returned(stream: Stream) -> None:
    sock = stream.sock
    assert (sock.bytes_received, sock.bytes_sent) == (0, 0)
    stream.peer.sendall(b"x" * 60)
    assert recv_exactly(sock, 10) == b"x" * 10
    assert sock.bytes_received == 10
    sock.recv(10, socket.MSG_PEEK)
    assert sock.bytes_received == 10, "a peek is not counted"
    for receive in RECEIVERS.values():
        receive(sock, 5)
    assert sock.bytes_received == 10 + 5 * len(RECEIVERS)
    with sock.makefile("rb", 0) as file:
        assert file.read(5) == b"x" * 5
    assert sock.bytes_received == 15 + 5 * len(RECEIVERS)
    assert sock.bytes_sent == 0
