# SPDX-License-Identifier: BSD-2-Clause
"""Logins that take several methods (sshd_config's AuthenticationMethods).

Each chain is tried with an sshd that uses PAM, with ssh(1) as the oracle, and with a Paramiko
server, which needs no privilege; by messages, and in the way of the system's libssh2.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sshgateway import AuthenticationError, Gateway, _core
from support import gateways, oracle, pam
from support.auth_script import PARTIAL, ChainServer
from support.scripted import SUCCESS
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key


@dataclass(frozen=True)
class Chain:
    """A value of AuthenticationMethods.

    - missing (str): the credential without which a login comes almost to the end: "second key",
      "keys", "password" (which keyboard-interactive may ask for too) or "code".
    - done (str): the methods that such a login has behind it.
    """

    methods: str
    missing: str
    done: str = ""

    def __str__(self) -> str:
        return self.methods.replace(" ", "|")

    @property
    def stack(self) -> str:
        """The PAM modules. With the method "password" there can be one prompt only."""
        if "password" in self.methods:
            return pam.UNIX
        return pam.SECOND_FACTOR if self.methods.startswith("publickey") else pam.BOTH


CHAINS = [
    Chain("publickey,keyboard-interactive", "code", "publickey"),
    Chain("keyboard-interactive,publickey", "keys", "keyboard-interactive"),
    Chain("publickey,password", "password", "publickey"),
    Chain("password,publickey", "keys", "password"),
    Chain("keyboard-interactive,password", "password"),
    Chain("password,keyboard-interactive", "password"),
    Chain("publickey,publickey", "second key", "publickey"),
    Chain("publickey,publickey,password", "password", "publickey publickey"),
    Chain("publickey,publickey,keyboard-interactive", "code", "publickey publickey"),
    Chain("publickey,keyboard-interactive,password", "password", "publickey"),
    Chain("publickey,keyboard-interactive,publickey", "second key", "publickey kbd"),
    Chain("password,publickey,keyboard-interactive", "keys", "password"),
    Chain("keyboard-interactive,publickey,publickey", "second key", "kbd publickey"),
    Chain("publickey,password publickey,keyboard-interactive", "password", "publickey"),
    Chain(
        "keyboard-interactive,password publickey,publickey,publickey",
        "password",
        "publickey publickey",
    ),
    Chain("password publickey,keyboard-interactive", "password", "publickey"),
]


@dataclass(frozen=True)
class Keys:
    first: Path
    second: Path

    def blobs(self) -> list[bytes]:
        lines = [path.with_suffix(".pub").read_text() for path in (self.first, self.second)]
        return [base64.b64decode(line.split()[1]) for line in lines]


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Keys:
    directory = tmp_path_factory.mktemp("keys")
    found = Keys(directory / "first", directory / "second")
    make_key(found.first)
    make_key(found.second)
    return found


class Person:
    """The credentials of a user: keys, a password, and answers to prompts."""

    def __init__(self, keys: Keys, lacks: str = "") -> None:
        files = {"keys": [], "second key": [keys.first]}
        self.files: list[Path] = files.get(lacks, [keys.first, keys.second])
        self.password = None if lacks == "password" else pam.PASSWORD
        self.answers = {"Verification": pam.CODE, "assword": pam.PASSWORD}
        if lacks == "code":
            del self.answers["Verification"]
        if lacks == "password":
            del self.answers["assword"]

    def answer(self, text: str, echo: bool) -> str | None:
        assert not echo
        return next((right for part, right in self.answers.items() if part in text), None)

    def options(self) -> dict[str, Any]:
        """Parameters of a Gateway."""
        files = self.files or None
        return {"key_filename": files, "password": self.password, "prompt": self.answer}


def refusal(gateway: Gateway) -> AuthenticationError:
    return gateways.refusal(gateway, pam.PASSWORD, pam.CODE)


def check_login(gateway: Gateway, chain: Chain, keys: Keys, exchange: str) -> None:
    with gateway:
        words = gateway.methods["login"]
    if exchange == "messages" and " " not in chain.methods:
        wanted = chain.methods.split(",")
        assert words.count(" and ") == len(wanted) - 1, words
        for method in ("password", "keyboard-interactive"):
            assert words.split(" and ").count(method) == wanted.count(method), words
        assert words.count("key file ") == wanted.count("publickey"), words


def check_error(error: AuthenticationError, chain: Chain, keys: Keys, exchange: str) -> None:
    """A step that the server accepted must not be reported as refused."""
    text = str(error)
    accepted, _, tried = text.partition("; tried: ")
    # With the system's libssh2 only a change of the methods tells of an acceptance.
    is_told = exchange == "messages" or not re.search("publickey,publickey$", chain.methods)
    assert is_told or "does not tell a key that was accepted in part" in text, text
    assert not is_told or ("it accepted" in accepted) == bool(chain.done), text
    if chain.done and is_told:
        for path in [keys.first, keys.second][: chain.done.count("publickey")]:
            assert f"key file {path} " in accepted, text
            assert str(path) not in tried, text
        if "kbd" in chain.done:
            assert "keyboard-interactive" in accepted, text
    if chain.missing in ("password", "code") and "keyboard-interactive" in chain.methods:
        assert ("assword:" if chain.missing == "password" else pam.PROMPT.strip()) in text, text


# ---- An sshd with PAM ------------------------------------------------------------------


@pytest.fixture(scope="module", params=CHAINS, ids=str)
def server(request, keys: Keys) -> Iterator[tuple[Chain, PrivateSshd]]:
    pam.skip_without_pam()
    chain: Chain = request.param
    with pam.PamSshd({"AuthenticationMethods": chain.methods}, stack=chain.stack) as sshd:
        lines = [path.with_suffix(".pub").read_text() for path in (keys.first, keys.second)]
        (sshd.directory / "authorized_keys").write_text("".join(lines))
        yield chain, sshd


def test_ssh_itself_logs_in_with_everything_and_not_without(server, keys, tmp_path) -> None:
    """The oracle of the tests that follow."""
    chain, sshd = server
    for lacks in ("", chain.missing):
        person = Person(keys, lacks)
        files = {"IdentityFile": person.files}
        accepted = oracle.ssh_logs_in(sshd, tmp_path, person.answers, files)
        assert accepted == (not lacks), lacks


def test_a_chain(server, keys, exchange) -> None:
    chain, sshd = server
    check_login(gateways.to(sshd, **Person(keys).options()), chain, keys, exchange)


def test_a_chain_whose_last_method_is_missing(server, keys, exchange) -> None:
    chain, sshd = server
    error = refusal(gateways.to(sshd, **Person(keys, chain.missing).options()))
    check_error(error, chain, keys, exchange)


def test_a_chain_with_the_keys_in_an_agent(server, keys, short_path) -> None:
    """The keys are offered together, and the second may be wanted only after another method."""
    chain, sshd = server
    person = Person(keys)
    person.files = []
    with SshAgent(short_path) as agent:
        agent.add(keys.first)
        agent.add(keys.second)
        options = person.options() | {"allow_agent": True, "identity_agent": agent.path}
        with gateways.to(sshd, **options) as gateway:
            words = gateway.methods["login"].split(" and ")
    # The system's libssh2 does not tell which keys were accepted in part.
    if " " not in chain.methods and _core.BUILD_LIBSSH2 == "pinned":
        is_key = ["agent's key" in step for step in words]
        assert is_key == [name == "publickey" for name in chain.methods.split(",")], words


# ---- A Paramiko server -----------------------------------------------------------------


@pytest.fixture(params=CHAINS, ids=str)
def paramiko_server(request, sshd, keys: Keys) -> Iterator[tuple[Chain, ChainServer]]:
    chain: Chain = request.param
    password = ("Password: ", False, pam.PASSWORD)
    code = (pam.PROMPT, False, pam.CODE)
    rounds = {pam.UNIX: [[password]], pam.SECOND_FACTOR: [[code]], pam.BOTH: [[password], [code]]}
    with ChainServer(
        sshd,
        chain.methods,
        keys=keys.blobs(),
        password=pam.PASSWORD,
        rounds=rounds[chain.stack],
    ) as server:
        yield chain, server


def test_a_chain_with_paramiko(paramiko_server, keys, exchange) -> None:
    chain, server = paramiko_server
    check_login(server.gateway(**Person(keys).options()), chain, keys, exchange)
    good = [method for method, result in server.decisions if result in (PARTIAL, SUCCESS)]
    assert ",".join(good) in chain.methods.split() or " " in chain.methods


def test_a_chain_with_paramiko_whose_last_method_is_missing(
    paramiko_server, keys, exchange
) -> None:
    chain, server = paramiko_server
    error = refusal(server.gateway(**Person(keys, chain.missing).options()))
    check_error(error, chain, keys, exchange)
