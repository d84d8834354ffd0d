# SPDX-License-Identifier: BSD-2-Clause
"""Encode public keys as OpenSSH's sshkey.c does, so that each key has exactly one encoding.

Revocation needs this, because a fingerprint covers one encoding only, and the holder of a revoked
key could present the key in another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sshgateway._public_keys import CERTIFICATE
from sshgateway._trust.certificates import Certificate
from sshgateway._wire import MalformedMessage, Reader, string

__all__ = ["ShortKey", "canonical", "family", "read"]

_SMALLEST_RSA = 1024  # bits; SSH_RSA_MINIMUM_MODULUS_SIZE of sshkey.h
_LARGEST_NUMBER = 16384 // 8  # bytes; SSHBUF_MAX_BIGNUM of sshbuf.h

#: Further names of key types, which OpenSSH accepts.
_ALIASES = {
    b"rsa-sha2-256": b"ssh-rsa",
    b"rsa-sha2-512": b"ssh-rsa",
    b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com": b"sk-ecdsa-sha2-nistp256@openssh.com",
    b"rsa-sha2-256-cert-v01@openssh.com": b"ssh-rsa-cert-v01@openssh.com",
    b"rsa-sha2-512-cert-v01@openssh.com": b"ssh-rsa-cert-v01@openssh.com",
}


class ShortKey(ValueError):  # noqa: N818
    """An RSA key that OpenSSH refuses as too short."""


@dataclass(frozen=True, slots=True)
class _Curve:
    """A curve of FIPS 186-4, appendix D: y**2 = x**3 - 3 * x + b, modulo the prime."""

    prime: int
    b: int
    order: int

    @property
    def size(self) -> int:
        """The bytes of a coordinate."""
        return (self.prime.bit_length() + 7) // 8

    def y_squared(self, x: int) -> int:
        return (x * x * x - 3 * x + self.b) % self.prime

    def root(self, square: int, parity: int) -> int:
        """The square root with this lowest bit. All three primes are 3 modulo 4."""
        y = pow(square, (self.prime + 1) // 4, self.prime)
        return y if y & 1 == parity else self.prime - y


_CURVES = {
    b"nistp256": _Curve(
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    b"nistp384": _Curve(
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875A << 128
        | 0xC656398D8A2ED19D2A85C8EDD3EC2AEF,
        (2**192 - 1) << 192 | 0xC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ),
    b"nistp521": _Curve(
        2**521 - 1,
        0x51953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109 << 264
        | 0xE156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
        (2**261 - 1) << 260 | 0xA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    ),
}


# ---- Fields -----------------------------------------------------------------
# Each function returns a field in the canonical encoding, and raises ValueError if the field is
# invalid. If `strict`, it also refuses encodings that OpenSSH refuses.

_Field = Callable[[bytes, bool], bytes]


def _number(data: bytes, strict: bool) -> bytes:
    """As sshbuf_get_bignum2(): leading zeros are accepted, and negative integers are not. Without
    `strict` the sign bit is ignored, as in libssh2."""
    number = data.lstrip(b"\0")
    is_negative = data[:1] >= b"\x80"
    is_large = len(number) > _LARGEST_NUMBER or len(data) > _LARGEST_NUMBER + 1
    if strict and (is_negative or is_large):
        raise ValueError("an integer of the key is invalid")
    return b"\0" + number if number[:1] >= b"\x80" else number


def _bytes(size: int) -> _Field:
    def field(data: bytes, strict: bool) -> bytes:
        if len(data) != size:
            raise ValueError(f"the key should have {size} bytes")
        return data

    return field


def _text(data: bytes, strict: bool) -> bytes:
    """As sshbuf_get_cstring(): one zero byte may end it, and is not a part of it."""
    text = data.removesuffix(b"\0")
    if b"\0" in text:
        raise ValueError("a text of the key has a zero byte")
    return text


def _point(curve: _Curve) -> _Field:
    """SEC 1, 2.3.3: 4 x y is the canonical form; 2 x, 3 x, 6 x y and 7 x y are other ones."""

    def field(data: bytes, strict: bool) -> bytes:
        kind, size = data[:1], curve.size
        x, rest = int.from_bytes(data[1 : 1 + size]), data[1 + size :]
        if kind in (b"\2", b"\3") and not strict:
            y = curve.root(curve.y_squared(x), kind[0] & 1)
            rest = y.to_bytes(size)
        elif kind not in ((b"\4",) if strict else (b"\4", b"\6", b"\7")):
            raise ValueError("the form of its curve point is not supported")
        y = int.from_bytes(rest)
        is_on_curve = max(x, y) < curve.prime and y * y % curve.prime == curve.y_squared(x)
        if len(data) <= size or len(rest) != size or not is_on_curve:
            raise ValueError("it is not a point of its curve")
        if strict and not _is_valid(x, y, curve.order):
            raise ValueError("its curve point is invalid")
        return b"\4" + data[1 : 1 + size] + rest

    return field


def _is_valid(x: int, y: int, order: int) -> bool:
    """The bounds of sshkey_ec_validate_public() of sshkey.c."""
    smallest = min(x.bit_length(), y.bit_length())
    return smallest > order.bit_length() // 2 and max(x, y) < order - 1


def _curve_name(name: bytes) -> _Field:
    def field(data: bytes, strict: bool) -> bytes:
        if _text(data, strict) != name:
            raise ValueError("it names another curve than its type")
        return name

    return field


#: The fields of each key type.
_LAYOUTS: dict[bytes, tuple[_Field, ...]] = {
    b"ssh-ed25519": (_bytes(32),),
    b"ssh-rsa": (_number, _number),
    b"ssh-dss": (_number,) * 4,
    **{
        b"ecdsa-sha2-" + name: (_curve_name(name), _point(curve))
        for name, curve in _CURVES.items()
    },
    b"sk-ssh-ed25519@openssh.com": (_bytes(32), _text),
    b"sk-ecdsa-sha2-nistp256@openssh.com": (
        _curve_name(b"nistp256"),
        _point(_CURVES[b"nistp256"]),
        _text,
    ),
    # Of OpenSSH after 10.3: ML-DSA-44 and ed25519, one after the other.
    b"ssh-mldsa44-ed25519@openssh.com": (_bytes(1312 + 32),),
}


# ---- Keys -------------------------------------------------------------------


def family(kind: bytes) -> bytes:
    """Return the key type of which this is a name. OpenSSH names RSA keys by algorithms too."""
    return _ALIASES.get(kind, kind)


def canonical(blob: bytes) -> bytes:
    """Return the canonical encoding of a public key, which may be in any other encoding.

    Bytes after the key are ignored. Raises ValueError if the blob is not a public key.
    """
    return _parse(blob, strict=False)


def read(blob: bytes) -> tuple[bytes, bytes, bool]:
    """Read a public key or certificate as sshkey_from_blob() of OpenSSH's sshkey.c.

    Returns its ``family()``; the key, or the certified key, in the canonical encoding; and True
    if the blob is a certificate. The signature of a certificate is not verified.

    Raises ShortKey if OpenSSH finds an RSA key too short, and ValueError if the blob is invalid.
    """
    try:
        kind = Reader(blob).string()
    except MalformedMessage:
        raise ValueError("it is not a public key") from None
    if not kind.endswith(CERTIFICATE.encode()):
        return family(kind), _parse(blob, strict=True), False
    certificate = Certificate.parse(blob)
    key = _parse(certificate.key, strict=True)
    _parse(certificate.authority, strict=True)
    return family(kind), key, True


def _parse(blob: bytes, *, strict: bool) -> bytes:
    reader = Reader(blob)
    try:
        kind = family(_text(reader.string(), strict))
        if kind not in _LAYOUTS:
            raise ValueError("its type is not supported")
        fields = [field(reader.string(), strict) for field in _LAYOUTS[kind]]
    except MalformedMessage:
        raise ValueError("it is not a public key") from None
    bits = int.from_bytes(fields[1]).bit_length() if kind == b"ssh-rsa" else _SMALLEST_RSA
    if strict and bits < _SMALLEST_RSA:
        raise ShortKey(f"an RSA key of {bits} bits is too short")
    if strict and not reader.is_at_end:
        raise ValueError("bytes follow the public key")
    return string(kind) + b"".join(map(string, fields))
