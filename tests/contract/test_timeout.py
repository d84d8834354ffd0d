# SPDX-License-Identifier: BSD-2-Clause
"""Timeouts and non-blocking mode."""

from __future__ import annotations

import errno
import signal
import socket
import time
from decimal import Decimal
from fractions import Fraction

import pytest

from support.outcome import outcome
from support.streams import Stream, fill, payload, recv_exactly
from support.waiting import DEADLINE, Worker, readable

SHORT = 0.03  # seconds: long enough to be measured, short enough for many tests


def read_file(sock, buffering: int) -> bytes:
    with sock.makefile("rb", buffering) as file:
        return file.read(10)


RECEIVERS = {
    "recv": lambda s: s.recv(10),
    "recv_into": lambda s: s.recv_into(bytearray(10)),
    "recvfrom": lambda s: s.recvfrom(10),
    "recvfrom_into": lambda s: s.recvfrom_into(bytearray(10)),
    "recvmsg": lambda s: s.recvmsg(10),
    "recvmsg_into": lambda s: s.recvmsg_into([bytearray(10)]),
    "peek": lambda s: s.recv(10, socket.MSG_PEEK),
    "waitall": lambda s: s.recv(10, socket.MSG_WAITALL),
    "makefile": lambda s: read_file(s, 0),
    "makefile buffered": lambda s: read_file(s, -1),
}
CHUNK = b"x" * 65536
SENDERS = {
    "send": lambda s: s.send(CHUNK),
    "sendall": lambda s: s.sendall(CHUNK),
    "sendmsg": lambda s: s.sendmsg([CHUNK]),
}


def repeat(call, sock) -> None:
    """Call until it raises, because a relay behind a full stream may make some room."""
    while True:
        call(sock)


def test_the_default_is_to_wait_without_limit(stream: Stream) -> None:
    assert stream.sock.gettimeout() is None
    assert stream.sock.timeout is None
    assert stream.sock.getblocking() is True


@pytest.mark.parametrize("call", RECEIVERS.values(), ids=RECEIVERS.keys())
def test_receiving_times_out_as_socket_does(stream: Stream, call) -> None:
    stream.sock.settimeout(SHORT)
    start = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        call(stream.sock)
    assert time.monotonic() - start >= SHORT * 0.9
    assert type(caught.value) is TimeoutError
    assert caught.value.args == ("timed out",)
    assert caught.value.errno is None


@pytest.mark.parametrize("name", ["send", "sendall", "sendmsg"])
def test_sending_times_out_as_socket_does(stream: Stream, name: str) -> None:
    fill(stream.sock)
    stream.sock.settimeout(SHORT)
    with pytest.raises(TimeoutError) as caught:
        repeat(SENDERS[name], stream.sock)
    assert type(caught.value) is TimeoutError
    assert caught.value.args == ("timed out",)
    assert caught.value.errno is None


def test_sendfile_times_out_as_socket_does(stream: Stream, tmp_path) -> None:
    path = tmp_path / "big"
    path.write_bytes(payload(8_000_000))
    stream.sock.settimeout(SHORT)
    with open(path, "rb") as file, pytest.raises(TimeoutError) as caught:
        stream.sock.sendfile(file)
    assert type(caught.value) is TimeoutError
    assert caught.value.args == ("timed out",)


def test_the_timeout_of_sendall_covers_all_of_its_data(stream: Stream) -> None:
    """sendall() sends some at once, then the reader stops; the deadline still holds."""
    stream.sock.settimeout(0.2)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        stream.sock.sendall(payload(8_000_000))
    assert time.monotonic() - start >= 0.18
    assert len(recv_exactly(stream.peer, 10_000)) == 10_000


def test_a_stream_works_after_a_timeout(stream: Stream) -> None:
    stream.sock.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        stream.sock.recv(1)
    stream.sock.settimeout(DEADLINE)
    stream.peer.sendall(b"late")
    assert recv_exactly(stream.sock, 4) == b"late"
    stream.sock.sendall(b"back")
    assert recv_exactly(stream.peer, 4) == b"back"


def test_data_that_arrives_in_time_is_received(stream: Stream) -> None:
    stream.sock.settimeout(DEADLINE)
    reader = Worker(recv_exactly, stream.sock, 5)
    stream.peer.sendall(b"12345")
    assert reader.result() == b"12345"


def test_the_smallest_timeout_still_waits_and_times_out(stream: Stream) -> None:
    stream.sock.settimeout(1e-9)
    with pytest.raises(TimeoutError):
        stream.sock.recv(1)


@pytest.mark.parametrize("call", RECEIVERS.values(), ids=RECEIVERS.keys())
def test_receiving_without_data_would_block(stream: Stream, oracle: Stream, call) -> None:
    stream.sock.setblocking(False)
    oracle.sock.setblocking(False)
    assert outcome(call, stream.sock) == outcome(call, oracle.sock)


def test_would_block_is_blockingioerror_eagain(stream: Stream) -> None:
    stream.sock.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        stream.sock.recv(1)
    assert type(caught.value) is BlockingIOError
    assert caught.value.args == (errno.EAGAIN, "Resource temporarily unavailable")


