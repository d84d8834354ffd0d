# SPDX-License-Identifier: BSD-2-Clause
"""Who is measured through an SSH gateway: each contestant's way through the one to
what is behind it.

To add one, write a class with ``name``, ``about`` and ``connect()``, and put it
into ``ROADS``.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bench.contestants.base import Contestant, Ending, Link
from bench.servers import CIPHERS, Address, Login, Site

TIMEOUT = 20.0
OPEN_TIMEOUT = 5.0  # of a channel
VENV = Path(sys.prefix)
ROOT = Path(__file__).parents[3]


@dataclass
class Opened:
    """A way that is open: a stream to any address, as often as wanted."""

    stream: Callable[[Address], Any]
    close: Callable[[], None]
    #: Processes besides ours that carry the bytes on the client's side.
    pids: list[int] = field(default_factory=list)
    #: Let so many seconds go by; whose loop is ours to run, runs it.
    wait: Callable[[float], None] = time.sleep
    #: Ask for a stream and don't wait for it; None: a thread will.
    ask: Callable[[Address], None] | None = None

    def begin(self, address: Address) -> None:
        """Ask for a stream that is not going to come."""

        def stream() -> None:
            with contextlib.suppress(Exception):
                self.stream(address)

        if self.ask:
            self.ask(address)
        else:
            threading.Thread(target=stream, daemon=True).start()


def _no_end() -> Ending:
    raise NotImplementedError


class Road(Contestant):
    """A contestant: its streams lead to the target through the gateway."""

    tells_stderr = False
    holds = 0
    #: A further stream is cheap, and it is known when it is open.
    multiplexes = True
    #: There is a gateway on the way.
    has_gateway = True
    #: Paramiko takes its streams as sockets.
    carries_paramiko = True

    def __init__(self, site: Site, port: int | None = None) -> None:
        """*port*: of the gateway, when not its own."""
        self.site = site
        self.port = port or site.gateway.port

    def from_afar(self, round_trip: int) -> Road:
        return type(self)(self.site, self.site.distant[round_trip])

    def connect(self) -> Opened:
        raise NotImplementedError

    def open(self, program: list[str]) -> Link:
        """To peer.py, which the target runs whatever is asked for."""
        return self.link(self.connect())

    def link(self, way: Opened) -> Link:
        stream = way.stream(self.site.target)
        return link_to(stream, stream.close, way.close, way.pids)


def link_to(
    stream: Any, close: Callable[[], None], finish: Callable[[], None], pids: list[int]
) -> Link:
    return Link(stream.send, stream.recv, stream.settimeout, close, finish, _no_end, pids)


class Ours(Road):
    name = "sshgateway"
    about = "sshgateway.Gateway.open_channel"
    package = "sshgateway"

    def connect(self) -> Opened:
        from sshgateway import Gateway

        sshd = self.site.gateway
        gateway = Gateway(
            hostname=sshd.host,
            port=self.port,
            username=sshd.username,
            key_filename=sshd.user_key,
            known_hosts=[sshd.known_hosts],
            allow_agent=False,
            look_for_keys=False,
            timeout=TIMEOUT,
            channel_timeout=OPEN_TIMEOUT,
        )
        gateway.open()
        return Opened(functools.partial(gateway.open_channel, "direct-tcpip"), gateway.close)


class OursOnSystem(Ours):
    """Built by make ready-bench, where the other has a libssh2 of its own."""

    name = "sshgateway-system"
    about = "the same on the system's libssh2, unpatched"
    path = ROOT / "build" / "system" / "lib"


class Paramiko(Road):
    name = "paramiko"
    about = "paramiko.Transport.open_channel"
    package = "paramiko"

    def connect(self) -> Opened:
        client = login(self.site.gateway, None, self.port)
        transport = client.get_transport()
        return Opened(
            lambda address: transport.open_channel("direct-tcpip", address, ("127.0.0.1", 0)),
            client.close,
        )


class Paramiko2(Paramiko):
    name = "paramiko-2.12"
    about = "the same with the last Paramiko 2"
    path = VENV / "paramiko-2.12"


class AsyncSsh(Road):
    name = "asyncssh"
    about = "asyncssh.SSHClientConnection.create_connection, in one thread"
    package = "asyncssh"
    path = VENV / "peers"
    carries_paramiko = False

    def connect(self) -> Opened:
        from bench.contestants.asyncssh_loop import Way

        way = Way(self.site.gateway, self.port)
        return Opened(way.stream, way.close, wait=way.wait, ask=way.ask)


class Ssh(Road):
    """A whole ssh for each stream, on a bare socketpair: nothing but it counts."""

    name = "ssh"
    about = "ssh -W on a socketpair, default cipher"
    options: ClassVar[list[str]] = CIPHERS["ssh -W"]
    multiplexes = False

    def connect(self) -> Opened:
        processes: list[subprocess.Popen[bytes]] = []
        pids: list[int] = []

        def stream(address: Address) -> socket.socket:
            ours, theirs = socket.socketpair()
            with theirs:
                fd = theirs.fileno()
                process = subprocess.Popen(self._command(address), stdin=fd, stdout=fd)
            processes.append(process)
            pids.append(process.pid)
            return ours

        def close() -> None:
            for process in processes:
                process.terminate()
                process.wait()

        return Opened(stream, close, pids)

    def _command(self, address: Address) -> list[str]:
        sshd = self.site.gateway
        target = f"{address[0]}:{address[1]}"
        options = [*self.options, "-p", str(self.port)]
        return ["ssh", "-F", sshd.ssh_config, *options, "-W", target, sshd.name]


class SshGcm(Ssh):
    name = "ssh-gcm"
    about = "the same with aes128-gcm@openssh.com"
    options: ClassVar[list[str]] = CIPHERS["ssh -W, aes128-gcm"]


class Direct(Road):
    name = "direct"
    about = "no gateway: a TCP connection"
    has_gateway = False

    def connect(self) -> Opened:
        return Opened(self._stream, lambda: None)

    @staticmethod
    def _stream(address: Address) -> socket.socket:
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


ROADS: dict[str, type[Road]] = {
    each.name: each
    for each in (Ours, OursOnSystem, Paramiko, Paramiko2, AsyncSsh, Ssh, SshGcm, Direct)
}


class OneOfMany(Contestant):
    """A contestant whose gateway is open already; who opened it closes it."""

    tells_stderr = False
    holds = 0

    def __init__(self, road: Road, way: Opened) -> None:
        self.name, self.about = road.name, road.about
        self._road, self._way = road, way

    def open(self, program: list[str]) -> Link:
        link = self._road.link(self._way)
        link.finish = lambda: None
        return link


def login(sshd: Login, sock: Any, port: int | None = None) -> Any:
    """A Paramiko client of that server, over that stream or to that port."""
    import paramiko

    client = paramiko.SSHClient()
    client.load_host_keys(sshd.known_hosts)
    client.connect(
        sshd.host,
        port or sshd.port,
        sshd.username,
        key_filename=sshd.user_key,
        sock=sock,
        allow_agent=False,
        look_for_keys=False,
        timeout=TIMEOUT,
    )
    return client
