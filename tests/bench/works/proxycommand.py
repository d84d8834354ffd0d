# SPDX-License-Identifier: BSD-2-Clause
"""The works of a ProxyCommand: start, end, idle cost and memory; and the lists of all
works that are measured of it."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import ClassVar

from bench.contestants.base import Contestant, opened
from bench.meter import Stopwatch, footprint
from bench.works.base import MB, PEER, TIMEOUT, Figures, Metric, Work, require
from bench.works.streams import Down, Echo, Up


@dataclass
class Connect:
    """From the constructor to the first byte, and from close to the reaped child."""

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
    """The time until recv reports the end of the program and its exit status."""

    title: str
    #: The shell command that is executed after our signal to go on.
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
    """The CPU time of an idle stream."""

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
    """The memory, descriptors and threads of one stream, measured with many open."""

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
    fresh: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.title = self.title or f"{self.count} open streams"

    def run(self, contestant: Contestant) -> Figures:
        warm_up = [contestant.open(["/bin/cat"]) for _ in range(3)]
        before = footprint()
        links = [contestant.open(["/bin/cat"]) for _ in range(self.count)]
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
            "RSS a stream": (after["rss"] - before["rss"]) / self.count,
            "descriptors a stream": (after["fds"] - before["fds"]) / self.count,
            "threads, all streams": after["threads"] - 1,
            "CPU a second, all idle": watch.cpu * 1000 / watch.seconds,
        }


WORDS = "no route to host"


def proxycommand_works(quick: bool) -> list[tuple[Work, int]]:
    """Every work with its number of rounds."""
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


def real_proxy_works(quick: bool, proxies: dict[str, list[str]]) -> list[tuple[Work, int]]:
    """Streams and echo through real proxy commands, which lead to a peer.py."""
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
