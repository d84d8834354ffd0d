# SPDX-License-Identifier: BSD-2-Clause
"""The plain text of a server before the keys are in use: lines, its version, and KEXINIT.

Used to explain a handshake that failed. Everything here is untrusted.
"""

from __future__ import annotations

from dataclasses import dataclass

from sshgateway import _core
from sshgateway._wire import MalformedMessage, Reader, text_of

__all__ = ["Hello", "is_busy", "missing_algorithm"]

_KEXINIT = 20

#: The name-lists of KEXINIT that libssh2 and the server must agree on (RFC 4253 7.1), with
#: the position of each.
_LISTS = (
    ("key exchange method", 0, _core.OFFERED_KEX),
    ("host key type", 1, _core.OFFERED_HOST_KEYS),
    ("cipher", 2, _core.OFFERED_CIPHERS),
    ("cipher", 3, _core.OFFERED_CIPHERS),
    ("MAC", 4, _core.OFFERED_MACS),
    ("MAC", 5, _core.OFFERED_MACS),
    ("compression method", 6, "none"),
    ("compression method", 7, "none"),
)


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


def missing_algorithm(hello: Hello) -> tuple[str, str, tuple[str, ...]] | None:
    """The first list without a common member: its name, our offer, and the server's."""
    for name, position, offer in _LISTS:
        theirs = hello.algorithms[position] if position < len(hello.algorithms) else None
        if theirs is None:
            return None
        is_aead = name == "MAC" and "gcm" in ",".join(hello.algorithms[position - 2])
        if not is_aead and not set(offer.split(",")).intersection(theirs):
            return name, offer, theirs
    return None


def is_busy(hello: Hello) -> bool:
    """True if the server says that it has no room for one more login.

    sshd writes one of these words instead of its version. There is no code to compare.
    """
    words = (hello.lines[-1] if hello.lines else "").strip().lower()
    return words in ("exceeded maxstartups", "not allowed at this time")
