# SPDX-License-Identifier: BSD-2-Clause
"""The order in which keys are tried, certificates beside them, and agents that misbehave."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from sshgateway import Gateway, GatewayError, _core, login
from support import gateways, oracle, waiting
from support.fake_agent import REFUSE, FakeAgent
from support.gateways import opens, refusal
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key

OLD_LIBSSH2 = _core.LIBSSH2_NUMBER < 0x010B00


@pytest.fixture
def agent(short_path, leaves_nothing) -> Iterator[SshAgent]:
    with SshAgent(short_path) as agent:
        yield agent


@pytest.fixture(scope="module")
def unrelated(tmp_path_factory) -> list[Path]:
    directory = tmp_path_factory.mktemp("unrelated")
    paths = [directory / f"unrelated-{number}" for number in range(8)]
    for path in paths:
        make_key(path)
    return paths


@contextlib.contextmanager
def patient(tries: int) -> Iterator[PrivateSshd]:
    with PrivateSshd({"MaxAuthTries": str(tries)}) as server:
        yield server


def with_agent(server: PrivateSshd, path: str, **options) -> Gateway:
    given = {"allow_agent": True, "identity_agent": path, "key_filename": None}
    return gateways.to(server, **(given | options))


def connections(server: PrivateSshd) -> int:
    return len(re.findall(r"^Connection from ", server.log, re.MULTILINE))


def without_key(server: PrivateSshd, directory: Path) -> Path:
    """The ssh_config file of a server without its IdentityFile."""
    text = server.ssh_config.read_text().replace(f"IdentityFile {server.user_key}\n", "")
    (directory / "config").write_text(text)
    return directory / "config"


# ---- Order -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["key_filename", "pkey"])
def test_a_given_key_comes_before_the_agents(agent, unrelated, exchange, way: str) -> None:
    for path in unrelated:
        agent.add(path)
    with patient(6) as server:
        path = server.user_key
        given = path if way == "key_filename" else paramiko.Ed25519Key(filename=str(path))
        assert opens(with_agent(server, agent.path, **{way: given}))
        waiting.until(lambda: connections(server) == 1, "one connection")


def test_a_given_key_that_is_in_the_agent_too(agent, unrelated, exchange) -> None:
    with patient(2) as server:
        for path in (*unrelated, server.user_key):
            agent.add(path)
        assert opens(with_agent(server, agent.path, key_filename=server.user_key))
        assert opens(with_agent(server, agent.path, key_filename=f"{server.user_key}.pub"))


def test_too_many_keys_of_the_agent(agent, unrelated, exchange, tmp_path) -> None:
    with patient(6) as server:
        for path in (*unrelated, server.user_key):
            agent.add(path)
        error = refusal(with_agent(server, agent.path))
        config = without_key(server, tmp_path)
        options = {"IdentitiesOnly": "no"}
        assert not oracle.ssh_logs_in(
            server, tmp_path, options=options, agent=agent.path, config=config
        )
        words = re.sub(r"gateway '[^']*' ", "", error.args[1])
        assert words.startswith("ended the login after too many attempts")
        assert "identities_only=True" in words
        file = f"{server.user_key}.pub"
        assert opens(with_agent(server, agent.path, identities_only=True, key_filename=file))


@pytest.mark.parametrize("tries", [2, 3, 4, 6])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("after", [0, 3])
def test_the_agents_keys_are_as_many_as_the_server_allows(
    agent, unrelated, exchange, tries: int, before: int, after: int
) -> None:
    """The verdict is that of a client that offers one key after the other."""
    with patient(tries) as server:
        for path in (*unrelated[:before], server.user_key, *unrelated[before : before + after]):
            agent.add(path)
        gateway = with_agent(server, agent.path)
        if before < tries:
            assert opens(gateway)
        else:
            assert "too many attempts" in str(refusal(gateway))
        assert connections(server) <= 2


def test_a_socket_is_used_once(agent, unrelated, by_messages) -> None:
    """A login through sock= cannot begin again, so it offers one key at a time."""
    import socket

    with patient(2) as server:
        for path in (unrelated[0], server.user_key, unrelated[1]):
            agent.add(path)
        sock = socket.create_connection((server.host, server.port))
        assert opens(with_agent(server, agent.path, sock=sock))


# ---- Certificates ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca"
    make_key(path)
    return path


@pytest.fixture(scope="module")
def certified_server(authority: Path) -> Iterator[PrivateSshd]:
    options = {"TrustedUserCAKeys": f"{authority}.pub", "MaxAuthTries": "20"}
    with PrivateSshd(options) as server:
        (server.directory / "authorized_keys").write_text("")
        yield server


@pytest.fixture
def pair(certified_server, authority, tmp_path) -> tuple[Path, Path]:
    """A key, and its certificate in a file whose name does not tell."""
    key = tmp_path / "key"
    make_key(key)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "id", "-n", certified_server.username,
         f"{key}.pub"],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    certificate = (tmp_path / "key-cert.pub").rename(tmp_path / "elsewhere-cert.pub")
    return key, certificate


needs_certificates = pytest.mark.skipif(
    OLD_LIBSSH2, reason="this libssh2 cannot log in with a certificate"
)


@needs_certificates
@pytest.mark.parametrize("way", ["key_filename", "pkey", "agent", "agent, named", "locked"])
def test_certificate_filename(certified_server, pair, agent, exchange, tmp_path, way: str) -> None:
    key, certificate = pair
    options = {"key_filename": key, "certificate_filename": certificate}
    ssh = {"IdentityFile": key, "CertificateFile": certificate, "IdentitiesOnly": "yes"}
    if way == "pkey":
        options |= {"key_filename": None, "pkey": paramiko.Ed25519Key(filename=str(key))}
    elif way == "agent":
        agent.add(key)
        options["key_filename"] = None
    elif way == "agent, named":
        agent.add(key)
        options |= {"key_filename": f"{key}.pub", "identities_only": True}
        ssh["IdentityFile"] = f"{key}.pub"
    elif way == "locked":
        subprocess.run(["ssh-keygen", "-qp", "-P", "", "-N", "s", "-f", key], check=True)
        options["prompt"] = lambda text, echo: "s"
    assert opens(with_agent(certified_server, agent.path, **options))
    if way != "pkey":
        assert oracle.ssh_logs_in(
            certified_server, tmp_path, {"passphrase": "s"}, ssh, agent=agent.path
        )
    without = {**options, "certificate_filename": None}
    refusal(with_agent(certified_server, agent.path, **without))


@needs_certificates
@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["key first", "certificate first"])
def test_an_identity_file_that_is_a_certificate(
    certified_server, pair, exchange, tmp_path, order: list[int]
) -> None:
    """Another IdentityFile holds the key."""
    files = [pair[number] for number in order]
    assert opens(gateways.to(certified_server, key_filename=files))
    ssh = {"IdentityFile": files, "IdentitiesOnly": "yes"}
    assert oracle.ssh_logs_in(certified_server, tmp_path, options=ssh)


@needs_certificates
def test_the_agent_holds_the_key_of_an_identity_file_that_is_a_certificate(
    certified_server, pair, agent, exchange, tmp_path
) -> None:
    key, certificate = pair
    agent.add(key)
    key.unlink()
    ssh = {"IdentityFile": certificate, "IdentitiesOnly": "yes"}
    gateway = with_agent(
        certified_server, agent.path, key_filename=certificate, identities_only=True
    )
    assert not oracle.ssh_logs_in(certified_server, tmp_path, options=ssh, agent=agent.path)
    refusal(gateway)
    ssh["IdentitiesOnly"] = "no"
    assert oracle.ssh_logs_in(certified_server, tmp_path, options=ssh, agent=agent.path)
    assert opens(with_agent(certified_server, agent.path, key_filename=certificate))


@needs_certificates
@pytest.mark.parametrize("identities_only", [False, True])
def test_the_agent_holds_the_certificate_of_a_key_file(
    certified_server, pair, agent, exchange, tmp_path, identities_only: bool
) -> None:
    key, certificate = pair
    certificate.rename(tmp_path / "key-cert.pub")
    agent.add(key)  # with the certificate
    (tmp_path / "key-cert.pub").unlink()
    options = {"key_filename": key, "identities_only": identities_only}
    ssh = {"IdentityFile": key, "IdentitiesOnly": "yes" if identities_only else "no"}
    expected = oracle.ssh_logs_in(certified_server, tmp_path, options=ssh, agent=agent.path)
    gateway = with_agent(certified_server, agent.path, **options)
    if expected:
        assert opens(gateway)
    else:
        refusal(gateway)


def test_identities_only_does_not_use_the_agents_other_keys(
    sshd, agent, unrelated, exchange, tmp_path
) -> None:
    agent.add(sshd.user_key)
    options = {"key_filename": unrelated[0], "identities_only": True}
    error = refusal(with_agent(sshd, agent.path, **options))
    assert str(unrelated[0]) in str(error)
    ssh = {"IdentityFile": unrelated[0], "IdentitiesOnly": "yes"}
    config = without_key(sshd, tmp_path)
    assert not oracle.ssh_logs_in(sshd, tmp_path, options=ssh, agent=agent.path, config=config)


# ---- Agents that misbehave ---------------------------------------------------------------


@pytest.fixture
def home(sshd, tmp_path, monkeypatch) -> Path:
    """A home directory whose usual key file, which comes after the agent, is the right one."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(sshd.user_key.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def right(sshd) -> paramiko.PKey:
    return paramiko.Ed25519Key(filename=str(sshd.user_key))


