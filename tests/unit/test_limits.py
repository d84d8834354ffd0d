# SPDX-License-Identifier: BSD-2-Clause
"""The keys that a libssh2 with the overflow must not get; see sshgateway._limits."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from sshgateway import _limits


@pytest.fixture(autouse=True)
def dangerous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limits, "rsa_is_dangerous", lambda: True)


def pkcs8(path: Path, *algorithm: str) -> bytearray:
    command = ["openssl", "genpkey", "-out", path, "-algorithm", *algorithm]
    subprocess.run(command, check=True, capture_output=True)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("algorithm", "is_dangerous"),
    [
        (["ED25519"], False),
        (["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], False),
        (["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], False),
        (["RSA"], True),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else str(value),
)
def test_the_type_of_a_pkcs8_key_is_read_without_its_private_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: list[str], is_dangerous: bool
) -> None:
    """A copy of it would stay in memory, because bytes cannot be wiped."""
    content = pkcs8(tmp_path / "key", *algorithm)
    decoded = []
    real = base64.b64decode

    def decode(text: bytes, **options: bool) -> bytes:
        decoded.append(real(text, **options))
        return decoded[-1]

    monkeypatch.setattr(base64, "b64decode", decode)
    assert (_limits.danger_of(content, None) is not None) == is_dangerous
    longest = 12 if algorithm == ["ED25519"] else 21
    assert max(map(len, decoded)) <= longest
