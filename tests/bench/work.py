# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: each work, done once by a contestant, gives figures.

A work that is done wrongly (bytes lost, the wrong end told) raises; how long
it takes never does.  To add one, write a dataclass with ``title``, ``metrics``
and ``run()``, and put it into ``all_works()``.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import peer
from contestants import Contestant, Link, opened
from meter import Stopwatch, footprint

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


class Work(Protocol):
    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> list[Metric]: ...
    def run(self, contestant: Contestant) -> Figures: ...


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
    """The child writes as fast as it can, we receive."""

    size: int
    title: str = "raw stream down"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric("rate", "MB/s", higher_is_better=True), *CPU_METRICS]
    )
    #: What recv is asked for; PIECE is what tools that copy streams use.
    chunk: int = peer.PIECE
    #: peer.py, or what leads to one.
    program: list[str] = field(default_factory=lambda: PEER)

    def run(self, contestant: Contestant) -> Figures:
        with opened(contestant, self.program, TIMEOUT) as link:
            self._receive(contestant, link, MB, whole=True)
            watch = Stopwatch(link.pids)
            self._receive(contestant, link, self.size, whole=False)
            watch.stop()
        return stream_figures(watch, self.size)

    def _receive(self, contestant: Contestant, link: Link, size: int, whole: bool) -> None:
        pattern = peer.Pattern()
        recv, chunk = link.recv, self.chunk
        link.send_all(b"down %d\n" % size)
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
            self._send(contestant, link, MB)
            watch = Stopwatch(link.pids)
            self._send(contestant, link, self.size)
            watch.stop()
        return stream_figures(watch, self.size)

    def _send(self, contestant: Contestant, link: Link, size: int) -> None:
        pattern = peer.Pattern()
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
            watch = Stopwatch()
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
        }

    def _once(self, contestant: Contestant, link: Link, message: bytes) -> None:
        link.send_all(message)
        answer = link.recv_exactly(self.size)
        require(answer == message, contestant, f"the echo is {answer!r}")


@dataclass
class Connect:
    """From the constructor to the first byte; from close to the reaped child."""

    title: str = "connect"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("constructor to first byte", "ms"),
            Metric("close until reaped", "ms"),
            Metric("CPU, this process", "ms"),
        ]
    )
    program: ClassVar[list[str]] = ["/bin/sh", "-c", "printf x; read -r line"]

    def run(self, contestant: Contestant) -> Figures:
        opening = Stopwatch()
        link = contestant.open(self.program)
        try:
            byte = link.recv(1)
            opening.stop()
            require(byte == b"x", contestant, f"{byte!r} came instead of the first byte")
        finally:
            closing = Stopwatch()
            link.close()
            link.finish()
            closing.stop()
        return {
            "constructor to first byte": opening.seconds * 1000,
            "close until reaped": closing.seconds * 1000,
            "CPU, this process": (opening.cpu + closing.cpu) * 1000,
        }


@dataclass
class End:
    """How soon recv tells that, and how, the program ended."""

    title: str
    #: What the shell does at the word from us.
    last: str
    expected: tuple[int | None, str]
    timeout: float = 1.0
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("until recv has told", "ms", when_none="never"),
            Metric("CPU, meanwhile", "ms"),
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        program = ["/bin/sh", "-c", f"printf x; read -r line; {self.last}"]
        with opened(contestant, program) as link:
            link.recv_exactly(1)
            link.settimeout(self.timeout)
            time.sleep(0.01)
            watch = Stopwatch()
            link.send_all(b"\n")
            try:
                returncode, stderr = link.recv_end()
            except TimeoutError:
                returncode = stderr = None
            watch.stop()
            never = stderr is None
            if stderr is not None:
                wanted, words = self.expected
                require(returncode == wanted, contestant, f"return code {returncode}")
                if contestant.tells_stderr:
                    require(words in stderr, contestant, f"stderr is {stderr!r}")
        return {
            "until recv has told": None if never else watch.seconds * 1000,
            "CPU, meanwhile": watch.cpu * 1000,
        }