@pytest.mark.parametrize("place", ["on_list", "on_sign"])
def test_a_refusing_agent(sshd, short_path, home, right, exchange, place: str) -> None:
    with FakeAgent(short_path / "agent", [right], **{place: lambda: REFUSE}) as agent:
        error = refusal(with_agent(sshd, agent.path))
        assert agent.path in str(error)
        assert "it refuses" in str(error)
        assert opens(with_agent(sshd, agent.path, look_for_keys=True)), "the file is tried too"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["on_list", "on_sign"])
def test_an_agent_that_hangs(
    sshd, short_path, home, right, exchange, monkeypatch, place: str
) -> None:
    """The key file after the agent's keys must find time that is left."""
    monkeypatch.setattr(login, "AGENT_LIST_TIMEOUT", 0.3)
    end = threading.Event()
    hang = {place: lambda: end.wait(4 * waiting.DEADLINE) and None}

    def attempt() -> None:
        with pytest.raises((GatewayError, TimeoutError)) as caught:
            with_agent(sshd, agent.path, timeout=4).open()
        assert agent.path in str(caught.value)
        assert "did not reply in time" in str(caught.value)

    with FakeAgent(short_path / "agent", [right], **hang) as agent:
        try:
            waiting.at_last(attempt)  # the key exchange must be over in time
            assert opens(with_agent(sshd, agent.path, look_for_keys=True, timeout=16))
        finally:
            end.set()


