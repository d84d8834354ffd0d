# SPDX-License-Identifier: BSD-2-Clause
"""Deadlines of opens, abandoned opens, and Ctrl-C during a call that waits."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sshgateway import ChannelOpenError, GatewayError, build_info
from support import gateways, scripted
from support.gateways import Target
from support.sshd import PrivateSshd
from support.waiting import DEADLINE, Worker, readable, until, until_blocked

OPENS_MANY = build_info()["libssh2"] == "pinned"

pinned_only = pytest.mark.skipif(not OPENS_MANY, reason="this libssh2 opens one channel at a time")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateSshd]:
    with PrivateSshd() as server:
        yield server


def works(gateway) -> None:
    with (
        Target(gateways.echo) as target,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(DEADLINE)
        channel.sendall(b"works")
        assert channel.recv(10) == b"works"


def times_out(gateway, address, timeout: float) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        gateway.open_channel("direct-tcpip", address, timeout=timeout)
    assert timeout * 0.95 <= time.monotonic() - start < timeout + DEADLINE
    assert type(caught.value) is TimeoutError
    assert caught.value.errno == errno.ETIMEDOUT
    assert str(gateway) in caught.value.args[1]
    assert f"{address[0]}:{address[1]}" in caught.value.args[1]
    assert f"within {timeout:g} s" in caught.value.args[1]


# --- Deadlines ------------------------------------------------------------------------------


def test_a_target_that_does_not_answer_times_out(server) -> None:
    """The target's listen queue is full.  The deadline is the one that the caller gave."""
    with scripted.black_hole() as (listener, _), gateways.to(server) as gateway:
        times_out(gateway, listener.getsockname(), 0.2)
        assert gateway.is_connected


@pytest.mark.slow
def test_an_abandoned_open_is_finished_and_closed(server) -> None:
    """The test makes room in the queue, so the open succeeds late and is then closed."""
    with scripted.black_hole() as (listener, fillers), gateways.to(server) as gateway:
        times_out(gateway, listener.getsockname(), 0.2)
        for _ in fillers:
            listener.accept()[0].close()
        late, _ = listener.accept()
        with late:
            late.settimeout(4 * DEADLINE)
            assert late.recv(1) == b"", "the abandoned channel must be closed"
        works(gateway)


@pytest.mark.slow
def test_opens_behind_a_black_hole_succeed_when_it_is_over(server) -> None:
    """The system's libssh2 opens channels strictly one after the other."""
    with scripted.black_hole() as (listener, fillers), gateways.to(server) as gateway:
        times_out(gateway, listener.getsockname(), 0.2)
        with Target(gateways.echo) as target:
            behind = Worker(gateway.open_channel, "direct-tcpip", target.address)
            for _ in fillers:
                listener.accept()[0].close()
            listener.accept()[0].close()
            with behind.result() as channel:
                channel.sendall(b"behind")
                channel.settimeout(DEADLINE)
                assert channel.recv(10) == b"behind"


@pinned_only
def test_opens_do_not_wait_for_a_black_hole(server) -> None:
    with (
        scripted.black_hole() as (listener, _),
        gateways.to(server) as gateway,
        Target(gateways.echo) as target,
    ):
        opener = Worker(gateway.open_channel, "direct-tcpip", listener.getsockname(),
                        None, None, None, 4 * DEADLINE)  # fmt: skip
        for _ in range(100):
            with gateway.open_channel("direct-tcpip", target.address, timeout=DEADLINE) as channel:
                channel.settimeout(DEADLINE)
                channel.sendall(b"beside")
                assert channel.recv(10) == b"beside"
        assert opener.is_alive()
        gateway.close()
        with pytest.raises(GatewayError):
            opener.result()


