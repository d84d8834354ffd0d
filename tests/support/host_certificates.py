# SPDX-License-Identifier: BSD-2-Clause
"""Host keys and certificates made by ssh-keygen(1), and the opinion of ssh(1) about them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.sshd import PrivateSshd

KINDS = {"ed25519": (), "ecdsa": ("-b", "256"), "rsa": ("-b", "2048")}


@dataclass(frozen=True)
class Key:
    """A private key file, and its public key as "type base64"."""

    path: Path
    public: str


def make_key(path: Path, kind: str = "ed25519") -> Key:
    command = ["ssh-keygen", "-q", "-t", kind, *KINDS[kind], "-N", "", "-C", ""]
    subprocess.run([*command, "-f", path], check=True, stdin=subprocess.DEVNULL)
    return Key(path, path.with_name(path.name + ".pub").read_text().strip())


def sign(key: Key, ca: Key, *options: str, is_host: bool = True) -> Path:
    """Make a certificate of a key; return its path, which each call writes again."""
    kind = ["-h"] if is_host else []
    command = ["ssh-keygen", "-q", "-s", str(ca.path), "-I", "an id", *kind, *options]
    subprocess.run([*command, f"{key.path}.pub"], check=True)
    return key.path.with_name(key.path.name + "-cert.pub")


def revoke(path: Path, ca: Key | None, *specifications: str) -> Path:
    """Write a key revocation list; see KEY REVOCATION LISTS in ssh-keygen(1).

    - ca: the authority whose serial numbers and key IDs are meant; None for every authority.
    """
    source = path.with_name(path.name + ".spec")
    source.write_text("".join(f"{line}\n" for line in specifications))
    which = [] if ca is None else ["-s", f"{ca.path}.pub"]
    command = ["ssh-keygen", "-q", "-k", "-f", str(path), *which, str(source)]
    subprocess.run(command, check=True)
    return path


def is_accepted_by_ssh(sshd: PrivateSshd, known_hosts: Path, host: str, *options: str) -> bool:
    """True if ssh(1) logs in to the server under a name.

    - options: values of -o.
    """
    given = [f"UserKnownHostsFile={known_hosts}", f"HostName={host}", *options]
    words = [word for option in given for word in ("-o", option)]
    command = ["ssh", "-F", str(sshd.ssh_config), *words, sshd.name, "true"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 0 or "Host key verification failed" in ran.stderr, ran.stderr
    return ran.returncode == 0


def is_accepted_by_us(sshd: PrivateSshd, known_hosts: Path, host: str, **options: Any) -> bool:
    """True if a Gateway logs in to the server under a name."""
    from sshgateway import HostKeyError
    from support import gateways

    gateway = gateways.to(sshd, hostname=host, known_hosts=[known_hosts], **options)
    try:
        gateway.open()
    except HostKeyError:
        return False
    finally:
        gateway.close()
    return True


def lines(*parts: Sequence[str]) -> str:
    """The text of a known_hosts file; each part is the words of a line."""
    return "".join(" ".join(part) + "\n" for part in parts)
