# SPDX-License-Identifier: BSD-2-Clause
"""Care for busy servers: few logins at a time, and a pause before the next try.

An sshd refuses connections while too many logins are under way (sshd_config's MaxStartups and
PerSourcePenalties).
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import weakref
from collections.abc import Iterator

from sshgateway._deadline import Deadline

__all__ = ["pauses", "slot"]

#: The most logins of this process to one host at the same time; sshd's MaxStartups begins to
#: refuse at 10.
LOGINS_AT_ONCE = 8

_FIRST_PAUSE = 0.25  # seconds
_LONGEST_PAUSE = 8.0
#: Seconds of pauses after which a login without a timeout of its own gives up.
_PATIENCE = 15.0


class _Slots:
    """A semaphore that a WeakValueDictionary can hold."""

    def __init__(self) -> None:
        self.semaphore = threading.BoundedSemaphore(LOGINS_AT_ONCE)


_lock = threading.Lock()
_slots: weakref.WeakValueDictionary[tuple[str, int], _Slots] = weakref.WeakValueDictionary()


def _start_afresh() -> None:
    """In a forked child: the threads that hold slots are not there."""
    global _lock
    _lock = threading.Lock()
    _slots.clear()


os.register_at_fork(after_in_child=_start_afresh)


@contextlib.contextmanager
def slot(hostname: str, port: int, deadline: Deadline, gateway: str) -> Iterator[None]:
    """Hold one of the places for a login to this host.

    Raises TimeoutError(ETIMEDOUT, text) if none is free before the deadline.
    """
    with _lock:
        slots = _slots.setdefault((hostname.lower(), port), _Slots())
    left = deadline.left()
    if not slots.semaphore.acquire(timeout=left):
        raise deadline.error(f"gateway {gateway} had other logins under way and was not open")
    try:
        yield
    finally:
        slots.semaphore.release()


def pauses(deadline: Deadline) -> Iterator[float]:
    """Seconds to wait before each next try ("full jitter"); ends when no try would be in time."""
    limit, spent = _FIRST_PAUSE, 0.0
    while True:
        pause = random.uniform(0, limit)
        left = deadline.left(_PATIENCE - spent)
        assert left is not None
        if pause >= left:
            return
        yield pause
        spent += pause
        limit = min(2 * limit, _LONGEST_PAUSE)
