# SPDX-License-Identifier: BSD-2-Clause
"""Logins during which the server does more than answer: it rekeys, shows a banner, sends
EXT_INFO, refuses the service, or hangs up."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.auth_handler import AuthHandler

from sshgateway import AuthenticationError, Gateway, GatewayError, _core, build_info
from sshgateway._limits import rsa_is_dangerous
from support import gateways, scripted
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd

#: The system's libssh2 does not report banners, and logs in with RSA in its own way.
PINNED = build_info()["libssh2"] == "pinned"
SECRET = "open sesame"
SIZE = 100_000


def opens(gateway: Gateway) -> bool:
    """Open the gateway, and check that a channel carries bytes both ways."""
    with (
        gateway,
        gateways.Target(gateways.echo) as target,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.sendall(b"x" * SIZE)
        with channel.makefile("rb") as file:
            return len(file.read(SIZE)) == SIZE


# --- Rekeys -------------------------------------------------------------------------------


@pytest.fixture(params=["before", "behind"])
def rekeying(request, monkeypatch) -> None:
    """Paramiko's server begins a rekey before or behind each of its answers."""
    send = AuthHandler._send_auth_result

    def rekey_and_send(handler: Any, *args: Any) -> None:
        if request.param == "before":
            handler.transport._send_kex_init()
        send(handler, *args)
        if request.param == "behind":
            handler.transport._send_kex_init()

    monkeypatch.setattr(AuthHandler, "_send_auth_result", rekey_and_send)


@pytest.mark.skipif(not PINNED, reason="libssh2 1.10 cannot send a prompt's answer in a rekey")
@pytest.mark.usefixtures("rekeying")
def test_a_rekey_between_the_messages_loses_none(sshd) -> None:
    with scripted.ParamikoServer(sshd, methods="keyboard-interactive,password") as server:
        server._password = SECRET
        server.expected = ["never given"]
        answers = iter(["one", "two", "three", "four"])
        gateway = server.gateway(
            password=SECRET,
            prompt=lambda text, echo: next(answers),
            preferred_authentications=["keyboard-interactive", "password"],
        )
        with gateway:
            assert gateway.is_connected
            assert gateway.stats.rekeys >= 2
        assert server.passwords == [SECRET]


@pytest.mark.usefixtures("rekeying")
def test_a_refusal_amid_rekeys_is_a_refusal(sshd) -> None:
    with scripted.ParamikoServer(sshd, password="another") as server:
        with pytest.raises(AuthenticationError):
            server.gateway(password=SECRET).open()
        assert server.passwords == [SECRET]


@pytest.mark.usefixtures("rekeying")
def test_a_key_logs_in_amid_rekeys(sshd) -> None:
    class Server(scripted.ParamikoServer):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            return scripted.SUCCESS

    with Server(sshd, methods="publickey") as server:
        assert opens(server.gateway(password=None, key_filename=sshd.user_key))


def test_a_rekey_with_another_host_key_is_refused(sshd, tmp_path, monkeypatch) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True
    )
    other = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "other"))

    class Server(scripted.ParamikoServer):
        def check_auth_password(self, username: str, password: str) -> int:
            super().check_auth_password(username, password)
            transport = self.transports[-1]
            transport.add_server_key(other)
            transport._send_kex_init()
            return scripted.FAILURE

    with Server(sshd, methods="password", password="another") as server:
        gateway = server.gateway(password=SECRET, prompt=lambda text, echo: "second")
        with pytest.raises(GatewayError, match="host key has changed"):
            gateway.open()
        assert server.passwords == [SECRET]


@pytest.mark.parametrize("limit", ["16", "1K"])
def test_a_server_that_rekeys_at_once(limit: str) -> None:
    with PrivateSshd({"RekeyLimit": limit}) as server:
        gateway = gateways.to(server)
        assert opens(gateway)
        assert gateway.stats.rekeys > 0


# --- Strict key exchange, and ciphers -------------------------------------------------------


@pytest.mark.parametrize(
    "cipher", [c for c in ("aes128-gcm@openssh.com", "aes256-ctr") if c in _core.OFFERED_CIPHERS]
)
def test_logins_with_strict_key_exchange(cipher: str) -> None:
    """A MAC covers the sequence number, which a strict key exchange resets."""
    with PrivateSshd({"Ciphers": cipher, "RekeyLimit": "64K"}) as server:
        gateway = gateways.to(server)
        assert opens(gateway)
        assert gateway.methods["cipher"] == cipher


# --- Banners --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def talkative(tmp_path_factory) -> Iterator[PrivateSshd]:
    banner = tmp_path_factory.mktemp("banner") / "banner"
    banner.write_bytes("Access is logged.\nAsk Élodie \x1b[31mnow\x1b[0m.\n".encode() * 100)
    with PrivateSshd({"Banner": str(banner)}) as server:
        yield server


def test_a_login_after_a_banner(talkative) -> None:
    seen: list[str] = []
    gateway = gateways.to(talkative, banner=seen.append)
    assert opens(gateway)
    if PINNED:
        assert "".join(seen) == gateway.banner
        assert gateway.banner.count("Ask Élodie") == 100
        assert "\x1b" not in gateway.banner


def test_a_refusal_after_a_banner(talkative, tmp_path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    with pytest.raises(AuthenticationError):
        gateways.to(talkative, key_filename=tmp_path / "key").open()


# --- EXT_INFO -------------------------------------------------------------------------------


def with_keys_of(agent: SshAgent) -> dict[str, Any]:
    return {"key_filename": None, "allow_agent": True, "identity_agent": agent.path}


@pytest.fixture(scope="module")
def rsa_key(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rsa") / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", path], check=True
    )
    return path


