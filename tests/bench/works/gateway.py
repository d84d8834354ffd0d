# SPDX-License-Identifier: BSD-2-Clause
"""The works that are done through a gateway."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bench.contestants.base import Contestant
from bench.contestants.gateway import TIMEOUT, GatewayContestant, OpenGateway
from bench.contestants.session_inside import Inside, login_inside
from bench.meter import Stopwatch, cpu_of
from bench.servers import Address
from bench.works.base import MB, Figures, Metric, Work, nothing, require
from bench.works.many_channels import many_channels_works
from bench.works.streams import Down, Echo, Up

STREAM = [
    Metric("rate", "MB/s", higher_is_better=True),
    Metric("CPU, client side", "ms/MB"),
]


ECHO = [
    Metric("median", "us"),
    Metric("99th percentile", "us"),
    Metric("CPU, client side", "us"),
]


@dataclass
class InSession:
    """A work done by a Paramiko session inside the contestant's stream."""

    work: Down | Up

    @property
    def title(self) -> str:
        return self.work.title

    @property
    def metrics(self) -> list[Metric]:
        return self.work.metrics

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        return self.work.run(Inside(via)) if via.carries_paramiko else nothing(self)


@dataclass
class FromAfar:
    """A work done with a delay between client and gateway."""

    work: Down
    round_trip: int

    @property
    def title(self) -> str:
        return f"gateway: {self.round_trip} ms away, raw stream down"

    @property
    def metrics(self) -> list[Metric]:
        return self.work.metrics

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        if not via.has_gateway:
            return nothing(self)
        return self.work.run(via.from_afar(self.round_trip))


@dataclass
class RoundTrips:
    """The round trips of a login, and of a channel after it, over a distance.

    The relay that makes the distance accepts TCP connections at once, so that connecting is not
    counted.  All else that takes time is: a computation of 20 ms is a tenth of a round trip.
    """

    round_trip: int
    title: str = "gateway: login in round trips"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("one key", "round trips"),
            Metric("an agent's third key", "round trips"),
            Metric("a channel more", "round trips"),
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        figures = nothing(self)
        if not via.has_gateway:
            return figures
        one_key, agent, channel = (metric.name for metric in self.metrics)
        via.log_in().close()  # so that no import is measured
        with contextlib.ExitStack() as stack:
            start = time.perf_counter()
            gateway = via.from_afar(self.round_trip).log_in()
            figures[one_key] = self._since(start)
            stack.callback(gateway.close)
            if via.multiplexes:
                start = time.perf_counter()
                stream = gateway.stream(via.site.echo)
                figures[channel] = self._since(start)
                stream.close()
            start = time.perf_counter()
            gateway = via.from_afar(self.round_trip, with_agent=True).log_in()
            figures[agent] = self._since(start)
            stack.callback(gateway.close)
        return figures

    def _since(self, start: float) -> float:
        return (time.perf_counter() - start) * 1000 / self.round_trip


@dataclass
class FirstLogin:
    """The time from nothing to a Paramiko client of the inner sshd."""

    title: str = "gateway: first login"
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("gateway, channel, inner login", "ms"),
            Metric("CPU, client side", "ms"),
        ]
    )

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        if not via.carries_paramiko:
            return nothing(self)
        watch = Stopwatch()
        gateway, client = login_inside(via)
        watch.stop()
        others = cpu_of(gateway.pids)
        client.close()
        gateway.close()
        return {
            "gateway, channel, inner login": watch.seconds * 1000,
            "CPU, client side": (watch.cpu + others) * 1000,
        }


@dataclass
class FurtherChannel:
    """One more stream on an open gateway."""

    count: int
    title: str = "gateway: further channel"
    metrics: list[Metric] = field(
        default_factory=lambda: [Metric("until open", "ms"), Metric("until first answer", "ms")]
    )

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        gateway = via.connect()
        opened, answered = [], []
        count = self.count if via.multiplexes else 3
        try:
            for i in range(count + 1):
                figures = self._once(contestant, gateway, via.site.target)
                if i > 0:
                    opened.append(figures[0])
                    answered.append(figures[1])
        finally:
            gateway.close()
        return {
            "until open": statistics.median(opened) * 1000 if via.multiplexes else None,
            "until first answer": statistics.median(answered) * 1000,
        }

    @staticmethod
    def _once(
        contestant: Contestant, gateway: OpenGateway, target: Address
    ) -> tuple[float, float]:
        start = time.perf_counter()
        stream = gateway.stream(target)
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


