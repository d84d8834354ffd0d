# SPDX-License-Identifier: BSD-2-Clause
"""What is measured through a gateway; see work.py."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import cast

from contestants import Contestant
from crowdwork import crowd_works
from gateway import ROUND_TRIP, TIMEOUT, Address, Inside, Opened, Road, login_inside
from meter import Stopwatch
from work import MB, Down, Echo, Figures, Metric, Up, Work, require

AFAR = f"gateway: {ROUND_TRIP * 1000:.0f} ms away, raw stream down"
STREAM = [
    Metric("rate", "MB/s", higher_is_better=True),
    Metric("CPU, client side", "ms/MB"),
]


@dataclass
class InSession:
    """A work done by a Paramiko session inside."""

    work: Down | Up

    @property
    def title(self) -> str:
        return self.work.title

    @property
    def metrics(self) -> list[Metric]:
        return self.work.metrics

    def run(self, contestant: Contestant) -> Figures:
        return self.work.run(Inside(cast(Road, contestant)))


@dataclass
class FromAfar:
    """A work done over a distance to the gateway."""

    work: Down
    title: str

    @property
    def metrics(self) -> list[Metric]:
        return self.work.metrics

    def run(self, contestant: Contestant) -> Figures:
        road = cast(Road, contestant)
        if not road.has_gateway:
            return {metric.name: None for metric in self.metrics}
        return self.work.run(road.from_afar())


@dataclass
class FirstLogin:
    """From nothing to a Paramiko client of the inner sshd."""

    title: str = "gateway: first login"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("gateway, channel, inner login", "ms"),
            Metric("CPU, this process", "ms"),
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        watch = Stopwatch()
        way, client = login_inside(cast(Road, contestant))
        watch.stop()
        client.close()
        way.close()
        return {
            "gateway, channel, inner login": watch.seconds * 1000,
            "CPU, this process": watch.cpu * 1000,
        }


@dataclass
class FurtherChannel:
    """One more stream on a gateway that is open."""

    count: int
    title: str = "gateway: further channel"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric("until open", "ms"), Metric("until first answer", "ms")]
    )

    def run(self, contestant: Contestant) -> Figures:
        road = cast(Road, contestant)
        way = road.connect()
        opened, answered = [], []
        count = self.count if road.multiplexes else 3
        try:
            for i in range(count + 1):
                figures = self._once(contestant, way, road.site.target)
                if i > 0:
                    opened.append(figures[0])
                    answered.append(figures[1])
        finally:
            way.close()
        return {
            "until open": statistics.median(opened) * 1000 if road.multiplexes else None,
            "until first answer": statistics.median(answered) * 1000,
        }

    @staticmethod
    def _once(contestant: Contestant, way: Opened, target: Address) -> tuple[float, float]:
        start = time.perf_counter()
        stream = way.stream(target)
        opened = time.perf_counter() - start
        try:
            stream.settimeout(TIMEOUT)
            stream.send(b"echo 1\nx")
            answer = stream.recv(1)
            answered = time.perf_counter() - start
            require(answer == b"x", contestant, f"the echo is {answer!r}")
        finally:
            stream.close()
        return opened, answered


def gateway_works(quick: bool) -> list[tuple[Work, int]]:
    raw = (48 if quick else 192) * MB
    inside = (8 if quick else 32) * MB
    rounds = 3 if quick else 5
    within = "gateway: Paramiko session inside"
    return [
        (Down(raw, "gateway: raw stream down", STREAM), rounds),
        (Up(raw, "gateway: raw stream up", STREAM), rounds),
        (Echo(500 if quick else 2000, title="gateway: echo of 64 bytes"), rounds),
        (InSession(Down(inside, f"{within}, down", STREAM)), rounds),
        (InSession(Up(inside, f"{within}, up", STREAM)), rounds),
        (FirstLogin(), 5 if quick else 15),
        (FurtherChannel(30 if quick else 100), rounds),
        *crowd_works(quick),
        (FromAfar(Down((24 if quick else 96) * MB, metrics=STREAM), AFAR), 1 if quick else 3),
    ]
