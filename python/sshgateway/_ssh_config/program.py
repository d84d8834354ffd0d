# SPDX-License-Identifier: BSD-2-Clause
"""The program ssh on PATH: whether it is OpenSSH, its version, and the options it prints.

Other SSH clients are installed under the name ssh too. Dropbear's client logs in when it is given
``-G``, so no program gets ``-G`` before its answer to ``-V`` has identified it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import signal
import stat
import subprocess
import threading
import warnings
from dataclasses import dataclass

from sshgateway._deadline import Deadline
from sshgateway._messages import printable
from sshgateway._ssh_config.options import Options

__all__ = ["Program", "SshFailed", "find_program", "run", "warn_once", "which_ssh"]

#: Seconds that a program may take to print its version.
_LONGEST_WAIT = 3.0
#: The number of bytes that are read of each output of a program.
_MOST_OUTPUT = 1 << 20
#: The first version with ``-G``, and the first whose files reader.py reads.
_FIRST_WITH_G = (6, 8)
_FIRST_THAT_IS_READ = (8, 7)

#: By process, because a lock that is held during fork() stays locked in the child.
_locks: dict[int, threading.Lock] = {}
#: The verdicts, by path and the program's inode, size and times.
_verdicts: dict[tuple[object, ...], Program | str] = {}
#: Seconds for which programs did not answer, in all calls together.
_waited: dict[tuple[object, ...], float] = {}
#: The errors of execve(2) that a program keeps. Others, such as EMFILE, pass.
_LASTING = (errno.ENOENT, errno.ENOEXEC, errno.EACCES, errno.EPERM)
#: The paths of the programs that this process has warned about.
_warned: set[str] = set()


class SshFailed(Exception):  # noqa: N818
    """The program failed; the text is its stderr."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is OpenSSH's client."""

    path: str
    #: For example (9, 2).
    version: tuple[int, int]
    #: Identifies this version of the file, for caches.
    identity: tuple[object, ...]

    @property
    def is_read_alike(self) -> bool:
        """Whether reader.py reads the files as this program does."""
        return self.version >= _FIRST_THAT_IS_READ

    def options_of(self, arguments: list[str], deadline: Deadline) -> Options:
        """Return the options that ``ssh -G`` prints, by keyword in lower case.

        An answer without a hostname line does not count; a UserWarning says so.

        Raises SshFailed, subprocess.TimeoutExpired, and OSError if it cannot be executed.
        """
        code, said, complaint = run([self.path, "-G", *arguments], deadline.left())
        if code != 0:
            raise SshFailed(os.fsdecode(complaint))
        options: Options = {}
        for line in os.fsdecode(said).split("\n"):
            keyword, _, value = line.partition(" ")
            if keyword:
                options.setdefault(keyword.lower(), []).append(value)
        if "hostname" not in options:
            warn_once(self.path, "its answer to -G has no hostname")
        return options


def find_program(deadline: Deadline) -> Program | None:
    """Return the program ssh on PATH if it is an OpenSSH with ``-G``.

    Otherwise returns None, after a UserWarning if there is a program that cannot be used.

    Raises subprocess.TimeoutExpired if the deadline is too early for a verdict.
    """
    found = which_ssh()
    if found is None:
        return None
    path, status = found
    identity = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    verdict = _verdicts.get(identity)
    if verdict is None:
        # One thread asks the program, and the others wait for the verdict.
        lock = _locks.setdefault(os.getpid(), threading.Lock())
        left = deadline.left()
        if not lock.acquire(timeout=-1 if left is None else left):
            raise subprocess.TimeoutExpired([path, "-V"], left or 0)
        try:
            verdict = _verdicts.get(identity)
            if verdict is None:
                verdict = _identify(path, identity, deadline.left())
        finally:
            lock.release()
    if isinstance(verdict, Program):
        return verdict
    warn_once(path, verdict)
    return None


def which_ssh() -> tuple[str, os.stat_result] | None:
    """Return the path of the program ssh on PATH, and its status.

    Empty entries of PATH, which mean the working directory, are left out.
    """
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if not directory:
            continue
        path = os.path.join(directory, "ssh")
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode) and os.access(path, os.X_OK):
            return path, status
    return None


