# SPDX-License-Identifier: BSD-2-Clause
"""Proxy: a proxy command that can be started any number of times."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from sshgateway import _core
from sshgateway._messages import config_invalid

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike, StrOrBytesPath

__all__ = [
    "Proxy",
    "ProxyCommandParameters",
    "check_host",
    "check_user",
    "check_values",
    "expand",
    "first_word",
]

#: readconf.c ssh_valid_hostname() and ssh_valid_ruser(), since OpenSSH 9.6.
_NOT_IN_HOSTS = frozenset("'`\"$\\;&<>|(){},")
_NOT_IN_USERS = frozenset("'`\";&<>|(){}")
#: Further characters that some shell interprets outside quotes. No host has them.
_NOT_IN_HOSTS_FOR_SHELLS = frozenset("#~*?[]!^=")
#: The characters that no shell interprets outside quotes, apart from letters and digits.
_BARE = frozenset("-._@+:,/")


class ProxyCommandParameters(TypedDict, total=False):
    """The keyword parameters of ``ProxyCommand``, for functions that pass them on."""

    shell: bool
    stderr: FileDescriptorLike | None
    env: Mapping[Any, Any] | None
    cwd: StrOrBytesPath | None
    start_new_session: bool
    peername: Any
    linger: float
    fdpass: bool
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy command, with its tokens expanded."""

    #: A line for a shell, or the arguments.
    command: str | tuple[str, ...]
    #: ProxyUseFdpass of ssh_config(5): the command passes a connected socket and exits.
    fdpass: bool = False
    #: (host, port) for the stream's ``getpeername()``.
    peername: tuple[str, int] | None = None

    def start(self, timeout: float | None) -> socket.socket:
        """Start the command and return its stream.

        - timeout (float or None): seconds to wait for the socket of fdpass.

        Raises ProxyCommandError, and TimeoutError(ETIMEDOUT, text).
        """
        is_line = isinstance(self.command, str)
        options: ProxyCommandParameters = {"shell": is_line, "peername": self.peername}
        if self.fdpass:
            options |= {"fdpass": True, "timeout": timeout}
        return _core.ProxyCommand(self.command, **options)

    @property
    def program(self) -> str:
        """The first word of the command, for messages and logs."""
        return first_word(self.command)

    def __str__(self) -> str:
        return self.command if isinstance(self.command, str) else shlex.join(self.command)


def check_host(host: str, what: str = "host", *, slash: bool = False) -> str:
    """Return *host*, if neither a shell nor a program can misread it as something else.

    - what (str): the name of the value, for the error.
    - slash (bool): the host may hold a "/", as a name in ssh_config may.

    The rules are those of OpenSSH since 9.6 (CVE-2023-51385). The host must not hold a user, a
    path or a URI either.

    Raises ConfigError.
    """
    bad = not host or host[0] == "-" or " " in host or not host.isprintable()
    has_path = "://" in host or (not slash and "/" in host)
    if bad or has_path or "@" in host or _NOT_IN_HOSTS.intersection(host):
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


def first_word(command: str | Sequence[str]) -> str:
    """The program of a command, for messages and logs: the other words may hold a password.

    Variables that the command sets for the program, as in "TOKEN=secret nc", are left out too.
    """
    words = command.split() if isinstance(command, str) else command
    programs = (word for word in words if not re.match(r"[A-Za-z_]\w*=", word))
    return next(programs, "")


def _places(command: str) -> Iterator[tuple[str, str]]:
    """Yield the letter of each token of a command line for a shell, and its quotes: "'", '"',
    or "" if the token is bare.

    Quotes count only around a simple text, such as "%r@%h". Inside of other quotes there may be
    a command line for another shell, as in sh -c "nc %r"; its tokens count as bare. The tokens
    of a line with substitutions ($(...), `...`) or $'...' all do.
    """
    is_plain = re.search(r"`|\$[('\"]", command) is None
    pieces = r"\\[^%]|'[^']*'|\"(?:\\.|[^\"\\])*\"|%.|."
    for found in re.finditer(pieces, command, re.DOTALL):
        piece, quotes = found[0], ""
        if len(piece) > 2 and piece[0] in "'\"":
            if is_plain and re.fullmatch(r"[\w@%+=:,./-]*", piece[1:-1]):
                quotes = piece[0]
        elif piece[0] != "%":
            continue
        for token in re.findall(r"%(.)", piece, re.DOTALL):
            yield token, quotes


def check_values(command: str, tokens: Mapping[str, str]) -> None:
    """Check that the shell that runs a command takes the values of its tokens as they are.

    - command (str): the command line, with its tokens not expanded.
    - tokens (mapping): the values, by the letters of the tokens. "r" is a user, and "h", "k" and
      "n" are hosts.

    The rules of OpenSSH, which ``check_host()`` and ``check_user()`` apply, accept a user with
    white space, "$", "#", "~", "*", "?" or "[", which a shell interprets outside quotes. Here a
    user for a bare %r may hold letters, digits and -._@+:,/ only.

    Raises ConfigError.
    """
    for token, quotes in _places(command):
        value = tokens.get(token, "")
        if token == "r":
            check_user(value)
            bad = _interpreted(value, quotes)
        elif token in ("h", "k", "n") and not quotes:
            bad = "".join(c for c in value if c in _NOT_IN_HOSTS_FOR_SHELLS)
        else:
            continue
        if bad:
            what = "user" if token == "r" else "host"
            where = f"between {quotes}" if quotes else "without quotes"
            raise config_invalid(
                f"{what} {value!r} is refused: a shell could interpret {bad[0]!r} in it, because "
                f"the command {first_word(command)!r} has %{token} {where}; "
                f"write '%{token}'"
            )


def _interpreted(user: str, quotes: str) -> str:
    """The characters of a user name that a shell could interpret between these quotes, apart
    from those that ``check_user()`` refuses."""
    if not quotes:
        return "".join(c for c in user if not c.isalnum() and c not in _BARE)
    return "".join(c for c in ("$", "\\\\") if quotes == '"' and c in user)


def expand(
    text: str, tokens: Mapping[str, str], *, variables: bool = False, name: str | None = None
) -> str:
    """Expand the tokens of ssh_config(5), TOKENS, in *text*.

    - tokens (mapping): the values, by the letters of the tokens. "%%" needs none.
    - variables (bool): True also expands ${NAME} (ENVIRONMENT VARIABLES).
    - name (str): the name of the text in an error, if the text may hold a secret. Default:
      the text itself.

    One pass: values are not expanded again. Raises ConfigError for unknown tokens and
    variables that are not set.
    """

    name = repr(text) if name is None else name

    def replace(found: re.Match[str]) -> str:
        if found[0].startswith("$"):
            if found[1] not in os.environ:
                raise config_invalid(f"{name} names ${{{found[1]}}}, which is not set")
            return os.environ[found[1]]
        token = found[0][1:]
        if token != "%" and token not in tokens:
            known = " ".join(f"%{letter}" for letter in tokens)
            raise config_invalid(f"{name} has the token %{token}; known are %% {known}")
        return "%" if token == "%" else tokens[token]

    return re.sub(r"\$\{([^}]*)\}|%.?" if variables else r"%.?", replace, text, flags=re.DOTALL)
