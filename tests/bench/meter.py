# SPDX-License-Identifier: BSD-2-Clause
"""Clocks: time, CPU time of processes, memory, threads, descriptors."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable


def cpu_of(pids: Iterable[int]) -> float:
    """The CPU time that these processes have used, in seconds.

    By the clock that clock_getcpuclockid(3) gives on Linux, which counts
    nanoseconds; /proc/PID/stat counts hundredths.
    """
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


class Stopwatch:
    """Time and CPU time from its making, of us and of other processes."""

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = list(pids)
        self._others = cpu_of(self._pids)
        self._cpu = time.process_time()
        self._start = time.perf_counter()

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self._start
        self.cpu = time.process_time() - self._cpu
        self.cpu_others = cpu_of(self._pids) - self._others


def await_reaped(pid: int, timeout: float = 10) -> None:
    """Return when nothing is left of that child of ours, whoever reaps it."""
    deadline = time.monotonic() + timeout
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([pidfd], [], [], timeout)
    finally:
        os.close(pidfd)
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0)
    raise TimeoutError(f"process {pid} was not reaped in {timeout} s")


def wake_ups() -> int:
    """How often threads of this process went to sleep of themselves, so far."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        total += int(fields["voluntary_ctxt_switches"])
    return total


def footprint() -> dict[str, int]:
    """Resident KiB, threads and descriptors of this process."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {
        "rss": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "fds": len(os.listdir("/proc/self/fd")),
    }


def busy() -> float:
    """CPU seconds that all processes of this machine have used so far."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(
            int, stat.readline().split()[1:9]
        )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """CPU seconds of ours, and of the children that were reaped."""
    return sum(os.times()[:4])
