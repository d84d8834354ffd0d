# SPDX-License-Identifier: BSD-2-Clause
"""The plain text of a server before the keys are in use: lines, its version, and KEXINIT.

Used to explain a handshake that failed. Everything here is untrusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sshgateway._wire import MalformedMessage, Reader, text_of

__all__ = ["Hello", "is_busy", "missing_algorithm"]

_KEXINIT = 20


@dataclass(frozen=True)
class Hello:
    """The beginning of a server's side of the connection.

    - lines (tuple of str): the lines of text before the version (RFC 4253 4.2).
    - version (str): the identification string, or "".
    - algorithms (tuple of tuples of str): the name-lists of KEXINIT, or () without one.
    """

    lines: tuple[str, ...] = ()
    version: str = ""
    algorithms: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, hello: bytes) -> Hello:
        lines: list[str] = []
        while (end := hello.find(b"\n")) >= 0:
            line = text_of(hello[:end].rstrip(b"\r"))
            hello = hello[end + 1 :]
            if line.startswith("SSH-"):
                return cls(tuple(lines), line, _lists_in(hello))
            if line.strip():
                lines.append(line)
        rest = hello.strip()
        if rest and not rest.startswith(b"SSH-"[: len(rest)]):  # no part of a version
            lines.append(text_of(rest))
        return cls(tuple(lines))


def _lists_in(packet: bytes) -> tuple[tuple[str, ...], ...]:
    """The name-lists of KEXINIT in a plain packet (RFC 4253 sections 6 and 7.1)."""
    try:
        reader = Reader(packet)
        reader.uint32()  # the length of the packet
        reader.byte()  # and of its padding
        if reader.byte() != _KEXINIT:
            return ()
        for _ in range(16):  # the cookie
            reader.byte()
        return tuple(reader.name_list() for _ in range(10))
    except MalformedMessage:
        return ()


def missing_algorithm(
    hello: Hello,
    kex: Sequence[str],
    host_keys: Sequence[str],
    ciphers: Sequence[str],
    macs: Sequence[str],
) -> tuple[str, Sequence[str], tuple[str, ...]] | None:
    """The first list of KEXINIT without a common member (RFC 4253 7.1): its name, our offer, and
    the server's.

    - kex, host_keys, ciphers, macs: our offers.
    """
    lists = (
        ("key exchange method", kex),
        ("host key type", host_keys),
        ("cipher", ciphers),
        ("cipher", ciphers),
        ("MAC", macs),
        ("MAC", macs),
        ("compression method", ("none",)),
        ("compression method", ("none",)),
    )
    for position, (name, offer) in enumerate(lists):
        theirs = hello.algorithms[position] if position < len(hello.algorithms) else None
        if theirs is None:
            return None
        is_aead = name == "MAC" and "gcm" in ",".join(hello.algorithms[position - 2])
        if not is_aead and not set(offer).intersection(theirs):
            return name, offer, theirs
    return None


def is_busy(hello: Hello) -> bool:
    """True if the server says that it has no room for one more login.

    sshd writes one of these words instead of its version. There is no code to compare.
    """
    words = (hello.lines[-1] if hello.lines else "").strip().lower()
    return words in ("exceeded maxstartups", "not allowed at this time")
