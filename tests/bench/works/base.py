# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: each work, done once by a contestant, gives figures.

A work that is done wrongly (bytes lost, the wrong end told) raises; how long
it takes never does.  To add one, write a dataclass with ``title``, ``metrics``
and ``run()``, and put it into one of the lists: ``proxywork.all_works()``,
``gatewaywork.gateway_works()``, ``curvework.curve_works()``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

from bench import peer
from bench.contestants.base import Contestant

MB = 1_000_000
PEER = [sys.executable, "-S", "-E", "-s", peer.__file__]

#: What Paramiko has on its socket; ours gives up waiting, which must not show.
TIMEOUT = 20.0

#: One run's figures by the metric's name; None: did not come about.
Figures = dict[str, float | None]


class WrongResultError(Exception):
    """A contestant did not do the work it was timed for."""


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    higher_is_better: bool = False
    #: What the table says where the figure is None.
    when_none: str = "-"
    #: Where on a curve.
    x: float | None = None


class Work(Protocol):
    """It is done in the contestant's own process; one that has ``fresh = True`` in a
    new one each time, whose memory nobody has used before."""

    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> list[Metric]: ...
    def run(self, contestant: Contestant) -> Figures: ...


def nothing(work: Work) -> Figures:
    """The figures of who has no part in it."""
    return {metric.name: None for metric in work.metrics}


def require(truth: bool, contestant: Contestant, complaint: str) -> None:
    if not truth:
        raise WrongResultError(f"{contestant.name}: {complaint}")
