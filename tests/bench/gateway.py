# SPDX-License-Identifier: BSD-2-Clause
"""Who is measured through an SSH gateway: two private sshd, byte servers and a
distance on loopback, and each contestant's way through the one to what is behind it.

To add one, write a class with ``name``, ``about`` and ``connect()``, and put it
into ``ROADS``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from contestants import Ending, Link
from work import HERE, PEER

sys.path.append(str(Path(__file__).parents[1] / "support"))

from crowd import Crowd, many_descriptors
from sshd import PrivateSshd

Address = tuple[str, int]
TIMEOUT = 20.0
DESCRIPTORS = 5000  # for a thousand channels, on every side
ROUND_TRIP = 0.1  # seconds, over the distance


@dataclass
class Site:
    """The gateway, an sshd behind it, and where peer.py serves.

    ``echo``: where any number of connections are served by one process.
    ``distant_port``: the gateway's, from afar.
    """

    gateway: PrivateSshd
    inner: PrivateSshd
    target: Address
    echo: Address
    distant_port: int


@contextlib.contextmanager
def site() -> Iterator[Site]:
    for module in ("paramiko", "sshgateway"):
        importlib.import_module(module)  # what that takes is not measured
    with contextlib.ExitStack() as stack:
        stack.enter_context(many_descriptors(DESCRIPTORS))
        gateway = stack.enter_context(PrivateSshd(name="gateway"))
        inner = stack.enter_context(PrivateSshd(name="inner"))
        target = stack.enter_context(_listening([*PEER, "--serve"]))
        delay = [
            sys.executable,
            str(HERE.parent / "support" / "delay.py"),
            str(gateway.port),
            str(ROUND_TRIP / 2),
        ]
        distant_port = stack.enter_context(_listening(delay))
        with gateway.known_hosts.open("a") as file:
            file.write(f"[{gateway.host}]:{distant_port} {gateway.host_key}\n")
        crowd = stack.enter_context(Crowd())
        yield Site(gateway, inner, ("127.0.0.1", target), crowd.echo, distant_port)


#: What an ssh is told, by what the table calls it.
CIPHERS: dict[str, list[str]] = {
    "ssh -W": [],
    "ssh -W, aes128-gcm": ["-c", "aes128-gcm@openssh.com"],
}


@contextlib.contextmanager
def proxies() -> Iterator[dict[str, list[str]]]:
    """Real proxy commands: what leads by ssh to a peer.py that serves."""
    with PrivateSshd(name="gateway") as sshd, _listening([*PEER, "--serve"]) as port:
        ssh, *rest = sshd.ssh_forward("127.0.0.1", port)
        yield {name: [ssh, *options, *rest] for name, options in CIPHERS.items()}


@contextlib.contextmanager
def _listening(command: list[str]) -> Iterator[int]:
    """A server that writes its port to stdout and ends with its stdin."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None and server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.stdout.close()
        server.wait()


@dataclass
class Opened:
    """A way that is open: a stream to any address, as often as wanted."""

    stream: Callable[[Address], Any]
    close: Callable[[], None]
    #: Processes besides ours that carry the bytes on the client's side.
    pids: list[int] = field(default_factory=list)


def _no_end() -> Ending:
    raise NotImplementedError


class Road:
    """A contestant: its streams lead to the target through the gateway."""

    name: ClassVar[str]
    about: ClassVar[str]
    tells_stderr = False
    holds = 0
    #: A further stream is cheap, and it is known when it is open.
    multiplexes = True
    #: There is a gateway on the way.
    has_gateway = True

    def __init__(self, site: Site, port: int | None = None) -> None:
        """*port*: of the gateway, when not its own."""
        self.site = site
        self.port = port or site.gateway.port

    def from_afar(self) -> Road:
        return type(self)(self.site, self.site.distant_port)

    def connect(self) -> Opened:
        raise NotImplementedError

    def open(self, program: list[str]) -> Link:
        """To peer.py, which the target runs whatever is asked for."""
        return self.link(self.connect())

    def link(self, way: Opened) -> Link:
        stream = way.stream(self.site.target)
        return _link(stream, stream.close, way.close, way.pids)


def _link(
    stream: Any, close: Callable[[], None], finish: Callable[[], None], pids: list[int]
) -> Link:
    return Link(stream.send, stream.recv, stream.settimeout, close, finish, _no_end, pids)


class Ours(Road):
    name = "sshgateway"
    about = "sshgateway.Gateway.open_channel"

    def connect(self) -> Opened:
        from sshgateway import Gateway

        sshd = self.site.gateway
        gateway = Gateway(
            hostname=sshd.host,
            port=self.port,
            username=sshd.username,
            key_filename=str(sshd.user_key),
            known_hosts=[str(sshd.known_hosts)],
            allow_agent=False,
            look_for_keys=False,
            timeout=TIMEOUT,
        )
        gateway.open()
        return Opened(functools.partial(gateway.open_channel, "direct-tcpip"), gateway.close)


class Paramiko(Road):
    name = "paramiko"
    about = "paramiko.Transport.open_channel"

    def connect(self) -> Opened:
        client = login(self.site.gateway, None, self.port)
        transport = client.get_transport()
        return Opened(
            lambda address: transport.open_channel("direct-tcpip", address, ("127.0.0.1", 0)),
            client.close,
        )


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
                ssh, *rest = self.site.gateway.ssh_forward(*address)
                command = [ssh, *self.options, "-p", str(self.port), *rest]
                process = subprocess.Popen(command, stdin=theirs, stdout=theirs)
            processes.append(process)
            pids.append(process.pid)
            return ours

        def close() -> None:
            for process in processes:
                process.terminate()
                process.wait()

        return Opened(stream, close, pids)


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


ROADS: dict[str, type[Road]] = {each.name: each for each in (Ours, Paramiko, Ssh, SshGcm, Direct)}


def login(sshd: PrivateSshd, sock: Any, port: int | None = None) -> Any:
    """A Paramiko client of that server, over that stream or to that port."""
    import paramiko

    client = paramiko.SSHClient()
    client.load_host_keys(str(sshd.known_hosts))
    client.connect(
        sshd.host,
        port or sshd.port,
        sshd.username,
        key_filename=str(sshd.user_key),
        sock=sock,
        allow_agent=False,
        look_for_keys=False,
        timeout=TIMEOUT,
    )
    return client


def login_inside(road: Road) -> tuple[Opened, Any]:
    """The way, and a Paramiko client of the inner sshd over a stream of it."""
    way = road.connect()
    try:
        inner = road.site.inner
        return way, login(inner, way.stream((inner.host, inner.port)))
    except BaseException:
        way.close()
        raise


class Inside:
    """The same contestant with a Paramiko session in its stream: what is
    measured are the bytes of a program that the inner sshd runs."""

    tells_stderr = False
    holds = 0

    def __init__(self, road: Road) -> None:
        self.name, self.about = road.name, road.about
        self._road = road

    def open(self, program: list[str]) -> Link:
        way, client = login_inside(self._road)
        channel = client.get_transport().open_session()
        channel.exec_command(shlex.join(program))

        def finish() -> None:
            client.close()
            way.close()

        return _link(channel, channel.close, finish, way.pids)
