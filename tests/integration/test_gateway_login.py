# SPDX-License-Identifier: BSD-2-Clause
"""Logging in: key files, passphrases, an agent, Paramiko's keys, prompts, passwords."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from sshgateway import AuthenticationError, Gateway, _core
from sshgateway._limits import rsa_is_dangerous
from support import gateways, scripted
from support.gateways import opens
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd

OLD_LIBSSH2 = _core.LIBSSH2_NUMBER < 0x010B00
NO_RSA = OLD_LIBSSH2 or rsa_is_dangerous()
SECRET = "open sesame"


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """Key pairs of several types, all authorized at ``server``."""
    directory = tmp_path_factory.mktemp("keys")
    for kind, *more in (["ed25519"], ["ecdsa"], ["rsa", "-b", "2048"]):
        generate(directory / kind, kind, "", *more)
        generate(directory / f"{kind}-locked", kind, SECRET, *more)
    generate(directory / "ecdsa-pem", "ecdsa", SECRET, "-m", "PEM")
    return directory


def generate(path: Path, kind: str, passphrase: str, *more: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", path, *more],
        check=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def server(keys: Path) -> Iterator[PrivateSshd]:
    with PrivateSshd({"MaxAuthTries": "20"}) as server:
        with open(server.directory / "authorized_keys", "a") as file:
            for public in keys.glob("*.pub"):
                file.write(public.read_text())
        yield server


def refusal(gateway: Gateway) -> AuthenticationError:
    return gateways.refusal(gateway, SECRET)


# --- Files --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_key_file_logs_in(server, keys, kind: str) -> None:
    assert opens(gateways.to(server, key_filename=keys / kind))


@pytest.mark.parametrize("kind", ["ed25519-locked", "ecdsa-locked", "ecdsa-pem"])
def test_the_passphrase_opens_a_key_file(server, keys, kind: str) -> None:
    assert opens(gateways.to(server, key_filename=keys / kind, passphrase=SECRET))


def test_a_wrong_passphrase_is_reported(server, keys) -> None:
    path = keys / "ed25519-locked"
    error = refusal(gateways.to(server, key_filename=path, passphrase="wrong"))
    assert str(path) in str(error)
    assert "passphrase" in str(error)
    assert "'wrong'" not in str(error)


def test_a_missing_passphrase_is_reported(server, keys) -> None:
    error = refusal(gateways.to(server, key_filename=keys / "ed25519-locked"))
    assert "needs a passphrase" in str(error)


def test_a_passphrase_is_prompted_for(server, keys) -> None:
    asked = []

    def prompt(text: str, echo: bool) -> str:
        asked.append((text, echo))
        return SECRET

    path = keys / "ed25519-locked"
    assert opens(gateways.to(server, key_filename=path, prompt=prompt))
    assert asked == [(f"Enter passphrase for key '{path}': ", False)]


def test_a_declined_prompt_is_reported(server, keys) -> None:
    refusal(
        gateways.to(server, key_filename=keys / "ed25519-locked", prompt=lambda text, echo: None)
    )


def test_without_password_prompts_no_passphrase_is_prompted_for(server, keys) -> None:
    """As with ssh(1) and NumberOfPasswordPrompts 0."""
    error = refusal(
        gateways.to(
            server, key_filename=keys / "ed25519-locked", prompt=lambda text, echo: 1 / 0,
            number_of_password_prompts=0,
        )
    )  # fmt: skip
    assert "needs a passphrase" in str(error)


def test_an_exception_of_the_prompt_is_passed_on(server, keys) -> None:
    gateway = gateways.to(
        server, key_filename=keys / "ed25519-locked", prompt=lambda text, echo: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        gateway.open()
    assert not gateway.is_connected


def test_the_accepted_one_of_several_files_logs_in(server, keys, tmp_path) -> None:
    generate(tmp_path / "wrong", "ed25519", "")
    (tmp_path / "garbage").write_text("not a key")
    files = [tmp_path / "missing", tmp_path / "garbage", tmp_path / "wrong", keys / "ecdsa"]
    assert opens(gateways.to(server, key_filename=files))
    error = refusal(gateways.to(server, key_filename=files[:3]))
    for file in files[:3]:
        assert any(str(file) in method for method in error.methods), file
    assert "No such file" in str(error)


def test_a_passphrase_that_opened_a_refused_key_is_not_called_wrong(server, tmp_path) -> None:
    """fab-classic asks for another passphrase when it is called wrong."""
    generate(tmp_path / "wrong", "ed25519", SECRET)
    error = refusal(gateways.to(server, key_filename=tmp_path / "wrong", passphrase=SECRET))
    assert "check the passphrase" not in str(error)
    assert error.locked_keys == []


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_key_with_no_or_a_wrong_passphrase_is_named(server, keys, passphrase) -> None:
    path = keys / "ed25519-locked"
    error = refusal(gateways.to(server, key_filename=path, passphrase=passphrase))
    assert error.locked_keys == [str(path)]
    assert "passphrase" in str(error)
    assert error.accepted == ["publickey"]


def test_a_file_whose_name_has_the_word_passphrase_is_not_locked(server, tmp_path) -> None:
    generate(tmp_path / "passphrase", "ed25519", "")
    assert refusal(gateways.to(server, key_filename=tmp_path / "passphrase")).locked_keys == []


def test_the_default_files_are_found(server, keys, tmp_path, monkeypatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_bytes((keys / "ed25519").read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {"key_filename": None, "known_hosts": [server.known_hosts]}
    assert opens(gateways.to(server, look_for_keys=True, **options))
    error = refusal(gateways.to(server, look_for_keys=False, **options))
    assert "publickey" in str(error)


@pytest.mark.skipif(not NO_RSA, reason="this libssh2 signs with RSA and SHA-2")
def test_the_error_for_an_rsa_key_says_what_to_do(server, keys) -> None:
    for options in (
        {"key_filename": keys / "rsa"},
        {"key_filename": None, "pkey": paramiko.RSAKey(filename=str(keys / "rsa"))},
    ):
        error = refusal(gateways.to(server, **options))
        assert _core.LIBSSH2_VERSION in str(error)
        assert "ed25519" in str(error) and "1.11" in str(error)


@pytest.mark.skipif(not NO_RSA, reason="this libssh2 signs with RSA and SHA-2")
def test_the_error_for_an_encrypted_rsa_key_says_what_to_do(server, keys, tmp_path) -> None:
    """Even without a public key file, because OpenSSH's format contains the public key."""
    path = tmp_path / "rsa"
    path.write_bytes((keys / "rsa-locked").read_bytes())
    error = refusal(gateways.to(server, key_filename=path, passphrase=SECRET))
    assert _core.LIBSSH2_VERSION in str(error)


