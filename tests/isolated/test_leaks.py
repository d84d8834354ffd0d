# SPDX-License-Identifier: BSD-2-Clause
"""Streams leave nothing: no process, descriptor, thread, memory or CPU use."""

from __future__ import annotations

import pytest

from support import fresh

# AddressSanitizer's quarantine and shadow memory grow independently of our code.
SANITIZED = fresh.PRELOAD is not None


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize(("cycles", "beside"), [("2000", "alone"), ("500", "beside")])
def test_2000_cycles_leave_nothing_and_memory_does_not_grow(cycles: str, beside: str) -> None:
    """Without another stream beside it, each cycle also starts and ends the engine's thread."""
    said = fresh.run("cycles", cycles, beside, timeout=100).stdout.split()
    if not SANITIZED:
        assert int(said[2]) < 1024, "KiB of growth"


def test_a_hundred_cycles_leave_nothing() -> None:
    fresh.run("cycles", "100", "alone")


@pytest.mark.slow
@pytest.mark.limit(120)
def test_500_streams_at_once_beyond_1024_descriptors() -> None:
    fresh.run("many", "500", timeout=100)


@pytest.mark.parametrize("rounds", [60])
def test_close_in_a_race_with_every_other_call(rounds: int) -> None:
    fresh.run("races", str(rounds))


@pytest.mark.slow
def test_no_state_of_a_stream_costs_cpu() -> None:
    """One of the states is a child that has exited and whose output is unread."""
    fresh.run("idle")


@pytest.mark.parametrize("beside", ["alone", "beside"])
@pytest.mark.parametrize("way", ["pipes", "inherited", "own-session", "fdpass"])
def test_emfile_at_every_step_is_reported_and_leaks_nothing(way: str, beside: str) -> None:
    fresh.run("emfile", way, beside)


@pytest.mark.parametrize("who", ["ignored", "another"])
def test_streams_whose_children_were_reaped_elsewhere_end_cleanly(who: str) -> None:
    """SIGCHLD is ignored, so the kernel reaps, or another thread calls os.wait()."""
    fresh.run("reaped", who)
