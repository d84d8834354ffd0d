# SPDX-License-Identifier: BSD-2-Clause
"""The figures that sshgateway must reach, and the verdicts on those of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.report.results import Report, Row

SSH = ("ssh", "ssh-gcm")
PARAMIKO = ("paramiko", "paramiko-2.12")
RATE, CPU = "rate", "CPU, client side"


@dataclass(frozen=True)
class Goal:
    """The ratio of our figure to each rival's must be at least, or at most, *factor*."""

    work: str
    metric: str
    rivals: tuple[str, ...]
    factor: float


@dataclass(frozen=True)
class Bound:
    """Our figure must be at most *most*, in its unit or times our figure of metric *of*."""

    work: str
    metric: str
    most: float
    of: str | None = None


@dataclass(frozen=True)
class Verdict:
    work: str
    what: str
    reached: str
    is_met: bool


GOALS: tuple[Goal | Bound, ...] = (
    Goal("gateway: raw stream down", RATE, SSH, 1.1),
    Goal("gateway: raw stream up", RATE, SSH, 1.1),
    Goal("gateway: raw stream down", CPU, SSH, 0.75),
    Goal("gateway: raw stream up", CPU, SSH, 0.75),
    Goal("gateway: raw stream down", RATE, PARAMIKO, 2),
    Goal("gateway: raw stream up", RATE, PARAMIKO, 7),
    Goal("gateway: Paramiko session inside, down", RATE, PARAMIKO, 2.2),
    Goal("gateway: Paramiko session inside, up", RATE, PARAMIKO, 2.2),
    Goal("gateway: Paramiko session inside, down", RATE, ("direct",), 0.9),
    Goal("gateway: Paramiko session inside, up", RATE, ("direct",), 0.95),
    Goal("gateway: echo of 64 bytes", "median", SSH, 1),
    Goal("gateway: first login", "gateway, channel, inner login", PARAMIKO, 0.5),
    Goal("gateway: first login", "gateway, channel, inner login", SSH, 0.5),
    Bound("gateway: login in round trips", "one key", 3.2),
    Bound("gateway: login in round trips", "an agent's third key", 4.2),
    Bound("gateway: login in round trips", "a channel more", 1.1),
    Goal("gateway: further channel", "until open", PARAMIKO, 1),
    Bound("gateway: further host by ssh_config", "until open", 1),
    Goal("gateway: 1000 channels", "512-byte echo on all", PARAMIKO, 0.5),
    Bound("gateway: 1000 channels", "RSS a channel, after echo", 16),
    Bound("gateway: 1000 channels", "one busy: CPU", 1.2, of="one busy: CPU, alone"),
    Bound("gateway: 1000 channels", "one busy: CPU", 1.2, of="one busy: CPU, alone and as slow"),
    Bound("gateway: 1000 channels", "wake-ups a second, all idle", 0),
    Bound(
        "gateway: 100 channels behind a black hole",
        "all of them, behind it",
        1.2,
        of="all of them, alone",
    ),
    Goal("gateway: 100 ms away, raw stream down", RATE, SSH, 4),
    Goal("gateway: 100 ms away, raw stream down", RATE, PARAMIKO, 4),
    *(
        Goal(f"{program}{work}", metric, PARAMIKO, 1)
        for program in ("", "ssh -W: ", "ssh -W, aes128-gcm: ")
        for work, metric in (
            ("raw stream down", RATE),
            ("raw stream up", RATE),
            ("echo of 64 bytes", "median"),
        )
    ),
    Goal("connect", "constructor to first byte", PARAMIKO, 1),
)


def verdicts(report: Report) -> Iterator[Verdict]:
    """The verdicts on the goals that were measured."""
    for goal in GOALS:
        found = report.row(goal.work, goal.metric)
        if not found:
            continue
        group, row = found
        if isinstance(goal, Goal):
            for name in filter(row.known, goal.rivals):
                yield _against(goal, row, group.ours, name)
        else:
            whole = group.rows[goal.work, goal.of].median(group.ours) if goal.of else None
            yield _within(goal, row, row.median(group.ours), whole)


def _against(goal: Goal, row: Row, ours: str, rival: str) -> Verdict:
    least = row.metric.higher_is_better
    what = f"{goal.metric}: at {'least' if least else 'most'} {goal.factor:g} x {rival}"
    ratio = row.ratio(ours, rival)
    if ratio is None:
        return Verdict(goal.work, what, row.metric.when_none, False)
    is_met = ratio >= goal.factor if least else ratio <= goal.factor
    return Verdict(goal.work, what, f"{ratio:.2f} x", is_met)


def _within(goal: Bound, row: Row, measured: float | None, whole: float | None) -> Verdict:
    unit = f"x {goal.of}" if goal.of else row.metric.unit
    what = f"{goal.metric}: at most {goal.most:g} {unit}".rstrip()
    if measured is None:
        return Verdict(goal.work, what, row.metric.when_none, False)
    if goal.of:
        measured /= whole or 1.0
    reached = f"{measured:.2f} {'x' if goal.of else unit}".rstrip()
    return Verdict(goal.work, what, reached, measured <= goal.most)
