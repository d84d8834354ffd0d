# SPDX-License-Identifier: BSD-2-Clause
"""Servers that have no room for one more login, and many logins at a time."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from sshgateway import Gateway, GatewayBusyError, GatewayError, _logins
from support import fresh, gateways, scripted, waiting
from support.gateways import Target
from support.sshd import PrivateSshd

BUSY = ["Exceeded MaxStartups", "Not allowed at this time"]


class BusyServer(Target):
    """Says *words* on the first *times* connections, and relays all others to *sshd*.

    ``.count``: the number of connections so far.
    """

    def __init__(
        self, sshd: PrivateSshd, times: float = float("inf"), words: str = BUSY[0]
    ) -> None:
        super().__init__(self._answer)
        self._sshd, self._times, self._words = sshd, times, words
        self._lock = threading.Lock()
        self.count = 0

    def _answer(self, sock: socket.socket) -> None:
        with self._lock:
            self.count += 1
            is_busy = self.count <= self._times
        if is_busy:
            scripted.says_and_closes(f"{self._words}\r\n".encode())(sock)
        else:
            scripted.cut_after((self._sshd.host, self._sshd.port), 1 << 40)(sock)

    def gateway(self, **options: Any) -> Gateway:
        alias = f"[{self._sshd.host}]:{self._sshd.port}"
        given = {"port": self.address[1], "host_key_alias": alias}
        return gateways.to(self._sshd, **(given | options))


def pause_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each pause be as long as that, instead of a random length."""
    monkeypatch.setattr(_logins.random, "uniform", lambda low, high: seconds)


# --- One login ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", BUSY)
def test_a_server_that_stays_busy(sshd, monkeypatch, words: str) -> None:
    pause_for(0.05, monkeypatch)
    with BusyServer(sshd, words=words) as server:
        gateway = server.gateway(timeout=0.5)
        start = time.monotonic()
        with pytest.raises(GatewayBusyError) as caught:
            gateway.open()
        assert time.monotonic() - start < waiting.DEADLINE
        assert server.count >= 2
    error = caught.value
    assert isinstance(error, GatewayError)
    assert isinstance(error, ConnectionRefusedError)
    assert error.errno == errno.ECONNREFUSED
    assert words in str(error)
    assert str(gateway) in str(error)
    assert "MaxStartups" in str(error)


@pytest.mark.parametrize("words", BUSY)
def test_a_server_that_is_busy_for_a_while(sshd, monkeypatch, words: str) -> None:
    pause_for(0.01, monkeypatch)
    with BusyServer(sshd, 7, words) as server, server.gateway() as gateway:
        assert gateway.is_connected
        assert server.count == 8


def test_a_server_that_says_something_else_is_not_tried_again(sshd) -> None:
    with BusyServer(sshd, words="Exceeded MaxStartups, or so it seems") as server:
        with pytest.raises(GatewayError) as caught:
            server.gateway().open()
        assert not isinstance(caught.value, GatewayBusyError)
        assert server.count == 1


def test_a_connection_of_the_callers_is_used_once(sshd) -> None:
    with (
        BusyServer(sshd) as server,
        socket.create_connection(server.address) as sock,
        pytest.raises(GatewayBusyError),
    ):
        server.gateway(sock=sock).open()
    assert server.count == 1


def test_a_busy_server_behind_a_gateway_is_tried_again(sshd, monkeypatch) -> None:
    pause_for(0.01, monkeypatch)
    with (
        BusyServer(sshd, 3) as server,
        gateways.to(sshd) as inner,
        server.gateway(gateway=inner) as gateway,
    ):
        assert gateway.is_connected
        assert server.count == 4
        assert inner.stats.channels_opened == 4


def test_a_busy_inner_gateway_is_tried_again(sshd, monkeypatch) -> None:
    pause_for(0.01, monkeypatch)
    with (
        BusyServer(sshd, 3) as server,
        gateways.to(sshd, gateway=server.gateway()) as gateway,
    ):
        assert gateway.is_connected
        assert server.count == 4


def test_no_pause_goes_beyond_the_deadline(sshd, monkeypatch) -> None:
    pause_for(3600, monkeypatch)
    with BusyServer(sshd) as server:
        with pytest.raises(GatewayBusyError):
            server.gateway(timeout=gateways.OPEN).open()
        assert server.count == 1


def test_without_a_timeout_the_pauses_are_bounded(sshd, monkeypatch) -> None:
    pause_for(3600, monkeypatch)
    with BusyServer(sshd) as server:
        with pytest.raises(GatewayBusyError):
            server.gateway(timeout=None).open()
        assert server.count == 1


def test_close_ends_the_pause(sshd, monkeypatch) -> None:
    pause_for(gateways.OPEN / 2, monkeypatch)
    with BusyServer(sshd) as server:
        gateway = server.gateway(timeout=gateways.OPEN)
        opener = waiting.Worker(gateway.open)
        waiting.until(lambda: server.count, "a connection")
        gateway.close()
        with pytest.raises(GatewayBusyError):
            opener.result(waiting.DEADLINE)
        assert server.count == 1


def test_it_can_be_opened_after_it_was_busy(sshd, monkeypatch) -> None:
    pause_for(3600, monkeypatch)
    with BusyServer(sshd, 1) as server:
        gateway = server.gateway()
        with pytest.raises(GatewayBusyError):
            gateway.open()
        with gateway:
            assert gateway.is_connected


def test_threads_that_share_a_gateway_try_as_one(sshd, monkeypatch) -> None:
    pause_for(0.01, monkeypatch)
    with BusyServer(sshd, 4) as server:
        gateway = server.gateway()
        openers = [waiting.Worker(gateway.open) for _ in range(8)]
        for opener in openers:
            opener.result()
        assert server.count == 5
        gateway.close()


