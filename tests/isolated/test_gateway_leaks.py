# SPDX-License-Identifier: BSD-2-Clause
"""Gateways and channels leave nothing: no descriptor, thread, memory or CPU use."""

from __future__ import annotations

import pytest

from support import fresh

# AddressSanitizer's quarantine and shadow memory grow independently of our code.
SANITIZED = fresh.PRELOAD is not None


def grown(what: str, cycles: int) -> int:
    said = fresh.run("gateway_cycles", what, str(cycles), timeout=100).stdout.split()
    return int(said[2])


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize(("what", "cycles"), [("gateways", 200), ("channels", 1000)])
def test_many_cycles_leave_nothing_and_memory_does_not_grow(what: str, cycles: int) -> None:
    kib = grown(what, cycles)
    if not SANITIZED:
        assert kib < 1024, "KiB of growth"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gateways", "channels"])
def test_a_few_cycles_leave_nothing(what: str) -> None:
    grown(what, 20)


@pytest.mark.slow
def test_no_state_of_a_gateway_costs_cpu() -> None:
    fresh.run("gateway_idle")


@pytest.mark.slow
@pytest.mark.limit(120)
def test_close_in_a_race_with_every_other_call() -> None:
    fresh.run("gateway_races", "60", timeout=100)