@dataclass
class Idle:
    """The CPU time of a stream on which nothing happens."""

    seconds: float
    title: str = "an idle stream"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("CPU a second", "ms"),
            Metric("after EOF, unread", "ms"),
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        with opened(contestant, PEER, TIMEOUT):
            idle = self._cpu()
        script = f"import os; os.write(1, bytes({contestant.holds}))"
        with opened(contestant, [*PEER[:-1], "-c", script], TIMEOUT) as link:
            time.sleep(0.2)
            ended = self._cpu()
            data = link.recv_exactly(contestant.holds)
            require(data == bytes(contestant.holds), contestant, "the unread data is wrong")
        return {"CPU a second": idle, "after EOF, unread": ended}

    def _cpu(self) -> float:
        watch = Stopwatch()
        time.sleep(self.seconds)
        watch.stop()
        return watch.cpu * 1000 / watch.seconds


@dataclass
class Footprint:
    """What a stream takes of this process, with many of them open.

    In an interpreter of its own, whose memory nobody has used before.
    """

    count: int
    title: str = ""
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("RSS a stream", "KiB"),
            Metric("descriptors a stream", ""),
            Metric("threads, all streams", ""),
            Metric("CPU a second, all idle", "ms"),
        ]
    )

    def __post_init__(self) -> None:
        self.title = self.title or f"{self.count} open streams"

    def run(self, contestant: Contestant) -> Figures:
        command = [sys.executable, str(HERE), "--footprint", contestant.name, str(self.count)]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        figures: Figures = json.loads(run.stdout)
        return figures


def take_footprint(contestant: Contestant, count: int) -> Figures:
    """The other side of Footprint.run()."""
    warm_up = [contestant.open(["/bin/cat"]) for _ in range(3)]
    before = footprint()
    links = [contestant.open(["/bin/cat"]) for _ in range(count)]
    try:
        for link in links:
            link.send_all(b"x")
            require(link.recv_exactly(1) == b"x", contestant, "a byte got lost")
        after = footprint()
        watch = Stopwatch()
        time.sleep(0.5)
        watch.stop()
    finally:
        for link in warm_up + links:
            link.close()
        for link in warm_up + links:
            link.finish()
    return {
        "RSS a stream": (after["rss"] - before["rss"]) / count,
        "descriptors a stream": (after["fds"] - before["fds"]) / count,
        "threads, all streams": after["threads"] - 1,
        "CPU a second, all idle": watch.cpu * 1000 / watch.seconds,
    }


WORDS = "no route to host"


def all_works(quick: bool) -> list[tuple[Work, int]]:
    """Every work with how often it is done."""
    size = (64 if quick else 256) * MB
    killed = (-signal.SIGKILL, "")
    few = 2 if quick else 5
    return [
        (Down(size), 3 if quick else 7),
        (Up(size), 3 if quick else 7),
        (Echo(1000 if quick else 5000), 3 if quick else 7),
        (Connect(), 10 if quick else 50),
        (End("end: exit 255", f"echo {WORDS} >&2; exit 255", (255, WORDS)), few),
        (End("end: killed", "kill -9 $$", killed), few),
        (End("end: exit 0", "exit 0", (0, "")), few),
        (End("end: stdout closed, lives on", "exec 1>&-; read -r line", (None, "")), few),
        (Idle(0.3 if quick else 1), 1 if quick else 3),
        (Footprint(50 if quick else 200), 1 if quick else 3),
    ]


def through_works(quick: bool, proxies: dict[str, list[str]]) -> list[tuple[Work, int]]:
    """The same with real proxy commands, which lead to a peer.py: by their names."""
    size, count = (48 * MB, 500) if quick else (192 * MB, 2000)
    rounds = 3 if quick else 7
    works: list[tuple[Work, int]] = []
    for name, program in proxies.items():
        works += [
            (Down(size, f"{name}: raw stream down", program=program), rounds),
            (Up(size, f"{name}: raw stream up", program=program), rounds),
            (Echo(count, title=f"{name}: echo of 64 bytes", program=program), rounds),
        ]
    return works
