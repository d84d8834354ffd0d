# SPDX-License-Identifier: BSD-2-Clause
"""A thousand channels, readers that stand still, and loss after loss."""

from __future__ import annotations

import pytest

from support import fresh

# A sanitizer's quarantine and shadow grow as it likes.
SANITIZED = fresh.PRELOAD is not None

UNREAD = 256  # MiB, as docs/architecture.rst states
SLACK = 16  # of 128 that libssh2 may have, and of buffers that are not full


def grown(script: str, *arguments: str, timeout: float = 100) -> int:
    """KiB."""
    return int(fresh.run(script, *arguments, timeout=timeout).stdout.split()[2])


@pytest.mark.slow
@pytest.mark.limit(120)
def test_a_thousand_channels_on_one_gateway() -> None:
    """And a hundred rounds in which some are closed and others opened."""
    kib = grown("gateway_thousand", "1000", "100")
    assert SANITIZED or kib < 1024


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize(("readers", "first"), [(1, 0), (1000, 0), (24, 25)])
def test_memory_of_what_nobody_reads_is_bounded(readers: int, first: int) -> None:
    """*first*: MB that each reads before it stands still, while its window grows."""
    kib = grown("gateway_unread", str(readers), str(first))
    bound = UNREAD + SLACK if first else min(2 * readers + 4, UNREAD + SLACK)
    assert SANITIZED or kib < 1024 * bound


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize("way", ["killed", "cut"])
def test_losses_leave_nothing(way: str) -> None:
    """The script takes any number of them: a thousand take two minutes."""
    count = 60
    kib = grown("gateway_losses", way, str(count))
    # Python itself keeps some 200 bytes of each.
    assert SANITIZED or kib < 32 + count / 2
