# SPDX-License-Identifier: BSD-2-Clause
"""Host keys: unknown, changed, revoked, and the three values of strict_host_key_checking."""

from __future__ import annotations

import base64
import hashlib
import os
import resource
import stat
import subprocess

import paramiko
import pytest

from sshgateway import AuthenticationError, Gateway, HostKeyError
from sshgateway._deadline import Deadline
from sshgateway.known_hosts import KnownHosts
from sshgateway.login import Question
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
    """The error of open(); checks that no login was attempted."""
    gateways.logins(sshd)  # wait until the earlier logins are in the log
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


def test_a_known_key_is_accepted(sshd) -> None:
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


def test_without_files_no_key_is_known(sshd) -> None:
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
def test_a_revoked_key_is_always_refused(sshd, file, strict: str) -> None:
    known = f"{name_of(sshd)} {sshd.host_key}\n"
    file.write_text(f"{known}@revoked * {sshd.host_key}\n")
    gateway = gateways.to(sshd, known_hosts=[file], strict_host_key_checking=strict)
    error = mistrust(gateway, sshd)
    assert "revoked" in str(error)
    assert f"{file}:2" in str(error)


def test_a_certificate_authority_does_not_make_the_key_known(sshd, file) -> None:
    file.write_text(f"@cert-authority * {sshd.host_key}\n")
    error = mistrust(gateways.to(sshd, known_hosts=[file]), sshd)
    assert "certificate" in str(error)


def test_a_key_of_the_host_does_not_count_for_its_ports(sshd, file) -> None:
    file.write_text(f"{sshd.host} {sshd.host_key}\n")
    mistrust(gateways.to(sshd, known_hosts=[file]), sshd)


def test_the_alias_is_looked_up_instead_of_the_host(sshd, file) -> None:
    file.write_text(f"bastion {sshd.host_key}\n")
    with gateways.to(sshd, known_hosts=[file], host_key_alias="Bastion") as gateway:
        assert gateway.is_connected
    error = mistrust(gateways.to(sshd, known_hosts=[file], host_key_alias="other"), sshd)
    assert error.hostname == "other"


# --- accept-new ---------------------------------------------------------------------------


def test_a_key_written_by_accept_new_is_accepted_by_strict_checking(sshd, tmp_path) -> None:
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


def test_accept_new_keeps_the_existing_lines(sshd, file) -> None:
    file.write_text("other.example ssh-ed25519 broken")  # the last line has no newline
    with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="accept-new"):
        pass
    first, second, rest = file.read_text().split("\n")
    assert (first, rest) == ("other.example ssh-ed25519 broken", "")
    assert second == f"{name_of(sshd)} {sshd.host_key}"


def test_accept_new_continues_when_the_file_cannot_be_written(sshd, caplog) -> None:
    options = {"known_hosts": ["/proc/none/known_hosts"], "strict_host_key_checking": "accept-new"}
    with gateways.to(sshd, **options) as gateway:
        assert gateway.is_connected
    assert "/proc/none/known_hosts" in caplog.text


def test_a_name_can_be_hidden(sshd, file) -> None:
    options = {"strict_host_key_checking": "accept-new", "hash_known_hosts": True}
    with gateways.to(sshd, known_hosts=[file], **options):
        pass
    assert file.read_text().startswith("|1|")
    assert sshd.host not in file.read_text()
    with gateways.to(sshd, known_hosts=[file]) as gateway:
        assert gateway.is_connected


def test_accept_new_without_a_writable_file_has_a_verdict(sshd) -> None:
    options = {"known_hosts": ["/proc/none/known_hosts"], "strict_host_key_checking": "accept-new"}
    with gateways.to(sshd, **options) as gateway:
        assert gateway.host_key_verdict.state == "match"
        assert gateway.host_key_verdict.authority is None


@pytest.mark.parametrize("strict", ["yes", "accept-new", "no"])
def test_a_short_rsa_key_is_refused_as_by_ssh(sshd, file, tmp_path, strict: str) -> None:
    key = paramiko.RSAKey.generate(1024)
    modulus = (1 << 767) + 1
    short = b"".join(
        len(part).to_bytes(4) + part
        for part in (b"ssh-rsa", b"\1\0\1", b"\0" + modulus.to_bytes(96))
    )
    policy = gateways.to(sshd, known_hosts=[file], strict_host_key_checking=strict)._host_keys
    with pytest.raises(HostKeyError, match="only 768 bits") as caught:
        policy.check(short, Deadline(None))
    assert caught.value.state == "too short"
    assert not file.exists()
    if strict == "no":
        assert policy.check(key.asbytes(), Deadline(None)).state == "unknown"


# --- ask ----------------------------------------------------------------------------------


