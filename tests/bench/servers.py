# SPDX-License-Identifier: BSD-2-Clause
"""The servers of a run: private sshds, byte servers and delays, all on loopback."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.works.base import PEER
from support import delay_relay
from support.crowd import Crowd, many_descriptors
from support.scripted import black_hole
from support.ssh_agent import SshAgent
from support.sshd import PrivateSshd, make_key

Address = tuple[str, int]
DESCRIPTORS = 5000  # enough for a thousand channels in every process
#: Milliseconds added by the delay relays: for streams and for logins.
ROUND_TRIPS = (0, 20, 100)
LOGIN_ROUND_TRIPS = (0, 20, 50, 100, 200)


@dataclass(frozen=True)
class Login:
    """Where and how to log in to an sshd, in a form that can be sent to a worker."""

    host: str
    port: int
    username: str
    user_key: str
    known_hosts: str
    ssh_config: str
    #: The same for a login with an agent.
    agent_config: str
    name: str

    @classmethod
    def of(cls, sshd: PrivateSshd) -> Login:
        return cls(
            sshd.host,
            sshd.port,
            sshd.username,
            str(sshd.user_key),
            str(sshd.known_hosts),
            str(sshd.ssh_config),
            str(_without_identity(sshd.ssh_config)),
            sshd.name,
        )


def _without_identity(ssh_config: Path) -> Path:
    """A copy of the file that names no key file and no agent."""
    words = ("IdentityFile ", "IdentitiesOnly ", "IdentityAgent ")
    lines = [line for line in ssh_config.read_text().splitlines() if not line.startswith(words)]
    copy = ssh_config.with_name("agent_config")
    copy.write_text("\n".join([*lines, "IdentityFile none", ""]))
    return copy


@dataclass(frozen=True)
class Site:
    """The gateway, an sshd behind it, and the targets.

    ``target``: peer.py, with one process per connection.
    ``echo``: one process that echoes on any number of connections.
    ``hole``: an address that never answers a connection.
    ``distant``: ports that lead to the gateway with a delay, by the round trip in ms.
    ``agent``: the socket of an ssh-agent with three keys, of which the gateway accepts the last.
    """

    gateway: Login
    inner: Login
    target: Address
    echo: Address
    hole: Address
    distant: dict[int, int]
    agent: str


@contextlib.contextmanager
def site() -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(many_descriptors(DESCRIPTORS))
        gateway = stack.enter_context(PrivateSshd(name="gateway"))
        inner = stack.enter_context(PrivateSshd(name="inner"))
        target = stack.enter_context(_listening([*PEER, "--serve"]))
        distant = {
            round_trip: stack.enter_context(_distance(gateway, round_trip))
            for round_trip in sorted({*ROUND_TRIPS, *LOGIN_ROUND_TRIPS})
        }
        agent = stack.enter_context(SshAgent(gateway.directory))
        for name in ("first", "second"):
            make_key(gateway.directory / name)
            agent.add(gateway.directory / name)
        agent.add(gateway.user_key)
        crowd = stack.enter_context(Crowd())
        hole, _ = stack.enter_context(black_hole())
        yield Site(
            Login.of(gateway),
            Login.of(inner),
            ("127.0.0.1", target),
            crowd.echo,
            hole.getsockname(),
            distant,
            agent.path,
        )


#: Options of ssh, by the name of the proxy command in the tables.
CIPHERS: dict[str, list[str]] = {
    "ssh -W": [],
    "ssh -W, aes128-gcm": ["-c", "aes128-gcm@openssh.com"],
}


@contextlib.contextmanager
def proxies() -> Iterator[dict[str, list[str]]]:
    """Real proxy commands: ssh to a gateway, which connects to a peer.py."""
    with PrivateSshd(name="gateway") as sshd, _listening([*PEER, "--serve"]) as port:
        ssh, *rest = sshd.ssh_forward("127.0.0.1", port)
        yield {name: [ssh, *options, *rest] for name, options in CIPHERS.items()}


@contextlib.contextmanager
def _distance(sshd: PrivateSshd, round_trip: int) -> Iterator[int]:
    """A port that leads to *sshd* with a *round_trip* in milliseconds."""
    one_way = str(round_trip / 2000)
    with _listening([sys.executable, delay_relay.__file__, str(sshd.port), one_way]) as port:
        with sshd.known_hosts.open("a") as file:
            file.write(f"[{sshd.host}]:{port} {sshd.host_key}\n")
        yield port


@contextlib.contextmanager
def _listening(command: list[str]) -> Iterator[int]:
    """Run a server that writes its port to stdout and ends when its stdin ends."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None and server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.stdout.close()
        server.wait()
