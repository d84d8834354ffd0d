# SPDX-License-Identifier: BSD-2-Clause
"""How users, hosts and ports are written: "user@host:port"."""

from __future__ import annotations

__all__ = ["format_host", "parse_host"]


def parse_host(text: str) -> tuple[str | None, str, int | None]:
    """Split "user@host:port", "[v6]:port" or a bare IPv6 address.

    Returns (user, host, port); user and port are None if the text has none.
    Raises ValueError if the text is not a host.
    """
    user, at, rest = text.rpartition("@")
    host, port = rest, ""
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        if port and not port.startswith(":"):
            raise ValueError(f"not a host: {text!r}")
        port = port[1:]
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    balanced = rest.count("[") == rest.count("]") == rest.startswith("[")
    if (
        "://" in text
        or not balanced
        or not host
        or (at and not user)
        or (port and not port.isdecimal())
    ):
        raise ValueError(f"not a host: {text!r}")
    return user or None, host, int(port) if port else None


def format_host(user: str, host: str, port: int) -> str:
    """The reverse of ``parse_host()``: an IPv6 address gets brackets."""
    name = f"[{host}]" if ":" in host else host
    return f"{user}@{name}:{port}"
