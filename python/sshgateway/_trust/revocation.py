# SPDX-License-Identifier: BSD-2-Clause
"""Decide whether a host key is revoked, as RevokedHostKeys of ssh_config(5).

A file is a key revocation list (see krl.py) or a text with a public key in each line. A key is
revoked if a file has it; a certificate is revoked if a file has the certified key, the key of
its authority or, in a key revocation list, its serial number or key ID. The behaviour is that of
sshkey_check_revoked() of OpenSSH's authfile.c: a file that is missing, or invalid in any part,
revokes every key. The differences make this module stricter:

* A key is found in any encoding.
* An RSA key that OpenSSH finds too short, and skips, is revoked too.
* Anything but a regular file cannot be read. OpenSSH waits for the writer of a FIFO.

In one point it is less strict: the signature of a certificate in a text is not verified. OpenSSH
refuses the file if the signature is wrong.

The files are read for each check, so changes take effect at once.
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sshgateway import _files
from sshgateway._public_keys import plain_key
from sshgateway._trust import canonical_keys, krl
from sshgateway._trust.krl import Presented

__all__ = ["Revocation", "RevokedKeys"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Why a host key is refused."""

    #: The path of the file that decided.
    file: str
    #: How it revokes the key, or why it cannot be read, in words.
    reason: str
    #: True if the file cannot be read or is invalid, so that it revokes every key.
    is_unreadable: bool = False
    #: The error number of a file that cannot be read; 0 if the key is revoked.
    errno: int = 0

    def __str__(self) -> str:
        if self.is_unreadable:
            return f"{self.file} cannot be read: {self.reason}"
        return f"{self.reason} in {self.file}"


class RevokedKeys:
    """The keys that files revoke.

    - paths (sequence of paths): the files. "~" stands for the home directory.

    Raises TypeError if paths is a single path.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        if isinstance(paths, (str, bytes, os.PathLike)):
            raise TypeError("revoked host keys must be a sequence of paths, not a single one")
        self.paths: tuple[str, ...] = tuple(
            os.path.expanduser(os.fsdecode(os.fspath(path))) for path in paths
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.paths)!r})"

    def check(self, key: bytes) -> Revocation | None:
        """Check the host key that a server has presented.

        - key (bytes): a public key blob (RFC 4253 section 6.6), or a certificate.

        Returns None if no file revokes it, else the reason. If one file has the key and another
        cannot be read, the first decides. Raises nothing.
        """
        if not self.paths:
            return None
        try:
            presented = Presented.of(key)
        except ValueError as error:
            reason = f"the host key cannot be looked up ({error})"
            return Revocation(self.paths[0], reason, errno=errno.EINVAL)
        results = [_check_file(path, presented) for path in self.paths]
        found = [result for result in results if result is not None]
        return min(found, key=lambda result: result.is_unreadable, default=None)


def _check_file(path: str, presented: Presented) -> Revocation | None:
    try:
        data = _files.read(path)
        is_krl = data.startswith(krl.MAGIC)
        reason = (krl.reason_in if is_krl else _reason_in_text)(data, presented)
    except (OSError, ValueError) as error:
        number, words = _files.explain(error)
        return Revocation(path, words, True, number)
    return Revocation(path, reason) if reason is not None else None


# ---- Texts ------------------------------------------------------------------


def _reason_in_text(data: bytes, presented: Presented) -> str | None:
    """Search the lines as sshkey_in_file() of authfile.c, up to the first one with the key.

    Raises ValueError if a line before it is neither a public key, a comment nor blank.
    """
    for number, whole in enumerate(data.split(b"\n"), 1):
        line = whole.partition(b"\0")[0].lstrip(b" \t")
        if not line or line[:1] == b"#":
            continue
        try:
            key = _key_in(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not a public key: {error}") from None
        for subject in presented.subjects:
            if key == subject.key:
                return f"{subject.name} is revoked by line {number}"
    return None


def _key_in(line: bytes) -> bytes:
    """Return the key of a line as sshkey_read() of sshkey.c, in the canonical encoding.

    If the line has a certificate, the certified key is returned. Options before a key are invalid.
    """
    words = re.match(rb"([^ \t]+)[ \t]+([^ \t]+)", line)
    if words is None:
        raise ValueError("it has no base64 text")
    blob = _decode(words[2])
    try:
        kind, key, _ = canonical_keys.read(blob)
    except canonical_keys.ShortKey:
        return canonical_keys.canonical(plain_key(blob))
    if canonical_keys.family(words[1]) != kind:
        raise ValueError("it names another type than its key")
    return key


def _decode(word: bytes) -> bytes:
    """Decode base64 as b64_pton(): strictly, but white space is ignored."""
    text = b"".join(word.split())
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded or base64.b64encode(decoded) != text:
        raise ValueError("its base64 text is invalid")
    return decoded