# --- Many logins ----------------------------------------------------------------------------


def all_at_once(count: int, function: Callable[[int], Any]) -> None:
    """Call function(number) in *count* threads that start together."""
    together = threading.Barrier(count)

    def one(number: int) -> None:
        together.wait(waiting.DEADLINE)
        function(number)

    for worker in [waiting.Worker(one, number) for number in range(count)]:
        worker.result()


@pytest.mark.parametrize("at_once", [_logins.LOGINS_AT_ONCE, 60])
def test_sixty_threads_log_in_to_an_sshd_with_few_places(monkeypatch, at_once: int) -> None:
    """With 60 at once, as from many processes, sshd refuses most of the first tries."""
    monkeypatch.setattr(_logins, "LOGINS_AT_ONCE", at_once)
    with PrivateSshd({"MaxStartups": "10:30:60"}) as server:
        logged_in = []

        def log_in(number: int) -> None:
            with gateways.to(server) as gateway:
                logged_in.append(gateway.is_connected)

        all_at_once(60, log_in)
        assert logged_in == [True] * 60
        assert gateways.logins(server) == 60
        if at_once == 60:
            assert "drop connection" in server.log or "beginning MaxStartups" in server.log


class Counter:
    """Serves connections: holds each until ``.release`` is set, and then ends it.

    ``.now``, ``.peak``, ``.total``: the numbers of connections.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.release = threading.Event()
        self.now = self.peak = self.total = 0

    def serve(self, sock: socket.socket) -> None:
        with self._lock:
            self.now += 1
            self.total += 1
            self.peak = max(self.peak, self.now)
        assert self.release.wait(waiting.DEADLINE)
        with self._lock:
            self.now -= 1  # before the client can know of the end
        scripted.says_and_closes(b"no SSH server\r\n")(sock)


def waiters(address: tuple[str, int]) -> int:
    """The number of threads that wait for a place."""
    semaphore: Any = _logins._slots[address].semaphore
    return len(semaphore._cond._waiters)


def fails(server: Target) -> None:
    with pytest.raises(GatewayError):
        gateways.to_address(server.address).open()


def test_a_process_makes_eight_logins_at_a_time() -> None:
    counter = Counter()
    with Target(counter.serve) as server:
        threads = [waiting.Worker(fails, server) for _ in range(24)]
        waiting.until(lambda: counter.now, "a connection")
        waiting.until(lambda: counter.now + waiters(server.address) == 24, "all threads")
        counter.release.set()
        for thread in threads:
            thread.result()
    assert counter.peak == _logins.LOGINS_AT_ONCE == 8
    assert counter.total == 24


def test_logins_to_other_hosts_do_not_wait() -> None:
    """Each host has its own places."""
    counter = Counter()
    with Target(counter.serve) as one, Target(counter.serve) as other:
        threads = [waiting.Worker(fails, each) for each in [one, other] * _logins.LOGINS_AT_ONCE]
        waiting.until(lambda: counter.now == len(threads), "all connections at once")
        counter.release.set()
        for thread in threads:
            thread.result()


def test_waiting_for_a_place_ends_at_the_deadline() -> None:
    with Target(scripted.never) as server:
        gateway = gateways.to_address(server.address, timeout=gateways.OPEN)
        holders = []
        hanging = [gateways.to_address(server.address) for _ in range(_logins.LOGINS_AT_ONCE)]
        for each in hanging:
            holders.append(waiting.Worker(each.open))
        waiting.until(lambda: len(server._connections) == len(hanging), "all connections")
        with pytest.raises(TimeoutError, match="other logins under way") as caught:
            gateway.open(timeout=0.1)
        assert caught.value.errno == errno.ETIMEDOUT
        assert len(server._connections) == len(hanging)
        for sock, _ in list(server._connections):
            sock.shutdown(socket.SHUT_RDWR)
        for holder in holders:
            with pytest.raises(GatewayError):
                holder.result()


@pytest.mark.parametrize("at_once", [1, _logins.LOGINS_AT_ONCE])
def test_opposite_chains_do_not_wait_for_each_other(monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(_logins, "LOGINS_AT_ONCE", at_once)
    with PrivateSshd() as one, PrivateSshd() as other:

        def log_in(number: int) -> None:
            first, second = (one, other) if number % 2 else (other, one)
            with (
                gateways.to(first) as inner,
                gateways.to(second, gateway=inner) as outer,
            ):
                assert outer.is_connected

        def log_in_lazily(number: int) -> None:
            first, second = (one, other) if number % 2 else (other, one)
            inner = gateways.to(first)
            with gateways.to(second, gateway=inner) as outer:
                assert outer.is_connected
            inner.close()

        all_at_once(16, log_in)
        all_at_once(16, log_in_lazily)


def test_an_inner_gateway_that_is_lost_opens_without_the_outer_ones_place(
    sshd, monkeypatch
) -> None:
    """Otherwise two chains, or one through the same host twice, could wait for each other."""
    monkeypatch.setattr(_logins, "LOGINS_AT_ONCE", 1)
    real = _logins.slot
    with gateways.to(sshd) as inner:
        lost: list[None] = []

        def slot(*arguments: Any) -> Any:
            if not lost:
                lost.append(inner.close())
            return real(*arguments)

        monkeypatch.setattr(_logins, "slot", slot)
        with gateways.to(sshd, gateway=inner, timeout=waiting.DEADLINE) as outer:
            assert outer.is_connected


def test_a_fork_forgets_the_places_and_the_pauses(sshd) -> None:
    fresh.run("gateway_busy_fork")
