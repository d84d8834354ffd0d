# SPDX-License-Identifier: BSD-2-Clause
"""Fuzz _trust/certificates.py and canonical_keys.py: random bytes for a host key or certificate.

    fuzz_certificates.py -max_total_time=SECONDS CORPUS

check_all() states what must hold for every input.
"""

from __future__ import annotations

import contextlib
import struct

from driver import atheris, run

with atheris.instrument_imports() if atheris else contextlib.nullcontext():
    from sshgateway._public_keys import plain_key
    from sshgateway._trust import canonical_keys
    from sshgateway._trust.certificates import Certificate


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


# The base point of P-256.
_POINT = bytes.fromhex(
    "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
)
_ED25519 = _string(bytes(range(32)))
_ECDSA = _string(b"nistp256") + _string(_POINT)
_RSA = _string(b"\1\0\1") + _string(b"\0" + b"\xa5" * 128)
_CA = _string(b"ssh-ed25519") + _ED25519


def _certificate(kind: bytes, key: bytes) -> bytes:
    name = kind.removesuffix(b"@openssh.com") + b"-cert-v01@openssh.com"
    principals = _string(_string(b"host") + _string(b"*.example"))
    times = struct.pack(">QQ", 0, 2**64 - 1)
    options = _string(_string(b"force-command") + _string(_string(b"x"))) + _string(b"")
    signature = _string(_string(b"ssh-ed25519") + _string(bytes(64)))
    return (
        _string(name) + _string(b"nonce") + key + struct.pack(">QI", 5, 2) + _string(b"an id")
        + principals + times + options + _string(b"") + _string(_CA) + signature
    )  # fmt: skip


SEEDS = (
    _CA,
    _string(b"ecdsa-sha2-nistp256") + _ECDSA,
    _string(b"ssh-rsa") + _RSA,
    _certificate(b"ssh-ed25519", _ED25519),
    _certificate(b"ecdsa-sha2-nistp256", _ECDSA),
    _certificate(b"ssh-rsa", _RSA),
    _certificate(b"sk-ssh-ed25519@openssh.com", _ED25519 + _string(b"ssh:")),
)
_PIECES = (_string(b""), _string(b"\0"), b"\0", b"\0\0\0\x20", b"\xff\xff\xff\xff", _ED25519)


def check_all(data: bytes) -> None:
    """Check that only ValueError is raised, and that a certificate has one length."""
    check_certificate(data)
    check_key(data)


def check_certificate(data: bytes) -> None:
    try:
        certificate = Certificate.parse(data)
    except ValueError:
        return
    assert "\n" not in str(certificate).replace(certificate.names, "")
    assert certificate.objection("host") is None or certificate.objection("host")
    assert certificate.key == plain_key(data)
    for other in (data[:-1], data + b"\0"):
        try:
            Certificate.parse(other)
        except ValueError:
            continue
        raise AssertionError("a certificate has two lengths")


def check_key(data: bytes) -> None:
    """Check that a canonical key is its own canonical key, and that read() finds the same."""
    try:
        key = canonical_keys.canonical(data)
    except ValueError:
        key = None
    if key is not None:
        assert canonical_keys.canonical(key) == key
        assert canonical_keys.canonical(data + b"\0") == key
    with contextlib.suppress(ValueError):
        _, found, is_certificate = canonical_keys.read(data)
        assert key is None if is_certificate else found == key


if __name__ == "__main__":
    run(check_all, SEEDS, _PIECES)
