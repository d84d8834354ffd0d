# SPDX-License-Identifier: BSD-2-Clause
"""Waiting for events, always with a deadline and never for a fixed time.

Where the kernel offers an event (a pidfd, a readable descriptor, a ``threading.Event``)
the helpers wait for it.  Two kinds of state have none: the state of a thread in ``/proc``,
and attributes that a thread without Python changes.  ``until`` reads those again after
short, bounded waits.  It returns as soon as the state is reached and fails only after the
deadline.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

#: Seconds after which a test gives up.  Only a bug takes so long, not a machine that is
#: busy for a while.
DEADLINE = 20.0

_POLL = 0.005  # seconds between two reads of a state that has no event

# Numbers of the system calls in which one of our threads may wait for a stream (x86_64,
# then aarch64): read, poll, select, connect, recvfrom, sendto, sendmsg, recvmsg, pselect6,
# ppoll, epoll_wait, epoll_pwait.
_WAITING = {
    "x86_64": {0, 1, 7, 23, 42, 44, 45, 46, 47, 232, 270, 271, 281},
    "aarch64": {22, 63, 64, 72, 73, 203, 206, 207, 211, 212},
}

#: For ``until_blocked()``: close(2), which waits if the socket has SO_LINGER.
IN_CLOSE = {"x86_64": {3}, "aarch64": {57}}


def until(condition: Callable[[], Any], what: str, timeout: float = DEADLINE) -> Any:
    """Return the first true value of *condition*; fail after *timeout* seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        select.select([], [], [], _POLL)
    return value


def at_last(attempt: Callable[[], Any], times: int = 5) -> Any:
    """Repeat an *attempt* that a busy machine may fail; one of *times* must succeed.

    A bug fails all of them, but a moment of load does not.
    """
    while True:
        times -= 1
        try:
            return attempt()
        except AssertionError:
            if times == 0:
                raise


def readable(fd: Any, timeout: float = DEADLINE) -> bool:
    """Returns whether *fd* becomes readable (data, end of file or error) in time."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(timeout * 1000))


def exited(pid: int, timeout: float = DEADLINE) -> bool:
    """Returns whether the process *pid* ends in time.  It need not be our child."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return readable(pidfd, timeout)
    finally:
        os.close(pidfd)


def gone(pid: int, timeout: float = DEADLINE) -> None:
    """Wait until *pid* has ended and was reaped."""
    if not exited(pid, timeout):
        raise AssertionError(f"process {pid} still runs after {timeout} s")
    until(lambda: not os.path.exists(f"/proc/{pid}"), f"process {pid} reaped", timeout)


def until_blocked(
    thread: threading.Thread,
    timeout: float = DEADLINE,
    calls_of: dict[str, set[int]] = _WAITING,
) -> None:
    """Wait until *thread* is blocked in a system call that waits for a stream.

    - calls_of: the numbers of these system calls, by machine.
    """
    calls = calls_of.get(os.uname().machine)

    def blocked() -> bool:
        assert thread.is_alive(), "the thread ended instead of blocking"
        task = f"/proc/self/task/{thread.native_id}"
        try:
            with open(f"{task}/stat", encoding="ascii") as f:
                if f.read().rpartition(")")[2].split()[0] != "S":
                    return False
            with open(f"{task}/syscall", encoding="ascii") as f:
                number = f.read().split()[0]
        except OSError:  # the thread has only just started, or has just ended
            return False
        return number.isdigit() and (calls is None or int(number) in calls)

    until(blocked, "thread blocked in a system call", timeout)


def until_process_state(pid: int, states: str, timeout: float = DEADLINE) -> None:
    """Wait until process *pid* is in one of *states* (ps(1): R S D T Z)."""

    def there() -> bool:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] in states

    until(there, f"process {pid} in state {states}", timeout)


class Worker(threading.Thread):
    """A thread; ``result()`` returns its result or raises its exception."""

    def __init__(self, target: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = (target, args)
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        target, args = self._call
        try:
            self._value = target(*args)
        except BaseException as error:
            self._error = error

    def result(self, timeout: float = 4 * DEADLINE) -> Any:
        self.join(timeout)
        if self.is_alive():
            frame = sys._current_frames().get(self.ident or 0)
            where = f"{frame.f_code.co_name}:{frame.f_lineno}" if frame else "?"
            raise AssertionError(f"thread still runs after {timeout} s, in {where}")
        # Break the reference cycle exception -> traceback -> frame -> self.
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value
