# SPDX-License-Identifier: BSD-2-Clause
"""Public key blobs (RFC 4253 section 6.6) and certificates (OpenSSH's PROTOCOL.certkeys)."""

from __future__ import annotations

import base64
import hashlib
import re

from sshgateway._wire import string, strings_in

__all__ = [
    "CERTIFICATE",
    "describe",
    "fingerprint",
    "is_certificate",
    "key_type",
    "key_type_or_unknown",
    "line_of",
    "material_of",
    "plain_key",
    "rsa_bits",
]

#: The end of the type of a certificate.
CERTIFICATE = "-cert-v01@openssh.com"
#: A part of the type of a certificate, also of the older version 00.
_ANY_CERTIFICATE = b"-cert-v0"
#: The number of integers in a key.
_NUMBERS = {b"ssh-rsa": 2, b"ssh-dss": 4}


def key_type(key: bytes) -> str:
    """Return the type that a public key blob names, as "ssh-ed25519" (RFC 4253 section 6.6).

    Raises ValueError if the blob cannot be a key.
    """
    fields, whole = strings_in(key)
    if len(fields) < 2 or not re.fullmatch(rb"[!-+\--~]{1,64}", fields[0]):
        raise ValueError("not an SSH public key")
    if not whole and _ANY_CERTIFICATE not in fields[0]:
        raise ValueError("a truncated SSH public key")
    return fields[0].decode("ascii")


def fingerprint(key: bytes) -> str:
    """Return the fingerprint of a public key blob as OpenSSH prints it: "SHA256:..."."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    return "SHA256:" + digest.rstrip("=")


def key_type_or_unknown(key: bytes) -> str:
    try:
        return key_type(key)
    except ValueError:
        return "unknown"


def material_of(key: bytes) -> tuple[bytes, ...]:
    """Return a value that is equal for all encodings of the same key.

    An attacker with a revoked key could present it in another encoding: with leading zeros in
    an RSA integer, with a compressed point, or with bytes at the end.
    """
    fields, _ = strings_in(key)
    family = fields[0] if fields else b""
    if family in _NUMBERS and len(fields) > _NUMBERS[family]:
        numbers = fields[1 : 1 + _NUMBERS[family]]
        return (family, *(number.lstrip(b"\0") for number in numbers))
    if family.startswith((b"ecdsa-sha2-", b"sk-ecdsa-sha2-")) and len(fields) > 2:
        # SEC 1, 2.3.3: 04 x y; 02 x and 03 x are shorter, 06 and 07 as long.
        kind, point = fields[2][:1], fields[2][1:]
        return (family, point if kind in (b"\2", b"\3") else point[: len(point) // 2])
    if family in (b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com") and len(fields) > 1:
        return (family, fields[1])
    return (key,)


def rsa_bits(key: bytes) -> int | None:
    """Return the length of the modulus of an RSA key; None for a key of another type."""
    fields, _ = strings_in(key)
    if len(fields) < 3 or fields[0] != b"ssh-rsa":
        return None
    return int.from_bytes(fields[2]).bit_length()


# ---- Certificates -----------------------------------------------------------


def is_certificate(blob: bytes) -> bool:
    return key_type(blob).endswith(CERTIFICATE)


def line_of(blob: bytes) -> str:
    """A public key or certificate as one line of a file."""
    return f"{key_type(blob)} {base64.b64encode(blob).decode('ascii')}"


def describe(blob: bytes) -> str:
    """Type and fingerprint; for a certificate the fingerprint of its key, as OpenSSH shows."""
    return f"{key_type(blob)} {fingerprint(plain_key(blob))}"


def plain_key(blob: bytes) -> bytes:
    """The public key that a certificate is about; any other key as it is.

    PROTOCOL.certkeys: the type, a nonce, the strings of the key, and more.
    """
    strings, _ = strings_in(blob)
    kind = strings[0].decode("ascii", "replace") if strings else ""
    if not kind.endswith(CERTIFICATE):
        return blob
    plain = kind.removesuffix(CERTIFICATE)
    parts = strings[2 : 3 + plain.startswith(("ssh-rsa", "ecdsa", "sk-ecdsa"))]
    if plain == "ssh-dss":
        parts = strings[2:6]
    if plain.startswith("sk-"):
        plain += "@openssh.com"
        parts = strings[2 : 3 + len(parts)]  # and the application
    return string(plain) + b"".join(string(part) for part in parts)
