# SPDX-License-Identifier: BSD-2-Clause
"""Deadline: the moment at which a timeout ends, shared by the steps of one operation."""

from __future__ import annotations

import errno
import time

__all__ = ["Deadline", "in_seconds"]


class Deadline:
    """A timeout that starts now, on the monotonic clock.

    - timeout (float or None): seconds from now; None means no limit.
    - at (float or None): a moment of ``time.monotonic()``. If both are given, the earlier
      moment counts.

    Raises ValueError for a negative timeout, as ``socket.settimeout`` does.
    """

    def __init__(self, timeout: float | None = None, *, at: float | None = None) -> None:
        if timeout is not None and timeout < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = timeout
        self._began = time.monotonic()
        ends = [] if timeout is None else [self._began + timeout]
        ends += [] if at is None else [at]
        self._end = min(ends, default=None)

    def left(self, at_most: float | None = None) -> float | None:
        """Seconds until the deadline, not below 0; None if there is no limit.

        - at_most (float or None): an upper bound for the result, in seconds.
        """
        if self._end is None:
            return at_most
        left = max(0.0, self._end - time.monotonic())
        return left if at_most is None else min(left, at_most)

    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def is_over(self) -> bool:
        """True once the deadline has passed."""
        return self.left() == 0

    def error(self, what: str, note: str = "") -> TimeoutError:
        """TimeoutError(ETIMEDOUT, text); the text is *what*, the time limit and *note*."""
        return TimeoutError(errno.ETIMEDOUT, f"{what} within {in_seconds(self._timeout)}{note}")


def in_seconds(timeout: float | None) -> str:
    """A timeout for a message, rounded to milliseconds: "0.25 s"."""
    return f"{round(timeout or 0, 3):g} s"
