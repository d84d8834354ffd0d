# SPDX-License-Identifier: BSD-2-Clause
"""A thousand channels, stopped readers, and repeated losses."""

from __future__ import annotations

import pytest

from support import fresh

# AddressSanitizer's quarantine and shadow memory grow independently of our code.
SANITIZED = fresh.PRELOAD is not None

UNREAD = 256  # MiB, as docs/architecture.rst states
SLACK = 16  # MiB for libssh2, which may hold up to 128, and for buffers that are not full


def grown(script: str, *arguments: str, timeout: float = 100) -> int:
    """The growth that the script prints, in KiB."""
    return int(fresh.run(script, *arguments, timeout=timeout).stdout.split()[2])


@pytest.mark.slow
@pytest.mark.limit(120)
def test_a_thousand_channels_on_one_gateway() -> None:
    """The script then closes some and opens others, a hundred times."""
    kib = grown("gateway_thousand", "1000", "100")
    assert SANITIZED or kib < 1024


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize(("readers", "first"), [(1, 0), (1000, 0), (24, 25)])
def test_memory_of_unread_data_is_bounded(readers: int, first: int) -> None:
    """Each reader reads *first* MB before it stops, while its window grows."""
    kib = grown("gateway_unread", str(readers), str(first))
    bound = UNREAD + SLACK if first else min(2 * readers + 4, UNREAD + SLACK)
    assert SANITIZED or kib < 1024 * bound


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize("way", ["killed", "cut"])
def test_losses_leave_no_memory(way: str) -> None:
    """The script can do any number of losses; a thousand take two minutes."""
    count = 60
    kib = grown("gateway_losses", way, str(count))
    # Python itself keeps some 200 bytes per loss.
    assert SANITIZED or kib < 32 + count / 2