def test_an_agent_that_waits_for_a_confirmation(sshd, short_path, right, exchange) -> None:
    asked, confirmed = threading.Event(), threading.Event()

    def confirm() -> bytes | None:
        asked.set()
        return None if confirmed.wait(4 * waiting.DEADLINE) else REFUSE

    with FakeAgent(short_path / "agent", [right], on_sign=confirm) as agent:
        worker = waiting.Worker(opens, with_agent(sshd, agent.path))
        assert asked.wait(waiting.DEADLINE)
        confirmed.set()
        assert worker.result()
        assert agent.signed == 1


def test_a_key_that_needs_a_confirmation_is_not_used_in_vain(sshd, short_path, exchange) -> None:
    """The agent's keys are offered before they sign."""
    wrong = paramiko.Ed25519Key.from_private_key_file(str(sshd.directory / "host_key"))
    with FakeAgent(short_path / "agent", [wrong]) as agent:
        refusal(with_agent(sshd, agent.path))
        assert agent.signed == 0


@pytest.mark.parametrize("answer", [b"\x0c", b"\xff" * 9, b"\x0e\0\0\0\0"], ids=repr)
@pytest.mark.parametrize("place", ["on_list", "on_sign"])
def test_an_agent_that_talks_nonsense(
    sshd, short_path, home, right, exchange, place: str, answer: bytes
) -> None:
    with FakeAgent(short_path / "agent", [right], **{place: lambda: answer}) as agent:
        assert agent.path in str(refusal(with_agent(sshd, agent.path)))
        assert opens(with_agent(sshd, agent.path, look_for_keys=True))
