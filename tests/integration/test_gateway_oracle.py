# SPDX-License-Identifier: BSD-2-Clause
"""Random logins: the verdict of ssh(1), and ours.

Ten servers with ten clients each. The seed of each server is its number, plus 1000 times the
value of the environment variable SSHGATEWAY_SEED.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sshgateway import GatewayError, _core
from support import gateways, oracle, pam
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key

SERVERS = 10
CLIENTS = 10
PASSPHRASE = "a phrase"
METHODS = ("publickey", "keyboard-interactive", "password")


@dataclass
class Keys:
    """Key files by name; "locked-..." needs a passphrase."""

    directory: Path
    authority: Path
    names: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Path:
        return self.directory / name

    def make(self, name: str, principal: str = "") -> None:
        path = self[name]
        make_key(path)
        if principal:
            words = ["-s", self.authority, "-I", "id", "-n", principal, f"{path}.pub"]
            subprocess.run(["ssh-keygen", "-q", *words], check=True, stdin=subprocess.DEVNULL)
        if name.startswith("locked"):
            words = ["-p", "-P", "", "-N", PASSPHRASE, "-f", str(path)]
            subprocess.run(["ssh-keygen", "-q", *words], check=True, stdin=subprocess.DEVNULL)
        self.names.append(name)


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Keys:
    directory = tmp_path_factory.mktemp("keys")
    make_key(directory / "ca")
    made = Keys(directory, directory / "ca")
    for name in ("right", "other", "locked-right", "locked-wrong", "wrong-1", "wrong-2"):
        made.make(name)
    if _core.LIBSSH2_NUMBER >= 0x010B00:
        made.make("certified", gateways_user())
        made.make("certified-for-another", "somebody-else")
        made.make("locked-certified", gateways_user())
    return made


def gateways_user() -> str:
    import getpass

    return getpass.getuser()


@dataclass
class Client:
    """A login, as both ssh and a Gateway can make it."""

    files: list[str]
    agent: list[str] | None
    identities_only: bool
    answers: dict[str, str]
    prompts: int
    preferred: tuple[str, ...]

    @classmethod
    def random(cls, rng: random.Random, keys: Keys) -> Client:
        loose = [name for name in keys.names if not name.startswith("locked")]
        answers = {
            "erification": rng.choice([pam.CODE, pam.CODE, "wrong", None]),
            "assword": rng.choice([pam.PASSWORD, pam.PASSWORD, "wrong", None]),
            "passphrase": rng.choice([PASSPHRASE, PASSPHRASE, "wrong", None]),
        }
        has_agent = rng.random() < 0.5
        return cls(
            files=rng.sample(keys.names, rng.choice([0, 1, 1, 2, 2, 3, 4])),
            agent=rng.sample(loose, rng.randrange(len(loose) + 1)) if has_agent else None,
            identities_only=rng.random() < 0.3,
            answers={part: text for part, text in answers.items() if text is not None},
            prompts=rng.choice([1, 2, 3]),
            preferred=tuple(rng.sample(METHODS, 3)) if rng.random() < 0.3 else METHODS,
        )

    def answer(self, text: str, echo: bool) -> str | None:
        return next((right for part, right in self.answers.items() if part in text), None)


def server_options(rng: random.Random) -> dict[str, str]:
    """Lines of sshd_config."""
    methods = METHODS if not pam.why_not() else ("publickey",)
    lists = [
        ",".join(rng.choices(methods, k=rng.choice([1, 1, 2, 2, 3])))
        for _ in range(rng.choice([1, 1, 2]))
    ]
    # sshd rejects a list in which a method occurs twice, other than publickey.
    lists = [one for one in lists if all(one.split(",").count(name) < 2 for name in METHODS[1:])]
    enabled = {name: name in methods and rng.random() < 0.75 for name in METHODS}
    # It does not start if no list can be satisfied.
    if not any(all(enabled[name] for name in one.split(",")) for one in lists):
        lists = ["any"]
    return {
        "AuthenticationMethods": " ".join(lists),
        "PubkeyAuthentication": "yes" if enabled["publickey"] else "no",
        "KbdInteractiveAuthentication": "yes" if enabled["keyboard-interactive"] else "no",
        "PasswordAuthentication": "yes" if enabled["password"] else "no",
        "MaxAuthTries": rng.choice(["2", "4", "6", "10", "20"]),
    }


def pam_works() -> bool:
    return not pam.why_not()


@contextlib.contextmanager
def random_server(rng: random.Random, keys: Keys) -> Iterator[tuple[str, PrivateSshd]]:
    options = {**server_options(rng), "TrustedUserCAKeys": f"{keys.authority}.pub"}
    stack = rng.choice([pam.UNIX, pam.SECOND_FACTOR, pam.BOTH])
    server = pam.PamSshd(options, stack=stack) if pam_works() else PrivateSshd(options)
    with server:
        allowed = [Path(f"{keys[n]}.pub").read_text() for n in ("right", "other", "locked-right")]
        (server.directory / "authorized_keys").write_text("".join(allowed))
        yield f"{options}, {stack!r}", server


def ssh_accepts(
    server: PrivateSshd, client: Client, keys: Keys, agent: str | None, directory: Path
) -> bool:
    config = directory / "config"
    text = server.ssh_config.read_text().replace(f"IdentityFile {server.user_key}\n", "")
    config.write_text(text)
    options = {
        "IdentityFile": [keys[name] for name in client.files] or "none",
        "IdentitiesOnly": "yes" if client.identities_only else "no",
        "NumberOfPasswordPrompts": client.prompts,
        "PreferredAuthentications": ",".join(client.preferred),
    }
    return oracle.ssh_logs_in(
        server, directory, client.answers, options, agent=agent, config=config
    )


def ours_accepts(
    server: PrivateSshd, client: Client, keys: Keys, agent: str | None
) -> tuple[bool, str]:
    options: dict[str, Any] = {
        "key_filename": [keys[name] for name in client.files] or None,
        "allow_agent": agent is not None,
        "identity_agent": agent,
        "identities_only": client.identities_only,
        "prompt": client.answer,
        "number_of_password_prompts": client.prompts,
        "preferred_authentications": client.preferred,
    }
    try:
        with gateways.to(server, **options) as gateway:
            return True, gateway.methods["login"]
    except GatewayError as error:
        return False, str(error)


@pytest.mark.slow
@pytest.mark.limit(900)
@pytest.mark.parametrize("number", range(SERVERS))
def test_ssh_and_gateway_agree(keys, tmp_path, short_path, exchange, number: int) -> None:
    seed = number + 1000 * int(os.environ.get("SSHGATEWAY_SEED", "0"))
    print("seed", seed)
    rng = random.Random(seed)
    counts = {True: 0, False: 0}
    with random_server(rng, keys) as (description, server):
        for which in range(CLIENTS):
            client = Client.random(rng, keys)
            directory = short_path / str(which)
            directory.mkdir()
            with contextlib.ExitStack() as stack:
                agent = None
                if client.agent is not None:
                    running = stack.enter_context(SshAgent(directory))
                    for name in client.agent:
                        running.add(keys[name])
                    agent = running.path
                begin = len(server.log)
                expected = ssh_accepts(server, client, keys, agent, directory)
                log = server.log[begin:]
                got, words = ours_accepts(server, client, keys, agent)
            counts[expected] += 1
            # A given key comes before the agent's keys here, so it needs fewer attempts.
            is_ahead = got and not expected and "Too many authentication failures" in log
            message = f"seed {seed}, {description}, {client}: ssh {expected}, ours {got}: {words}"
            assert got == expected or is_ahead, message
    print("accepted, refused:", counts)


def test_the_seeds_give_both_verdicts(keys) -> None:
    """The combinations that are drawn are various enough."""
    options = [str(server_options(random.Random(seed))) for seed in range(SERVERS)]
    assert len(set(options)) > 5
    rng = random.Random(0)
    clients = [Client.random(rng, keys) for _ in range(100)]
    assert {len(client.files) for client in clients} == {0, 1, 2, 3, 4}
    names = set(itertools.chain.from_iterable(client.files for client in clients))
    assert names == set(keys.names)