@dataclass
class FurtherHost:
    """One more host by its name in ssh_config, whose ProxyJump is an open gateway."""

    count: int
    title: str = "gateway: further host by ssh_config"
    metrics: list[Metric] = field(default_factory=lambda: [Metric("until open", "ms")])

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        if not via.reads_ssh_config:
            return nothing(self)
        host, port = via.site.target
        seconds = []
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(f"Host host*\n    HostName {host}\n    ProxyJump gateway\n")
            file.write(Path(via.site.gateway.ssh_config).read_text())
            file.flush()
            try:
                for number in range(self.count + 1):
                    start = time.perf_counter()
                    stream = via.by_ssh_config((f"host{number}", port), file.name)
                    seconds.append(time.perf_counter() - start)
                    stream.close()
            finally:
                via.forget_gateways()
        return {"until open": statistics.median(seconds[1:]) * 1000}


@dataclass
class BlackHole:
    """Opens channels one after the other while another open, to a target that never
    answers, is pending."""

    count: int
    title: str = ""
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("all of them, alone", "ms"),
            Metric("all of them, behind it", "ms", when_none="never"),
        ]
    )

    def __post_init__(self) -> None:
        self.title = self.title or f"gateway: {self.count} channels behind a black hole"

    def run(self, contestant: Contestant) -> Figures:
        via = cast(GatewayContestant, contestant)
        if not (via.multiplexes and via.has_gateway):
            return nothing(self)
        gateway = via.connect()
        alone, behind = self.metrics
        try:
            self._opened(via, gateway)
            figures: Figures = {alone.name: self._opened(via, gateway), behind.name: None}
            gateway.begin(via.site.hole)
            while not is_being_connected(via.site.hole):
                gateway.wait(0.01)
            with contextlib.suppress(OSError):
                figures[behind.name] = self._opened(via, gateway)
            require(is_being_connected(via.site.hole), via, "the black hole has answered")
        finally:
            gateway.close()
        return figures

    def _opened(self, via: GatewayContestant, gateway: OpenGateway) -> float:
        start = time.perf_counter()
        streams = [gateway.stream(via.site.echo) for _ in range(self.count)]
        seconds = time.perf_counter() - start
        for stream in streams:
            stream.close()
        return seconds * 1000


def is_being_connected(address: Address) -> bool:
    """Returns whether a process on this machine waits for a connection to that address."""
    syn_sent = "02"
    wanted = f":{address[1]:04X}"
    with open("/proc/net/tcp") as connections:
        next(connections)
        fields = [line.split()[2:4] for line in connections]
    return any(remote.endswith(wanted) and state == syn_sent for remote, state in fields)


def gateway_works(quick: bool) -> list[tuple[Work, int]]:
    raw = (48 if quick else 192) * MB
    inside = (8 if quick else 32) * MB
    rounds = 2 if quick else 5
    few = 1 if quick else 3
    within = "gateway: Paramiko session inside"
    return [
        (Down(raw, "gateway: raw stream down", STREAM), rounds),
        (Up(raw, "gateway: raw stream up", STREAM), rounds),
        (Echo(500 if quick else 2000, title="gateway: echo of 64 bytes", metrics=ECHO), rounds),
        (InSession(Down(inside, f"{within}, down", STREAM)), rounds),
        (InSession(Up(inside, f"{within}, up", STREAM)), rounds),
        (FirstLogin(), 3 if quick else 15),
        (RoundTrips(200), few),
        (FurtherChannel(30 if quick else 100), rounds),
        (FurtherHost(30 if quick else 100), rounds),
        *many_channels_works(quick),
        (BlackHole(20 if quick else 100), few),
        (FromAfar(Down((24 if quick else 64) * MB, metrics=STREAM), 100), few),
    ]
