# SPDX-License-Identifier: BSD-2-Clause
"""A stream down, a stream up, and an echo: the works that every contestant does."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

from bench import peer
from bench.contestants.base import Contestant, Link, opened
from bench.meter import Stopwatch
from bench.works.base import MB, PEER, TIMEOUT, Figures, Metric, WrongResultError, require

CPU_METRICS = [Metric("CPU, this process", "ms/MB"), Metric("CPU, the child", "ms/MB")]


def stream_figures(watch: Stopwatch, size: int) -> Figures:
    per_mb = 1000 * MB / size
    return {
        "rate": size / MB / watch.seconds,
        "CPU, this process": watch.cpu * per_mb,
        "CPU, the child": watch.cpu_others * per_mb,
        "CPU, client side": (watch.cpu + watch.cpu_others) * per_mb,
    }


@dataclass
class Down:
    """The peer writes, and this process receives."""

    size: int
    title: str = "raw stream down"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric("rate", "MB/s", higher_is_better=True), *CPU_METRICS]
    )
    #: The size that recv is asked for; PIECE is the size that tools for copying use.
    chunk: int = peer.PIECE
    #: peer.py, or a program that leads to one.
    program: list[str] = field(default_factory=lambda: PEER)
    #: Bytes per second; 0 means no limit.
    pace: int = 0

    def run(self, contestant: Contestant) -> Figures:
        with opened(contestant, self.program, TIMEOUT) as link:
            self._receive(contestant, link, MB, whole=True)
            watch = Stopwatch(link.pids)
            self._receive(contestant, link, self.size, whole=False)
            watch.stop()
        return stream_figures(watch, self.size)

    def _receive(self, contestant: Contestant, link: Link, size: int, whole: bool) -> None:
        pattern = peer.Pattern(self.chunk)
        recv, chunk = link.recv, self.chunk
        link.send_all(b"down %d %d\n" % (size, self.pace))
        while pattern.position < size:
            data = recv(min(chunk, size - pattern.position))
            require(bool(data), contestant, f"{pattern.position} bytes of {size} arrived")
            if not pattern.check(data, whole):
                raise WrongResultError(f"{contestant.name}: wrong bytes before {pattern.position}")


@dataclass
class Up:
    """This process sends, and the peer checks all bytes and sends a verdict."""

    size: int
    title: str = "raw stream up"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric("rate", "MB/s", higher_is_better=True), *CPU_METRICS]
    )
    chunk: int = peer.PIECE
    program: list[str] = field(default_factory=lambda: PEER)

    def run(self, contestant: Contestant) -> Figures:
        with opened(contestant, self.program, TIMEOUT) as link:
            self.send(contestant, link, MB)
            watch = Stopwatch(link.pids)
            self.send(contestant, link, self.size)
            watch.stop()
        return stream_figures(watch, self.size)

    def send(self, contestant: Contestant, link: Link, size: int) -> None:
        pattern = peer.Pattern(self.chunk)
        send, chunk = link.send, self.chunk
        link.send_all(b"up %d\n" % size)
        while pattern.position < size:
            data = pattern.take(min(chunk, size - pattern.position))
            sent = send(data)
            pattern.position -= len(data) - sent
        verdict = link.recv_exactly(peer.VERDICT).strip()
        require(verdict == peer.GOOD, contestant, f"the child got {verdict.decode()}")


@dataclass
class Echo:
    """A request of 64 bytes and its answer, repeated one after the other."""

    count: int
    size: int = 64
    title: str = "echo of 64 bytes"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("median", "us"),
            Metric("99th percentile", "us"),
            Metric("CPU, this process", "us"),
        ]
    )
    program: list[str] = field(default_factory=lambda: PEER)

    def run(self, contestant: Contestant) -> Figures:
        message = bytes(range(self.size))
        times = []
        with opened(contestant, self.program, TIMEOUT) as link:
            send, recv, clock = link.send, link.recv, time.perf_counter
            link.send_all(b"echo %d\n" % (self.size * (self.count + 100)))
            for _ in range(100):
                self._once(contestant, link, message)
            watch = Stopwatch(link.pids)
            for _ in range(self.count):
                start = clock()
                send(message)
                answer = recv(self.size)
                times.append(clock() - start)
                require(answer == message, contestant, f"the echo is {answer!r}")
            watch.stop()
        times.sort()
        return {
            "median": statistics.median(times) * 1e6,
            "99th percentile": times[len(times) * 99 // 100] * 1e6,
            "CPU, this process": watch.cpu / self.count * 1e6,
            "CPU, client side": (watch.cpu + watch.cpu_others) / self.count * 1e6,
        }

    def _once(self, contestant: Contestant, link: Link, message: bytes) -> None:
        link.send_all(message)
        answer = link.recv_exactly(self.size)
        require(answer == message, contestant, f"the echo is {answer!r}")
