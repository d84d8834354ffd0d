# SPDX-License-Identifier: BSD-2-Clause
"""Private key files, public key files and certificates, as ssh-keygen(1) writes them.

Nothing here decrypts or signs: libssh2 does. A private key is read into a bytearray, which
``wipe()`` clears, and no function makes a copy of its private half.
"""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import dataclass

from sshgateway._public_keys import is_certificate, key_type

__all__ = [
    "CERTIFICATE_FILE",
    "KeyFile",
    "certificate_in",
    "is_encrypted",
    "read",
    "wipe",
]

#: The end of the name of a certificate's file.
CERTIFICATE_FILE = "-cert.pub"

_LARGEST_FILE = 1 << 20  # bytes; authfile.c has the same limit
_BEGIN = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
#: The type and the key at the beginning of a public key file. No private key begins like this,
#: so that nothing of one is copied.
_PUBLIC = re.compile(rb"\s*((?:ssh|ecdsa|sk)-[!-~]{1,60})\s+([A-Za-z0-9+/=]+)(?!\S)")


@dataclass(frozen=True)
class KeyFile:
    """The facts that a private key file reveals without its passphrase.

    - path (str): the file.
    - public (bytes or None): the public key (RFC 4253 6.6), from the file itself or from
      FILE.pub; None if neither has it.
    - is_encrypted (bool): the file needs a passphrase.
    - problem (str): why the file holds no private key that could be used, or "".
    - is_missing (bool): there is no such file.
    """

    path: str
    public: bytes | None = None
    is_encrypted: bool = False
    problem: str = ""
    is_missing: bool = False

    @classmethod
    def look_at(cls, path: str) -> KeyFile:
        """Read the file and keep only what is said above. Raises no OSError."""
        beside = _public_beside(path)
        try:
            content = read(path)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            return cls(path, beside, problem=error.strerror or str(error), is_missing=missing)
        try:
            if (public := public_in(content)) is not None:
                return cls(path, public, problem="it holds a public key only")
            return cls(path, _public_of_openssh(content) or beside, is_encrypted(content))
        finally:
            wipe(content)


def read(path: str) -> bytearray:
    """Read a file into memory that ``wipe()`` can clear. Raises OSError."""
    content = bytearray(_LARGEST_FILE)
    with open(path, "rb", buffering=0) as file:
        at = 0
        with memoryview(content) as view:
            while at < len(content) and (count := file.readinto(view[at:])):
                at += count
    del content[at:]
    return content


def wipe(secret: bytearray) -> None:
    secret[:] = bytes(len(secret))


def _public_beside(path: str) -> bytes | None:
    with contextlib.suppress(OSError):
        return public_in(read(path + ".pub"))
    return None


def public_in(text: bytes | bytearray) -> bytes | None:
    """The key of a line of sshd(8), AUTHORIZED_KEYS, without options; or a certificate."""
    found = _PUBLIC.match(text)
    if found is None:
        return None
    with contextlib.suppress(ValueError):
        blob = base64.b64decode(found[2], validate=True)
        if key_type(blob) == found[1].decode("ascii"):
            return blob
    return None


def certificate_in(path: str) -> bytes | None:
    """The certificate in a file that ``ssh-keygen -s`` wrote; None if it holds none."""
    with contextlib.suppress(OSError):
        blob = public_in(read(path))
        if blob is not None and is_certificate(blob):
            return blob
    return None


# ---- Private key files ------------------------------------------------------


def _decoded(content: bytearray, size: int) -> bytes:
    """The first *size* bytes inside a file in OpenSSH's format, and none of what follows."""
    start = content.find(_BEGIN)
    if start < 0:
        return b""
    body = bytearray()
    at = start + len(_BEGIN)
    wanted = (size + 2) // 3 * 4
    while len(body) < wanted and at < len(content) and content[at] != ord("-"):
        if content[at] not in b" \t\r\n":
            body.append(content[at])
        at += 1
    try:
        return base64.b64decode(body[: len(body) // 4 * 4])[:size]
    except ValueError:
        return b""


def _fields(content: bytearray) -> tuple[bytes, bytes | None]:
    """(name of the cipher, public key) of a file in OpenSSH's format (PROTOCOL.key)."""
    at = len(_MAGIC)
    cipher = None
    for _ in range(3):  # cipher, key derivation function, its options
        head = _decoded(content, at + 4)
        size = int.from_bytes(head[at:])
        if len(head) < at + 4 or size > 1024:
            return cipher or b"", None
        if cipher is None:
            cipher = _decoded(content, at + 4 + size)[at + 4 :]
        at += 4 + size
    head = _decoded(content, at + 8)  # the number of keys, the length of the first
    size = int.from_bytes(head[at + 4 :])
    if len(head) < at + 8 or not 0 < size <= 16384:
        return cipher or b"", None
    public = _decoded(content, at + 8 + size)[at + 8 :]
    return cipher or b"", public if len(public) == size else None


def _public_of_openssh(content: bytearray) -> bytes | None:
    if _decoded(content, len(_MAGIC)) != _MAGIC:
        return None
    return _fields(content)[1]


def is_encrypted(content: bytearray) -> bool:
    """True if a private key needs a passphrase."""
    if content.find(_BEGIN) < 0:
        return content.find(b"ENCRYPTED") >= 0  # PEM, PKCS8
    return _decoded(content, len(_MAGIC)) == _MAGIC and _fields(content)[0] != b"none"
