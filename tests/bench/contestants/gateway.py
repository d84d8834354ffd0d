# SPDX-License-Identifier: BSD-2-Clause
"""Contestants that reach the target through an SSH gateway.

To add one, write a class with ``name``, ``about`` and ``connect()``, and add it to
``GATEWAY_CONTESTANTS``.
"""

from __future__ import annotations

import contextlib
import functools
import os
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
OPEN_TIMEOUT = 5.0  # seconds to open a channel
VENV = Path(sys.prefix)
ROOT = Path(__file__).parents[3]


@dataclass
class OpenGateway:
    """An open connection to a gateway, which opens any number of streams to any address."""

    stream: Callable[[Address], Any]
    close: Callable[[], None]
    #: Processes besides this one that carry the bytes on the client's side.
    pids: list[int] = field(default_factory=list)
    #: Wait for a number of seconds; a contestant with a loop in this thread runs it.
    wait: Callable[[float], None] = time.sleep
    #: Begin to open a stream without waiting for it; None: begin() starts a thread.
    ask: Callable[[Address], None] | None = None

    def begin(self, address: Address) -> None:
        """Begin to open a stream that will not be answered."""

        def stream() -> None:
            with contextlib.suppress(Exception):
                self.stream(address)

        if self.ask:
            self.ask(address)
        else:
            threading.Thread(target=stream, daemon=True).start()


def _no_end() -> Ending:
    raise NotImplementedError


class GatewayContestant(Contestant):
    """A contestant whose streams lead through the gateway to the target."""

    tells_stderr = False
    holds = 0
    #: One connection carries many streams, and reports when each is open.
    multiplexes = True
    #: A gateway lies between this process and the target.
    has_gateway = True
    #: Paramiko accepts its streams as sockets.
    carries_paramiko = True
    #: It has by_ssh_config() and forget_gateways().
    reads_ssh_config = False

    def __init__(self, site: Site, port: int | None = None, agent: str | None = None) -> None:
        """*port*: the port of the gateway, if it is not the site's own; *agent*: the agent to
        log in with instead of the key file."""
        self.site = site
        self.port = port or site.gateway.port
        self.agent = agent

    def from_afar(self, round_trip: int, *, with_agent: bool = False) -> GatewayContestant:
        agent = self.site.agent if with_agent else None
        return type(self)(self.site, self.site.distant[round_trip], agent)

    def connect(self) -> OpenGateway:
        raise NotImplementedError

    def by_ssh_config(self, address: Address, file: str) -> Any:
        """Return a stream to a host that a file describes, over a gateway that stays open."""
        raise NotImplementedError

    def forget_gateways(self) -> None:
        """Close the gateways of by_ssh_config()."""

    def log_in(self) -> OpenGateway:
        """Return when the gateway has accepted the login, without a stream."""
        return self.connect()

    def open(self, program: list[str]) -> Link:
        """Return a stream to peer.py; the target runs it whatever *program* is."""
        return self.link(self.connect())

    def link(self, gateway: OpenGateway) -> Link:
        stream = gateway.stream(self.site.target)
        return link_to(stream, stream.close, gateway.close, gateway.pids)


def link_to(
    stream: Any, close: Callable[[], None], finish: Callable[[], None], pids: list[int]
) -> Link:
    return Link(stream.send, stream.recv, stream.settimeout, close, finish, _no_end, pids)


class Ours(GatewayContestant):
    name = "sshgateway"
    about = "sshgateway.Gateway.open_channel"
    package = "sshgateway"
    reads_ssh_config = True

    def connect(self) -> OpenGateway:
        from sshgateway import Gateway

        sshd = self.site.gateway
        gateway = Gateway(
            hostname=sshd.host,
            port=self.port,
            username=sshd.username,
            key_filename=None if self.agent else sshd.user_key,
            known_hosts=[sshd.known_hosts],
            allow_agent=self.agent is not None,
            identity_agent=self.agent,
            look_for_keys=False,
            timeout=TIMEOUT,
            channel_timeout=OPEN_TIMEOUT,
        )
        gateway.open()
        return OpenGateway(functools.partial(gateway.open_channel, "direct-tcpip"), gateway.close)

    def by_ssh_config(self, address: Address, file: str) -> Any:
        from sshgateway import create_connection

        return create_connection(address, ssh_config=file)

    def forget_gateways(self) -> None:
        from sshgateway import close_all

        close_all()


class OursOnSystem(Ours):
    """Built by make ready-bench, if the normal build has the pinned libssh2."""

    name = "sshgateway-system"
    about = "the same on the system's libssh2, unpatched"
    path = ROOT / "build" / "system" / "lib"


class OursInWheel(Ours):
    """Installed by make ready-bench, if make wheel has made a wheel."""

    name = "sshgateway-wheel"
    about = "the same in the wheel for users, with its own OpenSSL"
    path = ROOT / "build" / "wheel-installed"