class Person:
    """A prompt that gives prepared answers, and keeps the questions."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.questions: list[Question] = []

    def __call__(self, text: str, echo: bool, question: Question) -> str | None:
        assert (text, echo) == (question.text, question.echo)
        self.questions.append(question)
        return self.answers.pop(0)


def asking(sshd, file, *answers: str | None) -> tuple[Gateway, Person]:
    person = Person(*answers)
    options = {"known_hosts": [file], "strict_host_key_checking": "ask", "prompt": person}
    return gateways.to(sshd, **options), person


@pytest.mark.parametrize("answer", ["yes", "YES ", "the fingerprint"])
def test_ask_adds_a_key_that_a_person_confirms(sshd, file, answer: str) -> None:
    answer = fingerprint(sshd.host_key) if answer == "the fingerprint" else answer
    gateway, person = asking(sshd, file, answer)
    with gateway:
        pass
    (question,) = person.questions
    assert (question.kind, question.echo, question.hop) == ("host key", True, 1)
    assert fingerprint(sshd.host_key) in question.text
    assert name_of(sshd) in question.text
    assert file.read_text() == f"{name_of(sshd)} {sshd.host_key}\n"
    with gateways.to(sshd, known_hosts=[file]) as gateway:
        assert gateway.is_connected


@pytest.mark.parametrize("answer", ["no", "", None, "NO"])
def test_ask_refuses_a_key_that_a_person_rejects(sshd, file, answer: str | None) -> None:
    gateway, person = asking(sshd, file, answer)
    mistrust(gateway, sshd)
    assert len(person.questions) == 1
    assert not file.exists()


def test_ask_repeats_the_question_until_the_answer_is_clear(sshd, file, other_key) -> None:
    gateway, person = asking(sshd, file, "y", fingerprint(other_key), "yes")
    with gateway:
        assert [question.text[:6] for question in person.questions[1:]] == ["Please", "Please"]


def test_ask_does_not_ask_for_ever(sshd, file) -> None:
    gateway, person = asking(sshd, file, *["perhaps"] * 50)
    mistrust(gateway, sshd)
    assert person.answers


def test_ask_without_a_prompt_refuses(sshd, file) -> None:
    gateway = gateways.to(sshd, known_hosts=[file], strict_host_key_checking="ask")
    mistrust(gateway, sshd)


def test_ask_never_asks_about_a_changed_key(sshd, file, other_key) -> None:
    file.write_text(f"{name_of(sshd)} {other_key}\n")
    gateway, person = asking(sshd, file, "yes")
    assert mistrust(gateway, sshd).state == "changed"
    assert not person.questions


# --- no -----------------------------------------------------------------------------------


def test_no_accepts_an_unknown_key_and_writes_nothing(sshd, file) -> None:
    with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="no") as gateway:
        assert gateway.is_connected
    assert not file.exists()


def test_no_accepts_a_changed_key(sshd, file, other_key) -> None:
    file.write_text(f"{name_of(sshd)} {other_key}\n")
    with gateways.to(sshd, known_hosts=[file], strict_host_key_checking="no") as gateway:
        assert gateway.is_connected
    assert other_key in file.read_text()


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive"])
def test_with_no_a_password_is_not_sent_to_a_host_whose_key_has_changed(
    sshd, file, other_key, methods: str
) -> None:
    """As in OpenSSH, because the host may be an attacker's."""
    with scripted.ParamikoServer(sshd, methods=methods, password="secret") as server:
        host, port = server.address
        file.write_text(f"[{host}]:{port} {other_key}\n")
        gateway = server.gateway(known_hosts=[file])
        with pytest.raises(AuthenticationError):
            gateway.open()
        assert server.answers == []
        assert server.passwords == []


# --- A file that cannot be read -----------------------------------------------------------


@pytest.mark.parametrize("strict", ["yes", "accept-new", "no"])
@pytest.mark.parametrize("how", ["EMFILE", "FIFO", "directory"])
def test_an_impostor_gets_no_password_when_a_file_cannot_be_read(
    sshd, file, other_key, monkeypatch, strict: str, how: str
) -> None:
    """Not even to the connection that finds no free descriptor for known_hosts."""
    real = KnownHosts.check

    def without_descriptors(*args, **more) -> object:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            return real(*args, **more)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    with scripted.ParamikoServer(sshd, methods="password", password="secret") as server:
        host, port = server.address
        if how == "EMFILE":
            monkeypatch.setattr(KnownHosts, "check", without_descriptors)
            file.write_text(f"[{host}]:{port} {other_key}\n")
        elif how == "FIFO":
            os.mkfifo(file)
        else:
            file.mkdir()
        gateway = server.gateway(known_hosts=[file], strict_host_key_checking=strict)
        with pytest.raises(HostKeyError) as caught:
            gateway.open()
        assert str(file) in str(caught.value)
        assert server.passwords == []
    if how == "EMFILE":
        assert file.read_text() == f"[{host}]:{port} {other_key}\n"


def test_the_known_key_type_is_requested_first(tmp_path, file) -> None:
    """The server has two keys; by default it would present the ed25519 key."""
    key = tmp_path / "ecdsa"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "", "-f", key],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    # The HostKey line of PrivateSshd wins over an option, so a subclass adds the second key.
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
