# SPDX-License-Identifier: BSD-2-Clause
"""Signals: handlers run while a call waits, and the call raises their exceptions."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from support.streams import Stream, digest, fill, payload, recv_exactly
from support.waiting import DEADLINE, Worker, readable

pytestmark = pytest.mark.usefixtures("alarm")

RECEIVERS = {
    "recv": lambda s: s.recv(1024),
    "recv_into": lambda s: s.recv_into(bytearray(1024)),
    "recvfrom": lambda s: s.recvfrom(1024),
    "recvfrom_into": lambda s: s.recvfrom_into(bytearray(1024)),
    "recvmsg": lambda s: s.recvmsg(1024),
    "recvmsg_into": lambda s: s.recvmsg_into([bytearray(1024)]),
}
SENDERS = {
    "send": lambda s: s.send(b"a" * 512),
    "sendall": lambda s: s.sendall(b"a" * 512),
    "sendmsg": lambda s: s.sendmsg([b"a" * 512]),
}

#: Seconds: first for a few ticks, then longer, because a busy machine merges ticks.
TIMEOUTS = (0.1, 1, 5)


@contextlib.contextmanager
def ticking(handler: Callable[[], object], first: float, interval: float = 0.0) -> Iterator[None]:
    """Run *handler* in the main thread after *first* seconds, then every *interval*.

    A handler's exception may be raised before the block begins; pytest.raises goes outside.
    """
    signal.signal(signal.SIGALRM, lambda _signum, _frame: handler())
    signal.setitimer(signal.ITIMER_REAL, first, interval)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("timeout", [None, DEADLINE])
@pytest.mark.parametrize("call", RECEIVERS.values(), ids=RECEIVERS.keys())
def test_a_receive_raises_the_exception_of_a_handler(stream: Stream, call, timeout) -> None:
    """CPython's InterruptedRecvTimeoutTest, and the same without a timeout."""
    stream.sock.settimeout(timeout)
    with pytest.raises(ZeroDivisionError), ticking(lambda: 1 / 0, 0.02):
        call(stream.sock)
    stream.peer.sendall(b"unharmed")
    assert recv_exactly(stream.sock, 8) == b"unharmed"


@pytest.mark.parametrize("timeout", [None, DEADLINE])
@pytest.mark.parametrize("call", SENDERS.values(), ids=SENDERS.keys())
def test_a_send_raises_the_exception_of_a_handler(stream: Stream, call, timeout) -> None:
    """CPython's InterruptedSendTimeoutTest, and the same without a timeout."""
    fill(stream.sock)
    stream.sock.settimeout(timeout)
    with pytest.raises(ZeroDivisionError), ticking(lambda: 1 / 0, 0.02):
        while True:
            call(stream.sock)


@pytest.mark.parametrize("call", RECEIVERS.values(), ids=RECEIVERS.keys())
def test_a_receive_keeps_its_deadline_after_a_handler(stream: Stream, call) -> None:
    """A signal neither restarts the timeout nor ends the wait."""

    def ticks_during(timeout: float) -> int:
        ticks = []
        stream.sock.settimeout(timeout)
        start = time.monotonic()
        with (
            ticking(lambda: ticks.append(1), 0.02, 0.02),
            pytest.raises(TimeoutError, match=r"^timed out$"),
        ):
            call(stream.sock)
        assert time.monotonic() - start >= 0.9 * timeout
        return len(ticks)

    assert any(ticks_during(timeout) >= 2 for timeout in TIMEOUTS)


@pytest.mark.parametrize("call", SENDERS.values(), ids=SENDERS.keys())
def test_a_send_keeps_its_deadline_after_a_handler(stream: Stream, call) -> None:
    fill(stream.sock)

    def ticks_during(timeout: float) -> int:
        ticks = []
        stream.sock.settimeout(timeout)
        with (
            ticking(lambda: ticks.append(1), 0.02, 0.02),
            pytest.raises(TimeoutError, match=r"^timed out$"),
        ):
            while True:
                call(stream.sock)
        return len(ticks)

    assert any(ticks_during(timeout) >= 2 for timeout in TIMEOUTS)


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_receive_gets_data_that_arrives_after_a_handler(stream: Stream, timeout) -> None:
    ticks = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 3:
            stream.peer.sendall(b"after three signals")

    stream.sock.settimeout(timeout)
    with ticking(tick, 0.01, 0.01):
        assert stream.sock.recv(100) == b"after three signals"
    assert len(ticks) >= 3