@pinned_only
def test_opens_are_answered_in_any_order(server) -> None:
    """Black holes, refusals and targets that answer are opened at the same time."""
    with (
        scripted.black_hole() as (listener, _),
        gateways.to(server) as gateway,
        Target(gateways.echo) as target,
    ):
        holes = [
            Worker(gateway.open_channel, "direct-tcpip", listener.getsockname(),
                   None, None, None, 1.0)
            for _ in range(5)
        ]  # fmt: skip
        opens = [Worker(gateway.open_channel, "direct-tcpip", target.address) for _ in range(20)]
        refused = [
            Worker(gateway.open_channel, "direct-tcpip", ("127.0.0.1", 1)) for _ in range(5)
        ]
        channels = [opener.result() for opener in opens]
        for i, channel in enumerate(channels):
            channel.settimeout(DEADLINE)
            channel.sendall(b"%d" % i)
        for i, channel in enumerate(channels):
            assert channel.recv(10) == b"%d" % i
            channel.close()
        for opener in refused:
            with pytest.raises(ChannelOpenError):
                opener.result()
        for opener in holes:
            with pytest.raises(TimeoutError):
                opener.result()
        works(gateway)


def test_channels_continue_while_an_open_waits(server) -> None:
    with (
        scripted.black_hole() as (listener, _),
        gateways.to(server) as gateway,
        Target(gateways.echo) as target,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(DEADLINE)
        opener = Worker(gateway.open_channel, "direct-tcpip", listener.getsockname(),
                        None, None, None, 0.5)  # fmt: skip
        while opener.is_alive():
            channel.sendall(b"x" * 1000)
            assert channel.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
        with pytest.raises(TimeoutError):
            opener.result()


@pytest.mark.parametrize("refusal", [0, 2], ids=["late confirmation", "late failure"])
def test_a_late_answer_does_not_disturb_the_next_open(sshd, refusal: int) -> None:
    """libssh2 gives an unclaimed confirmation to the next open (libssh2#671)."""
    with scripted.ParamikoServer(sshd, password="x") as server, server.gateway() as gateway:
        server.hold.clear()
        times_out(gateway, ("late", 1), 0.1)
        server.refusal = refusal
        server.hold.set()
        until(lambda: len(server.answered) == 1, "the late answer")
        server.refusal = 0
        with gateway.open_channel("direct-tcpip", ("next", 2)) as channel:
            channel.settimeout(DEADLINE)
            channel.sendall(b"mine")
            assert channel.recv(10) == b"mine"
        assert server.opened == [("late", 1), ("next", 2)]


@pytest.mark.skipif(OPENS_MANY, reason="there are no turns")
def test_an_open_that_timed_out_in_the_queue_is_never_sent(sshd) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server, server.gateway() as gateway:
        server.hold.clear()
        first = Worker(gateway.open_channel, "direct-tcpip", ("first", 1))
        until(lambda: server.opened, "the first open has arrived")
        for number in range(3):
            times_out(gateway, ("given up", number + 1), 0.05)
        server.hold.set()
        first.result().close()
        gateway.open_channel("direct-tcpip", ("last", 9)).close()
        assert server.opened == [("first", 1), ("last", 9)]


def test_channel_timeout_is_the_default_of_an_open(sshd) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server:
        gateway = server.gateway(channel_timeout=0.1)
        gateway.open()
        server.hold.clear()
        with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
            gateway.open_channel("direct-tcpip", ("late", 1))
        with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
            gateways.connect(gateway, ("late", 1))
        gateway.close()


def test_close_does_not_wait_for_a_black_hole(server) -> None:
    with scripted.black_hole() as (listener, _):
        gateway = gateways.to(server)
        gateway.open()
        opener = Worker(gateway.open_channel, "direct-tcpip", listener.getsockname())
        until_blocked(opener)
        start = time.monotonic()
        gateway.close()
        with pytest.raises(GatewayError, match="this program closed"):
            opener.result()
        assert time.monotonic() - start < DEADLINE


# --- Ctrl-C ---------------------------------------------------------------------------------


@pytest.fixture
def interrupt() -> Iterator:
    """A function for a thread to call: it sends SIGINT to us, whose handler raises."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def interrupted_when(condition, interrupt, blocked: bool = True) -> Iterator[None]:
    """The block raises KeyboardInterrupt soon after *condition* holds.

    With *blocked* the signal is sent only when the main thread waits in a system call,
    and not for a lock.
    """
    main = threading.main_thread()

    def wait_and_interrupt() -> None:
        until(condition, "what to interrupt")
        if blocked:
            until_blocked(main)
        interrupt()

    worker = Worker(wait_and_interrupt)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        yield
    assert time.monotonic() - start < 2 * DEADLINE
    worker.result()


SILENT = {
    "no banner": scripted.says(),
    "banner only": scripted.says(scripted.BANNER),
}


@pytest.mark.parametrize("serve", SILENT.values(), ids=SILENT.keys())
def test_ctrl_c_interrupts_the_handshake(interrupt, serve) -> None:
    with Target(serve) as target:
        gateway = gateways.to_address(target.address, timeout=None)
        with interrupted_when(lambda: target._connections, interrupt):
            gateway.open()
        assert not gateway.is_connected


def test_ctrl_c_interrupts_a_handshake_with_a_peer_that_sends_without_end(interrupt) -> None:
    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"welcome\r\n" * 1000)

    with Target(serve) as target:
        gateway = gateways.to_address(target.address, timeout=None)

        def wait_and_interrupt() -> None:
            until(lambda: target._connections, "connection")
            interrupt()

        worker = Worker(wait_and_interrupt)
        with pytest.raises((KeyboardInterrupt, GatewayError)):
            gateway.open()
        with contextlib.suppress(KeyboardInterrupt):
            worker.result()


def test_ctrl_c_interrupts_connect(interrupt) -> None:
    with scripted.black_hole() as (listener, _):
        gateway = gateways.to_address(listener.getsockname(), timeout=None)
        with interrupted_when(lambda: True, interrupt):
            gateway.open()


def test_ctrl_c_interrupts_the_login_and_another_thread_takes_over(interrupt, sshd) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server:
        server.hold_login.clear()
        gateway = server.gateway(timeout=None)
        others = []

        def wait_and_interrupt() -> None:
            until(lambda: server.passwords, "the login of the first")
            others.extend(Worker(gateway.open) for _ in range(3))
            until(lambda: len(gateway._condition._waiters) == 3, "three wait")
            interrupt()

        worker = Worker(wait_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            gateway.open()
        worker.result()
        server.hold_login.set()
        for other in others:
            other.result()
        assert gateway.is_connected
        assert len(server.passwords) == 2, "one of the other threads must log in, for all of them"
        gateway.close()


def test_ctrl_c_interrupts_waiting_for_another_threads_open(interrupt) -> None:
    with Target(scripted.says()) as target:
        gateway = gateways.to_address(target.address, timeout=None)
        first = Worker(gateway.open)
        until(lambda: target._connections, "the first has connected")
        with interrupted_when(lambda: gateway._condition._waiters, interrupt, blocked=False):
            gateway.open()
        assert first.is_alive()
        target._connections[0][0].shutdown(socket.SHUT_RDWR)
        with pytest.raises(GatewayError):
            first.result()


def test_ctrl_c_interrupts_the_open_of_a_channel(interrupt, sshd) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server, server.gateway() as gateway:
        server.hold.clear()
        with interrupted_when(lambda: server.opened, interrupt):
            gateway.open_channel("direct-tcpip", ("late", 1), timeout=None)
        server.hold.set()
        with gateway.open_channel("direct-tcpip", ("next", 2)) as channel:
            channel.settimeout(DEADLINE)
            channel.sendall(b"mine")
            assert channel.recv(10) == b"mine"


@pytest.mark.parametrize("timeout", [None, 60])
def test_ctrl_c_interrupts_recv(interrupt, server, timeout) -> None:
    with (
        Target(gateways.echo) as target,
        gateways.to(server) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(timeout)
        with interrupted_when(lambda: True, interrupt):
            channel.recv(1)
        channel.sendall(b"unharmed")
        assert readable(channel)
        assert channel.recv(10) == b"unharmed"


def test_a_signal_whose_handler_returns_changes_nothing(alarm, server) -> None:
    """Handlers run, and the handshake, the login and the open continue."""
    ticks = []
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        with gateways.to(server) as gateway:
            works(gateway)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(ticks) > 5
