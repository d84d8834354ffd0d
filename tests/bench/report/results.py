# SPDX-License-Identifier: BSD-2-Clause
"""The figures of a run, their statistics, and their JSON file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.works.base import Figures, Metric

Json = dict[str, Any]

#: Not rivals: they show the cost without a gateway, or with another build.
YARDSTICKS = ("direct", "pipes", "sshgateway-dup", "sshgateway-system", "sshgateway-wheel")


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
        """Our figure divided by theirs: the median of the ratios of each round, because a
        disturbance of one contestant often disturbs the next one too."""
        ratios = [
            a / b
            for a, b in zip(self.figures.get(ours, []), self.figures.get(theirs, []), strict=False)
            if a is not None and b
        ]
        return statistics.median(ratios) if ratios else None

    def is_better(self, a: float, b: float) -> bool:
        return a > b if self.metric.higher_is_better else a < b

    def as_json(self) -> Json:
        return {
            "work": self.work,
            "metric": asdict(self.metric),
            "contestants": {
                name: {
                    "median": _rounded(self.median(name)),
                    "min": _rounded(min(self.known(name), default=None)),
                    "max": _rounded(max(self.known(name), default=None)),
                    "figures": [_rounded(figure) for figure in figures],
                }
                for name, figures in self.figures.items()
            },
        }

    @classmethod
    def from_json(cls, row: Json) -> Row:
        figures = {name: each["figures"] for name, each in row["contestants"].items()}
        return cls(row["work"], Metric(**row["metric"]), figures)


def _rounded(figure: float | None) -> float | None:
    """Rounded to five digits, because the rest is noise."""
    return None if figure is None else float(f"{figure:.5g}")


@dataclass
class Results:
    """All rows of a group of contestants, in the order they were measured.

    ``contestants``: name -> description; the first is compared with the others.
    """

    title: str
    contestants: dict[str, str]
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, work: str, metrics: list[Metric], who: str, figures: Figures) -> None:
        for metric in metrics:
            row = self.rows.setdefault((work, metric.name), Row(work, metric))
            row.figures.setdefault(who, []).append(figures[metric.name])

    @property
    def ours(self) -> str:
        return next(iter(self.contestants))

    def works(self) -> dict[str, list[Row]]:
        works: dict[str, list[Row]] = {}
        for row in self.rows.values():
            works.setdefault(row.work, []).append(row)
        return works

    def taking_part(self, rows: list[Row]) -> list[str]:
        """The contestants that have a figure in any row; a failed work counts as None."""
        return [name for name in self.contestants if any(row.known(name) for row in rows)]

    def as_json(self) -> Json:
        return {
            "title": self.title,
            "contestants": self.contestants,
            "rows": [row.as_json() for row in self.rows.values()],
        }

    @classmethod
    def from_json(cls, group: Json) -> Results:
        rows = [Row.from_json(row) for row in group["rows"]]
        by_name = {(row.work, row.metric.name): row for row in rows}
        return cls(group["title"], group["contestants"], by_name)


@dataclass
class Report:
    """The results of a whole run."""

    command: str
    machine: Json
    groups: list[Results]
    failures: list[str] = field(default_factory=list)

    def works(self) -> Iterator[tuple[Results, str, list[Row]]]:
        for group in self.groups:
            for work, rows in group.works().items():
                yield group, work, rows

    def about(self) -> list[tuple[str, str]]:
        """Name and description of each contestant, without repetition."""
        pairs = [pair for group in self.groups for pair in group.contestants.items()]
        return list(dict.fromkeys(pairs))

    def row(self, work: str, metric: str) -> tuple[Results, Row] | None:
        for group in self.groups:
            if row := group.rows.get((work, metric)):
                return group, row
        return None

    def write(self, path: Path) -> None:
        document = {
            "command": self.command,
            "machine": self.machine,
            "failures": self.failures,
            "groups": [group.as_json() for group in self.groups],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_dumps(document) + "\n")

    @classmethod
    def read(cls, path: Path) -> Report:
        document = json.loads(path.read_text())
        groups = [Results.from_json(group) for group in document["groups"]]
        return cls(document["command"], document["machine"], groups, document["failures"])


def _dumps(value: Any, indent: str = "") -> str:
    """Like json.dumps(indent=1), but a value that fits on one line stays on one line."""
    line = json.dumps(value)
    if len(indent + line) <= 99 or not isinstance(value, dict | list):
        return line
    inner = indent + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_dumps(item, inner)}" for key, item in value.items()]
    else:
        items = [_dumps(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(inner + item for item in items)
    return f"{opening}\n{body}\n{indent}{closing}"
