# SPDX-License-Identifier: BSD-2-Clause
"""The value of ProxyJump, as OpenSSH's parse_jump() reads it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

__all__ = ["Jump", "parse_jump"]

#: A user may hold any characters that no version of OpenSSH treats differently.
_USER = r"[A-Za-z0-9._+=@:%\\-]+"
_HOST = r"[A-Za-z0-9_.][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\]"
_PLAIN = re.compile(rf"(?:({_USER})@)?({_HOST})(?::([0-9]{{0,5}}))?")
_URI = re.compile(
    r"ssh://(?:((?:[A-Za-z0-9._+=-]|%[2-7][0-9A-Fa-f])+)(?:;[^,@/\s]*)?@)?"
    r"([A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?=[A-Za-z0-9_-]))*)(?::([0-9]{1,5}))?/?"
)


class Jump(NamedTuple):
    """The last host of a ProxyJump, which is the one that ssh(1) connects to."""

    #: The hosts before it, as they are written; None if there are none.
    extra: str | None
    user: str | None
    host: str
    #: 0 if there is none.
    port: int

    def __str__(self) -> str:
        """The form in which ``ssh -G`` prints it."""
        is_numeric = ":" in self.host or not self.host.strip("1234567890.")
        return "".join(
            (
                f"{self.extra}," if self.extra else "",
                f"{self.user}@" if self.user else "",
                f"[{self.host}]" if is_numeric else self.host,
                f":{self.port}" if self.port else "",
            )
        )


def parse_jump(text: str) -> Jump | None:
    """Parse a ProxyJump; None stands for "none".

    Raises ValueError if OpenSSH refuses the text, or if its versions disagree about it.
    """
    if text.lower() == "none":
        return None
    value, mark, comment = text.partition("#")
    value = value.rstrip(" \t\r\n")
    if mark and "," in comment:
        raise ValueError("a comment with a comma")
    hosts = [_host(word) for word in value.split(",")]
    extra, comma, _ = value.rpartition(",")
    user, host, port = hosts[-1]
    if host.lower() == "none":
        raise ValueError("none is not the only host")
    return Jump(extra if comma else None, user, host, port)


def _host(text: str) -> tuple[str | None, str, int]:
    is_uri = text.startswith("ssh://")
    found = (_URI if is_uri else _PLAIN).fullmatch(text)
    if found is None:
        raise ValueError("not [user@]host[:port]")
    user, host, port = found[1], found[2], found[3]
    if user is not None and is_uri:
        user = unquote_plus(user)
    if port and not 0 < int(port) < 65536:
        raise ValueError("no port")
    return user, host.strip("[]"), int(port or 0)
