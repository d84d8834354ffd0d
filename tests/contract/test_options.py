# SPDX-License-Identifier: BSD-2-Clause
"""Names and options: the names that the stream reports, and the options it accepts."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from support.outcome import outcome, source
from support.streams import Stream, recv_exactly

SOL = socket.SOL_SOCKET


@pytest.mark.parametrize(
    "read",
    [
        lambda s: s.family,
        lambda s: s.type,
        lambda s: s.proto,
        lambda s: type(s.family),
        lambda s: type(s.type),
        lambda s: s.getsockopt(SOL, socket.SO_TYPE),
        lambda s: s.getsockopt(SOL, socket.SO_ERROR),
        lambda s: s.getsockopt(SOL, socket.SO_ACCEPTCONN),
        lambda s: s.getsockopt(SOL, socket.SO_DOMAIN),
        lambda s: s.getsockopt(SOL, socket.SO_TYPE, 4),
        lambda s: s.getsockopt(SOL, socket.SO_TYPE, 2),
        lambda s: s.getsockopt(SOL, socket.SO_KEEPALIVE),
        lambda s: s.getsockopt(SOL, socket.SO_LINGER, 8),
    ],
    ids=source,
)
def test_it_reports_what_a_socketpair_reports(stream: Stream, oracle: Stream, read) -> None:
    expected = outcome(read, oracle.sock)
    assert expected[0] == "returned"
    assert outcome(read, stream.sock) == expected


def test_it_is_a_unix_stream(stream: Stream) -> None:
    assert stream.sock.family is socket.AF_UNIX
    assert stream.sock.type is socket.SOCK_STREAM
    assert stream.sock.proto == 0


@pytest.mark.parametrize("option", ["SO_RCVBUF", "SO_SNDBUF"])
def test_buffer_sizes_are_those_of_the_kernel(stream: Stream, oracle: Stream, option: str) -> None:
    number = getattr(socket, option)
    for pair in (stream, oracle):
        assert pair.sock.setsockopt(SOL, number, 30_000) is None
    assert stream.sock.getsockopt(SOL, number) == oracle.sock.getsockopt(SOL, number) >= 30_000


def test_options_are_set_from_integers_bytes_and_none(stream: Stream, oracle: Stream) -> None:
    for pair in (stream, oracle):
        assert pair.sock.setsockopt(SOL, socket.SO_KEEPALIVE, 1) is None
        assert pair.sock.getsockopt(SOL, socket.SO_KEEPALIVE) == 1
        assert pair.sock.setsockopt(SOL, socket.SO_KEEPALIVE, struct.pack("i", 0)) is None
        assert pair.sock.getsockopt(SOL, socket.SO_KEEPALIVE) == 0
    call = lambda s: s.setsockopt(SOL, socket.SO_KEEPALIVE, None, 0)  # noqa: E731
    assert outcome(call, stream.sock) == outcome(call, oracle.sock)


def test_keepalive_reads_back_as_it_was_set(stream: Stream) -> None:
    stream.sock.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
    assert stream.sock.getsockopt(SOL, socket.SO_KEEPALIVE) == 1
    assert stream.sock.getsockopt(SOL, socket.SO_KEEPALIVE, 4) == struct.pack("i", 1)


# A socketpair has no IPPROTO_TCP options, but programs for TCP set them unconditionally.

TCP_OPTIONS = [
    socket.TCP_NODELAY,
    socket.TCP_KEEPIDLE,
    socket.TCP_KEEPINTVL,
    socket.TCP_KEEPCNT,
    socket.TCP_USER_TIMEOUT,
]


@pytest.mark.ours
@pytest.mark.parametrize("option", TCP_OPTIONS)
def test_tcp_options_are_stored(stream: Stream, option: int) -> None:
    sock = stream.sock
    assert sock.getsockopt(socket.IPPROTO_TCP, option) == 0
    for value in (1, 42, 0):
        assert sock.setsockopt(socket.IPPROTO_TCP, option, value) is None
        assert sock.getsockopt(socket.IPPROTO_TCP, option) == value
        assert sock.getsockopt(socket.IPPROTO_TCP, option, 4) == struct.pack("i", value)
    sock.setsockopt(socket.IPPROTO_TCP, option, struct.pack("i", 7))
    assert sock.getsockopt(socket.IPPROTO_TCP, option) == 7


@pytest.mark.ours
def test_tcp_options_do_not_affect_each_other(stream: Stream) -> None:
    for value, option in enumerate(TCP_OPTIONS, 10):
        stream.sock.setsockopt(socket.IPPROTO_TCP, option, value)
    stored = [stream.sock.getsockopt(socket.IPPROTO_TCP, option) for option in TCP_OPTIONS]
    assert stored == list(range(10, 10 + len(TCP_OPTIONS)))
    assert stream.sock.getsockopt(SOL, socket.SO_KEEPALIVE) == 0


@pytest.mark.ours
def test_tcp_options_of_a_closed_stream_are_ebadf(stream: Stream) -> None:
    stream.sock.close()
    for call in (
        lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        lambda s: s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        lambda s: s.setsockopt(SOL, socket.SO_KEEPALIVE, 1),
    ):
        with pytest.raises(OSError) as caught:
            call(stream.sock)
        assert caught.value.args == (errno.EBADF, "Bad file descriptor")


@pytest.mark.ours
@pytest.mark.parametrize("value", ["x", 1.5, 2**40], ids=repr)
def test_a_stored_option_is_checked_like_a_real_one(stream: Stream, value) -> None:
    with socket.socket(socket.AF_INET) as tcp:
        call = lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, value)  # noqa: E731
        expected = outcome(call, tcp)
        assert expected[0] == "raised"
        assert outcome(call, stream.sock) == expected


# A socketpair has no names ("", b""); our streams name the target of the stream.


@pytest.mark.ours
def test_the_names_have_the_form_that_paramiko_expects(stream: Stream) -> None:
    assert stream.sock.getpeername() == stream.peername
    assert stream.sock.getsockname() == ("", 0)


@pytest.mark.ours
def test_the_names_outlive_the_peer(stream: Stream) -> None:
    stream.peer.close()
    assert stream.sock.recv(1) == b""
    assert stream.sock.getpeername() == stream.peername
    assert stream.sock.getsockname() == ("", 0)


def test_asking_for_names_does_not_disturb_the_stream(stream: Stream) -> None:
    stream.sock.getpeername()
    stream.sock.getsockname()
    stream.sock.sendall(b"unharmed")
    assert recv_exactly(stream.peer, 8) == b"unharmed"
