# SPDX-License-Identifier: BSD-2-Clause
"""Figures gathered, summed up, and shown: on a terminal and as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contestants import Contestant
from meter import busy, own
from work import Figures, Metric

Json = dict[str, Any]


@dataclass
class Row:
    """One metric of one work: the figures of every contestant, by round."""

    work: str
    metric: Metric
    figures: dict[str, list[float | None]] = field(default_factory=dict)

    def known(self, name: str) -> list[float]:
        return [figure for figure in self.figures.get(name, []) if figure is not None]

    def median(self, name: str) -> float | None:
        known = self.known(name)
        return statistics.median(known) if known else None

    def ratio(self, ours: str, theirs: str) -> float | None:
        """How ours is to theirs: the median of the rounds' ratios, as what
        disturbs one contestant often disturbs the one after it too."""
        ratios = [
            a / b
            for a, b in zip(self.figures.get(ours, []), self.figures.get(theirs, []), strict=False)
            if a is not None and b
        ]
        return statistics.median(ratios) if ratios else None

    def as_json(self, ours: str) -> Json:
        return {
            "work": self.work,
            "metric": self.metric.name,
            "unit": self.metric.unit,
            "better": "higher" if self.metric.higher_is_better else "lower",
            "contestants": {
                name: {
                    "median": self.median(name),
                    "min": min(self.known(name), default=None),
                    "max": max(self.known(name), default=None),
                    "figures": figures,
                    "ours_to_theirs": self.ratio(ours, name),
                }
                for name, figures in self.figures.items()
            },
        }


class Results:
    """All rows, in the order they were measured."""

    def __init__(self, contestants: list[Contestant]) -> None:
        self.contestants = contestants
        self.rows: dict[tuple[str, str], Row] = {}

    def add(self, work: str, metrics: list[Metric], who: str, figures: Figures) -> None:
        for metric in metrics:
            row = self.rows.setdefault((work, metric.name), Row(work, metric))
            row.figures.setdefault(who, []).append(figures[metric.name])


class Machine:
    """Where and when; and how much of the machine others used meanwhile."""

    def __init__(self) -> None:
        self._busy, self._own, self._wall = busy(), own(), time.monotonic()

    def describe(self) -> Json:
        seconds = time.monotonic() - self._wall
        others = (busy() - self._busy) - (own() - self._own)
        cpus = os.cpu_count() or 1
        return {
            "cpu": _cpu_model(),
            "cpus": cpus,
            "kernel": f"{platform.system()} {platform.release()}",
            "libc": " ".join(platform.libc_ver()),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "sshgateway": _version("sshgateway") + _commit(),
            "libssh2": _libssh2(),
            "paramiko": _version("paramiko"),
            "openssh": _openssh(),
            "seconds": round(seconds, 1),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "others_percent": round(max(0.0, 100 * others / (seconds * cpus)), 1),
        }


def _cpu_model() -> str:
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _libssh2() -> str:
    from sshgateway import _core

    return _core.LIBSSH2_VERSION


def _openssh() -> str:
    try:
        run = subprocess.run(["ssh", "-V"], capture_output=True, text=True)
    except FileNotFoundError:
        return "no ssh"
    return run.stderr.split(",")[0].strip()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return f" ({run.stdout.strip()})" if run.returncode == 0 else ""


# ---- The table ----------------------------------------------------------


def number(figure: float) -> str:
    """Three digits that mean something."""
    if figure != 0 and abs(figure) < 0.005:
        return f"{figure:.1g}"
    return f"{figure:.{0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2}f}"


def _cell(row: Row, name: str) -> str:
    median = row.median(name)
    if median is None:
        return row.metric.when_none
    known = row.known(name)
    if len(known) == 1:
        return number(median)
    return f"{number(median)} ({number(min(known))}..{number(max(known))})"


def _lines(results: Results) -> Iterator[list[str]]:
    names = [contestant.name for contestant in results.contestants]
    yield ["", "", *names, *(f"to {name}" for name in names[1:])]
    work = ""
    for row in results.rows.values():
        if row.work != work:
            work = row.work
            yield [work]
        ratios = [row.ratio(names[0], name) for name in names[1:]]
        yield [
            f"  {row.metric.name}",
            row.metric.unit,
            *(_cell(row, name) for name in names),
            *("" if ratio is None else f"x {number(ratio)}" for ratio in ratios),
        ]


def table(results: Results) -> str:
    lines = list(_lines(results))
    n = max(len(line) for line in lines)
    widths = [max(len(line[i]) for line in lines if len(line) == n) for i in range(n)]
    widths[0] = max(len(line[0]) for line in lines)
    text = []
    for line in lines:
        rest = zip(line[1:], widths[1:], strict=False)
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in rest)]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def footer(groups: list[Results], machine: Json) -> str:
    return "\n".join(_footer(groups, machine))


def _footer(groups: list[Results], machine: Json) -> Iterator[str]:
    yield "Medians (lowest..highest), the contestants taking turns; x: ours to theirs, by round."
    for contestant in _all_of(groups):
        yield f"{contestant.name}: {contestant.about}."
    yield "The far side: tests/bench/peer.py (bare reads and writes); for connect and end a shell."
    yield (
        f"{machine['cpus']} x {machine['cpu']}, {machine['kernel']}, {machine['python']}, "
        f"sshgateway {machine['sshgateway']} (libssh2 {machine['libssh2']}), "
        f"paramiko {machine['paramiko']}, {machine['openssh']}."
    )
    yield f"Took {machine['seconds']} s; others used {machine['others_percent']} % of the machine."


def _all_of(groups: list[Results]) -> Iterator[Contestant]:
    for results in groups:
        yield from results.contestants


def write_json(path: Path, groups: list[Results], machine: Json, options: Json) -> None:
    document = {
        "machine": machine,
        "options": options,
        "contestants": [
            {each.name: each.about for each in results.contestants} for results in groups
        ],
        "rows": [
            row.as_json(results.contestants[0].name)
            for results in groups
            for row in results.rows.values()
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
