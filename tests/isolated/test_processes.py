# SPDX-License-Identifier: BSD-2-Clause
"""fork, subinterpreters, exit with open streams, and the data delivered at exit."""

from __future__ import annotations

import os
import re
import subprocess
import time

import pytest

from support import fresh
from support.waiting import DEADLINE, at_last, exited


def test_a_forks_child_cannot_touch_the_parents_stream() -> None:
    fresh.run("fork")


def test_a_signal_handler_may_fork_during_a_call_that_waits() -> None:
    fresh.run("fork_in_handler")


def test_a_forked_child_keeps_detached_and_duplicated_descriptors() -> None:
    fresh.run("fork_detached")


def test_multiprocessing_by_fork_works() -> None:
    fresh.run("fork_multiprocessing")


def test_a_subinterpreter_cannot_import_it() -> None:
    fresh.run("subinterpreter")


# --- exit -----------------------------------------------------------------------


def leave(way: str, kind: str) -> tuple[float, str]:
    """Run leave.py; return the time that it took after its last line, and its stderr."""
    process = subprocess.Popen(
        fresh.command(fresh.SCRIPTS / "leave.py", way, kind, warnings="default"),
        env=fresh.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 3
        start = time.monotonic()
        _, said = process.communicate(timeout=4 * DEADLINE)
        took = time.monotonic() - start
    assert process.returncode == 0, said
    for pid in pids:
        assert exited(pid), f"child {pid} has outlived the program"
    return took, said


def only_resource_warnings(said: str) -> bool:
    """Each warning may be followed by its source line and the place of the allocation."""
    lines = [line for line in said.splitlines() if not re.match(r"  |Object allocated at", line)]
    return all(
        re.search(r"ResourceWarning: (unclosed|Enable tracemalloc)", line) for line in lines
    )


def leaves_quickly(way: str, kind: str) -> str:
    said = ""

    def attempt() -> None:
        nonlocal said
        took, said = leave(way, kind)
        assert only_resource_warnings(said), said
        assert took < 5, "exit must take 2 s at most; 5 s allow for a busy machine"

    at_last(attempt, 3)
    return said


@pytest.mark.parametrize("way", ["exit", "end", "cycle", "raise", "thread", "atexit"])
def test_exit_with_open_streams_is_quick_and_only_warns_about_them(way: str) -> None:
    leaves_quickly(way, "cat")


@pytest.mark.parametrize("kind", ["stubborn", "stopped", "own-session"])
@pytest.mark.parametrize("way", ["exit", "thread", "closed"])
def test_exit_ends_children_that_resist(way: str, kind: str) -> None:
    """They ignore HUP and TERM, are stopped, or lead a session."""
    leaves_quickly(way, kind)


def test_exit_after_close_is_silent() -> None:
    _, said = leave("closed", "cat")
    assert said == ""


def test_exit_with_unsent_data_for_stopped_children_is_bounded() -> None:
    assert leaves_quickly("data", "stopped") == ""


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("SG_POLLER") == "poll",
    reason="the portable twin cannot see a reader's progress within its last pipe",
)
@pytest.mark.parametrize("how", ["close", "shutdown", "detach", "dup", "makefile"])
def test_a_megabyte_reaches_a_slow_reader_after_the_end(how: str, tmp_path) -> None:
    """If a busy machine made a pause too long, try again ten times as slowly."""
    log = tmp_path / "log"
    pauses = iter(["0.03", "0.3"])

    def attempt() -> None:
        done = fresh.run("nothing_lost", how, str(log), next(pauses))
        assert log.read_text() == done.stdout.strip()

    at_last(attempt, 2)
