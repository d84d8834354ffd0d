# SPDX-License-Identifier: BSD-2-Clause
"""Host keys: unknown, changed, revoked, and the three degrees of strictness."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import subprocess

import pytest

from sshgateway import AuthenticationError, Gateway, HostKeyError
from support import gateways, scripted
from support.sshd import PrivateSshd, make_key


def fingerprint(public: str) -> str:
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def name_of(sshd: PrivateSshd) -> str:
    return f"[{sshd.host}]:{sshd.port}"


@pytest.fixture
def other_key(tmp_path) -> str:
    return make_key(tmp_path / "other")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "known_hosts"


def mistrust(gateway: Gateway, sshd: PrivateSshd) -> HostKeyError:
    """The error, after which nothing has been tried to log in."""
    gateways.logins(sshd)  # those of before are told
    before = sshd.log
    with pytest.raises(HostKeyError) as caught:
        gateway.open()
    error = caught.value
    assert isinstance(error, PermissionError)
    assert len(error.args) == 2
    assert error.gateway == str(gateway)
    assert error.key_type == "ssh-ed25519"
    assert error.fingerprint == fingerprint(sshd.host_key)
    assert error.fingerprint in str(error)
    assert not gateway.is_connected
    said = sshd.log[len(before) :]
    assert "Accepted" not in said and "Failed" not in said
    return error


def test_a_known_key_is_taken(sshd) -> None:
    with gateways.to(sshd) as gateway:
        assert gateway.is_connected
        assert gateway.methods["host_key"] == "ssh-ed25519"


def test_a_hashed_name_is_known(sshd, file) -> None:
    file.write_text(f"{name_of(sshd)} {sshd.host_key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert sshd.host not in file.read_text()
    with gateways.to(sshd, known_hosts=[file]) as gateway:
        assert gateway.is_connected


def test_an_unknown_key_is_refused(sshd, file) -> None:
    error = mistrust(gateways.to(sshd, known_hosts=[file]), sshd)
    assert error.hostname == name_of(sshd)
    assert str(file) in str(error)
    assert "accept-new" in str(error)
    assert "ssh-keyscan" in str(error)
    assert not file.exists()


def test_no_files_know_nothing(sshd) -> None:
    mistrust(gateways.to(sshd, known_hosts=[]), sshd)


def test_a_changed_key_is_refused(sshd, file, other_key) -> None:
    file.write_text(f"# first line\n{name_of(sshd)} {other_key}\n")
    for strict in ("yes", "accept-new"):
        gateway = gateways.to(sshd, known_hosts=[file], strict_host_key_checking=strict)
        error = mistrust(gateway, sshd)
        assert "changed" in str(error)
        assert f"{file}:2" in str(error)
        assert fingerprint(other_key) in str(error)


@pytest.mark.parametrize("strict", ["yes", "accept-new", "no"])
def test_a_revoked_key_is_refused_always(sshd, file, strict: str) -> None:
    known = f"{name_of(sshd)} {sshd.host_key}\n"
    file.write_text(f"{known}@revoked * {sshd.host_key}\n")
    gateway = gateways.to(sshd, known_hosts=[file], strict_host_key_checking=strict)
    error = mistrust(gateway, sshd)
    assert "revoked" in str(error)
    assert f"{file}:2" in str(error)


def test_a_certificate_authority_is_not_enough(sshd, file) -> None:
    file.write_text(f"@cert-authority * {sshd.host_key}\n")
    error = mistrust(gateways.to(sshd, known_hosts=[file]), sshd)
    assert "certificate" in str(error)


def test_a_key_for_the_host_is_not_for_its_ports(sshd, file) -> None:
    file.write_text(f"{sshd.host} {sshd.host_key}\n")
    mistrust(gateways.to(sshd, known_hosts=[file]), sshd)


def test_the_alias_is_looked_up_instead(sshd, file) -> None:
    file.write_text(f"bastion {sshd.host_key}\n")
    with gateways.to(sshd, known_hosts=[file], host_key_alias="Bastion") as gateway:
        assert gateway.is_connected
    error = mistrust(gateways.to(sshd, known_hosts=[file], host_key_alias="other"), sshd)
    assert error.hostname == "other"


# --- accept-new ---------------------------------------------------------------------------


def test_accept_new_writes_the_key_and_strict_takes_it_then(sshd, tmp_path) -> None:
    file = tmp_path / "new" / "known_hosts"
    old = os.umask(0)
    try:
        with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="accept-new"):
            pass
    finally:
        os.umask(old)
    assert file.read_text() == f"{name_of(sshd)} {sshd.host_key}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with gateways.to(sshd, known_hosts=[file]) as gateway:
        assert gateway.is_connected
    found = subprocess.run(
        ["ssh-keygen", "-F", name_of(sshd), "-f", file], capture_output=True, text=True
    )
    assert sshd.host_key in found.stdout


def test_accept_new_keeps_what_is_there(sshd, file) -> None:
    file.write_text("other.example ssh-ed25519 broken")  # without an end of line
    with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="accept-new"):
        pass
    first, second, rest = file.read_text().split("\n")
    assert (first, rest) == ("other.example ssh-ed25519 broken", "")
    assert second == f"{name_of(sshd)} {sshd.host_key}"


def test_accept_new_goes_on_when_it_cannot_write(sshd, caplog) -> None:
    options = {"known_hosts": ["/proc/none/known_hosts"], "strict_host_key_checking": "accept-new"}
    with gateways.to(sshd, **options) as gateway:
        assert gateway.is_connected
    assert "/proc/none/known_hosts" in caplog.text


# --- no -----------------------------------------------------------------------------------


def test_no_takes_an_unknown_key_and_writes_nothing(sshd, file) -> None:
    with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="no") as gateway:
        assert gateway.is_connected
    assert not file.exists()


def test_no_takes_a_changed_key(sshd, file, other_key) -> None:
    file.write_text(f"{name_of(sshd)} {other_key}\n")
    with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="no") as gateway:
        assert gateway.is_connected
    assert other_key in file.read_text()


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive"])
def test_no_sends_no_password_where_the_key_has_changed(
    sshd, file, other_key, methods: str
) -> None:
    """As OpenSSH: somebody may be in between."""
    with scripted.ParamikoServer(sshd, methods=methods, password="secret") as server:
        host, port = server.address
        file.write_text(f"[{host}]:{port} {other_key}\n")
        gateway = server.gateway(known_hosts=[file])
        with pytest.raises(AuthenticationError):
            gateway.open()
        assert server.answers == []
        assert server.passwords == []


def test_the_key_type_that_is_known_is_asked_for_first(tmp_path, file) -> None:
    """The server has two; by default the ed25519 one would be presented."""
    key = tmp_path / "ecdsa"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "", "-f", key],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    # PrivateSshd's own HostKey wins over the option; an agent-less second one is a list.
    with TwoKeys(str(key)) as server:
        file.write_text(f"{name_of(server)} {key.with_suffix('.pub').read_text()}")
        with gateways.to(server, known_hosts=[file]) as gateway:
            assert gateway.methods["host_key"] == "ecdsa-sha2-nistp256"
        with gateways.to(server) as gateway:
            assert gateway.methods["host_key"] == "ssh-ed25519"


class TwoKeys(PrivateSshd):
    def __init__(self, second: str) -> None:
        super().__init__()
        self._second = second

    def _server_config(self) -> str:
        return super()._server_config() + f"HostKey {self._second}\n"
