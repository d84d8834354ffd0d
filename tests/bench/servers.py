# SPDX-License-Identifier: BSD-2-Clause
"""The servers of a run: private sshds, byte servers and delays, all on loopback."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench.works.base import PEER
from support import delay_relay
from support.crowd import Crowd, many_descriptors
from support.scripted import black_hole
from support.sshd import PrivateSshd

Address = tuple[str, int]
DESCRIPTORS = 5000  # enough for a thousand channels in every process
ROUND_TRIPS = (0, 20, 100)  # milliseconds added by the delay relays


@dataclass(frozen=True)
class Login:
    """Where and how to log in to an sshd, in a form that can be sent to a worker."""

    host: str
    port: int
    username: str
    user_key: str
    known_hosts: str
    ssh_config: str
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
            sshd.name,
        )


@dataclass(frozen=True)
class Site:
    """The gateway, an sshd behind it, and the targets.

    ``target``: peer.py, with one process per connection.
    ``echo``: one process that echoes on any number of connections.
    ``hole``: an address that never answers a connection.
    ``distant``: ports that lead to the gateway with a delay, by the round trip in ms.
    """

    gateway: Login
    inner: Login
    target: Address
    echo: Address
    hole: Address
    distant: dict[int, int]


@contextlib.contextmanager
def site() -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(many_descriptors(DESCRIPTORS))
        gateway = stack.enter_context(PrivateSshd(name="gateway"))
        inner = stack.enter_context(PrivateSshd(name="inner"))
        target = stack.enter_context(_listening([*PEER, "--serve"]))
        distant = {
            round_trip: stack.enter_context(_distance(gateway, round_trip))
            for round_trip in ROUND_TRIPS
        }
        crowd = stack.enter_context(Crowd())
        hole, _ = stack.enter_context(black_hole())
        yield Site(
            Login.of(gateway),
            Login.of(inner),
            ("127.0.0.1", target),
            crowd.echo,
            hole.getsockname(),
            distant,
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
