# SPDX-License-Identifier: BSD-2-Clause
"""Proxy: a proxy command that can be started any number of times."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sshgateway import _core
from sshgateway._messages import config_invalid

__all__ = ["Proxy", "check_host", "check_user", "expand"]

#: readconf.c ssh_valid_hostname() and ssh_valid_ruser(), since OpenSSH 9.6.
_NOT_IN_HOSTS = frozenset("'`\"$\\;&<>|(){},")
_NOT_IN_USERS = frozenset("'`\";&<>|(){}")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy command, with its tokens expanded."""

    #: A line for a shell, or the arguments.
    command: str | tuple[str, ...]
    #: ProxyUseFdpass of ssh_config(5): the command passes a connected socket and exits.
    fdpass: bool = False
    #: (host, port) for the stream's ``getpeername()``.
    peername: tuple[str, int] | None = None

    def start(self, timeout: float | None) -> socket.socket | _core.Stream:
        """Start the command and return its stream.

        - timeout (float or None): seconds to wait for the socket of fdpass.

        Raises ProxyCommandError, and TimeoutError(ETIMEDOUT, text).
        """
        options: dict[str, Any] = {"peername": self.peername}
        if self.fdpass:
            options |= {"fdpass": True, "timeout": timeout}
        if isinstance(self.command, str):
            return _core.ProxyCommand(self.command, shell=True, **options)
        return _core.ProxyCommand(self.command, **options)

    @property
    def program(self) -> str:
        """The first word of the command, for logs: the rest may hold a password."""
        words = self.command.split() if isinstance(self.command, str) else self.command
        return words[0] if words else ""

    def __str__(self) -> str:
        return self.command if isinstance(self.command, str) else shlex.join(self.command)


def check_host(host: str, what: str = "host") -> str:
    """Return *host*, if neither a shell nor a program can misread it as something else.

    - what (str): the name of the value, for the error.

    The rules are those of OpenSSH since 9.6 (CVE-2023-51385). The host must not hold a user, a
    path or a URI either.

    Raises ConfigError.
    """
    bad = not host or host[0] == "-" or any(c.isspace() or not c.isprintable() for c in host)
    if bad or "@" in host or "/" in host or _NOT_IN_HOSTS.intersection(host):
        raise config_invalid(
            f"{what} {host!r} is refused: it is empty, starts with '-', or holds characters "
            "that a shell could interpret"
        )
    return host


def check_user(user: str) -> str:
    """Return *user*, if neither a shell nor a program can misread it; else as check_host()."""
    bad = not user or user[0] == "-" or user[-1] == "\\" or not user.isprintable()
    if bad or " -" in user or _NOT_IN_USERS.intersection(user):
        raise config_invalid(
            f"user {user!r} is refused: it is empty, starts with '-', or holds characters "
            "that a shell could interpret"
        )
    return user


def expand(text: str, tokens: Mapping[str, str], *, variables: bool = False) -> str:
    """Expand the tokens of ssh_config(5), TOKENS, in *text*.

    - tokens (mapping): the values, by the letters of the tokens. "%%" needs none.
    - variables (bool): True also expands ${NAME} (ENVIRONMENT VARIABLES).

    One pass: values are not expanded again. Raises ConfigError for unknown tokens and
    variables that are not set.
    """

    def replace(found: re.Match[str]) -> str:
        if found[0].startswith("$"):
            if found[1] not in os.environ:
                raise config_invalid(f"{text!r} names ${{{found[1]}}}, which is not set")
            return os.environ[found[1]]
        token = found[0][1:]
        if token != "%" and token not in tokens:
            known = " ".join(f"%{name}" for name in tokens)
            raise config_invalid(f"{text!r} has the token %{token}; known are %% {known}")
        return "%" if token == "%" else tokens[token]

    return re.sub(r"\$\{([^}]*)\}|%.?" if variables else r"%.?", replace, text, flags=re.DOTALL)
