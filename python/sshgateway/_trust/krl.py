# SPDX-License-Identifier: BSD-2-Clause
"""Key revocation lists (OpenSSH's PROTOCOL.krl): whether one revokes a key or certificate.

A list is searched while it is read. Its ranges and bitmaps are not expanded, and its serial
numbers and fingerprints are not stored, so the memory in use is a few times the file's size.

The differences from OpenSSH's krl.c make this module stricter, or like a newer OpenSSH:

* A list with a signature is refused, because signatures cannot be verified here. ssh-keygen never
  writes one; PROTOCOL.krl says that OpenSSH 9.4 and newer refuse them.
* An extension that is not critical is ignored, as in OpenSSH 9.4. Older ones refuse the list.
* An explicitly revoked key is found in any encoding.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from sshgateway._public_keys import material_of, plain_key
from sshgateway._trust import canonical_keys
from sshgateway._trust.certificates import Certificate
from sshgateway._wire import Reader, text_of, uint32

__all__ = ["MAGIC", "Presented", "Subject", "reason_in"]

MAGIC = b"SSHKRL\n\0"

_FORMAT_VERSION = 1
_LARGEST_SERIAL = 2**64 - 1
_LARGEST_BITMAP = 16384 // 8  # bytes; SSHBUF_MAX_BIGNUM of sshbuf.h


# ---- The key that is checked ------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subject:
    """A key that a list may revoke: the presented one, or that of its authority."""

    #: Its name in a reason.
    name: str
    #: The canonical encoding.
    key: bytes
    #: The digests of the canonical encoding and of the presented one, by the size of a digest.
    digests: dict[int, set[bytes]]
    #: Bytes that every encoding of the key contains.
    core: bytes

    @classmethod
    def of(cls, name: str, blob: bytes) -> Subject:
        """Raises ValueError if the blob is not a public key."""
        key = canonical_keys.canonical(blob)
        digests = {
            20: {hashlib.sha1(each, usedforsecurity=False).digest() for each in (key, blob)},
            32: {hashlib.sha256(each).digest() for each in (key, blob)},
        }
        return cls(name, key, digests, material_of(key)[-1])

    def is_in(self, blob: bytes) -> bool:
        """Return whether a blob is this key, in any encoding."""
        try:
            return self.core in blob and canonical_keys.canonical(blob) == self.key
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Presented:
    """A host key or host certificate."""

    #: The key and, for a certificate, the key of its authority.
    subjects: tuple[Subject, ...]
    certificate: Certificate | None = None

    @classmethod
    def of(cls, blob: bytes) -> Presented:
        """Raises ValueError if the blob is neither a public key nor a certificate."""
        plain = plain_key(blob)
        key = Subject.of("the key", plain)
        if plain == blob:
            return cls((key,))
        certificate = Certificate.parse(blob)
        return cls((key, Subject.of("its CA key", certificate.authority)), certificate)


# ---- The list ---------------------------------------------------------------


def reason_in(data: bytes, presented: Presented) -> str | None:
    """Return how a list revokes a key, in words, or None if it does not.

    - data: a file that begins with MAGIC.

    Raises ValueError if the list is invalid. All of it is read first, as OpenSSH does.
    """
    reader = _Reader(data)
    _read_header(reader)
    reason = None
    while not reader.is_at_end:
        kind, section = reader.byte(), reader.string()
        if kind not in _SECTIONS:
            raise _invalid(f"a section of type {kind} is not supported")
        found = _SECTIONS[kind](section, presented)
        reason = reason or found
    return reason


def _invalid(why: str) -> ValueError:
    return ValueError(f"it is not a valid key revocation list: {why}")


class _Reader(Reader):
    """Reads the fields of a list; raises ValueError."""

    def invalid(self, what: str) -> Exception:
        return _invalid(what)

    def c_string(self) -> bytes:
        """As sshbuf_get_cstring(): a zero byte may only end it, and is not a part of it."""
        text = self.string().removesuffix(b"\0")
        if b"\0" in text:
            raise _invalid("a text has a zero byte")
        return text

    def end(self) -> None:
        if not self.is_at_end:
            raise _invalid("a section has bytes at its end")


def _read_header(reader: _Reader) -> None:
    """PROTOCOL.krl section 1; the magic was compared before."""
    reader.uint64()
    version = reader.uint32()
    if version != _FORMAT_VERSION:
        raise _invalid(f"its format version {version} is not supported")
    for _ in ("KRL version", "generated date", "flags"):
        reader.uint64()
    reader.string()  # reserved
    reader.c_string()  # comment


def _extension(section: bytes, _: object) -> None:
    reader = _Reader(section)
    name, is_critical, _ = reader.c_string(), reader.boolean(), reader.string()
    reader.end()
    if is_critical:
        raise _invalid(f"its critical extension {text_of(name[:80])!r} is not supported")


# ---- Keys and fingerprints --------------------------------------------------


def _explicit_keys(section: bytes, presented: Presented) -> str | None:
    reader, reason = _Reader(section), None
    while not reader.is_at_end:
        blob = reader.string()
        for subject in presented.subjects:
            if subject.is_in(blob):
                reason = reason or f"{subject.name} is revoked"
    return reason


def _sha1_fingerprints(section: bytes, presented: Presented) -> str | None:
    return _fingerprints(section, presented, "SHA-1", 20)


def _sha256_fingerprints(section: bytes, presented: Presented) -> str | None:
    return _fingerprints(section, presented, "SHA-256", 32)


def _fingerprints(section: bytes, presented: Presented, named: str, size: int) -> str | None:
    """Search a section of strings of one size without splitting it."""
    length = uint32(size)
    each = len(length) + size
    count, rest = divmod(len(section), each)
    lengths_are_right = all(
        section[at::each].count(byte) == count for at, byte in enumerate(length)
    )
    if rest or not lengths_are_right:
        raise _invalid("a fingerprint has another length")
    for subject in presented.subjects:
        if any(_is_at_multiple(section, length + each_, each) for each_ in subject.digests[size]):
            return f"{subject.name} is revoked by its {named} fingerprint"
    return None


def _is_at_multiple(data: bytes, part: bytes, size: int) -> bool:
    """Return whether `data` has `part` at a multiple of `size`."""
    at = data.find(part)
    while at >= 0 and at % size:
        at = data.find(part, at + 1)
    return at >= 0


# ---- Certificates -----------------------------------------------------------


def _certificates(section: bytes, presented: Presented) -> str | None:
    """PROTOCOL.krl section 2: the certificates of one authority, or of every one."""
    reader = _Reader(section)
    authority, _ = reader.string(), reader.string()
    certificate = presented.certificate if _applies(authority, presented) else None
    reason = None
    while not reader.is_at_end:
        kind, subsection = reader.byte(), reader.string()
        if kind not in _SUBSECTIONS:
            raise _invalid(f"a certificate section of type {kind} is not supported")
        found = _SUBSECTIONS[kind](subsection, certificate)
        reason = reason or found
    return reason


def _applies(authority: bytes, presented: Presented) -> bool:
    """Return whether a section of this authority is about the presented certificate."""
    if not authority:
        return True
    try:
        _, key, is_certificate = canonical_keys.read(authority)
    except ValueError as error:
        raise _invalid(f"the key of a certification authority is invalid: {error}") from None
    # OpenSSH also accepts a certificate here. Such a section has no effect, because a certificate
    # cannot be an authority.
    return not is_certificate and any(key == subject.key for subject in presented.subjects[1:])


def _serial_list(section: bytes, certificate: Certificate | None) -> str | None:
    if len(section) % 8:
        raise _invalid("a serial number is truncated")
    serials = array("Q", section)  # big-endian, whatever this machine is
    if 0 in serials:
        raise _invalid("it has serial number 0")
    if certificate is None:
        return None
    serial = int.from_bytes(certificate.serial.to_bytes(8), sys.byteorder)
    return _by_serial(certificate, serial in serials)


def _serial_range(section: bytes, certificate: Certificate | None) -> str | None:
    reader = _Reader(section)
    first, last = reader.uint64(), reader.uint64()
    reader.end()
    if not 0 < first <= last:
        raise _invalid("a range of serial numbers is invalid")
    return _by_serial(certificate, certificate and first <= certificate.serial <= last)


def _serial_bitmap(section: bytes, certificate: Certificate | None) -> str | None:
    """An offset and an integer, of which bit N stands for the serial number offset + N."""
    reader = _Reader(section)
    offset, bitmap = reader.uint64(), reader.string()
    reader.end()
    # As sshbuf_get_bignum2_bytes_direct(), which reads the bitmap as a positive integer.
    # ssh-keygen writes longer ones for thousands of serial numbers with small gaps. ssh(1)
    # refuses these lists too.
    if len(bitmap) > _LARGEST_BITMAP + (bitmap[:1] == b"\0"):
        raise _invalid(f"a bitmap of serial numbers has more than {8 * _LARGEST_BITMAP} bits")
    if bitmap[:1] >= b"\x80":
        raise _invalid("a bitmap of serial numbers is negative")
    bits = int.from_bytes(bitmap)
    if offset + max(bits.bit_length() - 1, 0) > _LARGEST_SERIAL or (offset == 0 and bits & 1):
        raise _invalid("a bitmap has an invalid serial number")
    place = certificate.serial - offset if certificate else -1
    return _by_serial(certificate, place >= 0 and bits >> place & 1)


def _by_serial(certificate: Certificate | None, is_listed: object) -> str | None:
    # Serial number 0 means that the authority does not number its certificates. A list cannot
    # contain it.
    if certificate is None or not is_listed:
        return None
    return f"its serial number {certificate.serial} is revoked"


def _key_ids(section: bytes, certificate: Certificate | None) -> str | None:
    reader, is_listed = _Reader(section), False
    while not reader.is_at_end:
        key_id = reader.c_string()
        is_listed |= certificate is not None and key_id == certificate.key_id
    if certificate is None or not is_listed:
        return None
    return f"its key ID {text_of(certificate.key_id)!r} is revoked"


_SECTIONS: dict[int, Callable[[bytes, Presented], str | None]] = {
    1: _certificates,
    2: _explicit_keys,
    3: _sha1_fingerprints,
    5: _sha256_fingerprints,
    255: _extension,
}
_SUBSECTIONS: dict[int, Callable[[bytes, Certificate | None], str | None]] = {
    0x20: _serial_list,
    0x21: _serial_range,
    0x22: _serial_bitmap,
    0x23: _key_ids,
    0x39: _extension,
}