def test_an_interrupted_sendall_does_not_send_anything_twice(stream: Stream) -> None:
    """8 MB during a signal storm, sent by the thread that handles the signals."""
    data = payload(8_000_000)
    ticks = []
    reader = Worker(recv_exactly, stream.peer, len(data))
    with ticking(lambda: ticks.append(1), 0.0005, 0.0005):
        assert stream.sock.sendall(data) is None
    assert digest(reader.result()) == digest(data)
    assert ticks


def test_receiving_during_a_signal_storm_loses_nothing(stream: Stream) -> None:
    data = payload(8_000_000)
    ticks = []
    sender = Worker(stream.peer.sendall, data)
    with ticking(lambda: ticks.append(1), 0.0005, 0.0005):
        assert digest(recv_exactly(stream.sock, len(data))) == digest(data)
    sender.result()
    assert ticks


def test_send_returns_how_much_was_accepted_before_a_signal(stream: Stream) -> None:
    """Paramiko's own ProxyCommand returned 1 000 000 when the child had got 65 536 bytes."""
    data = payload(4_000_000)
    reader = Worker(recv_exactly, stream.peer, len(data))
    sent = 0
    with ticking(lambda: None, 0.0005, 0.0005):
        while sent < len(data):
            sent += stream.sock.send(memoryview(data)[sent:])
    assert digest(reader.result()) == digest(data)


def test_an_exception_during_sendall_leaves_a_prefix(stream: Stream) -> None:
    data = payload(8_000_000)

    def fail_when_some_has_arrived() -> None:
        if readable(stream.peer, 0):
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ticking(fail_when_some_has_arrived, 0.03, 0.01):
        stream.sock.sendall(data)
    stream.sock.close()
    got = bytearray()
    while chunk := stream.peer.recv(65536):
        got += chunk
    assert 0 < len(got) < len(data)
    assert digest(got) == digest(data[: len(got)])


def test_a_waitall_receive_continues_after_a_handler(stream: Stream) -> None:
    ticks = []
    stream.peer.sendall(b"first ")

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 3:
            stream.peer.sendall(b"second")

    got = b""
    with ticking(tick, 0.01, 0.01):
        while len(got) < 12:  # an interrupted MSG_WAITALL may be short
            got += stream.sock.recv(12 - len(got), socket.MSG_WAITALL)
    assert got == b"first second"


def test_keyboard_interrupt_is_raised_at_once(stream: Stream) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            ticking(lambda: os.kill(os.getpid(), signal.SIGINT), 0.02),
        ):
            stream.sock.recv(1)
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_handler_may_close_the_stream(stream: Stream) -> None:
    with ticking(stream.sock.close, 0.02), pytest.raises(OSError) as caught:
        stream.sock.recv(1)
    assert caught.value.args == (9, "Bad file descriptor")


def test_a_handler_may_use_the_stream(stream: Stream) -> None:
    def echo() -> None:
        stream.sock.sendall(b"from the handler")
        stream.peer.sendall(recv_exactly(stream.peer, 16))

    with ticking(echo, 0.02):
        assert stream.sock.recv(100) == b"from the handler"


def test_signals_are_handled_in_the_main_thread(stream: Stream) -> None:
    """The engine's thread blocks all signals; they reach the main thread."""
    seen = []

    def tick() -> None:
        seen.append(threading.current_thread() is threading.main_thread())

    with ticking(tick, 0.01, 0.005), pytest.raises(TimeoutError):
        stream.sock.settimeout(0.1)
        stream.sock.recv(1)
    assert seen and all(seen)