@pytest.mark.skipif(NO_RSA, reason="this libssh2 gets no RSA keys")
@pytest.mark.parametrize("kind", ["rsa", "rsa-locked"])
def test_an_rsa_key_logs_in(server, keys, kind: str) -> None:
    assert opens(gateways.to(server, key_filename=keys / kind, passphrase=SECRET))


# --- Paramiko's keys ------------------------------------------------------------------------


def test_an_ed25519_key_of_paramiko_logs_in(server, keys) -> None:
    key = paramiko.Ed25519Key(filename=str(keys / "ed25519"))
    assert opens(gateways.to(server, key_filename=None, pkey=key))


@pytest.mark.parametrize("bits", [256, 384, 521])
def test_an_ecdsa_key_of_paramiko_logs_in(server, bits: int) -> None:
    key = paramiko.ECDSAKey.generate(bits=bits)
    with open(server.directory / "authorized_keys", "a") as file:
        file.write(f"{key.get_name()} {key.get_base64()}\n")
    assert opens(gateways.to(server, key_filename=None, pkey=key))


def test_several_keys_of_paramiko_are_tried(server, keys) -> None:
    wrong = [paramiko.ECDSAKey.generate() for _ in range(2)]
    good = paramiko.Ed25519Key(filename=str(keys / "ed25519"))
    assert opens(gateways.to(server, key_filename=None, pkey=[*wrong, good]))
    error = refusal(gateways.to(server, key_filename=None, pkey=wrong))
    assert str(error).count("ecdsa-sha2-nistp256 SHA256:") == 2


