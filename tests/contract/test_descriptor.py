# SPDX-License-Identifier: BSD-2-Clause
"""fileno(), detach(), dup() and readiness: the descriptor is that of a real socket."""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import stat
import subprocess
import sys

import pytest

from support.outcome import outcome
from support.streams import Stream, digest, fill, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker, readable


def test_fileno_is_an_open_socket(stream: Stream) -> None:
    fd = stream.sock.fileno()
    assert type(fd) is int
    assert stat.S_ISSOCK(os.fstat(fd).st_mode)


def test_the_descriptor_is_not_inherited(stream: Stream) -> None:
    assert os.get_inheritable(stream.sock.fileno()) is False


def test_a_program_inherits_the_descriptor_if_it_is_made_inheritable(stream: Stream) -> None:
    assert stream.sock.get_inheritable() is False
    assert stream.sock.set_inheritable(True) is None
    assert stream.sock.get_inheritable() is True
    assert os.get_inheritable(stream.sock.fileno()) is True
    code = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(b'inherited')"
    command = [sys.executable, "-c", code, str(stream.sock.fileno())]
    subprocess.run(command, check=True, close_fds=False, timeout=DEADLINE)
    assert recv_exactly(stream.peer, 9) == b"inherited"
    stream.sock.set_inheritable(inheritable=0)
    assert stream.sock.get_inheritable() is False


@pytest.mark.parametrize("value", [None, "yes", 1.5, 1 << 80])
def test_a_wrong_value_for_inheritable_is_refused(stream: Stream, value: object) -> None:
    with pytest.raises((TypeError, OverflowError)):
        stream.sock.set_inheritable(value)
    assert stream.sock.get_inheritable() is False


