# SPDX-License-Identifier: BSD-2-Clause
"""The keys that the libssh2 in use cannot use, or must not get.

Everything here concerns the system's libssh2; the pinned one has no such limits.
"""

from __future__ import annotations

import base64
import contextlib
import re

from sshgateway import _core
from sshgateway._public_keys import CERTIFICATE, key_type

__all__ = ["danger_of", "rsa_is_dangerous", "why_not"]

_KNOWS_ALL = 0x010B00  # libssh2 1.11: RSA with SHA-2, and certificates

#: The releases 1.11.0 and 1.11.1 of libssh2 write past a heap block when they choose the
#: algorithm of an RSA key and the server repeats a name in server-sig-algs (RFC 8308).
#: Upstream fixed this after 1.11.1 (pull requests 1881 and 1885). The pinned build fixes it
#: with a patch of this name. A distribution's fix cannot be recognised.
_OVERFLOWS = range(0x010B00, 0x010B02)
_OVERFLOW_PATCH = "-signature-algorithm-overflow"

_NO_RSA = (
    f"libssh2 {_core.LIBSSH2_VERSION} cannot sign with RSA and SHA-2; use an ed25519 or "
    "ecdsa key, or libssh2 1.11 or newer"
)

# libssh2 before 1.11 puts the certificate's type into the signature, and sshd refuses that.
_NO_CERTIFICATES = (
    f"libssh2 {_core.LIBSSH2_VERSION} cannot log in with a certificate; use a key without "
    "one, or libssh2 1.11 or newer"
)

_DANGEROUS_RSA = (
    f"libssh2 {_core.LIBSSH2_VERSION} has a fault by which a server can crash this program "
    "when the key is RSA; use an ed25519 or ecdsa key, or a build of sshgateway with the "
    "pinned libssh2"
)

_UNKNOWN_TYPE = (
    f"libssh2 {_core.LIBSSH2_VERSION} has a fault by which a server can crash this program "
    "when the key is RSA, and the type of this key cannot be read without its public key; "
    "put the public key into a file of the same name with .pub, or use a build of "
    "sshgateway with the pinned libssh2"
)


def rsa_is_dangerous() -> bool:
    """True if the libssh2 in use has the overflow; see _OVERFLOWS."""
    patches = _core.BUILD_PATCHES.split()
    return _core.LIBSSH2_NUMBER in _OVERFLOWS and not any(
        patch.endswith(_OVERFLOW_PATCH) for patch in patches
    )


def why_not(blob: bytes) -> str | None:
    """Why the libssh2 in use cannot, or must not, log in by a public key or certificate.

    None if it can.
    """
    kind = key_type(blob)
    if kind.startswith("ssh-rsa") and rsa_is_dangerous():
        return _DANGEROUS_RSA
    if _core.LIBSSH2_NUMBER >= _KNOWS_ALL:
        return None
    if kind.endswith(CERTIFICATE):
        return _NO_CERTIFICATES
    if kind == "ssh-rsa":
        return _NO_RSA
    if kind.startswith("sk-"):
        return f"libssh2 {_core.LIBSSH2_VERSION} has no security keys"
    return None


# Object identifiers (DER) of a PKCS #8 key: RFC 5480 2.1.1, RFC 8410 3.
_OID_EC = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
_OID_ED25519 = b"\x06\x03\x2b\x65\x70"


def danger_of(content: bytearray, public: bytes | None) -> str | None:
    """Why a key file must not be handed to a libssh2 with the overflow; see _OVERFLOWS.

    - content: the file.
    - public: the public key in the file or beside it, or None.

    Returns None only if every private key in the file is known to be of another type than
    RSA.
    """
    if not rsa_is_dangerous():
        return None
    is_other_public = public is not None and not key_type(public).startswith("ssh-rsa")
    for found in re.finditer(rb"-----BEGIN ([^-]*PRIVATE KEY)-----", content):
        label = found[1]
        if label == b"ENCRYPTED PRIVATE KEY" and public is None:
            return _UNKNOWN_TYPE
        if label == b"PRIVATE KEY":
            is_other = _is_other_pkcs8(content, found.end())
        elif label in (b"OPENSSH PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"):
            is_other = is_other_public
        else:
            is_other = label in (b"EC PRIVATE KEY", b"DSA PRIVATE KEY")
        if not is_other:
            return _DANGEROUS_RSA
    return None


def _is_other_pkcs8(content: bytearray, start: int) -> bool:
    """True if a PKCS #8 key without a passphrase says ECDSA or ed25519.

    - content: the file; *start* is where the BASE64 of the key begins.

    Only the bytes in front of the private half are decoded, because a copy of the private half
    would stay in memory: 12 bytes end with the identifier of ed25519, and 21 contain that of
    ECDSA.
    """
    if _OID_ED25519 in _decoded(content, start, 12):
        return True
    return _OID_EC in _decoded(content, start, 21)


def _decoded(content: bytearray, start: int, size: int) -> bytes:
    """Decode *size* bytes, a multiple of 3, of BASE64; b"" if there are not as many."""
    text = bytearray()
    for at in range(start, len(content)):
        if len(text) == size // 3 * 4:
            break
        if content[at] not in b" \t\r\n":
            text.append(content[at])
    with contextlib.suppress(ValueError):
        return base64.b64decode(text, validate=True)
    return b""
