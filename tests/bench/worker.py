# SPDX-License-Identifier: BSD-2-Clause
"""A process for one contestant, so that it imports its own versions and shares no memory,
thread or descriptor with another.

Run as a program this module is that process: it does one work after the other until its
stdin ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Self

from bench.contestants.base import Contestant
from bench.works.base import Figures, Work

TESTS = Path(__file__).parents[1]
LIMIT = 120.0  # seconds for one round of one work


class WorkFailedError(Exception):
    """The contestant did not do its work; the text is that of its exception."""


class Worker:
    """``with Worker(contestant) as worker: worker.run(work)``"""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._start()

    def run(self, work: Work) -> Figures:
        if getattr(work, "fresh", False):
            self._restart()
        try:
            return self._answer(work)
        except WorkFailedError:
            self._restart()  # the state of the process is unknown now
            raise

    def _answer(self, work: Work) -> Figures:
        try:
            pickle.dump((self._contestant, work), self._orders)
            self._orders.flush()
            if not select.select([self._answers], [], [], LIMIT)[0]:
                self._process.kill()
                raise WorkFailedError(f"not done after {LIMIT:.0f} s")
            answer: Figures | str = pickle.load(self._answers)
        except (EOFError, BrokenPipeError):
            raise WorkFailedError("its process is gone") from None
        if isinstance(answer, str):
            raise WorkFailedError(answer)
        return answer

    def _start(self) -> None:
        path = [str(self._contestant.path)] if self._contestant.path else []
        path += [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            process_group=0,  # Ctrl-C is for the bench, which then ends the worker
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout

    def _stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # for example because of a thread of the contestant
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _restart(self) -> None:
        self._stop()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop()


def serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the contestant's own output must not mix with the answers
    while True:
        try:
            contestant, work = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Any
        try:
            answer = work.run(contestant)
        except Exception as error:
            traceback.print_exc()
            answer = f"{type(error).__name__}: {error}"
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve()
