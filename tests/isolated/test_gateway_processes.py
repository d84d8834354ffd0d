# SPDX-License-Identifier: BSD-2-Clause
"""fork, and exit with open gateways: no hang, no crash, only ResourceWarnings."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest

from support import fresh, gateways, scripted
from support.gateways import Target
from support.waiting import DEADLINE, at_last

LIMIT = 2.0  # seconds that the quickest of three exits may take


@pytest.mark.slow
def test_a_forks_child_cannot_touch_the_parents_gateway() -> None:
    fresh.run("gateway_fork")


def leave(way: str, sshd, target: Target, *more: str) -> str:
    """Run gateway_leave.py and return its stderr."""
    said = ""

    def attempt() -> None:
        nonlocal said
        took, said = leave_once(way, sshd, target, *more)
        assert took < LIMIT

    at_last(attempt, 3)
    return said


def leave_once(way: str, sshd, target: Target, *more: str) -> tuple[float, str]:
    process = subprocess.Popen(
        fresh.command(
            fresh.SCRIPTS / "gateway_leave.py",
            way,
            json.dumps(gateways.settings(sshd)),
            json.dumps(target.address),
            *more,
            warnings="default",
        ),
        env=fresh.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout
        line = process.stdout.readline()
        start = time.monotonic()
        _, said = process.communicate(timeout=4 * DEADLINE)
        took = time.monotonic() - start
    assert process.returncode == 0, said
    assert line == "leaving\n", said
    return took, said


def only_resource_warnings(said: str) -> bool:
    """Each warning may be followed by its source line and the place of the allocation."""
    lines = [line for line in said.splitlines() if not re.match(r"  |Object allocated at", line)]
    return all(
        re.search(r"ResourceWarning: (unclosed|Enable tracemalloc)", line) for line in lines
    )


@pytest.mark.parametrize("way", ["exit", "end", "thread", "cycle", "gateway-closed", "atexit"])
def test_exit_with_open_gateways_is_quick_and_only_warns_about_them(way: str, sshd) -> None:
    with Target(gateways.echo) as target:
        said = leave(way, sshd, target)
    assert only_resource_warnings(said), said


def test_exit_after_close_is_silent(sshd) -> None:
    with Target(gateways.echo) as target:
        assert leave("closed", sshd, target) == ""


def test_exit_while_a_channel_is_being_opened_is_quick(sshd) -> None:
    with Target(gateways.echo) as target, scripted.black_hole() as (hole, _):
        said = leave("opening", sshd, target, json.dumps(hole.getsockname()))
    assert only_resource_warnings(said), said


def test_exit_with_unsent_data_for_a_target_that_does_not_read_is_bounded(sshd) -> None:
    def greet_and_wait(sock) -> None:
        sock.sendall(sock.recv(5))
        scripted.never(sock)

    with Target(greet_and_wait) as target:
        said = leave("data", sshd, target)
        assert only_resource_warnings(said), said


@pytest.mark.slow
def test_exit_during_logins_of_daemon_threads_does_not_crash(sshd) -> None:
    settings = json.dumps(gateways.settings(sshd))
    for run in range(15):
        fresh.run("leave_in_logins", settings, str(run * 0.002), warnings="ignore")
