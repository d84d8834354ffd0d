# SPDX-License-Identifier: BSD-2-Clause
"""The exceptions of sshgateway, and the words they are raised with.

Every one is an ``OSError`` with exactly two arguments, ``(errno, text)``:
Paramiko formats ``e.args[1], e.args[0]`` and dies of anything else.  And as
``OSError(ENOENT, ...)`` makes a ``FileNotFoundError``, so does ours: an error
is always also an instance of the standard class of its errno.
"""

from __future__ import annotations

import os
import shlex
import signal
from errno import EACCES, ENOENT, ENOEXEC
from typing import Any, Self

__all__ = ["Error", "ProxyCommandError"]

_LAST_LINES = 3
_LONGEST_TEXT = 600


class Error(OSError):
    """Base of the exceptions of this package; ``args`` is (errno, text)."""

    def __new__(cls, errno: int, text: str, /, **attributes: Any) -> Self:
        standard = type(OSError(errno, text))
        both = cls if issubclass(cls, standard) else _also(cls, standard)
        return super().__new__(both, errno, text)

    def __init__(self, errno: int, text: str, /, **attributes: Any) -> None:
        super().__init__(errno, text)
        self.__dict__.update(attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        # The class that was combined below has no importable name.
        cls = getattr(type(self), "_plain", type(self))
        return _rebuild, (cls, *self.args), self.__dict__


class ProxyCommandError(Error):
    """A proxy command could not be executed, or ended with a failure.

    It is also the standard class of its errno: ``FileNotFoundError`` and the
    like when the command can't be executed, ``ConnectionResetError`` when
    ``recv`` tells that it failed, ``BrokenPipeError`` from ``send`` after
    that.
    """

    #: The command that was executed, as a list of str.
    command: list[str]
    #: Its exit status, or minus the number of a signal; None when it never
    #: ran, still runs, or was reaped by somebody else.
    returncode: int | None = None
    #: The last of what it wrote to stderr.
    stderr: str = ""


_made: dict[tuple[type[Error], type[OSError]], type[Error]] = {}


def _also(cls: type[Any], standard: type[OSError]) -> type[Any]:
    """The class that is both, under the name of the first."""
    if (cls, standard) not in _made:
        names = {"__module__": cls.__module__, "__doc__": cls.__doc__, "_plain": cls}
        _made[cls, standard] = type(cls.__name__, (cls, standard), names)
    return _made[cls, standard]


def _rebuild(cls: type[Error], errno: int, text: str) -> Error:
    return cls(errno, text)


# ---- Made for _core ---------------------------------------------------------


def last_lines(stderr: str) -> str:
    """The end of a program's stderr, as one line."""
    lines = [line.strip() for line in stderr.splitlines()]
    text = " | ".join([line for line in lines if line][-_LAST_LINES:])
    return text if len(text) <= _LONGEST_TEXT else "..." + text[-_LONGEST_TEXT:]


def shown(command: list[str]) -> str:
    """A command as one would type it, within bounds."""
    text = shlex.join(command)
    return repr(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "...")


def how_it_ended(returncode: int | None) -> str:
    """A return code in words, as a shell's user would say it."""
    if returncode is None:
        return "has not ended"
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def _its_words(stderr: str) -> str:
    words = last_lines(stderr)
    return f": {words}" if words else " and wrote nothing to stderr"


def proxy_ended(
    errno: int, command: list[str], returncode: int | None, stderr: str
) -> ProxyCommandError:
    text = f"proxy command {shown(command)} {how_it_ended(returncode)}{_its_words(stderr)}"
    return ProxyCommandError(errno, text, command=command, returncode=returncode, stderr=stderr)


_CURES = {
    ENOENT: "; is {!r} installed, and in PATH?",
    EACCES: "; is {!r} executable?",
    ENOEXEC: "; if {!r} is a script, its first line must name an interpreter",
}


def proxy_not_executed(errno: int, command: list[str]) -> ProxyCommandError:
    text = (
        f"cannot execute proxy command {shown(command)}: "
        f"{os.strerror(errno)}{_CURES.get(errno, '').format(command[0])}"
    )
    return ProxyCommandError(errno, text, command=command)


def proxy_not_in_directory(errno: int, command: list[str], cwd: object) -> ProxyCommandError:
    text = f"cannot run proxy command {shown(command)} in {cwd!r}: {os.strerror(errno)}"
    return ProxyCommandError(errno, text, command=command)


def proxy_handed_over_nothing(
    errno: int, command: list[str], returncode: int | None, stderr: str
) -> ProxyCommandError:
    text = (
        f"proxy command {shown(command)} handed over no socket "
        f"(fdpass): {os.strerror(errno)}; it {how_it_ended(returncode)}"
        f"{_its_words(stderr)}"
    )
    return ProxyCommandError(errno, text, command=command, returncode=returncode, stderr=stderr)


def proxy_too_slow(errno: int, command: list[str]) -> TimeoutError:
    text = f"proxy command {shown(command)} handed over no socket in time"
    return TimeoutError(errno, text)
