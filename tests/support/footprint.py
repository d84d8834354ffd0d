# SPDX-License-Identifier: BSD-2-Clause
"""The resources of a process: descriptors, children, threads, memory.

Call ``Snapshot.take()`` before and ``leftovers()`` afterwards.  The autouse guard in
``tests/conftest.py`` and the scripts in ``tests/isolated`` both use it.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from dataclasses import dataclass

from support import waiting


def descriptors() -> dict[int, str]:
    """Open descriptors of this process: number -> the file it refers to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor of listdir, or one that was closed meanwhile
            continue
    return found


def native_threads() -> set[int]:
    """Ids of all threads that the kernel counts, including those without Python."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def _children_of(pid: int) -> list[int]:
    """Children according to /proc/PID/task/*/children, or by a scan of /proc without that file."""
    pids: list[int] = []
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/children", encoding="ascii") as f:
                pids += [int(word) for word in f.read().split()]
        return pids
    except (FileNotFoundError, ProcessLookupError):
        pass
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                if int(f.read().rpartition(")")[2].split()[1]) == pid:
                    pids.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pids


def children(pid: int | None = None) -> dict[int, str]:
    """Children, including zombies: pid -> "state (name)"."""
    found = {}
    for child in _children_of(os.getpid() if pid is None else pid):
        try:
            with open(f"/proc/{child}/stat", encoding="utf-8", errors="replace") as f:
                head, _, tail = f.read().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[child] = f"{tail.split()[0]} {head.partition(' ')[2]})"
    return found


def rss_kib() -> int:
    """Resident memory in KiB."""
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def allocated_kib() -> int:
    """Memory that malloc has handed out, in KiB; resident memory without mallinfo2().

    Resident memory goes up and down by megabytes as threads start and end, because each
    thread has an arena of malloc.
    """
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return rss_kib()
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd) // 1024


def cpu_seconds() -> float:
    """Processor time of this process, all its threads included."""
    return time.process_time()


@dataclass(frozen=True)
class Snapshot:
    fds: frozenset[tuple[int, str]]
    children: frozenset[int]
    native: frozenset[int]
    threads: frozenset[threading.Thread]

    @classmethod
    def take(cls) -> Snapshot:
        return cls(
            frozenset(descriptors().items()),
            frozenset(children()),
            frozenset(native_threads()),
            frozenset(threading.enumerate()),
        )

    def leftovers(self) -> list[str]:
        """Descriptions of what exists now and did not exist in the snapshot."""
        left = [
            f"descriptor {fd} -> {what}"
            for fd, what in sorted(descriptors().items())
            if (fd, what) not in self.fds
        ]
        left += [
            f"child {pid}: {what}"
            for pid, what in sorted(children().items())
            if pid not in self.children
        ]
        known = {t.native_id for t in threading.enumerate()}
        left += [f"thread {t!r}" for t in threading.enumerate() if t not in self.threads]
        left += [
            f"thread {tid} (without Python)"
            for tid in sorted(native_threads() - self.native - known)
        ]
        return left

    def wait_clean(self, timeout: float = waiting.DEADLINE) -> list[str]:
        """Wait until nothing is left over; return what is left after *timeout* seconds.

        The engine's thread ends and closes its descriptors a moment after the last child was
        reaped.  Outside of the engine no event reports that (a pidfd of a thread needs Linux
        6.9), hence the short bounded waits.  The ends of children are awaited by pidfd first.
        """
        end = time.monotonic() + timeout
        for pid in set(children()) - self.children:
            waiting.exited(pid, max(0.0, end - time.monotonic()))
        try:
            waiting.until(lambda: not self.leftovers(), "clean", max(0.0, end - time.monotonic()))
        except AssertionError:
            return self.leftovers()
        return []
