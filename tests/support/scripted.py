# SPDX-License-Identifier: BSD-2-Clause
"""Servers that misbehave, a relay that cuts connections, and Paramiko's server."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import paramiko

from support import waiting
from support.gateways import Target, to_address

if TYPE_CHECKING:
    from sshgateway import Gateway
    from support.sshd import PrivateSshd

SUCCESS: int = paramiko.AUTH_SUCCESSFUL
FAILURE: int = paramiko.AUTH_FAILED
BANNER = b"SSH-2.0-Scripted\r\n"


def until_eof(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def never(sock: socket.socket) -> None:
    """Serve: read nothing until the other side has closed or reset the connection."""
    poller = select.poll()
    poller.register(sock, 0)  # reports only POLLHUP and POLLERR
    poller.poll(4 * waiting.DEADLINE * 1000)


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Serve: send the pieces, then read until the other side has closed."""

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for piece in pieces:
                sock.sendall(piece)
            until_eof(sock)

    return serve


def says_and_closes(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Serve: send the pieces and close in order, having read everything."""

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            until_eof(sock)

    return serve


def resets(sock: socket.socket) -> None:
    """Serve: reset the connection, as a firewall may."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def packet(payload: bytes) -> bytes:
    """A packet of RFC 4253 section 6, as sent before the first key exchange."""
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def string(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


def disconnect(reason: int, text: str) -> bytes:
    return packet(b"\1" + struct.pack(">I", reason) + string(text) + string(""))


def cut_after(address: tuple[str, int], size: int) -> Callable[[socket.socket], None]:
    """Serve: relay to the server at *address*, and close after *size* bytes from it."""

    def serve(sock: socket.socket) -> None:
        with socket.create_connection(address) as server:
            server.settimeout(4 * waiting.DEADLINE)
            upward = waiting.Worker(pump, sock, server, 1 << 40)
            pump(server, sock, size)
            for one in (sock, server):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            upward.result()

    return serve


def pump(source: socket.socket, sink: socket.socket, size: int) -> None:
    with contextlib.suppress(OSError):
        while size > 0 and (data := source.recv(min(size, 65536))):
            sink.sendall(data)
            size -= len(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class ParamikoServer(paramiko.ServerInterface, Target):  # type: ignore[misc]
    """An SSH server whose answers the test decides; its channels echo.

    ``.refusal``: the reason code of RFC 4254 with which opens are refused, or 0.
    ``.hold``, ``.hold_login``: opens and passwords are answered only while it is set.
    ``.opened``, ``.answered``: the targets of the opens received, and of those answered.
    ``.answers``, ``.passwords``: the answers to prompts, and the passwords, received.
    """

    def __init__(
        self, sshd: PrivateSshd, *, methods: str = "password", password: str = ""
    ) -> None:
        """The server uses the host key of *sshd*."""
        Target.__init__(self, self._serve_ssh)
        self._host_key = paramiko.Ed25519Key.from_private_key_file(
            str(sshd.directory / "host_key")
        )
        self._methods = methods
        self._password = password
        self.prompts: list[tuple[str, bool]] = [("Password: ", False)]
        self.expected = [password]
        self.answers: list[list[str]] = []
        self.passwords: list[str] = []
        self.refusal = 0
        self.hold, self.hold_login = threading.Event(), threading.Event()
        self.hold.set()
        self.hold_login.set()
        self.opened: list[tuple[str, int]] = []
        self.answered: list[tuple[str, int]] = []
        self.transports: list[paramiko.Transport] = []

    def gateway(self, **options: Any) -> Gateway:
        """A Gateway to this server, with its password."""
        given = {"strict_host_key_checking": "no", "password": self._password}
        return to_address(self.address, **(given | options))

    def _serve_ssh(self, sock: socket.socket) -> None:
        transport = paramiko.Transport(sock)
        transport.add_server_key(self._host_key)
        self.transports.append(transport)
        self.prepare_transport(transport)
        try:
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=self)
            while transport.is_active():
                channel = transport.accept(0.05)
                if channel is not None:
                    threading.Thread(target=self._echo, args=(channel,), daemon=True).start()
        finally:
            self.hold.set()
            transport.close()
            transport.join(4 * waiting.DEADLINE)

    def prepare_transport(self, transport: paramiko.Transport) -> None:
        """For subclasses: called with each transport before it starts."""

    @staticmethod
    def _echo(channel: paramiko.Channel) -> None:
        with channel, contextlib.suppress(OSError, EOFError):
            while data := channel.recv(65536):
                channel.sendall(data)

    def disconnect(self, text: str) -> None:
        """Send SSH_MSG_DISCONNECT with this description on all connections."""
        for transport in self.transports:
            message = paramiko.Message()
            message.add_byte(b"\1")
            message.add_int(11)
            message.add_string(text)
            message.add_string("en")
            transport._send_message(message)

    # ServerInterface

    def get_allowed_auths(self, username: str) -> str:
        return self._methods

    def check_auth_password(self, username: str, password: str) -> int:
        self.passwords.append(password)
        self.hold_login.wait(4 * waiting.DEADLINE)
        return SUCCESS if password == self._password else FAILURE

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        return paramiko.InteractiveQuery("The name", "Who are you?", *self.prompts)

    def check_auth_interactive_response(self, responses: list[str]) -> Any:
        self.answers.append([str(response) for response in responses])
        good = self.answers[-1] == self.expected
        return SUCCESS if good else FAILURE

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: Any, destination: Any
    ) -> int:
        self.opened.append(destination)
        self.hold.wait(4 * waiting.DEADLINE)
        self.answered.append(destination)
        return self.refusal

    def __enter__(self) -> Self:
        Target.__enter__(self)
        return self

    def __exit__(self, *details: object) -> None:
        self.hold.set()
        for transport in self.transports:
            transport.close()
        Target.__exit__(self, *details)


@contextlib.contextmanager
def black_hole() -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A listener whose queue is full, so that connecting to it takes without end.

    Accepting makes room; a waiting client connects at its next retry (after 1 s, 3 s).
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        refused = 0
        while refused < 2:  # a single time-out may be due to a busy machine
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.1)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                filler.close()
                refused += 1
            else:
                fillers.append(filler)
                refused = 0
        listener.settimeout(4 * waiting.DEADLINE)
        yield listener, fillers