def test_a_key_whose_sign_method_takes_no_algorithm_logs_in(server, keys) -> None:
    """As in Paramiko before 2.9, and in paramiko-ng."""

    class Older(paramiko.Ed25519Key):
        def sign_ssh_data(self, data):
            return super().sign_ssh_data(data)

    key = Older(filename=str(keys / "ed25519"))
    assert opens(gateways.to(server, key_filename=None, pkey=key))


def test_an_exception_of_a_key_is_passed_on(server, keys) -> None:
    class Broken(paramiko.Ed25519Key):
        def sign_ssh_data(self, data, algorithm=None):
            raise ZeroDivisionError

    key = Broken(filename=str(keys / "ed25519"))
    gateway = gateways.to(server, key_filename=None, pkey=key)
    with pytest.raises(ZeroDivisionError):
        gateway.open()
    assert not gateway.is_connected


@pytest.mark.parametrize("made", [b"", b"\0", b"\xff" * 40, None, "text"], ids=repr)
def test_a_key_that_returns_an_invalid_signature_is_reported(server, keys, made) -> None:
    class Odd(paramiko.Ed25519Key):
        def sign_ssh_data(self, data, algorithm=None):
            return made

    key = Odd(filename=str(keys / "ed25519"))
    gateway = gateways.to(server, key_filename=None, pkey=key)
    with pytest.raises((AuthenticationError, TypeError, ValueError)):
        gateway.open()
    assert not gateway.is_connected


# --- An agent ---------------------------------------------------------------------------------


@pytest.fixture
def agent(short_path, leaves_nothing) -> Iterator[SshAgent]:
    with SshAgent(short_path) as agent:
        yield agent


def with_agent(server: PrivateSshd, agent: SshAgent, **options) -> Gateway:
    given = {"allow_agent": True, "identity_agent": agent.path, "key_filename": None}
    return gateways.to(server, **(given | options))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_key_of_the_agent_logs_in(server, keys, agent, kind: str) -> None:
    agent.add(keys / kind)
    assert opens(with_agent(server, agent))


def test_the_agent_is_found_by_its_variable(server, keys, agent, monkeypatch) -> None:
    agent.add(keys / "ed25519")
    monkeypatch.setenv("SSH_AUTH_SOCK", agent.path)
    assert opens(gateways.to(server, allow_agent=True, key_filename=None))
    refusal(gateways.to(server, allow_agent=False, key_filename=None))


def test_the_accepted_one_of_the_agents_keys_logs_in(server, keys, agent, tmp_path) -> None:
    generate(tmp_path / "wrong", "ed25519", "")
    for path in (tmp_path / "wrong", keys / "rsa", keys / "ecdsa"):
        agent.add(path)
    assert opens(with_agent(server, agent))


def test_identities_only_uses_only_the_agents_keys_of_the_files(
    server, keys, agent, tmp_path
) -> None:
    """Only the agent has the private key; the public key file names the key."""
    agent.add(keys / "ed25519")
    (tmp_path / "mine.pub").write_bytes((keys / "ed25519.pub").read_bytes())
    (tmp_path / "other.pub").write_bytes((keys / "ecdsa.pub").read_bytes())
    options = {"identities_only": True}
    assert opens(with_agent(server, agent, key_filename=tmp_path / "mine", **options))
    refusal(with_agent(server, agent, key_filename=tmp_path / "other", **options))