def _identify(path: str, identity: tuple[object, ...], left: float | None) -> Program | str:
    """Ask a program for its version. Returns the reason if it cannot be used.

    - left (float or None): seconds that the caller has. The program gets half of them, so that
      the caller can go on without it.

    Raises subprocess.TimeoutExpired if the program has had less time than it may take, in this
    call and earlier ones together.
    """
    verdict: Program | str
    seconds = _LONGEST_WAIT if left is None else min(_LONGEST_WAIT, left / 2)
    try:
        _, _, said = run([path, "-V"], seconds)
    except subprocess.TimeoutExpired:
        waited = _waited.get(identity, 0.0) + seconds
        _waited[identity] = waited
        if waited < _LONGEST_WAIT:
            raise
        verdict = f"it did not answer -V within {waited:.1f} s"
    except OSError as error:
        verdict = f"it cannot be executed: {error.strerror}"
        if error.errno not in _LASTING:
            return verdict
    else:
        banner = os.fsdecode(said).split("\n")[0]
        found = re.match(r"OpenSSH_(\d+)\.(\d+)", banner)
        if found is None:
            verdict = f"it is not OpenSSH: its answer to -V is {printable(banner)[:60]!r}"
        elif (version := (int(found[1]), int(found[2]))) < _FIRST_WITH_G:
            verdict = f"{printable(banner)[:60]} is too old: it has no option -G"
        else:
            verdict = Program(path, version, identity)
    if len(_verdicts) > 100:
        _verdicts.clear()
    _verdicts[identity] = verdict
    return verdict


def warn_once(path: str, reason: str) -> None:
    """Warn that a program is not used, once per process and path."""
    if path in _warned:
        return
    _warned.add(path)
    warnings.warn(
        f"the program {path} is not used to read ssh_config, because {reason}; sshgateway reads "
        "the files itself",
        UserWarning,
        stacklevel=2,
    )


def run(command: list[str], seconds: float | None) -> tuple[int, bytes, bytes]:
    """Run a program without input, in a session of its own.

    - seconds (float or None): the time that it may take; None means no limit.

    Returns its exit status, stdout and stderr, of which only the first part is read. The program
    and its children are killed at the end of the time, or if there is more output.

    Raises subprocess.TimeoutExpired, and OSError if the program cannot be executed.
    """
    deadline = Deadline(seconds)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that the commands of Match exec end with it
    ) as program:
        try:
            said, complaint = _outputs(program, deadline)
            program.wait(deadline.left())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            raise
    return program.returncode, said, complaint


def _outputs(program: subprocess.Popen[bytes], deadline: Deadline) -> tuple[bytes, bytes]:
    """Read stdout and stderr until the program has ended. Kills a program that writes too much.

    A child that it leaves in the background, by Match exec, may hold the pipes open.
    """
    assert program.stdout is not None and program.stderr is not None
    outputs = (bytearray(), bytearray())
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        if hasattr(os, "pidfd_open"):
            pidfd = os.pidfd_open(program.pid)
            stack.callback(os.close, pidfd)
            selector.register(pidfd, selectors.EVENT_READ, None)
        for pipe, output in zip((program.stdout, program.stderr), outputs, strict=True):
            selector.register(pipe, selectors.EVENT_READ, output)
        while selector.get_map():
            left = deadline.left()
            ready = selector.select(left)
            if not ready and left is not None and deadline.left() == 0:
                raise subprocess.TimeoutExpired(program.args, left)
            has_ended = [key for key, _ in ready if key.data is None]
            ready = [(key, events) for key, events in ready if key.data is not None]
            if has_ended and not ready:
                break  # it is a zombie, and the pipes are empty
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
                elif len(key.data) > _MOST_OUTPUT:
                    os.killpg(program.pid, signal.SIGKILL)
                    return bytes(outputs[0]), bytes(outputs[1])
    return bytes(outputs[0]), bytes(outputs[1])
