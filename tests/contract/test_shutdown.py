# SPDX-License-Identifier: BSD-2-Clause
"""shutdown(): one direction ends, the other continues."""

from __future__ import annotations

import errno
import socket

import pytest

from support.outcome import outcome
from support.streams import Stream, digest, payload, recv_all, recv_exactly
from support.waiting import Worker, readable


def test_the_peer_sees_the_end_of_file_after_shut_wr(stream: Stream) -> None:
    stream.sock.sendall(b"question")
    assert stream.sock.shutdown(socket.SHUT_WR) is None
    assert recv_all(stream.peer) == b"question"


def test_shut_wr_keeps_the_other_direction_open(stream: Stream) -> None:
    stream.sock.sendall(b"question")
    stream.sock.shutdown(socket.SHUT_WR)
    assert recv_all(stream.peer) == b"question"
    answer = payload(300_000)
    sender = Worker(stream.peer.sendall, answer)
    assert recv_exactly(stream.sock, len(answer)) == answer
    sender.result()
    stream.peer.shutdown(socket.SHUT_WR)
    assert stream.sock.recv(1) == b""


def test_shut_wr_loses_nothing_that_was_accepted(stream: Stream) -> None:
    data = payload(1_000_000)
    reader = Worker(recv_all, stream.peer)
    stream.sock.sendall(data)
    stream.sock.shutdown(socket.SHUT_WR)
    assert digest(reader.result()) == digest(data)


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_sending_after_shut_wr_is_a_broken_pipe(stream: Stream, how: int) -> None:
    stream.sock.shutdown(how)
    for call in (
        lambda: stream.sock.send(b"x"),
        lambda: stream.sock.sendall(b"x"),
        lambda: stream.sock.sendmsg([b"x"]),
    ):
        with pytest.raises(BrokenPipeError) as caught:
            call()
        assert len(caught.value.args) == 2
        assert caught.value.errno == errno.EPIPE


def test_the_peers_half_close_keeps_our_direction_open(stream: Stream) -> None:
    stream.peer.shutdown(socket.SHUT_WR)
    assert stream.sock.recv(1) == b""
    data = payload(300_000)
    reader = Worker(recv_exactly, stream.peer, len(data))
    stream.sock.sendall(data)
    assert reader.result() == data


def test_recv_returns_nothing_after_shut_rd(stream: Stream) -> None:
    stream.sock.shutdown(socket.SHUT_RD)
    assert stream.sock.recv(10) == b""
    assert readable(stream.sock)


def test_shut_rd_delivers_data_that_had_arrived(stream: Stream) -> None:
    stream.peer.sendall(b"arrived")
    assert readable(stream.sock)
    assert stream.sock.recv(7, socket.MSG_PEEK) == b"arrived"
    stream.sock.shutdown(socket.SHUT_RD)
    assert recv_all(stream.sock) == b"arrived"


def test_sending_works_after_shut_rd(stream: Stream) -> None:
    stream.sock.shutdown(socket.SHUT_RD)
    data = payload(200_000)
    reader = Worker(recv_exactly, stream.peer, len(data))
    stream.sock.sendall(data)
    assert reader.result() == data


def test_shut_rd_wakes_a_waiting_reader(stream: Stream) -> None:
    from support.waiting import until_blocked

    reader = Worker(stream.sock.recv, 10)
    until_blocked(reader)
    stream.sock.shutdown(socket.SHUT_RD)
    assert reader.result() == b""


@pytest.mark.ours
def test_data_that_arrives_after_shut_rd_is_discarded_without_an_error(stream: Stream) -> None:
    """A plain socketpair gives the peer EPIPE; the relay reads and drops the data."""
    stream.sock.shutdown(socket.SHUT_RD)
    sender = Worker(stream.peer.sendall, payload(2_000_000))
    sender.result()
    stream.sock.sendall(b"still here")
    assert recv_exactly(stream.peer, 10) == b"still here"


def test_shut_rdwr_ends_both(stream: Stream) -> None:
    stream.sock.sendall(b"bye")
    stream.sock.shutdown(socket.SHUT_RDWR)
    assert stream.sock.recv(1) == b""
    assert recv_all(stream.peer) == b"bye"


def test_shutdown_can_be_repeated(stream: Stream) -> None:
    for how in (socket.SHUT_WR, socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR):
        assert stream.sock.shutdown(how) is None


def test_shutdown_does_not_close(stream: Stream) -> None:
    fd = stream.sock.fileno()
    stream.sock.shutdown(socket.SHUT_RDWR)
    assert stream.sock.fileno() == fd
    assert stream.sock._closed is False


@pytest.mark.parametrize("how", [-1, 3, 99])
def test_shutdown_of_an_unknown_direction_is_einval(
    stream: Stream, oracle: Stream, how: int
) -> None:
    assert outcome(stream.sock.shutdown, how) == outcome(oracle.sock.shutdown, how)
    assert outcome(stream.sock.shutdown, how)[3] == errno.EINVAL
    stream.sock.sendall(b"unharmed")
    assert recv_exactly(stream.peer, 8) == b"unharmed"
