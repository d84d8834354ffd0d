# SPDX-License-Identifier: BSD-2-Clause
"""Turn the arguments of ProxyCommand into those of execve(2), before the fork."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping

#: One argument of a command, as in subprocess.
Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: The result of prepare().
Plan = tuple[
    list[str],
    tuple[bytes, ...],
    tuple[bytes, ...],
    tuple[bytes, ...] | None,
    bytes | None,
]


def prepare(
    command_line: str | Iterable[Argument],
    shell: bool,
    env: Mapping[Argument, Argument] | None,
    cwd: Argument | None,
) -> Plan:
    """Return the arguments of execve(2) for a proxy command; called by _core.

    - command_line (str or iterable of arguments): the command.
    - shell (bool): True has the user's shell run it, as OpenSSH does.
    - env (mapping or None): the environment of the command; None inherits ours.
    - cwd (path or None): its working directory; None inherits ours.

    Returns (command as a list of str, argv, the paths to try, the environment or None, the
    directory or None).

    Raises ValueError if the command is empty or cannot be passed to execve(2), and TypeError
    for arguments of a wrong type.
    """
    argv = tuple(_encode(argument) for argument in _split(command_line, shell))
    if not argv or not argv[0]:
        raise ValueError("empty proxy command")
    return (
        [os.fsdecode(argument) for argument in argv],
        argv,
        _paths(argv[0], env),
        None if env is None else tuple(_variable(*item) for item in env.items()),
        None if cwd is None else _encode(cwd),
    )


def _split(command_line: str | Iterable[Argument], shell: bool) -> list[Argument]:
    """Return the arguments. A shell gets "exec" in front, as OpenSSH runs a ProxyCommand."""
    if isinstance(command_line, str):
        if not shell:
            return list(shlex.split(command_line))
        if not command_line.strip():
            return []
        return [os.environ.get("SHELL") or "/bin/sh", "-c", "exec " + command_line]
    if shell:
        raise TypeError("with shell=True, command_line must be a str")
    if isinstance(command_line, (bytes, bytearray, os.PathLike)):
        raise TypeError(
            "command_line must be a str or a sequence of arguments, "
            f"not {type(command_line).__name__}"
        )
    return list(command_line)


def _encode(argument: Argument) -> bytes:
    encoded = os.fsencode(argument)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


def _variable(name: Argument, value: Argument) -> bytes:
    encoded = _encode(name)
    if b"=" in encoded or not encoded:
        raise ValueError(f"illegal environment variable name: {name!r}")
    return encoded + b"=" + _encode(value)


def _paths(program: bytes, env: Mapping[Argument, Argument] | None) -> tuple[bytes, ...]:
    """The paths to try: in the PATH of the child's environment, as subprocess does."""
    if b"/" in program:
        return (program,)
    variables = None if env is None else {os.fsdecode(k): os.fsdecode(v) for k, v in env.items()}
    directories = os.get_exec_path(variables)
    return tuple(os.path.join(os.fsencode(d), program) for d in directories)
