# SPDX-License-Identifier: BSD-2-Clause
"""Runs one server, and removes everything of it afterwards.

It is a process of its own: ``python keeper.py DIRECTORY SHARED READY COMMAND...`` starts
COMMAND and appends its output to DIRECTORY/log.  It prints "ready" as soon as the log
contains READY, or "ended" if the command ended before that.  When its standard input
ends, because the parent closed it or died, it kills COMMAND and all its descendants,
daemons included, and removes DIRECTORY.

SHARED, if not empty, is a directory that several such servers need.  The first makes it,
the last removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

PAUSE = 5  # milliseconds between two reads of the log, which is a file

# A shared directory with this mode was made by a keeper.
OURS = 0o700


def take_shared(path: Path) -> int:
    """Make the directory unless it exists; return a descriptor whose lock keeps it."""
    while True:
        with suppress(FileExistsError):
            path.mkdir(OURS)
        with suppress(FileNotFoundError):
            kept = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(kept, fcntl.LOCK_SH)
            if os.fstat(kept).st_nlink > 0:  # it was not removed before we had the lock
                return kept
            os.close(kept)


def drop_shared(path: Path, kept: int) -> None:
    """Remove the directory if a keeper made it and no other keeper uses it."""
    with suppress(OSError):
        fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(kept).st_mode & 0o777 == OURS:
            path.rmdir()
    os.close(kept)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def children() -> list[int]:
    """The ids of our children: those we started and those we adopted."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            # The state and the parent follow the name, which may contain spaces and parentheses.
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(pid)
    return found


def kill_descendants() -> None:
    """Kill children until there are none; the children of a dead child become ours."""
    with suppress(ChildProcessError):
        while True:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def tell_when_ready(server: subprocess.Popen[bytes], log: Path, ready: bytes) -> None:
    """Report on stdout that the server is ready or has ended, unless stdin ends first."""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    while True:
        has_ended = server.poll() is not None
        if ready in log.read_bytes():
            os.write(1, b"ready\n")
        elif has_ended:
            os.write(1, b"ended\n")
        elif poller.poll(PAUSE):
            pass
        else:
            continue
        return


def serve(directory: Path, ready: str, command: tuple[str, ...]) -> None:
    """Run the command until standard input ends."""
    adopt_orphans()
    # The log is a file, not a pipe, so the server's output is there before its answers.
    path = directory / "log"
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with suppress(BrokenPipeError):
        tell_when_ready(server, path, ready.encode())
    while os.read(0, 1):
        pass


def main(directory: str, shared: str, ready: str, *command: str) -> None:
    kept = take_shared(Path(shared)) if shared else -1
    try:
        serve(Path(directory), ready, command)
    finally:
        kill_descendants()
        if shared:
            drop_shared(Path(shared), kept)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