def test_a_closed_stream_is_not_inheritable(stream: Stream) -> None:
    stream.sock.close()
    for call in (stream.sock.get_inheritable, lambda: stream.sock.set_inheritable(True)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.args == (errno.EBADF, "Bad file descriptor")


# --- detach -------------------------------------------------------------------


def test_detach_returns_a_descriptor_that_keeps_working(stream: Stream) -> None:
    fd = stream.sock.fileno()
    assert stream.sock.detach() == fd
    assert stream.sock.fileno() == -1
    with socket.socket(fileno=fd) as plain:
        stream.sock.close()
        data = payload(300_000)
        reader = Worker(recv_exactly, stream.peer, len(data))
        plain.sendall(data)
        assert digest(reader.result()) == digest(data)
        stream.peer.sendall(b"answer")
        assert recv_exactly(plain, 6) == b"answer"


def test_a_detached_descriptor_sees_the_end(stream: Stream) -> None:
    with socket.socket(fileno=stream.sock.detach()) as plain:
        stream.peer.sendall(b"end")
        stream.peer.shutdown(socket.SHUT_WR)
        assert recv_all(plain) == b"end"


def test_a_detached_stream_is_closed(stream: Stream) -> None:
    with socket.socket(fileno=stream.sock.detach()):
        assert stream.sock._closed is True
        with pytest.raises(OSError) as caught:
            stream.sock.recv(1)
        assert caught.value.args == (errno.EBADF, "Bad file descriptor")
        assert stream.sock.detach() == -1


def test_a_detached_stream_is_dropped_without_a_warning(stream: Stream, recwarn) -> None:
    plain = socket.socket(fileno=stream.sock.detach())
    stream.sock = plain
    assert not recwarn.list
    plain.sendall(b"alive")
    assert recv_exactly(stream.peer, 5) == b"alive"


@pytest.mark.ours
def test_the_descriptor_is_in_the_blocking_mode_of_a_plain_socket(
    stream: Stream, oracle: Stream
) -> None:
    """With the same timeout, O_NONBLOCK is set on both or on neither."""
    for timeout in (None, 0, 1.5):
        stream.sock.settimeout(timeout)
        oracle.sock.settimeout(timeout)
        assert os.get_blocking(stream.sock.fileno()) == os.get_blocking(oracle.sock.fileno())


# --- dup ----------------------------------------------------------------------


def test_dup_is_a_plain_socket_on_the_same_stream(stream: Stream) -> None:
    with stream.sock.dup() as copy:
        assert type(copy) is socket.socket
        assert copy.fileno() != stream.sock.fileno()
        assert (copy.family, copy.type, copy.proto) == (
            stream.sock.family,
            stream.sock.type,
            stream.sock.proto,
        )
        assert os.get_inheritable(copy.fileno()) is False
        copy.sendall(b"copy ")
        stream.sock.sendall(b"original")
        assert recv_exactly(stream.peer, 13) == b"copy original"


@pytest.mark.parametrize("timeout", [None, 0, 1.5])
def test_dup_has_the_timeout_of_the_original(stream: Stream, oracle: Stream, timeout) -> None:
    stream.sock.settimeout(timeout)
    oracle.sock.settimeout(timeout)
    with stream.sock.dup() as ours, oracle.sock.dup() as expected:
        assert ours.gettimeout() == expected.gettimeout()


def test_dup_keeps_the_stream_alive_after_close(stream: Stream) -> None:
    copy = stream.sock.dup()
    stream.sock.close()
    with copy:
        stream.peer.sendall(b"to the copy")
        assert recv_exactly(copy, 11) == b"to the copy"
        copy.sendall(b"from the copy")
        assert recv_exactly(stream.peer, 13) == b"from the copy"
        stream.peer.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.peer.recv(1)
    stream.peer.settimeout(DEADLINE)
    assert stream.peer.recv(1) == b""


def test_closing_the_copy_keeps_the_original(stream: Stream) -> None:
    stream.sock.dup().close()
    stream.sock.sendall(b"original")
    assert recv_exactly(stream.peer, 8) == b"original"


def test_fromfd_duplicates_the_descriptor_too(stream: Stream) -> None:
    with socket.fromfd(stream.sock.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as copy:
        stream.sock.close()
        copy.sendall(b"copy")
        assert recv_exactly(stream.peer, 4) == b"copy"


# --- readiness ----------------------------------------------------------------


def test_select_reports_readable_and_writable(stream: Stream) -> None:
    sock = stream.sock
    assert select.select([sock], [sock], [sock], 0) == ([], [sock], [])
    stream.peer.sendall(b"x")
    assert select.select([sock], [], [], DEADLINE) == ([sock], [], [])
    sock.recv(1)
    assert select.select([sock], [], [], 0) == ([], [], [])
    stream.peer.shutdown(socket.SHUT_WR)
    assert select.select([sock], [], [], DEADLINE) == ([sock], [], [])


def test_select_reports_a_full_stream(stream: Stream) -> None:
    stream.sock.fileno()  # from then on a ProxyCommand has more room
    fill(stream.sock)
    assert select.select([], [stream.sock], [], 0) == ([], [], [])
    reader = Worker(recv_all, stream.peer)
    assert select.select([], [stream.sock], [], DEADLINE) == ([], [stream.sock], [])
    stream.sock.shutdown(socket.SHUT_WR)
    assert reader.result()


def test_poll_reports_data_and_the_end(stream: Stream) -> None:
    poller = select.poll()
    poller.register(stream.sock, select.POLLIN | select.POLLRDHUP)
    assert poller.poll(0) == []
    stream.peer.sendall(b"x")
    assert readable(stream.sock)
    assert poller.poll(0) == [(stream.sock.fileno(), select.POLLIN)]
    assert stream.sock.recv(1) == b"x"
    stream.peer.shutdown(socket.SHUT_WR)
    assert readable(stream.sock)
    assert poller.poll(0) == [(stream.sock.fileno(), select.POLLIN | select.POLLRDHUP)]


def test_epoll_works_edge_triggered(stream: Stream) -> None:
    with select.epoll() as poller:
        poller.register(stream.sock, select.EPOLLIN | select.EPOLLET)
        stream.peer.sendall(b"one")
        assert poller.poll(DEADLINE) == [(stream.sock.fileno(), select.EPOLLIN)]
        assert poller.poll(0) == []
        assert recv_exactly(stream.sock, 3) == b"one"
        stream.peer.sendall(b"two")
        assert poller.poll(DEADLINE) == [(stream.sock.fileno(), select.EPOLLIN)]


def test_selectors_work_on_the_object(stream: Stream) -> None:
    with selectors.DefaultSelector() as selector:
        key = selector.register(stream.sock, selectors.EVENT_READ, "data")
        assert key.fd == stream.sock.fileno()
        assert selector.select(0) == []
        stream.peer.sendall(b"x")
        assert selector.select(DEADLINE) == [(key, selectors.EVENT_READ)]
        selector.unregister(stream.sock)


def test_os_read_and_os_write_work_on_the_descriptor(stream: Stream) -> None:
    os.write(stream.sock.fileno(), b"written")
    assert recv_exactly(stream.peer, 7) == b"written"
    stream.peer.sendall(b"read")
    assert readable(stream.sock)
    assert os.read(stream.sock.fileno(), 10) == b"read"


def test_polling_a_closed_stream_fails_as_socket_does(stream: Stream, oracle: Stream) -> None:
    stream.sock.close()
    oracle.sock.close()
    with selectors.DefaultSelector() as selector:
        for pair in (stream, oracle):
            result = outcome(selector.register, pair.sock, selectors.EVENT_READ)
            assert result[:2] == ("raised", ValueError)
