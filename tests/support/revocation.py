# SPDX-License-Identifier: BSD-2-Clause
"""Keys, certificates and key revocation lists, made and queried with ssh-keygen(1)."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

BITS = {"ed25519": [], "ecdsa": ["-b", "384"], "rsa": ["-b", "2048"]}


def _ssh_keygen(*words: object, spec: str | None = None) -> None:
    command = ["ssh-keygen", "-q", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, text=True, input=spec or "")


def make_key(path: Path, kind: str = "ed25519", *options: object) -> Path:
    """Make a key pair; return the path of the public key."""
    _ssh_keygen("-t", kind, *(options or BITS[kind]), "-N", "", "-C", "", "-f", path)
    return path.with_name(path.name + ".pub")


def sign(key: Path, ca: Path, name: str, *options: object, key_id: str = "an id") -> Path:
    """Make a host certificate of a public key, named after *name*; return its path."""
    copy = key.with_name(f"{name}.pub")
    copy.write_text(key.read_text())
    _ssh_keygen("-s", ca.with_suffix(""), "-I", key_id, "-h", *options, copy)
    copy.unlink()
    return key.with_name(f"{name}-cert.pub")


def blob_of(public: Path) -> bytes:
    return base64.b64decode(public.read_text().split()[1])


def add_to_krl(krl: Path, lines: Iterable[str], ca: Path | None) -> None:
    """Add the lines of a specification to a list, which is created if it is missing.

    - ca: the public key of the authority of "serial:" and "id:" lines; None means every one.
    """
    update = ["-u"] if krl.exists() else []
    authority = "none" if ca is None else ca
    _ssh_keygen("-k", *update, "-f", krl, "-s", authority, "-", spec="\n".join(lines) + "\n")


def query_krl(krl: Path, publics: Sequence[Path]) -> list[bool] | None:
    """Return which keys ``ssh-keygen -Q`` finds revoked, or None if the list is invalid."""
    run = subprocess.run(
        ["ssh-keygen", "-Q", "-f", krl, *publics],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if run.returncode == 255:
        assert "Invalid KRL file" in run.stderr, run.stderr
        return None
    return [line.endswith(": REVOKED") for line in run.stdout.splitlines()]