def with_rsa(server: PrivateSshd, key: Path) -> PrivateSshd:
    public = key.with_name("key.pub").read_text()
    (server.directory / "authorized_keys").write_text(public)
    return server


needs_rsa = pytest.mark.skipif(
    _core.LIBSSH2_NUMBER < 0x010B00 or rsa_is_dangerous(),
    reason="this libssh2 gets no RSA keys",
)


@needs_rsa
def test_an_rsa_key_signs_as_the_server_demands(rsa_key, tmp_path) -> None:
    """The first request is signed before the server's algorithms are known."""
    with (
        PrivateSshd({"PubkeyAcceptedAlgorithms": "rsa-sha2-512"}) as server,
        SshAgent(tmp_path) as agent,
    ):
        assert opens(gateways.to(with_rsa(server, rsa_key), key_filename=rsa_key))
        agent.add(rsa_key)
        assert opens(gateways.to(server, **with_keys_of(agent)))


def paramiko_with_rsa(
    sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch, *algorithms: str
) -> tuple[scripted.ParamikoServer, list[str]]:
    """A server that takes every RSA key with these algorithms, and those that were tried."""
    tried: list[str] = []

    class Server(scripted.ParamikoServer):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            return scripted.SUCCESS if tried[-1] in algorithms else scripted.FAILURE

    def note(handler: AuthHandler, algorithm: str, blob: bytes) -> paramiko.PKey:
        tried.append(algorithm)
        return paramiko.RSAKey(data=blob)

    monkeypatch.setattr(AuthHandler, "_generate_key_from_request", note)
    return Server(sshd, methods="publickey"), tried


@needs_rsa
@pytest.mark.skipif(not PINNED, reason="libssh2 chooses the algorithm itself")
@pytest.mark.parametrize("is_told", [True, False])
def test_a_wrong_guess_is_corrected(sshd, rsa_key, monkeypatch, is_told: bool) -> None:
    """A server may know rsa-sha2-256 alone, and may say so in EXT_INFO."""
    if is_told:
        monkeypatch.setattr(paramiko.Transport, "_preferred_pubkeys", ("rsa-sha2-256",))
    else:
        silent = property(lambda _: False, lambda *_: None)
        monkeypatch.setattr(paramiko.Transport, "server_sig_algs", silent, raising=False)
    server, tried = paramiko_with_rsa(sshd, monkeypatch, "rsa-sha2-256")
    with server:
        assert opens(server.gateway(password=None, key_filename=rsa_key))
    # If EXT_INFO arrives before the first request, there is nothing to guess.
    right = ["rsa-sha2-256"]
    assert tried in ([right, ["rsa-sha2-512", *right]] if is_told else [["rsa-sha2-512", *right]])


@needs_rsa
@pytest.mark.skipif(not PINNED, reason="libssh2 chooses the algorithm itself")
def test_a_refused_rsa_key_is_tried_once(sshd, rsa_key, monkeypatch) -> None:
    server, tried = paramiko_with_rsa(sshd, monkeypatch)
    with server, pytest.raises(AuthenticationError):
        server.gateway(password=None, key_filename=rsa_key).open()
    assert tried == ["rsa-sha2-512"]


@pytest.mark.skipif(not PINNED, reason="libssh2 chooses the algorithm itself")
def test_an_agents_key_that_could_sign_by_sha1_only_is_left_out(
    sshd, rsa_key, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(paramiko.Transport, "_preferred_pubkeys", ("ssh-rsa", "ssh-ed25519"))
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    right = paramiko.Ed25519Key.from_private_key_file(str(sshd.user_key))

    class Server(scripted.ParamikoServer):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            return scripted.SUCCESS if key == right else scripted.FAILURE

    with Server(sshd, methods="publickey") as server, SshAgent(tmp_path) as agent:
        agent.add(tmp_path / "key")  # the answer to its offer follows EXT_INFO
        agent.add(rsa_key)
        with pytest.raises(AuthenticationError, match="SHA-1"):
            server.gateway(password=None, **with_keys_of(agent)).open()
        agent.add(sshd.user_key)
        assert opens(server.gateway(password=None, **with_keys_of(agent)))


# --- A server that refuses or hangs up ------------------------------------------------------


def test_a_refused_service_is_reported(sshd, monkeypatch) -> None:
    def refuse(handler: AuthHandler, message: paramiko.Message) -> None:
        # Without Nagle's algorithm, because the server closes while the first request, which
        # came with the service request, is unread: the kernel then drops what it has not sent.
        handler.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handler._disconnect_service_not_available()

    monkeypatch.setattr(AuthHandler, "_parse_service_request", refuse)
    with scripted.ParamikoServer(sshd, password=SECRET) as server:
        with pytest.raises(GatewayError, match="Service not available"):
            server.gateway(timeout=gateways.OPEN).open()
        assert server.passwords == []


def test_a_connection_that_ends_during_the_login(sshd) -> None:
    """After 2000 bytes sshd has sent its part of the key exchange and of most of the login."""
    address = sshd.host, sshd.port
    for size in [0, 10, 500, *range(1200, 2400, 75)]:
        with gateways.Target(scripted.cut_after(address, size)) as relay:
            gateway = gateways.to(
                sshd,
                port=relay.address[1],
                host_key_alias=f"[{sshd.host}]:{sshd.port}",
                timeout=gateways.OPEN,
            )
            try:
                gateway.open()
            except GatewayError as error:
                assert "gateway" in str(error)
            gateway.close()
