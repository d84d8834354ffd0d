# SPDX-License-Identifier: BSD-2-Clause
"""Works with hundreds of channels on one gateway."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from bench.contestants.base import Contestant
from bench.contestants.gateway import TIMEOUT, GatewayContestant, OneOfMany, OpenGateway
from bench.meter import Stopwatch, footprint, wake_ups
from bench.works.base import MB, Figures, Metric, nothing, require
from bench.works.streams import Down

MESSAGE = bytes(range(256)) * 2
ECHO_ON_ALL = f"{len(MESSAGE)}-byte echo on all"
IDLE = 1.0  # seconds
BUSY = {"rate": "rate", "CPU": "CPU, client side"}
FIRST = 5  # channels that are opened before the measurement begins


@contextlib.contextmanager
def connected(via: GatewayContestant) -> Iterator[OpenGateway]:
    gateway = via.connect()
    try:
        yield gateway
    finally:
        gateway.close()


@dataclass
class ManyChannels:
    """Opens the channels, echoes on all, leaves all idle, and then keeps one busy."""

    count: int
    size: int
    rounds: int = 9
    title: str = ""
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("to open one", "ms"),
            Metric("to open one of the last tenth", "ms"),
            Metric(ECHO_ON_ALL, "ms"),
            Metric("CPU of that, this process", "ms"),
            Metric("RSS a channel, just open", "KiB"),
            Metric("RSS a channel, after echo", "KiB"),
            Metric("CPU a second, all idle", "ms"),
            Metric("wake-ups a second, all idle", ""),
            Metric("one busy: rate", "MB/s", higher_is_better=True),
            Metric("one busy: rate, alone", "MB/s", higher_is_better=True),
            Metric("one busy: CPU", "ms/MB"),
            Metric("one busy: CPU, alone", "ms/MB"),
            Metric("one busy: CPU, alone and as slow", "ms/MB"),
        ]
    )
    fresh: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.title = self.title or f"gateway: {self.count} channels"

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        if not via.multiplexes:
            return nothing(self)
        with connected(via) as gateway:
            streams = [gateway.stream(via.site.echo) for _ in range(FIRST)]
            times: list[float] = []
            empty = footprint()["rss"]
            while len(streams) < self.count:
                start = time.perf_counter()
                streams.append(gateway.stream(via.site.echo))
                times.append(time.perf_counter() - start)
            last_tenth = times[-len(times) // 10 :]
            just_open = footprint()["rss"]
            seconds, cpu = echo_on_all(via, streams, self.rounds)
            figures = {
                "to open one": statistics.mean(times) * 1000,
                "to open one of the last tenth": statistics.mean(last_tenth) * 1000,
                ECHO_ON_ALL: seconds * 1000,
                "CPU of that, this process": cpu * 1000,
                "RSS a channel, just open": (just_open - empty) / len(times),
                "RSS a channel, after echo": (footprint()["rss"] - empty) / len(times),
                **idle(gateway),
            }
            among = self._busy(via, gateway)
        with connected(via) as gateway:  # measured last, because it leaves memory behind
            alone = self._busy(via, gateway)
            # With many channels sshd is slow, and a slow stream wakes its reader for each packet.
            # So compare also at the same rate.
            as_slow = self._busy(via, gateway, pace=int(among["rate"] * MB))
        figures |= {f"one busy: {key}": value for key, value in among.items()}
        figures |= {f"one busy: {key}, alone": value for key, value in alone.items()}
        figures["one busy: CPU, alone and as slow"] = as_slow["CPU"]
        return figures

    def _busy(
        self, via: GatewayContestant, gateway: OpenGateway, pace: int = 0
    ) -> dict[str, float]:
        figures = Down(self.size, pace=pace).run(OneOfMany(via, gateway))
        return {name: cast(float, figures[key]) for name, key in BUSY.items()}


def echo_on_all(via: GatewayContestant, streams: list[Any], rounds: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a round; the first round is not counted."""
    for stream in streams:
        stream.settimeout(TIMEOUT)
    _echo_once(via, streams)
    watch = Stopwatch()
    times = [_echo_once(via, streams) for _ in range(rounds)]
    watch.stop()
    return statistics.median(times), watch.cpu / rounds


def _echo_once(via: GatewayContestant, streams: list[Any]) -> float:
    start = time.perf_counter()
    for stream in streams:
        require(stream.send(MESSAGE) == len(MESSAGE), via, "a message was not taken whole")
    for stream in streams:
        answer = b""
        while len(answer) < len(MESSAGE):
            piece = stream.recv(len(MESSAGE) - len(answer))
            require(bool(piece), via, "an echo ends")
            answer += piece
        require(answer == MESSAGE, via, "an echo is wrong")
    return time.perf_counter() - start


def idle(gateway: OpenGateway) -> Figures:
    gateway.wait(0.1)
    woken = wake_ups()
    watch = Stopwatch()
    gateway.wait(IDLE)
    watch.stop()
    return {
        "CPU a second, all idle": watch.cpu * 1000 / watch.seconds,
        # One wake-up is the end of our own wait.
        "wake-ups a second, all idle": max(0, wake_ups() - woken - 1) / watch.seconds,
    }


def many_channels_works(quick: bool) -> list[tuple[ManyChannels, int]]:
    rounds = 1 if quick else 3
    size = (16 if quick else 64) * MB
    return [(ManyChannels(count, size), rounds) for count in ((500,) if quick else (500, 1000))]
