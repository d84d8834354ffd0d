# SPDX-License-Identifier: BSD-2-Clause
"""What is read from a key file, and that no copy of its private half is made."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from sshgateway import _keyfile

BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
LINE = b"ssh-ed25519 " + base64.b64encode(BLOB)


class Uncopied(bytearray):
    def __bytes__(self) -> bytes:
        raise AssertionError("the whole file was copied")


@pytest.mark.parametrize("ahead", ["", "Bag Attributes\n    friendlyName: key of the gateway, "
                                       "renewed each year by the administrators\n"])  # fmt: skip
def test_a_private_key_is_not_copied_to_look_for_a_public_one(tmp_path: Path, ahead: str) -> None:
    """``openssl pkcs12`` writes attributes ahead of the key."""
    path = tmp_path / "key"
    command = ["openssl", "genpkey", "-algorithm", "ED25519", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    assert _keyfile.public_in(Uncopied(ahead.encode() + path.read_bytes())) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LINE, True),
        (LINE + b"\n", True),
        (b" \n\t" + LINE + b" a comment\n", True),
        (LINE.replace(b" ", b"\t"), True),
        (LINE + b" ----- a comment -----", True),
        (LINE[:-4], False),
        (LINE.replace(b"ssh-ed25519", b"ssh-rsa"), False),
        (b"ssh-ed25519", False),
        (b"ssh-ed25519 !", False),
        (b"\xff " + LINE, False),
        (b"", False),
    ],
)
def test_the_public_key_of_a_line(text: bytes, found: bool) -> None:
    assert _keyfile.public_in(bytearray(text)) == (BLOB if found else None)
