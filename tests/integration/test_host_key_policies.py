# SPDX-License-Identifier: BSD-2-Clause
"""Random policies of trust: a Gateway accepts a host key exactly if ssh(1) does.

A policy is a known_hosts file with lines of every kind, and sometimes a key revocation list. Three
cases are left out, in which this package is stricter on purpose (see known_hosts.py): a plain key
that is known for the host without its port, a key that is revoked for that name, and a tab after
"@revoked".
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sshgateway import build_info
from support.host_certificates import (
    Key,
    is_accepted_by_ssh,
    is_accepted_by_us,
    make_key,
    revoke,
    sign,
)
from support.sshd import PrivateSshd

pytestmark = pytest.mark.skipif(
    not any("-cert-" in name for name in build_info()["host_key_algorithms"]),
    reason="libssh2 cannot check host certificates",
)

HOST = "localhost"
ALIAS = "db1.example"
SERVERS = ("valid", "expired", "without")


@dataclass
class Site:
    """Servers with the same two host keys, and the keys that a policy may name."""

    keys: dict[str, Key]
    servers: dict[str, PrivateSshd] = field(default_factory=dict)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("policies")
    kinds = {
        "host": "ed25519",
        "host2": "ecdsa",
        "ca": "ed25519",
        "ca2": "rsa",
        "other": "ed25519",
    }
    keys = {name: make_key(path / name, kind) for name, kind in kinds.items()}
    files = {"HostKey": [str(keys[name].path) for name in ("host", "host2")]}
    made = Site(keys)
    names = ["-n", f"{ALIAS},{HOST}", "-z", "7"]
    with PrivateSshd(files) as without:
        certificate = sign(keys["host"], keys["ca"], *names)
        valid = certificate.rename(path / "valid.pub")
        certificate = sign(keys["host"], keys["ca"], *names, "-V", "20000101:20010101")
        with (
            PrivateSshd({**files, "HostCertificate": str(valid)}) as good,
            PrivateSshd({**files, "HostCertificate": str(certificate)}) as expired,
        ):
            made.servers.update(valid=good, expired=expired, without=without)
            yield made


@dataclass
class Policy:
    """One random policy; the numbers of a seed make it."""

    seed: int

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.server = self.chance.choice(SERVERS)
        self.alias = self.chance.choice([ALIAS, ALIAS, None])

    def names(self, port: int) -> str:
        """The names of a line; most are about the host."""
        if self.alias is None:
            options = [f"[{HOST}]:{port}", "*", f"[{HOST}]:*", f"*,![{HOST}]:{port + 1}", "x,*"]
        else:
            options = [
                ALIAS, "*", "*.example", "DB1.*", f"*,!{ALIAS}", "*,!db2*", "db?.example",
                "db1.exampl", f"other,{ALIAS}", "!*.example",
            ]  # fmt: skip
        return self.chance.choice(options)

    def line(self, site: Site, port: int) -> str:
        marker, keys = self.chance.choice(
            [
                ("", ["host", "host2", "other", "ca"]),
                ("", ["host"]),
                ("@cert-authority ", ["ca", "ca", "ca2", "other"]),
                ("@cert-authority ", ["ca"]),
                ("@revoked ", ["host2", "ca", "host", "other", "ca2", "other"]),
            ]
        )
        key = site.keys[self.chance.choice(keys)]
        return f"{marker}{self.names(port)} {key.public}\n"

    def write_known_hosts(self, site: Site, file: Path) -> str:
        port = site.servers[self.server].port
        lines = [self.line(site, port) for _ in range(self.chance.randint(1, 4))]
        file.write_text("".join(lines))
        if self.chance.random() < 0.25:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
            file.with_name(file.name + ".old").unlink()
        return file.read_text()

    def write_list(self, site: Site, file: Path) -> Path | None:
        if self.chance.random() < 0.6:
            return None
        key = site.keys[self.chance.choice(["host", "host2", "ca", "ca2", "other"])]
        what = self.chance.choice(
            ["serial: 7", "serial: 8", "serial: 5-9", "id: an id", "id: x", f"key: {key.public}",
             f"sha256: {key.public}", f"sha1: {key.public}", None]
        )  # fmt: skip
        if what is None:
            file.write_text(f"# a text\n{key.public} comment\n")
            return file
        return revoke(file, site.keys[self.chance.choice(["ca", "ca", "ca2"])], what)


@pytest.mark.parametrize("part", range(8))
def test_200_random_policies(site: Site, tmp_path: Path, part: int) -> None:
    accepted = 0
    for seed in range(25 * part, 25 * (part + 1)):
        policy = Policy(seed)
        known = tmp_path / "known_hosts"
        text = policy.write_known_hosts(site, known)
        revoked = policy.write_list(site, tmp_path / "list")
        sshd = site.servers[policy.server]
        theirs = [] if policy.alias is None else [f"HostKeyAlias={policy.alias}"]
        theirs += [] if revoked is None else [f"RevokedHostKeys={revoked}"]
        expected = is_accepted_by_ssh(sshd, known, HOST, *theirs)
        ours = is_accepted_by_us(
            sshd, known, HOST, host_key_alias=policy.alias, revoked_host_keys=revoked or ()
        )
        assert ours is expected, f"seed {seed}, {policy.server} certificate, {revoked}:\n{text}"
        accepted += ours
    assert 0 < accepted < 25
