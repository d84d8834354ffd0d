# SPDX-License-Identifier: BSD-2-Clause
"""Works that measure a figure over a growing number, size or distance.

Each metric is a point of a curve; its ``x`` is the position.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, cast

from bench.contestants.base import Contestant, Link, opened
from bench.contestants.gateway import GatewayContestant
from bench.servers import LOGIN_ROUND_TRIPS, ROUND_TRIPS
from bench.works.base import MB, PEER, TIMEOUT, Figures, Metric, Work, nothing
from bench.works.many_channels import connected, echo_on_all
from bench.works.streams import Down, Up

CHANNELS = (1, 10, 100, 1000)
SIZES = (64, 512, 4096, 32768, 262144, 1048576)
FIRST = 100_000  # bytes; multiplied by MORE until a measurement takes long enough
MORE = 4
#: The limit for contestants that start a process per channel.
PROCESSES_AT_MOST = 10


@dataclass
class ByChannels:
    """A message echoed on all channels of one gateway, for a growing number of channels."""

    rounds: int
    title: str = "curve: 512-byte echo on all channels"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("1 channel" if n == 1 else f"{n} channels", "ms", x=n) for n in CHANNELS
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        figures = nothing(self)
        with connected(via) as gateway:
            streams: list[Any] = []
            for metric, count in zip(self.metrics, CHANNELS, strict=True):
                if not via.multiplexes and count > PROCESSES_AT_MOST:
                    break
                while len(streams) < count:
                    streams.append(gateway.stream(via.site.echo))
                figures[metric.name] = echo_on_all(via, streams, self.rounds)[0] * 1000
        return figures


@dataclass
class BySize:
    """A stream up in messages of one size, for growing sizes.

    Each measurement is long enough to hide single delays, such as a late acknowledgement.
    """

    seconds: float
    title: str = "curve: raw stream up by the size of a send"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric(_bytes(size), "MB/s", higher_is_better=True, x=size) for size in SIZES
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        with opened(contestant, PEER, TIMEOUT) as link:
            Up(FIRST).send(contestant, link, FIRST)  # an ssh has only been started by now
            return {
                metric.name: self._rate(contestant, link, size)
                for metric, size in zip(self.metrics, SIZES, strict=True)
            }

    def _rate(self, contestant: Contestant, link: Link, size: int) -> float:
        total = FIRST // size * size or size
        while True:
            start = time.perf_counter()
            Up(total, chunk=size).send(contestant, link, total)
            seconds = time.perf_counter() - start
            if seconds >= self.seconds:
                return total / MB / seconds
            total *= MORE


@dataclass
class ByDistance:
    """A stream down, for a growing distance to the gateway."""

    size: int
    title: str = "curve: raw stream down by the round trip"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric(f"{ms} ms away", "MB/s", higher_is_better=True, x=ms) for ms in ROUND_TRIPS
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        if not via.has_gateway:
            return nothing(self)
        return {
            metric.name: Down(self.size).run(via.from_afar(ms))["rate"]
            for metric, ms in zip(self.metrics, ROUND_TRIPS, strict=True)
        }


@dataclass
class LoginByDistance:
    """A login with one key, for a growing distance to the gateway."""

    title: str = "curve: login by the round trip"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric(f"{ms} ms away", "s", x=ms) for ms in LOGIN_ROUND_TRIPS]
    )

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        figures = nothing(self)
        if not via.has_gateway:
            return figures
        via.log_in().close()  # so that no import is measured
        for metric, ms in zip(self.metrics, LOGIN_ROUND_TRIPS, strict=True):
            start = time.perf_counter()
            gateway = via.from_afar(ms).log_in()
            figures[metric.name] = time.perf_counter() - start
            gateway.close()
        return figures


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    return f"{size // 1024} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


def curve_works(quick: bool) -> list[tuple[Work, int]]:
    rounds = 1 if quick else 3
    return [
        (ByChannels(3 if quick else 9), rounds),
        (BySize(0.1 if quick else 0.25), rounds),
        (ByDistance((16 if quick else 48) * MB), rounds),
        (LoginByDistance(), rounds),
    ]