def test_a_public_key_file_names_a_key_of_the_agent(server, keys, agent, tmp_path) -> None:
    """As with OpenSSH's IdentityFile; the file is not tried as a private key."""
    options = {"identities_only": True, "key_filename": keys / "ed25519.pub"}
    error = refusal(with_agent(server, agent, **options))
    assert "a public key" in str(error)
    agent.add(keys / "ed25519")
    assert opens(with_agent(server, agent, **options))


def test_the_agents_keys_that_a_file_names_come_first(keys, agent, tmp_path) -> None:
    """An agent may have more keys than the server allows attempts."""
    for number in range(4):
        generate(tmp_path / str(number), "ed25519", "")
        agent.add(tmp_path / str(number))
    agent.add(keys / "ed25519")
    with PrivateSshd({"MaxAuthTries": "2"}) as server:
        (server.directory / "authorized_keys").write_bytes((keys / "ed25519.pub").read_bytes())
        refusal(with_agent(server, agent))
        assert opens(with_agent(server, agent, key_filename=keys / "ed25519.pub"))


def test_an_empty_agent_is_reported(server, agent) -> None:
    error = refusal(with_agent(server, agent))
    assert "publickey" in str(error)


def test_a_missing_agent_is_reported_and_the_other_keys_are_tried(
    server, short_path, keys
) -> None:
    path = str(short_path / "none")
    error = refusal(gateways.to(server, allow_agent=True, identity_agent=path, key_filename=None))
    assert path in str(error)
    options = {"allow_agent": True, "identity_agent": path, "key_filename": keys / "ed25519"}
    assert opens(gateways.to(server, **options)), "the other keys must be tried"


# --- Passwords and prompts ----------------------------------------------------------------------


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive"])
def test_a_password_logs_in(sshd, methods: str) -> None:
    with scripted.ParamikoServer(sshd, methods=methods, password=SECRET) as server:
        assert opens(server.gateway())


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive"])
def test_a_wrong_password_is_reported(sshd, methods: str) -> None:
    with scripted.ParamikoServer(sshd, methods=methods, password=SECRET) as server:
        error = refusal(server.gateway(password="wrong"))
    assert methods in error.methods[0]
    assert error.methods[-1] == f"the server still accepts: {methods}"
    assert error.accepted == [methods]
    assert "wrong" not in str(error)


def test_a_password_outside_ascii_logs_in(sshd) -> None:
    secret = "p\u00e4ssw\u00f6rd \u20ac"
    with scripted.ParamikoServer(sshd, password=secret) as server:
        assert opens(server.gateway())


def test_the_prompt_function_answers_prompts(sshd) -> None:
    asked = []

    def prompt(text: str, echo: bool) -> str:
        asked.append((text, echo))
        return f"answer {len(asked)}"

    with scripted.ParamikoServer(sshd, methods="keyboard-interactive") as server:
        server.prompts = [("Name: ", True), ("Code: ", False)]
        server.expected = ["answer 1", "answer 2"]
        assert opens(server.gateway(password=None, prompt=prompt))
        assert asked == server.prompts


def test_the_password_answers_the_hidden_prompt_and_the_prompt_function_the_others(sshd) -> None:
    with scripted.ParamikoServer(sshd, methods="keyboard-interactive", password=SECRET) as server:
        server.prompts = [("Name: ", True), ("Password: ", False), ("Code: ", False)]
        server.expected = ["typed Name: ", SECRET, "typed Code: "]
        assert opens(server.gateway(prompt=lambda text, echo: f"typed {text}"))


def test_an_exception_of_the_prompt_is_passed_on_from_keyboard_interactive(sshd) -> None:
    with scripted.ParamikoServer(sshd, methods="keyboard-interactive") as server:
        gateway = server.gateway(password=None, prompt=lambda text, echo: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gateway.open()
        assert not gateway.is_connected
