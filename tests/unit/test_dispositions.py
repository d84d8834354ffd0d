# SPDX-License-Identifier: BSD-2-Clause
"""A run of the tests does not depend on the signal dispositions that it inherits."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support import fresh

#: How nohup, a shell's "&" or a service manager may start the tests.
INHERITED = "trap '' HUP INT QUIT TERM CHLD USR1 PIPE; exec \"$@\""

BLOCK = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGALRM})
os.execv(sys.argv[1], sys.argv[1:])
"""

STATUS = """
import os, signal, subprocess
if os.environ.get("RESET"):
    from support import dispositions
    dispositions.reset()
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
print(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
"""


def bits(status: str, name: str) -> set[int]:
    """The signals that a line of /proc/PID/status names, without those that the C library
    keeps for itself: its posix_spawn(), by which GNU make starts programs, ignores them.
    """
    value = int(status.partition(f"{name}:")[2].split()[0], 16)
    return {number for number in signal.valid_signals() if value & 1 << number - 1}


def status_of_a_program(**extra: str) -> str:
    run = [sys.executable, "-c", BLOCK, sys.executable, "-c", STATUS]
    done = subprocess.run(
        ["sh", "-c", INHERITED, "sh", *run],
        env=fresh.environment(**extra), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_program_inherits_what_is_ignored_and_blocked() -> None:
    """Otherwise the next test would prove nothing."""
    status = status_of_a_program()
    assert {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT} <= bits(status, "SigIgn")
    assert {signal.SIGHUP, signal.SIGALRM} <= bits(status, "SigBlk")


def test_after_reset_a_program_inherits_the_defaults() -> None:
    """And what would have been without effect on the process itself still is."""
    status = status_of_a_program(RESET="1")
    assert bits(status, "SigIgn") == set()
    assert bits(status, "SigBlk") == set()


@pytest.mark.parametrize("name", ["SigIgn", "SigBlk"])
def test_this_run_has_been_reset(name: str) -> None:
    with open("/proc/self/status") as file:
        assert bits(file.read(), name) <= {signal.SIGPIPE, signal.SIGXFSZ}
