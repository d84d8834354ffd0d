# SPDX-License-Identifier: BSD-2-Clause
"""Which keys and certificates are offered by ssh_config, compared with ssh(1).

The server refuses them all and logs each one, with its fingerprint.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshgateway import AuthenticationError, _core, config, route
from support.server import peer_environment
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key
from support.waiting import until

pytestmark = pytest.mark.skipif(
    _core.LIBSSH2_NUMBER < 0x010B00, reason="this libssh2 cannot log in with a certificate"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateSshd]:
    """A server that knows no key."""
    with PrivateSshd({"MaxAuthTries": "50"}, name="bastion") as sshd:
        (sshd.directory / "authorized_keys").write_text("")
        yield sshd


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """Keys one to four, each with a certificate in cert/, and their public halves in pub/."""
    directory = tmp_path_factory.mktemp("keys")
    make_key(directory / "ca")
    for name in ("one", "two", "three", "four"):
        make_key(directory / name)
        subprocess.run(
            ["ssh-keygen", "-q", "-s", "ca", "-I", name, "-n", "x", f"{name}.pub"],
            cwd=directory, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    for folder, pattern in (("cert", "*-cert.pub"), ("pub", "*.pub")):
        (directory / folder).mkdir()
        for path in directory.glob(pattern):
            shutil.move(path, directory / folder / path.name)
    return directory


@pytest.fixture(scope="module")
def agent(tmp_path_factory, keys) -> Iterator[SshAgent]:
    """An agent with the keys two and three, and the certificate of three."""
    with SshAgent(tmp_path_factory.mktemp("agent")) as agent:
        agent.add(keys / "two")
        beside = keys / "three-cert.pub"
        beside.write_bytes((keys / "cert" / "three-cert.pub").read_bytes())
        agent.add(keys / "three")  # with the certificate
        beside.unlink()
        yield agent


FILES = {
    "nothing": "",
    "a file": "IdentityFile {0}/one",
    "a public half": "IdentityFile {0}/pub/two.pub",
    "a file and its certificate": "IdentityFile {0}/one\nCertificateFile {0}/cert/one-cert.pub",
    "a certificate of the agent's key": "CertificateFile {0}/cert/two-cert.pub",
    "the same with a file": "IdentityFile {0}/one\nCertificateFile {0}/cert/two-cert.pub",
    "a public half and its certificate": (
        "IdentityFile {0}/pub/two.pub\nCertificateFile {0}/cert/two-cert.pub"
    ),
    "a certificate without a key": (
        "IdentityFile {0}/one\nCertificateFile {0}/cert/four-cert.pub"
    ),
    "the certificate in the agent": "CertificateFile {0}/cert/three-cert.pub",
    "the public half of the certified key": "IdentityFile {0}/pub/three.pub",
    "a certificate as an identity": "IdentityFile {0}/cert/three-cert.pub",
    "two files": "IdentityFile {0}/four\nIdentityFile {0}/one",
}


def fingerprint(path: Path) -> str:
    run = subprocess.run(
        ["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return run.stdout.split()[1]


def offered(server: PrivateSshd, start: int) -> list[str]:
    """The keys and certificates that were refused, by the log after its first *start* characters.

    Waits until the log has the end of the connection.
    """
    until(lambda: re.search("closed by|disconnected", server.log[start:], re.IGNORECASE), "ended")
    return re.findall(
        r"Failed publickey for \S+ from \S+ port \d+ ssh2: (\S+ SHA256:\S+)", server.log[start:]
    )


@pytest.mark.parametrize("only", ["no", "yes"])
@pytest.mark.parametrize("name", FILES)
def test_the_keys_that_are_offered(server, keys, agent, tmp_path, name: str, only: str) -> None:
    path = tmp_path / "config"
    path.write_text(
        f"{FILES[name].format(keys)}\nIdentitiesOnly {only}\n"
        + re.sub(
            r"IdentityFile.*\n|IdentitiesOnly.*\n|IdentityAgent.*\n", "",
            server.ssh_config.read_text(),
        )
        + f"IdentityAgent {agent.path}\nPreferredAuthentications publickey\n"
    )  # fmt: skip
    logs = []
    for log_in in (by_ssh, by_us):
        before = len(server.log)
        log_in(path)
        logs.append(offered(server, before))
    of_ssh, ours = map(set, logs)
    # ssh offers a certificate for which it could not sign, which costs one of MaxAuthTries. With
    # IdentitiesOnly a key that no file names, but the agent holds, does not sign for it either:
    # see test_the_agent_holds_the_key_of_an_identity_file_that_is_a_certificate.
    unsigned = {"a certificate without a key": "four"}
    if only == "yes":
        unsigned |= {"a certificate of the agent's key": "two", "the same with a file": "two"}
    if name in unsigned:
        path = keys / "cert" / f"{unsigned[name]}-cert.pub"
        of_ssh.remove(f"ED25519-CERT {fingerprint(path)}")
    assert ours == of_ssh


def by_ssh(path: Path) -> None:
    subprocess.run(
        ["ssh", "-F", path, "bastion", "true"], env=peer_environment(), stdin=subprocess.DEVNULL,
        capture_output=True, check=False,
    )  # fmt: skip


def by_us(path: Path) -> None:
    gateway = route.gateway_by([config.lookup("bastion", ssh_config=path)])
    with pytest.raises(AuthenticationError):
        gateway.open()
