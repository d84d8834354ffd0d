# SPDX-License-Identifier: BSD-2-Clause
"""Logging in with a certificate of an authority that the server trusts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from sshgateway import AuthenticationError, Gateway, _core
from sshgateway._limits import rsa_is_dangerous
from support import gateways
from support.gateways import opens, refusal
from support.server import peer_environment
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key

OLD_LIBSSH2 = _core.LIBSSH2_NUMBER < 0x010B00
NO_RSA = OLD_LIBSSH2 or rsa_is_dangerous()

KINDS = {
    "ed25519": ("ed25519", paramiko.Ed25519Key),
    "ecdsa-256": ("ecdsa", paramiko.ECDSAKey),
    "ecdsa-384": ("ecdsa", paramiko.ECDSAKey),
    "ecdsa-521": ("ecdsa", paramiko.ECDSAKey),
    "rsa-2048": ("rsa", paramiko.RSAKey),
}


def keygen(*words: object) -> str:
    run = subprocess.run(
        ["ssh-keygen", "-q", *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return run.stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca"
    make_key(path)
    return path


@pytest.fixture(scope="module")
def server(authority: Path) -> Iterator[PrivateSshd]:
    """A server that accepts no key of ours, only certificates of the authority."""
    with PrivateSshd({"TrustedUserCAKeys": f"{authority}.pub"}) as server:
        (server.directory / "authorized_keys").write_text("")
        yield server


def make_certified(
    path: Path, authority: Path, principal: str, validity: str = "-5m:+1h", kind: str = "ed25519"
) -> Path:
    """Make a key, and its certificate in the file beside it; return the path of the key."""
    name, _, bits = kind.partition("-")
    # Paramiko may take the end of a key without a comment for padding.
    comment = "certified"
    keygen("-t", name, *(["-b", bits] if bits else []), "-N", "", "-C", comment, "-f", path)
    keygen("-s", authority, "-I", "test", "-n", principal, "-V", validity, f"{path}.pub")
    return path


def load(path: Path, kind: str = "ed25519") -> paramiko.PKey:
    key: paramiko.PKey = KINDS[kind][1](filename=str(path))
    key.load_certificate(f"{path}-cert.pub")
    return key


def login(server: PrivateSshd, key: paramiko.PKey | None, **options) -> Gateway:
    return gateways.to(server, key_filename=None, pkey=key, **options)


def shown_by_ssh_keygen(path: Path) -> str:
    return keygen("-l", "-f", f"{path}-cert.pub").split()[1]


def check_told(error: AuthenticationError, path: Path) -> None:
    """The error names what was tried, and the fingerprint that OpenSSH shows."""
    assert any("-cert-v01@openssh.com SHA256:" in method for method in error.methods)
    assert shown_by_ssh_keygen(path) in str(error)
    if OLD_LIBSSH2:
        assert f"libssh2 {_core.LIBSSH2_VERSION} cannot log in with a certificate" in str(error)
        assert "1.11" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_and_gateway_agree_on_a_certificate(server, authority, tmp_path, kind: str) -> None:
    """Gateway logs in with every certificate that ssh(1) logs in with, or says what is missing."""
    path = make_certified(tmp_path / "key", authority, server.username, kind=kind)
    config = server.ssh_config.read_text().replace(str(server.user_key), str(path))
    (tmp_path / "config").write_text(config)
    command = ["ssh", "-F", str(tmp_path / "config"), server.name, "true"]
    subprocess.run(
        command, check=True, env=peer_environment(), stdin=subprocess.DEVNULL, capture_output=True
    )
    gateways_of_ours = [
        login(server, load(path, kind)),
        gateways.to(server, key_filename=str(path)),
        gateways.to(server, key_filename=f"{path}-cert.pub"),
    ]
    for gateway in gateways_of_ours:
        if OLD_LIBSSH2 or (NO_RSA and "rsa" in kind):
            check_told(refusal(gateway), path)
        else:
            assert opens(gateway)


def test_a_certificate_for_another_user_is_refused(server, authority, tmp_path) -> None:
    path = make_certified(tmp_path / "key", authority, "somebody-else")
    seen = len(server.log)
    check_told(refusal(login(server, load(path))), path)
    assert OLD_LIBSSH2 or "not a listed principal" in server.log[seen:]


def test_an_expired_certificate_is_refused(server, authority, tmp_path) -> None:
    path = make_certified(tmp_path / "key", authority, server.username, "-2h:-1h")
    seen = len(server.log)
    check_told(refusal(login(server, load(path))), path)
    assert OLD_LIBSSH2 or "expired" in server.log[seen:]


def test_a_certificate_of_an_unknown_authority_is_refused(server, tmp_path) -> None:
    make_key(tmp_path / "other")
    path = make_certified(tmp_path / "key", tmp_path / "other", server.username)
    check_told(refusal(login(server, load(path))), path)


def test_the_key_without_its_certificate_is_refused(server, authority, tmp_path) -> None:
    path = make_certified(tmp_path / "key", authority, server.username)
    error = refusal(login(server, paramiko.Ed25519Key(filename=str(path))))
    assert f"ssh-ed25519 {shown_by_ssh_keygen(path)}" in str(error)
    assert "cert" not in str(error)


def test_a_plain_key_is_tried_after_a_refused_certificate(server, authority, tmp_path) -> None:
    wrong = make_certified(tmp_path / "wrong", authority, "somebody-else")
    good = paramiko.ECDSAKey.generate()
    allowed = server.directory / "authorized_keys"
    allowed.write_text(f"{good.get_name()} {good.get_base64()}\n")
    try:
        assert opens(gateways.to(server, key_filename=None, pkey=[load(wrong), good]))
    finally:
        allowed.write_text("")


def test_the_key_of_a_refused_certificate_is_tried_too(server, authority, tmp_path) -> None:
    """The certificate is tried first, as in ssh, then the key; one passphrase serves both."""
    path = make_certified(tmp_path / "key", authority, "somebody-else")
    keygen("-p", "-P", "", "-N", "secret", "-f", path)
    asked = []

    def prompt(text: str, echo: bool) -> str:
        asked.append(text)
        return "secret"

    gateway = gateways.to(server, key_filename=str(path), prompt=prompt)
    check_told(refusal(gateway), path)
    allowed = server.directory / "authorized_keys"
    allowed.write_text(path.with_suffix(".pub").read_text())
    try:
        with gateway:
            assert gateway.is_connected
            assert gateway.methods["login"].startswith(f"key file {path} ssh-ed25519 SHA256:")
    finally:
        allowed.write_text("")
    # By messages, the passphrase of a key that the server refuses is not asked for.
    logins = 1 if _core.BUILD_LIBSSH2 == "pinned" else 2
    assert asked == [f"Enter passphrase for key '{path}': "] * logins


@pytest.mark.parametrize("line", [b"", b"ssh-ed25519 AAAA", b"\xff\0", b"x" * 100])
def test_a_file_that_is_not_a_certificate_is_ignored(sshd, tmp_path, line: bytes) -> None:
    key = tmp_path / "key"
    key.write_bytes(sshd.user_key.read_bytes())
    key.chmod(0o600)
    (tmp_path / "key-cert.pub").write_bytes(line)
    assert opens(gateways.to(sshd, key_filename=str(key)))


@pytest.fixture
def agent(short_path, leaves_nothing) -> Iterator[SshAgent]:
    with SshAgent(short_path) as agent:
        yield agent


@pytest.mark.parametrize("principal", ["us", "somebody-else"])
def test_a_certificate_of_the_agent_logs_in(
    server, authority, agent, tmp_path, principal: str
) -> None:
    name = server.username if principal == "us" else principal
    path = make_certified(tmp_path / "key", authority, name)
    agent.add(path)
    gateway = login(server, None, allow_agent=True, identity_agent=agent.path)
    if principal == "us" and not OLD_LIBSSH2:
        assert opens(gateway)
    else:
        check_told(refusal(gateway), path)


@pytest.mark.skipif(OLD_LIBSSH2, reason="this libssh2 can't log in with a certificate")
def test_the_agents_keys_are_tried_before_a_key_that_needs_a_passphrase(
    server, authority, agent, tmp_path
) -> None:
    """A file and its certificate are tried first only if no passphrase has to be typed."""
    path = make_certified(tmp_path / "key", authority, server.username)
    agent.add(path)
    keygen("-p", "-P", "", "-N", "secret", "-f", path)

    def prompt(text: str, echo: bool) -> str:
        raise AssertionError(text)

    options = {"allow_agent": True, "identity_agent": agent.path, "prompt": prompt}
    assert opens(gateways.to(server, key_filename=str(path), **options))
