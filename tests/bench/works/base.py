# SPDX-License-Identifier: BSD-2-Clause
"""The interface of a work, which a contestant does once and which returns figures.

A work that goes wrong (lost bytes, a wrong exit status) raises; the time it takes never
makes it raise.  To add a work, write a dataclass with ``title``, ``metrics`` and
``run()``, and add it to one of the lists: ``proxycommand_works()``, ``gateway_works()``
or ``curve_works()``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

from bench import peer
from bench.contestants.base import Contestant

MB = 1_000_000
PEER = [sys.executable, "-S", "-E", "-s", peer.__file__]

#: Paramiko's own timeout on its socket.  Ours has the same, which must not cost time.
TIMEOUT = 20.0

#: The figures of one round by the name of the metric; None: not obtained.
Figures = dict[str, float | None]


class WrongResultError(Exception):
    """A contestant did not do the work it was timed for."""


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    higher_is_better: bool = False
    #: The text for the table if the figure is None.
    when_none: str = "-"
    #: The position on the x axis of a curve.
    x: float | None = None


class Work(Protocol):
    """A work runs in the contestant's worker, or with ``fresh = True`` in a new worker each
    time, whose memory is unused."""

    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> list[Metric]: ...
    def run(self, contestant: Contestant) -> Figures: ...


def nothing(work: Work) -> Figures:
    """The figures of a contestant that does not take part in a work."""
    return {metric.name: None for metric in work.metrics}


def require(truth: bool, contestant: Contestant, complaint: str) -> None:
    if not truth:
        raise WrongResultError(f"{contestant.name}: {complaint}")
