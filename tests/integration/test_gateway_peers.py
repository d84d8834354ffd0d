# SPDX-License-Identifier: BSD-2-Clause
"""Logins to servers that are not OpenSSH: Paramiko's, asyncssh's, dropbear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshgateway import AuthenticationError, Gateway
from support import gateways, peers
from support.auth_script import ChainServer
from support.gateways import opens
from support.pam import PASSWORD
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key


class ParamikoPeer:
    """A Paramiko server with the key of an sshd."""

    username = "who"
    password = PASSWORD

    def __init__(self, sshd: PrivateSshd) -> None:
        import base64

        self.user_key = sshd.user_key
        public = Path(f"{sshd.user_key}.pub").read_text().split()[1]
        self._server = ChainServer(
            sshd, "publickey password", keys=[base64.b64decode(public)], password=PASSWORD
        )

    def __enter__(self) -> ParamikoPeer:
        self._server.__enter__()
        self.host, self.port = self._server.address
        return self

    def __exit__(self, *details: object) -> None:
        self._server.__exit__(*details)


@pytest.fixture(params=["Paramiko", "asyncssh", "dropbear"])
def peer(request, sshd, leaves_nothing) -> Iterator[Any]:
    if request.param == "Paramiko":
        with ParamikoPeer(sshd) as server:
            yield server
        return
    kind = {"asyncssh": peers.AsyncsshServer, "dropbear": peers.Dropbear}[request.param]
    peers.skip_without(kind)
    with kind() as server:
        yield server


@pytest.fixture
def agent(short_path, leaves_nothing) -> Iterator[SshAgent]:
    with SshAgent(short_path) as agent:
        yield agent


def to(peer: Any, **options: Any) -> Gateway:
    given = {"username": peer.username, "strict_host_key_checking": "no"}
    return gateways.to_address((peer.host, peer.port), **(given | options))


def test_a_key(peer, exchange, tmp_path) -> None:
    assert opens(to(peer, key_filename=peer.user_key))
    make_key(tmp_path / "wrong")
    assert opens(to(peer, key_filename=[tmp_path / "wrong", peer.user_key]))
    with pytest.raises(AuthenticationError, match="wrong"):
        to(peer, key_filename=tmp_path / "wrong").open()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_agent_of_three_keys(peer, agent, exchange, tmp_path, place: int) -> None:
    paths = [tmp_path / "0", tmp_path / "1"]
    for path in paths:
        make_key(path)
    paths.insert(place, peer.user_key)
    for path in paths:
        agent.add(path)
    assert opens(to(peer, allow_agent=True, identity_agent=agent.path))


def test_a_password(peer, exchange, tmp_path) -> None:
    assert opens(to(peer, password=PASSWORD))
    assert opens(to(peer, prompt=lambda text, echo: PASSWORD))
    with pytest.raises(AuthenticationError, match="password") as caught:
        to(peer, password="wrong").open()
    assert "wrong" not in str(caught.value)


def test_a_password_after_a_key_that_was_refused(peer, exchange, tmp_path) -> None:
    make_key(tmp_path / "wrong")
    assert opens(to(peer, key_filename=tmp_path / "wrong", password=PASSWORD))


def test_asyncssh_wants_a_new_password(by_messages) -> None:
    peers.skip_without(peers.AsyncsshServer)
    with peers.AsyncsshServer() as server:
        options = {"username": "expired", "password": PASSWORD}
        assert opens(to(server, prompt=lambda text, echo: "changed", **options))
        with pytest.raises(AuthenticationError, match="has expired: Choose another password"):
            to(server, **options).open()
