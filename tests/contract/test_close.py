# SPDX-License-Identifier: BSD-2-Clause
"""Closing: the end of the stream, files that keep it open, and waiting threads."""

from __future__ import annotations

import errno
import gc
import io
import os
import select
import socket
import threading
import weakref

import pytest

from support.outcome import outcome, source
from support.streams import (
    Stream,
    digest,
    fill,
    open_channel,
    open_proxycommand,
    payload,
    recv_all,
    recv_exactly,
)
from support.waiting import Worker, until_blocked


def read_file(sock):
    with sock.makefile("rb") as file:
        return file.read()


USES_OF_A_CLOSED_STREAM = [
    lambda s: s.recv(1),
    lambda s: s.recv(0),
    lambda s: s.recv_into(bytearray(1)),
    lambda s: s.recvfrom(1),
    lambda s: s.recvfrom_into(bytearray(1)),
    lambda s: s.recvmsg(1),
    lambda s: s.recvmsg_into([bytearray(1)]),
    lambda s: s.send(b"x"),
    lambda s: s.send(b""),
    lambda s: s.sendall(b"x"),
    lambda s: s.sendall(b""),
    lambda s: s.sendmsg([b"x"]),
    lambda s: s.sendfile(io.BytesIO(b"x")),
    lambda s: s.shutdown(socket.SHUT_RDWR),
    lambda s: s.settimeout(1),
    lambda s: s.settimeout(None),
    lambda s: s.setblocking(False),
    lambda s: s.getblocking(),
    lambda s: s.gettimeout(),
    lambda s: s.timeout,
    lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
    lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),
    lambda s: s.getsockname(),
    lambda s: s.getpeername(),
    lambda s: s.dup(),
    lambda s: s.detach(),
    lambda s: s.fileno(),
    lambda s: s.close(),
    lambda s: read_file(s),
    lambda s: s.makefile("rwb"),
    lambda s: int(s.family),
    lambda s: int(s.type),
    lambda s: s.proto,
    lambda s: bool(s),
    lambda s: s._closed,
    lambda s: s.__enter__() is s and s.__exit__(None, None, None),
]


@pytest.mark.parametrize("use", USES_OF_A_CLOSED_STREAM, ids=source)
def test_a_closed_stream_behaves_like_a_closed_socket(stream: Stream, oracle: Stream, use) -> None:
    stream.sock.close()
    oracle.sock.close()
    assert outcome(use, stream.sock) == outcome(use, oracle.sock)


def test_a_closed_stream_cannot_be_polled(stream: Stream, oracle: Stream) -> None:
    stream.sock.close()
    oracle.sock.close()
    for call in (
        lambda s: select.select([s], [], [], 0),
        lambda s: select.poll().register(s),
    ):
        assert outcome(call, stream.sock) == outcome(call, oracle.sock)


def test_close_can_be_repeated_and_closed_says_so(stream: Stream) -> None:
    sock = stream.sock
    assert sock._closed is False
    for _ in range(3):
        assert sock.close() is None
        assert sock._closed is True
        assert sock.fileno() == -1


@pytest.mark.ours
def test_closed_is_an_attribute_as_in_paramiko(stream: Stream) -> None:
    assert stream.sock.closed is False
    stream.sock.close()
    assert stream.sock.closed is True


def test_the_peer_sees_the_end_of_file_after_close(stream: Stream) -> None:
    stream.sock.sendall(b"bye")
    stream.sock.close()
    assert recv_all(stream.peer) == b"bye"


def test_close_loses_nothing_that_was_accepted(stream: Stream) -> None:
    """The stream is full when it is closed; the peer begins to read only afterwards."""
    data = payload(8_000_000)
    stream.sock.setblocking(False)
    sent = stream.sock.send(data)
    stream.sock.close()
    assert digest(recv_all(stream.peer)) == digest(data[:sent])


def test_leaving_the_with_block_closes(stream: Stream) -> None:
    with stream.sock as sock:
        assert sock is stream.sock
        sock.sendall(b"inside")
    assert stream.sock._closed is True
    assert recv_all(stream.peer) == b"inside"


def test_leaving_the_with_block_by_an_exception_closes_and_passes_it_on(stream: Stream) -> None:
    with pytest.raises(KeyError), stream.sock:
        raise KeyError
    assert stream.sock._closed is True


def test_close_is_deferred_while_a_file_is_open(stream: Stream) -> None:
    file = stream.sock.makefile("rb", 0)
    stream.sock.close()
    assert stream.sock._closed is True
    assert stream.sock.fileno() >= 0
    stream.peer.sendall(b"still open")
    assert file.read(5) == b"still"
    assert stream.sock.recv(5) == b" open"
    file.close()
    assert stream.sock.fileno() == -1
    assert recv_all(stream.peer) == b""


