# SPDX-License-Identifier: BSD-2-Clause
"""The data types of the SSH protocols (RFC 4251 section 5).

Messages, public keys, certificates, and the requests to an agent consist of them. Whatever is
read here is untrusted.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["MalformedMessage", "Reader", "string", "strings_in", "text_of", "uint32"]

_LONGEST_NAME: Final = 64  # bytes; RFC 4251 section 6
_MOST_NAMES: Final = 256


class MalformedMessage(Exception):  # noqa: N818
    """A peer sent a message that breaks its RFC."""


def uint32(value: int) -> bytes:
    """Encode an integer from 0 to 2**32 - 1."""
    return struct.pack(">I", value)


def string(value: bytes | bytearray | str) -> bytes:
    """Encode a string: its length and its bytes. A str becomes UTF-8."""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return uint32(len(data)) + data


def text_of(data: bytes) -> str:
    """Return a peer's text, which should be UTF-8 and may be anything.

    A byte that is no UTF-8 becomes an escape such as ``\\xe9``.
    """
    return data.decode("utf-8", "backslashreplace")


def strings_in(blob: bytes) -> tuple[list[bytes], bool]:
    """Split a blob into strings.

    Returns the strings, and True if the blob holds nothing else. A public key consists of
    strings; a certificate also holds integers.
    """
    found, at = [], 0
    while at + 4 <= len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4])
        if end > len(blob):
            break
        found.append(blob[at + 4 : end])
        at = end
    return found, at == len(blob)


class Reader:
    """Reads the fields of one message, one after the other.

    A field that is missing raises the exception that ``invalid()`` returns.
    """

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """True if every byte has been read."""
        return self._at == len(self._message)

    def invalid(self, what: str) -> Exception:
        """Return the exception for a message that breaks its RFC."""
        return MalformedMessage(f"a message is invalid: {what}")

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._message):
            raise self.invalid("it ends in the middle of a field")
        data = self._message[self._at : end]
        self._at = end
        return data

    def byte(self) -> int:
        return self._take(1)[0]

    def boolean(self) -> bool:
        return self.byte() != 0

    def uint32(self) -> int:
        return int.from_bytes(self._take(4))

    def uint64(self) -> int:
        return int.from_bytes(self._take(8))

    def string(self) -> bytes:
        return self._take(self.uint32())

    def text(self) -> str:
        return text_of(self.string())

    def name_list(self) -> tuple[str, ...]:
        """Return a name-list. Names can be any text; it is bounded."""
        names = [name for name in self.string().split(b",") if name]
        return tuple(text_of(name[:_LONGEST_NAME]) for name in names[:_MOST_NAMES])
