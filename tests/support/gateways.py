# SPDX-License-Identifier: BSD-2-Clause
"""Gateways to private sshds, and targets behind them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from support import waiting
from support.footprint import children

if TYPE_CHECKING:
    from sshgateway import AuthenticationError, Gateway
    from support.sshd import PrivateSshd

#: Seconds allowed for connecting and logging in, on a loaded machine too.
OPEN = 4 * waiting.DEADLINE

#: The gateway that all tests in tests/contract share (see ``share``).
_shared: list[Gateway] = []


def settings(sshd: PrivateSshd) -> dict[str, Any]:
    """Parameters of a Gateway to *sshd*, as values that JSON can represent."""
    return {
        "hostname": sshd.host,
        "port": sshd.port,
        "username": sshd.username,
        "key_filename": str(sshd.user_key),
        "known_hosts": [str(sshd.known_hosts)],
        "allow_agent": False,
        "look_for_keys": False,
        "timeout": OPEN,
        "channel_timeout": OPEN,
    }


def to(sshd: PrivateSshd, **options: Any) -> Gateway:
    """A Gateway to *sshd*, with its key and host key unless *options* say otherwise."""
    from sshgateway import Gateway

    return Gateway(**(settings(sshd) | options))


def to_address(address: tuple[str, int], **options: Any) -> Gateway:
    """A Gateway to *address*, whose host key is unknown."""
    from sshgateway import Gateway

    given: dict[str, Any] = {
        "timeout": OPEN,
        "known_hosts": [],
        "allow_agent": False,
        "look_for_keys": False,
        "username": "who",
    }
    return Gateway(hostname=address[0], port=address[1], **(given | options))


def opens(gateway: Gateway) -> bool:
    with gateway:
        return gateway.is_connected


def refusal(gateway: Gateway, *secrets: str) -> AuthenticationError:
    """Open *gateway* and return the error, which must not contain the secrets."""
    from sshgateway import AuthenticationError

    try:
        gateway.open()
    except AuthenticationError as error:
        assert isinstance(error, PermissionError)
        assert len(error.args) == 2
        shown = f"{error}{error!r}{error.methods!r}{gateway!r}"
        assert not [secret for secret in secrets if secret in shown]
        return error
    raise AssertionError("the login was not refused")


def share(gateway: Gateway) -> None:
    _shared[:] = [gateway]


def shared() -> Gateway:
    assert _shared, "the fixture shared_gateway is not set up"
    return _shared[0]


def logins(sshd: PrivateSshd) -> int:
    """The number of logins to *sshd* so far.

    A client may know of its login before sshd has logged it, so wait until the log shows
    the outcome of each connection.  Wait for 2 s at most, because the test may hold a
    connection before its login.
    """

    def is_decided() -> bool:
        log = sshd.log
        ports = set(re.findall(r"^Connection from \S+ port (\d+) on", log, re.MULTILINE))
        ports -= set(re.findall(r"^Accepted \S+ for .* port (\d+) ", log, re.MULTILINE))
        return ports <= set(re.findall(r" port (\d+)\b.* \[preauth\]$", log, re.MULTILINE))

    with contextlib.suppress(AssertionError):
        waiting.until(is_decided, "all have logged in or gone", 2)
    return sshd.log.count("Accepted publickey for")


class Target:
    """A listening TCP socket, or Unix socket at *path*; *serve* handles each connection.

    ``with Target(lambda sock: sock.sendall(b"hello")) as target: ... target.address``
    Each connection is served in a thread of its own.
    """

    def __init__(self, serve: Callable[[socket.socket], Any], path: str | None = None) -> None:
        self._serve = serve
        self.address: Any
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = self._listener.getsockname()
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen()
            self.address = path
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._connections: list[tuple[socket.socket, waiting.Worker]] = []

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # __exit__ has shut the listener down
                return
            sock.settimeout(4 * waiting.DEADLINE)
            self._connections.append((sock, waiting.Worker(self._serve_one, sock)))

    def _serve_one(self, sock: socket.socket) -> Any:
        with sock:
            return self._serve(sock)

    def results(self) -> list[Any]:
        """Wait for the connections so far to end; return what *serve* returned for each.

        Waits for at least one connection, because sshd may have connected before this
        side has accepted.
        """
        waiting.until(lambda: self._connections, "a connection")
        return [worker.result() for _, worker in self._connections]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for sock, worker in self._connections:
            if worker.is_alive():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for _sock, worker in self._connections:
            worker.join(4 * waiting.DEADLINE)
        if isinstance(self.address, str):
            os.unlink(self.address)


def echo(sock: socket.socket) -> None:
    """Send back all data, up to its end."""
    while data := sock.recv(65536):
        sock.sendall(data)


def closed_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def kill_sessions(sshd: PrivateSshd, signal_number: int = signal.SIGKILL) -> None:
    """Send a signal to the sessions of *sshd*, which continues to listen."""
    assert sshd._keeper is not None
    for listening in children(sshd._keeper.pid):
        for session in children(listening):
            for pid in (session, *children(session)):
                try:
                    os.kill(pid, signal_number)
                except ProcessLookupError:
                    continue


def connect(gateway: Gateway, address: Any, **options: Any) -> Any:
    """A channel made by the constructor of its class, which takes all parameters."""
    from sshgateway import DirectTcpipChannel

    return DirectTcpipChannel(gateway, address, **options)