class Paramiko(GatewayContestant):
    name = "paramiko"
    about = "paramiko.Transport.open_channel"
    package = "paramiko"

    def connect(self) -> OpenGateway:
        client = login(self.site.gateway, None, self.port, self.agent)
        transport = client.get_transport()
        return OpenGateway(
            lambda address: transport.open_channel("direct-tcpip", address, ("127.0.0.1", 0)),
            client.close,
        )


class Paramiko2(Paramiko):
    name = "paramiko-2.12"
    about = "the same with the last Paramiko 2"
    path = VENV / "paramiko-2.12"


class AsyncSsh(GatewayContestant):
    name = "asyncssh"
    about = "asyncssh.SSHClientConnection.create_connection, in one thread"
    package = "asyncssh"
    path = VENV / "peers"
    carries_paramiko = False

    def connect(self) -> OpenGateway:
        from bench.contestants.asyncssh_loop import Connection

        ssh = Connection(self.site.gateway, self.port, self.agent)
        return OpenGateway(ssh.stream, ssh.close, wait=ssh.wait, ask=ssh.ask)


class Ssh(GatewayContestant):
    """One ssh process per stream, on a bare socketpair, so that only ssh is measured."""

    name = "ssh"
    about = "ssh -W on a socketpair, default cipher"
    options: ClassVar[list[str]] = CIPHERS["ssh -W"]
    multiplexes = False

    def connect(self) -> OpenGateway:
        processes: list[subprocess.Popen[bytes]] = []
        pids: list[int] = []

        def stream(address: Address) -> socket.socket:
            ours, theirs = socket.socketpair()
            with theirs:
                fd = theirs.fileno()
                target = f"{address[0]}:{address[1]}"
                command = self._command("-W", target)
                process = subprocess.Popen(command, stdin=fd, stdout=fd)
            processes.append(process)
            pids.append(process.pid)
            return ours

        def close() -> None:
            for process in processes:
                process.terminate()
                process.wait()

        return OpenGateway(stream, close, pids)

    def log_in(self) -> OpenGateway:
        """ssh runs the LocalCommand as soon as it is logged in."""
        options = ["-N", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo"]
        process = subprocess.Popen(self._command(*options), stdout=subprocess.PIPE)
        assert process.stdout is not None

        def close() -> None:
            process.terminate()
            process.communicate()

        if not process.stdout.readline():
            close()
            raise ConnectionError("ssh is not logged in")
        return OpenGateway(self.connect().stream, close, [process.pid])

    def _command(self, *options: str) -> list[str]:
        sshd = self.site.gateway
        more = ["-p", str(self.port)]
        config = sshd.ssh_config
        if self.agent:
            config = sshd.agent_config
            more += ["-o", f"IdentityAgent={self.agent}"]
        return ["ssh", "-F", config, *self.options, *more, *options, sshd.name]


class SshGcm(Ssh):
    name = "ssh-gcm"
    about = "the same with aes128-gcm@openssh.com"
    options: ClassVar[list[str]] = CIPHERS["ssh -W, aes128-gcm"]


class Direct(GatewayContestant):
    name = "direct"
    about = "no gateway: a TCP connection"
    has_gateway = False

    def connect(self) -> OpenGateway:
        return OpenGateway(self._stream, lambda: None)

    @staticmethod
    def _stream(address: Address) -> socket.socket:
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


GATEWAY_CONTESTANTS: dict[str, type[GatewayContestant]] = {
    each.name: each
    for each in (
        Ours,
        OursOnSystem,
        OursInWheel,
        Paramiko,
        Paramiko2,
        AsyncSsh,
        Ssh,
        SshGcm,
        Direct,
    )
}


class OneOfMany(Contestant):
    """A contestant whose gateway is already open; its opener closes it."""

    tells_stderr = False
    holds = 0

    def __init__(self, via: GatewayContestant, gateway: OpenGateway) -> None:
        self.name, self.about = via.name, via.about
        self._via, self._gateway = via, gateway

    def open(self, program: list[str]) -> Link:
        link = self._via.link(self._gateway)
        link.finish = lambda: None
        return link


def login(sshd: Login, sock: Any, port: int | None = None, agent: str | None = None) -> Any:
    """A Paramiko client of that server, over *sock* or a connection to *port*, with the key
    file or with *agent*."""
    import paramiko

    if agent is not None:
        os.environ["SSH_AUTH_SOCK"] = agent  # Paramiko knows no other way
    client = paramiko.SSHClient()
    client.load_host_keys(sshd.known_hosts)
    client.connect(
        sshd.host,
        port or sshd.port,
        sshd.username,
        key_filename=None if agent else sshd.user_key,
        sock=sock,
        allow_agent=agent is not None,
        look_for_keys=False,
        timeout=TIMEOUT,
    )
    return client
