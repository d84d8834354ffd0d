# SPDX-License-Identifier: BSD-2-Clause
"""Clocks: time, CPU time of processes, memory, threads, descriptors."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable


def cpu_of(pids: Iterable[int]) -> float:
    """The CPU time that these processes have used, in seconds.

    Uses the clock of clock_getcpuclockid(3), which on Linux counts nanoseconds;
    /proc/PID/stat counts hundredths of a second.
    """
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


class Stopwatch:
    """Elapsed time and CPU time since its creation, of this process and of others."""

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
    """Wait until our child *pid* has been reaped, whichever thread reaps it."""
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
    """The number of voluntary context switches of this process's threads so far."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        total += int(fields["voluntary_ctxt_switches"])
    return total


def footprint() -> dict[str, int]:
    """Resident memory in KiB, threads and descriptors of this process."""
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
    """CPU seconds of this process and of its reaped children."""
    return sum(os.times()[:4])
