# SPDX-License-Identifier: BSD-2-Clause
"""Invalid arguments raise the exceptions of socket, with the same messages."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys

import pytest

from support.outcome import outcome, source
from support.streams import Stream, recv_exactly

HUGE = 2**100

REFUSED = [
    lambda s: s.recv(),
    lambda s: s.recv(1, 2, 3),
    lambda s: s.recv("x"),
    lambda s: s.recv(1.5),
    lambda s: s.recv(None),
    lambda s: s.recv(-1),
    lambda s: s.recv(HUGE),
    lambda s: s.recv(-HUGE),
    lambda s: s.recv(sys.maxsize),
    lambda s: s.recv(1, "x"),
    lambda s: s.recv(1, HUGE),
    lambda s: s.recv_into(),
    lambda s: s.recv_into(None),
    lambda s: s.recv_into("x"),
    lambda s: s.recv_into(b"read-only"),
    lambda s: s.recv_into(memoryview(b"read-only")),
    lambda s: s.recv_into(bytearray(4), -1),
    lambda s: s.recv_into(bytearray(4), 5),
    lambda s: s.recv_into(bytearray(4), "x"),
    lambda s: s.recv_into(bytearray(4), HUGE),
    lambda s: s.recv_into(bytearray(4), 1, "x"),
    lambda s: s.recv_into(bytearray(4), wrong=1),
    lambda s: s.recv_into(memoryview(bytearray(8))[::2]),
    lambda s: s.recvfrom(),
    lambda s: s.recvfrom(-1),
    lambda s: s.recvfrom("x"),
    lambda s: s.recvfrom(sys.maxsize),
    lambda s: s.recvfrom_into(),
    lambda s: s.recvfrom_into(b"read-only"),
    lambda s: s.recvfrom_into(bytearray(4), -1),
    lambda s: s.recvfrom_into(bytearray(4), 5),
    lambda s: s.recvfrom_into(bytearray(4), "x"),
    lambda s: s.recvmsg(),
    lambda s: s.recvmsg(-1),
    lambda s: s.recvmsg("x"),
    lambda s: s.recvmsg(1, -1),
    lambda s: s.recvmsg(1, "x"),
    lambda s: s.recvmsg(1, 2**40),
    lambda s: s.recvmsg(1, 0, "x"),
    lambda s: s.recvmsg_into(),
    lambda s: s.recvmsg_into(5),
    lambda s: s.recvmsg_into(bytearray(4)),
    lambda s: s.recvmsg_into([b"read-only"]),
    lambda s: s.recvmsg_into(["x"]),
    lambda s: s.recvmsg_into([bytearray(1)], -1),
    lambda s: s.recvmsg_into([bytearray(1)] * 5000),
    lambda s: s.send(),
    lambda s: s.send("text"),
    lambda s: s.send(None),
    lambda s: s.send(5),
    lambda s: s.send([b"x"]),
    lambda s: s.send(b"x", "x"),
    lambda s: s.send(b"x", HUGE),
    lambda s: s.send(memoryview(b"12345678")[::2]),
    lambda s: s.sendall(),
    lambda s: s.sendall("text"),
    lambda s: s.sendall(None),
    lambda s: s.sendall(5),
    lambda s: s.sendall(b"x", "x"),
    lambda s: s.sendmsg(),
    lambda s: s.sendmsg(5),
    lambda s: s.sendmsg("text"),
    lambda s: s.sendmsg(b"bytes"),
    lambda s: s.sendmsg([5]),
    lambda s: s.sendmsg(["text"]),
    lambda s: s.sendmsg([b"x"], 5),
    lambda s: s.sendmsg([b"x"], [], "x"),
    lambda s: s.settimeout(),
    lambda s: s.setblocking(),
    lambda s: s.shutdown(),
    lambda s: s.shutdown("x"),
    lambda s: s.shutdown(None),
    lambda s: s.shutdown(1.5),
    lambda s: s.shutdown(2**31),
    lambda s: s.shutdown(-(2**40)),
    lambda s: s.getsockopt(),
    lambda s: s.getsockopt(1),
    lambda s: s.getsockopt("x", 1),
    lambda s: s.getsockopt(socket.SOL_SOCKET, "x"),
    lambda s: s.getsockopt(socket.SOL_SOCKET, 9999),
    lambda s: s.getsockopt(9999, 1),
    lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE, -1),
    lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE, 1025),
    lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE, "x"),
    lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, "x"),
    lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, b"x"),
    lambda s: s.setsockopt(socket.SOL_SOCKET, 9999, 1),
    lambda s: s.setsockopt("x", 1, 1),
    lambda s: s.getsockname(1),
    lambda s: s.getpeername(1),
    lambda s: s.fileno(1),
    lambda s: s.gettimeout(1),
]


def without_class(result):
    """CPython puts the name of the class before the method's in some messages."""
    kind, error, args, number = result
    return kind, error, re.sub(r"[\w.]*\.(\w+\(\))", r"\1", str(args)), number


@pytest.mark.parametrize("call", REFUSED, ids=source)
def test_refused_as_socket_refuses_it(stream: Stream, oracle: Stream, call) -> None:
    for pair in (stream, oracle):
        pair.sock.settimeout(0)  # a call that is wrongly accepted must not block
    expected = outcome(call, oracle.sock)
    assert expected[0] == "raised"
    assert without_class(outcome(call, stream.sock)) == without_class(expected)
    # The stream still works, and the refused call has sent nothing.
    stream.sock.settimeout(5)
    stream.sock.sendall(b"unharmed")
    assert recv_exactly(stream.peer, 8) == b"unharmed"


# CPython's own messages are inconsistent here, or come from functions written in Python.
REFUSED_WITH_ANOTHER_MESSAGE = [
    lambda s: s.setsockopt(),
    lambda s: s.setsockopt(socket.SOL_SOCKET),
    lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
    lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, None),
    lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**40),
    lambda s: s.sendfile(),
    lambda s: s.makefile("r", 0, wrong=1),
]


@pytest.mark.parametrize("call", REFUSED_WITH_ANOTHER_MESSAGE, ids=source)
def test_refused_with_the_exception_of_socket(stream: Stream, oracle: Stream, call) -> None:
    expected = outcome(call, oracle.sock)[:2]
    assert expected[0] == "raised"
    assert outcome(call, stream.sock)[:2] == expected


@pytest.mark.ours
@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.recv(1, socket.MSG_OOB),
        lambda s: s.recv_into(bytearray(1), 0, socket.MSG_OOB),
        lambda s: s.recvfrom(1, socket.MSG_OOB),
        lambda s: s.recvmsg(1, 0, socket.MSG_OOB),
        lambda s: s.send(b"x", socket.MSG_OOB),
        lambda s: s.sendall(b"x", socket.MSG_OOB),
        lambda s: s.sendmsg([b"x"], [], socket.MSG_OOB),
        lambda s: s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\2\0\0\0")]),
    ],
    ids=source,
)
def test_out_of_band_and_ancillary_data_are_refused(stream: Stream, call) -> None:
    """A socketpair would pass them to the relay, which cannot forward them."""
    stream.sock.settimeout(5)
    with pytest.raises(OSError) as caught:
        call(stream.sock)
    assert caught.value.args == (errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    assert stream.sock.bytes_sent == 0
    stream.sock.sendall(b"unharmed")
    assert recv_exactly(stream.peer, 8) == b"unharmed"
