# SPDX-License-Identifier: BSD-2-Clause
"""Runs the works: the contestants take turns, each in a process of its own."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.contestants.base import Contestant
from bench.report.results import Results
from bench.worker import Worker, WorkFailedError
from bench.works.base import Figures, Work, nothing

#: Each work with its number of rounds.
Works = list[tuple[Work, int]]


class Progress:
    """A line on stderr that shows what is being measured."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._last = ""

    def show(self, work: str, done: int, of: int, who: str) -> None:
        if self._is_terminal:
            self._write(f"\r\033[K{self._elapsed()}  {work}: round {done + 1} of {of}, {who}")
        elif work != self._last:
            self._write(f"{self._elapsed()}  {work}, {of} rounds\n")
        self._last = work

    def say(self, text: str) -> None:
        self.clear()
        self._write(f"{self._elapsed()}  {text}\n")

    def clear(self) -> None:
        if self._is_terminal:
            self._write("\r\033[K")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._start:4.0f} s"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


@dataclass
class Run:
    progress: Progress = field(default_factory=Progress)
    failures: list[str] = field(default_factory=list)

    def measure(self, title: str, contestants: list[Contestant], works: Works) -> Results:
        results = Results(title, {each.name: each.about for each in contestants})
        with ExitStack() as stack:
            workers = [(each, stack.enter_context(Worker(each))) for each in contestants]
            for work, rounds in works:
                for done in range(rounds):
                    for contestant, worker in workers:
                        self.progress.show(work.title, done, rounds, contestant.name)
                        figures = self._figures(worker, contestant.name, work)
                        results.add(work.title, work.metrics, contestant.name, figures)
        self.progress.clear()
        return results

    def _figures(self, worker: Worker, who: str, work: Work) -> Figures:
        """A contestant that fails has no figures, and the others continue."""
        try:
            return worker.run(work)
        except WorkFailedError as error:
            self.failures.append(f"{work.title}: {who}: {error}")
            self.progress.say(self.failures[-1])
            return nothing(work)