@pytest.mark.parametrize("name", ["send", "sendall", "sendmsg"])
def test_sending_when_full_would_block(stream: Stream, name: str) -> None:
    fill(stream.sock)
    stream.sock.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        repeat(SENDERS[name], stream.sock)
    assert type(caught.value) is BlockingIOError
    assert caught.value.args == (errno.EAGAIN, "Resource temporarily unavailable")


def test_a_non_blocking_send_accepts_a_part(stream: Stream) -> None:
    stream.sock.setblocking(False)
    data = payload(8_000_000)
    sent = stream.sock.send(data)
    assert 0 < sent < len(data)
    assert recv_exactly(stream.peer, sent) == data[:sent]


def test_a_non_blocking_recv_returns_available_data(stream: Stream) -> None:
    stream.sock.setblocking(False)
    stream.peer.sendall(b"there")
    assert readable(stream.sock)
    assert stream.sock.recv(100) == b"there"


@pytest.mark.parametrize(
    "value",
    [None, 0, 0.0, 1, 2.5, 1e-9, True, False, 10**6, Decimal("1.5"), Fraction(1, 3), -0.0],
    ids=repr,
)
def test_settimeout_accepts_and_returns_the_values_that_socket_does(
    stream: Stream, oracle: Stream, value
) -> None:
    assert outcome(stream.sock.settimeout, value) == outcome(oracle.sock.settimeout, value)
    for read in (
        lambda s: s.gettimeout(),
        lambda s: s.timeout,
        lambda s: s.getblocking(),
        lambda s: type(s.gettimeout()),
    ):
        assert outcome(read, stream.sock) == outcome(read, oracle.sock)


@pytest.mark.parametrize(
    "value",
    [-1, -1e-9, float("nan"), float("inf"), float("-inf"), "x", b"1", [], 10**30, 1e300, 1j],
    ids=repr,
)
def test_settimeout_refuses_the_values_that_socket_refuses(
    stream: Stream, oracle: Stream, value
) -> None:
    stream.sock.settimeout(1.5)
    expected = outcome(oracle.sock.settimeout, value)
    assert expected[0] == "raised"
    assert outcome(stream.sock.settimeout, value) == expected
    assert stream.sock.gettimeout() == 1.5, "a refused value must not change the timeout"


@pytest.mark.parametrize("value", [True, False, 0, 1, 2, None, "", "x", [], [0]], ids=repr)
def test_setblocking_accepts_the_values_that_socket_accepts(
    stream: Stream, oracle: Stream, value
) -> None:
    assert outcome(stream.sock.setblocking, value) == outcome(oracle.sock.setblocking, value)
    assert stream.sock.gettimeout() == oracle.sock.gettimeout()
    assert stream.sock.getblocking() is oracle.sock.getblocking()


def test_timeout_is_read_only(stream: Stream) -> None:
    with pytest.raises(AttributeError):
        stream.sock.timeout = 3


LARGE = CHUNK * 128  # more than fits in between
DURING = {
    "recv": lambda s: s.recv(1),
    "recvmsg": lambda s: s.recvmsg(1),
    "sendall": lambda s: s.sendall(LARGE),
}


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("other", [None, 0, 60], ids=repr)
@pytest.mark.parametrize("call", DURING.values(), ids=DURING.keys())
def test_a_handler_that_sets_the_timeout_does_not_change_the_running_call(
    stream: Stream, call, other
) -> None:
    """None makes the descriptor blocking; the call must not block in send(2) then."""

    def handle(*_: object) -> None:
        assert stream.sock.gettimeout() == 0.5, "the call hangs"
        stream.sock.settimeout(other)

    signal.signal(signal.SIGALRM, handle)
    stream.sock.settimeout(0.5)
    signal.setitimer(signal.ITIMER_REAL, 0.1, DEADLINE)
    with pytest.raises(TimeoutError) as caught:
        call(stream.sock)
    assert caught.value.args == ("timed out",)
    assert stream.sock.gettimeout() == other


@pytest.mark.ours  # CPython itself raises BlockingIOError, or spins without the GIL
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("other", [0, 0.01], ids=repr)
def test_sendall_without_a_timeout_has_none_to_its_end(stream: Stream, other) -> None:
    readers = []

    def handle(*_: object) -> None:
        stream.sock.settimeout(other)
        readers.append(Worker(recv_exactly, stream.peer, len(LARGE)))

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    assert stream.sock.sendall(LARGE) is None
    assert readers[0].result() == LARGE


@pytest.mark.ours  # socket.sendfile reads the timeout again for each block of a BytesIO
def test_sendfile_reads_the_timeout_once(stream: Stream) -> None:
    class File:
        """Sets another timeout while it is read."""

        blocks = [payload(100_000)] * 40

        def read(self, _size: int) -> bytes:
            stream.sock.setblocking(False)
            return self.blocks.pop() if self.blocks else b""

    reader = Worker(recv_exactly, stream.peer, 4_000_000)
    stream.sock.settimeout(DEADLINE)
    assert stream.sock.sendfile(File()) == 4_000_000
    assert len(reader.result()) == 4_000_000


def test_a_timeout_set_during_a_call_applies_to_the_next_call(stream: Stream) -> None:
    reader = Worker(stream.sock.recv, 1)
    stream.sock.settimeout(0.001)
    stream.peer.sendall(b"x")
    try:
        assert reader.result() == b"x"
    except TimeoutError:  # the call had not begun to wait, so the new timeout is its own
        assert stream.sock.gettimeout() == 0.001
