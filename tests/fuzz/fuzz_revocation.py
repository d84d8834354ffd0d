# SPDX-License-Identifier: BSD-2-Clause
"""Fuzz _trust/revocation.py and _trust/krl.py: random bytes for a file of revoked host keys.

    fuzz_revocation.py -max_total_time=SECONDS CORPUS

An input is a byte that selects the host key, then the file. check_all() states what must hold for
every input.
"""

from __future__ import annotations

import base64
import contextlib
import struct

import fuzz_certificates
from driver import atheris, run

with atheris.instrument_imports() if atheris else contextlib.nullcontext():
    from sshgateway import _files
    from sshgateway._public_keys import plain_key
    from sshgateway._trust.krl import MAGIC
    from sshgateway._trust.revocation import Revocation, RevokedKeys

_KEYS = fuzz_certificates.SEEDS
_CA = _KEYS[0]


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _section(kind: int, *parts: bytes) -> bytes:
    return bytes([kind]) + _string(b"".join(parts))


def _serials(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}Q", *numbers)


def _krl(*sections: bytes) -> bytes:
    return MAGIC + struct.pack(">IQQQ", 1, 0, 0, 0) + _string(b"") * 2 + b"".join(sections)


def _line(key: bytes) -> bytes:
    kind = key[4 : 4 + int.from_bytes(key[:4])]
    return kind + b" " + base64.b64encode(key) + b"\n"


_CERTIFICATES = _section(
    1, _string(_CA), _string(b""), _section(0x20, _serials(1, 5)), _section(0x21, _serials(4, 9)),
    _section(0x22, _serials(3), _string(b"\x05")), _section(0x23, _string(b"an id\0")),
    _section(0x39, _string(b"x@y"), b"\0", _string(b"")),
)  # fmt: skip
_FINGERPRINTS = _section(3, _string(bytes(20))) + _section(5, _string(bytes(32)))
_PIECES = (_CERTIFICATES, _FINGERPRINTS, _section(2, _string(_CA)), b"\n", b"#", b" ", _line(_CA))

SEEDS = (
    b"\0" + _krl(),
    b"\3" + _krl(_CERTIFICATES),
    b"\4" + _krl(_section(1, _string(b"") * 2, _section(0x22, _serials(1), _string(b"\x10")))),
    b"\5" + _krl(_section(2, *map(_string, _KEYS)), _FINGERPRINTS),
    b"\1# comment\n\n" + b"".join(map(_line, _KEYS[:3])),
    b"\4" + _line(_KEYS[3]),
)


class _File:
    """A file that is not on a disk."""

    def __init__(self) -> None:
        self.data = b""

    def read(self, path: str) -> bytes:
        return self.data


_FILE = _File()
_REVOKED = RevokedKeys(["/revoked"])


def _check(data: bytes, key: bytes) -> Revocation | None:
    _FILE.data = data
    result = _REVOKED.check(key)
    assert result is None or isinstance(result, Revocation)
    assert result is None or "\n" not in str(result)
    assert result is None or result.is_unreadable == (result.errno != 0)
    return result


def check_all(data: bytes) -> None:
    """Check that nothing is raised, and that a key is revoked if it is added to the file."""
    key, data = _KEYS[data[0] % len(_KEYS)] if data else _CA, data[1:]
    result, plain = _check(data, key), plain_key(key)
    if not data.startswith(MAGIC):
        assert _check(_line(plain) + data, key) is not None
        assert _check(data + b"\n" + _line(plain), key) is not None
    elif result is None or not result.is_unreadable:
        for added in (
            _section(2, _string(plain)),
            _section(255, _string(b"x"), b"\1", _string(b"")),
        ):
            more = _check(data + added, key)
            assert more is not None
            assert more.is_unreadable == (added[0] == 255)


if __name__ == "__main__":
    _files.read = _FILE.read
    run(check_all, SEEDS, _PIECES)
