# SPDX-License-Identifier: BSD-2-Clause
"""What is measured with very many channels on one gateway; see work.py."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from contestants import Contestant
from gateway import ROADS, TIMEOUT, Opened, Road
from meter import Stopwatch, footprint
from work import HERE, MB, Down, Figures, Metric, require

MESSAGE = bytes(range(256)) * 2
ROUNDS = 15
IDLE = 0.5  # seconds
FIRST = 5  # channels that are not counted


@dataclass
class ManyChannels:
    """They are opened, all echo, all idle, and one of them is busy.

    In an interpreter of its own, whose memory nobody has used before.
    """

    count: int
    size: int
    title: str = ""
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("to open one", "ms"),
            Metric("to open one of the last tenth", "ms"),
            Metric("512-byte echo on all", "ms"),
            Metric("CPU of that, this process", "ms"),
            Metric("RSS a channel", "KiB"),
            Metric("CPU a second, all idle", "ms"),
            Metric("one busy: rate", "MB/s", higher_is_better=True),
            Metric("one busy: rate, alone", "MB/s", higher_is_better=True),
            Metric("one busy: CPU", "ms/MB"),
            Metric("one busy: CPU, alone", "ms/MB"),
        ]
    )

    def __post_init__(self) -> None:
        self.title = self.title or f"gateway: {self.count} channels"

    def run(self, contestant: Contestant) -> Figures:
        road = cast(Road, contestant)
        if not road.multiplexes:
            return {metric.name: None for metric in self.metrics}
        order = json.dumps([road.name, describe(road), self.count, self.size])
        command = [sys.executable, str(HERE), "--many-channels", order]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        figures: Figures = json.loads(run.stdout)
        return figures


def describe(road: Road) -> dict[str, Any]:
    """What a contestant in another process must know of the site."""
    sshd = road.site.gateway
    return {
        "gateway": {
            "host": sshd.host,
            "port": sshd.port,
            "username": sshd.username,
            "user_key": str(sshd.user_key),
            "known_hosts": str(sshd.known_hosts),
        },
        "target": road.site.target,
        "echo": road.site.echo,
    }


def take_many_channels(order: str) -> Figures:
    """The other side of ManyChannels.run()."""
    name, where, count, size = json.loads(order)
    site = SimpleNamespace(
        gateway=SimpleNamespace(**where["gateway"]),
        target=tuple(where["target"]),
        echo=tuple(where["echo"]),
    )
    road = ROADS[name](cast(Any, site))
    alone = busy(road, road.connect(), size)
    way = road.connect()
    streams = [way.stream(site.echo) for _ in range(FIRST)]
    before = footprint()
    times = []
    while len(streams) < count:
        start = time.perf_counter()
        streams.append(way.stream(site.echo))
        times.append(time.perf_counter() - start)
    rss = footprint()["rss"] - before["rss"]
    figures = {
        "to open one": statistics.mean(times) * 1000,
        "to open one of the last tenth": statistics.mean(times[-count // 10 :]) * 1000,
        **echo_on_all(road, streams),
        "RSS a channel": rss / len(times),
        "CPU a second, all idle": idle(),
    }
    among = busy(road, way, size)
    figures |= {f"one busy: {key}": value for key, value in among.items()}
    figures |= {f"one busy: {key}, alone": value for key, value in alone.items()}
    return figures


def echo_on_all(road: Road, streams: list[Any]) -> Figures:
    for stream in streams:
        stream.settimeout(TIMEOUT)
    times = []
    for number in range(ROUNDS + 1):
        if number == 1:
            watch = Stopwatch()
        start = time.perf_counter()
        for stream in streams:
            require(stream.send(MESSAGE) == len(MESSAGE), road, "a message was not taken whole")
        for stream in streams:
            answer = b""
            while len(answer) < len(MESSAGE):
                piece = stream.recv(len(MESSAGE) - len(answer))
                require(bool(piece), road, "an echo ends")
                answer += piece
            require(answer == MESSAGE, road, "an echo is wrong")
        times.append(time.perf_counter() - start)
    watch.stop()
    return {
        "512-byte echo on all": statistics.median(times[1:]) * 1000,
        "CPU of that, this process": watch.cpu / ROUNDS * 1000,
    }


def idle() -> float:
    time.sleep(0.1)
    watch = Stopwatch()
    time.sleep(IDLE)
    watch.stop()
    return watch.cpu * 1000 / watch.seconds


class OneOfMany:
    """A contestant whose gateway is open already; it closes it in the end."""

    tells_stderr = False
    holds = 0

    def __init__(self, road: Road, way: Opened) -> None:
        self.name, self.about = road.name, road.about
        self._road, self._way = road, way

    def open(self, _program: list[str]) -> Any:
        return self._road.link(self._way)


def busy(road: Road, way: Opened, size: int) -> Figures:
    figures = Down(size).run(OneOfMany(road, way))
    return {"rate": figures["rate"], "CPU": figures["CPU, client side"]}


def crowd_works(quick: bool) -> list[tuple[ManyChannels, int]]:
    rounds = 1 if quick else 3
    return [
        (ManyChannels(count, (16 if quick else 64) * MB), rounds)
        for count in ((500,) if quick else (500, 1000))
    ]
