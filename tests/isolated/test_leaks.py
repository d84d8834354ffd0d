# SPDX-License-Identifier: BSD-2-Clause
"""Nothing stays: processes, descriptors, threads, memory, processor time."""

from __future__ import annotations

import pytest

from support import fresh

# A sanitizer's quarantine and shadow grow as it likes.
SANITIZED = fresh.PRELOAD is not None  # whose quarantine keeps freed memory


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize(("cycles", "beside"), [("2000", "alone"), ("500", "beside")])
def test_2000_cycles_leave_nothing_and_memory_does_not_grow(cycles: str, beside: str) -> None:
    """Alone, each cycle starts and ends the engine's thread as well."""
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
def test_close_races_with_everything(rounds: int) -> None:
    fresh.run("races", str(rounds))


@pytest.mark.slow
def test_no_state_of_a_stream_costs_cpu() -> None:
    """One of them: a child has exited and its output is unread."""
    fresh.run("idle")


@pytest.mark.parametrize("beside", ["alone", "beside"])
@pytest.mark.parametrize("way", ["pipes", "inherited", "own-session", "fdpass"])
def test_emfile_at_every_step_is_told_and_leaks_nothing(way: str, beside: str) -> None:
    fresh.run("emfile", way, beside)


@pytest.mark.parametrize("who", ["ignored", "another"])
def test_children_reaped_by_somebody_else_end_cleanly(who: str) -> None:
    """SIGCHLD is ignored, so the kernel reaps; or another thread calls os.wait()."""
    fresh.run("reaped", who)
