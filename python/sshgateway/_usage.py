# SPDX-License-Identifier: BSD-2-Clause
"""Usage: when a Gateway was used last, so that an idle one can be closed."""

from __future__ import annotations

import threading
import time

__all__ = ["Usage"]


class Usage:
    """The time of the last use, and the number of channels that are being opened.

    Thread-safe.
    """

    def __init__(self) -> None:
        #: Held for a moment only, and while an idle gateway is closed.
        self.lock = threading.Lock()
        self._used = time.monotonic()
        self._opening = 0

    def note(self, opening: int = 0) -> None:
        """Record that the gateway is in use now.

        - opening (int): 1 when the opening of a channel begins, -1 when it ends.
        """
        with self.lock:
            self._used = time.monotonic()
            # Not below 0: a child of fork() ends what its parent has begun.
            self._opening = max(0, self._opening + opening)

    def idle_locked(self, channels: int) -> float:
        """Seconds since the last use; 0 while a channel is open or being opened.

        - channels (int): the number of open channels.

        The caller holds ``lock``.
        """
        now = time.monotonic()
        if self._opening or channels:
            self._used = now
        return now - self._used

    def idle_at(self, timeout: float) -> float:
        """The moment of ``time.monotonic()`` at which it will have been idle for *timeout*
        seconds, unless it is used again."""
        return self._used + timeout
