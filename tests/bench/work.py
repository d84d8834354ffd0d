# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: each work, done once by a contestant, gives figures.

A work that is done wrongly (bytes lost, the wrong end told) raises; how long
it takes never does.  To add one, write a dataclass with ``title``, ``metrics``
and ``run()``, and put it into one of the lists: ``proxywork.all_works()``,
``gatewaywork.gateway_works()``, ``curvework.curve_works()``.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import peer
from contestants import Contestant, Link, opened
from meter import Stopwatch

MB = 1_000_000
HERE = Path(__file__).parent
PEER = [sys.executable, "-S", "-E", "-s", str(HERE / "peer.py")]

#: What Paramiko has on its socket; ours gives up waiting, which must not show.
TIMEOUT = 20.0

#: One run's figures by the metric's name; None: did not come about.
Figures = dict[str, float | None]


class WrongResultError(Exception):
    """A contestant did not do the work it was timed for."""


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    higher_is_better: bool = False
    #: What the table says where the figure is None.
    when_none: str = "-"
    #: Where on a curve.
    x: float | None = None


class Work(Protocol):
    """It is done in the contestant's own process; one that has ``fresh = True`` in a
    new one each time, whose memory nobody has used before."""

    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> list[Metric]: ...
    def run(self, contestant: Contestant) -> Figures: ...


def nothing(work: Work) -> Figures:
    """The figures of who has no part in it."""
    return {metric.name: None for metric in work.metrics}


def require(truth: bool, contestant: Contestant, complaint: str) -> None:
    if not truth:
        raise WrongResultError(f"{contestant.name}: {complaint}")


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
    """The child writes, we receive."""

    size: int
    title: str = "raw stream down"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric("rate", "MB/s", higher_is_better=True), *CPU_METRICS]
    )
    #: What recv is asked for; PIECE is what tools that copy streams use.
    chunk: int = peer.PIECE
    #: peer.py, or what leads to one.
    program: list[str] = field(default_factory=lambda: PEER)
    #: Bytes a second; 0: as fast as it can.
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
    """We send, the child reads all and says so."""

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
    """A request and its answer, 64 bytes each, one after the other."""

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