def test_the_last_of_several_files_closes(stream: Stream) -> None:
    files = [stream.sock.makefile("rb"), stream.sock.makefile("wb"), stream.sock.makefile("r")]
    stream.sock.close()
    for file in files:
        assert stream.sock.fileno() >= 0
        file.close()
        file.close()
    assert stream.sock.fileno() == -1


def test_closing_files_alone_does_not_close_the_stream(stream: Stream) -> None:
    stream.sock.makefile("rwb").close()
    stream.sock.sendall(b"open")
    assert recv_exactly(stream.peer, 4) == b"open"


def test_dropping_an_open_stream_warns_and_closes(stream: Stream) -> None:
    alive = weakref.ref(stream.sock)
    with pytest.warns(ResourceWarning, match=r"^unclosed <.*>$"):
        stream.sock = None
        gc.collect()
    assert alive() is None
    assert recv_all(stream.peer) == b""
    stream.sock = stream.peer  # an object that close() accepts


def test_dropping_a_closed_stream_is_silent(stream: Stream, recwarn) -> None:
    stream.sock.close()
    stream.sock = stream.peer
    gc.collect()
    assert not recwarn.list


# --- Abilities that a plain socket lacks ---------------------------------------


WAITING = {
    "recv": lambda s: s.recv(10),
    "recv_into": lambda s: s.recv_into(bytearray(10)),
    "recvfrom": lambda s: s.recvfrom(10),
    "recvmsg": lambda s: s.recvmsg(10),
    "peek": lambda s: s.recv(10, socket.MSG_PEEK),
    "waitall": lambda s: s.recv(10, socket.MSG_WAITALL),
}


@pytest.mark.ours
@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("call", WAITING.values(), ids=WAITING.keys())
def test_close_wakes_a_receiver_in_another_thread(stream: Stream, call, timeout) -> None:
    """With a plain socket the receiver would wait without end, or for the whole timeout."""
    stream.sock.settimeout(timeout)
    reader = Worker(call, stream.sock)
    until_blocked(reader)
    stream.sock.close()
    with pytest.raises(OSError) as caught:
        reader.result()
    assert type(caught.value) is OSError
    assert caught.value.args == (errno.EBADF, "Bad file descriptor")


@pytest.mark.ours
@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize(
    "call",
    [lambda s: s.sendall(b"x" * 8_000_000), lambda s: s.sendmsg([b"x" * 8_000_000])],
    ids=["sendall", "sendmsg"],
)
def test_close_wakes_a_sender_in_another_thread(stream: Stream, call, timeout) -> None:
    fill(stream.sock)
    stream.sock.settimeout(timeout)

    def send_on():
        while True:  # sendmsg may find a little room first
            call(stream.sock)

    sender = Worker(send_on)
    until_blocked(sender)
    stream.sock.close()
    with pytest.raises(OSError) as caught:
        sender.result()
    assert caught.value.errno == errno.EBADF
    assert caught.value.args == (errno.EBADF, "Bad file descriptor")
    # The accepted bytes are still in the relay; let them arrive.
    recv_all(stream.peer)


@pytest.mark.ours
def test_close_wakes_every_one_of_many_receivers(stream: Stream) -> None:
    readers = [Worker(stream.sock.recv, 10) for _ in range(5)]
    for reader in readers:
        until_blocked(reader)
    stream.sock.close()
    for reader in readers:
        with pytest.raises(OSError) as caught:
            reader.result()
        assert caught.value.errno == errno.EBADF


@pytest.mark.ours
def test_close_from_many_threads_at_once_is_one_close(stream: Stream) -> None:
    barrier = threading.Barrier(8)

    def close():
        barrier.wait()
        stream.sock.close()

    for closer in [Worker(close) for _ in range(8)]:
        assert closer.result() is None
    assert recv_all(stream.peer) == b""


@pytest.mark.ours
def test_a_running_recv_never_sees_a_reused_descriptor(stream: Stream) -> None:
    """A new file may get the descriptor's number as soon as close() has returned."""
    reader = Worker(stream.sock.recv, 10)
    until_blocked(reader)
    stream.sock.close()
    others = [os.pipe() for _ in range(8)]
    for _, write in others:
        os.write(write, b"not for you")
    with pytest.raises(OSError) as caught:
        reader.result()
    assert caught.value.errno == errno.EBADF
    for fds in others:
        assert os.read(fds[0], 20) == b"not for you"
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("open_stream", [open_proxycommand, open_channel])
def test_a_stream_in_a_reference_cycle_is_collected(leaves_nothing: None, open_stream) -> None:
    pair = open_stream()
    holder: dict[str, object] = {"sock": pair.sock}
    holder["self"] = holder
    pair.sock = pair.peer
    with pytest.warns(ResourceWarning, match="unclosed"):
        del holder
        gc.collect()
    assert recv_all(pair.peer) == b""
    pair.close()
