# SPDX-License-Identifier: BSD-2-Clause
"""The lines of known_hosts files: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.

A line that OpenSSH's hostfile.c ignores is ignored here too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sshgateway._patterns import matches_pattern
from sshgateway._public_keys import fingerprint, key_type

__all__ = [
    "CA",
    "REVOKED",
    "SALT_LENGTH",
    "Entry",
    "Line",
    "encode",
    "hash_of",
    "lines_in",
    "matches_list",
]

REVOKED = "@revoked"
CA = "@cert-authority"

_LONGEST_PATTERN = 1023  # match.c: a longer one ends the list without a match
SALT_LENGTH = 20  # hostfile.c: as long as a SHA-1

# ---- Names ------------------------------------------------------------------


def encode(name: str) -> bytes:
    """Encode a name as in the files. bytes.lower() equals tolower(3) in the C locale."""
    return name.encode("utf-8", "surrogateescape").lower()


def matches_list(name: bytes, patterns: bytes) -> bool:
    """Match a list of patterns as match_pattern_list() of match.c: a negated pattern that
    matches overrides all others."""
    found = False
    for pattern in patterns.lower().split(b","):
        negated = pattern[:1] == b"!"
        pattern = pattern[negated:]
        if len(pattern) >= _LONGEST_PATTERN:
            return False
        if matches_pattern(name, pattern):
            if negated:
                return False
            found = True
    return found


def _matches_hashed(name: bytes, hashed: bytes) -> bool:
    """Match a hashed name as host_hash() of hostfile.c: "|1|", the salt, "|", and the HMAC-SHA1
    of the name with the salt as its key. Other encodings of the same bytes do not match.
    """
    parts = hashed.split(b"|")
    if len(parts) != 4 or parts[1] != b"1":
        return False
    salt = _decode(parts[2])
    return salt is not None and len(salt) == SALT_LENGTH and hashed == hash_of(name, salt)


def hash_of(name: bytes, salt: bytes) -> bytes:
    digest = hmac.digest(salt, name, "sha1")
    return b"|1|%s|%s" % (base64.b64encode(salt), base64.b64encode(digest))


def _decode(text: bytes) -> bytes | None:
    """Decode base64 as b64_pton() does: strictly, but white space may be anywhere."""
    try:
        decoded = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None
    return decoded if base64.b64encode(decoded) == b"".join(text.split()) else None


# ---- Lines ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file."""

    file: str
    #: Its number, from 1; all lines of the file are counted.
    line: int
    #: "", "@revoked" or "@cert-authority"
    marker: str
    key_type: str
    #: As "SHA256:..."
    fingerprint: str
    #: The public key blob.
    key: bytes = field(repr=False)

    @property
    def where(self) -> str:
        """ "file:line", as OpenSSH writes it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Line:
    """The parts of a line. The key is decoded only if the names match."""

    file: str
    number: int
    marker: str
    names: bytes
    rest: bytes

    def names_host(self, name: bytes) -> bool:
        if self.names[:1] == b"|":
            return _matches_hashed(name, self.names)
        return matches_list(name, self.names)

    def entry(self) -> Entry | None:
        """Return the line with its key; None if the key is invalid, as for sshkey_read()."""
        fields = self.rest.replace(b"\t", b" ").split(b" ")
        words = [word for word in fields if word][:2]
        if len(words) < 2:
            return None
        key = _decode(words[1])
        try:
            kind = key_type(key or b"")
        except ValueError:
            return None
        named = words[0].decode("ascii", "replace")
        # OpenSSH accepts the names of RSA signature algorithms as key types.
        if named != kind and (named, kind) not in (
            ("rsa-sha2-256", "ssh-rsa"),
            ("rsa-sha2-512", "ssh-rsa"),
        ):
            return None
        assert key is not None
        return Entry(self.file, self.number, self.marker, kind, fingerprint(key), key)


def _marker_of(line: bytes) -> tuple[str, bytes] | None:
    """Split a line into its marker, or "", and the rest, as check_markers() of hostfile.c.
    None if the marker is invalid."""
    if line[:1] != b"@":
        return "", line
    found = re.match(rb"(@revoked|@cert-authority)[ \t]+(?!@)", line)
    return (found[1].decode("ascii"), line[found.end() :]) if found else None


def lines_in(file: str, data: bytes) -> Iterator[Line]:
    """Yield the lines that are not blank, not comments, and have a valid marker and names."""
    for number, whole in enumerate(data.split(b"\n"), 1):
        line = whole.partition(b"\0")[0].lstrip(b" \t")
        if not line or line[:1] == b"#":
            continue
        marked = _marker_of(line)
        if marked is None:
            continue
        parts = re.match(rb"([^ \t]+)[ \t]+(.*)", marked[1], re.DOTALL)
        if parts is not None:
            yield Line(file, number, marked[0], parts[1], parts[2])
