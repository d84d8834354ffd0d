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
    from sshgateway import Gateway
    from support.sshd import PrivateSshd

#: Seconds to connect and log in, on a loaded machine too.
OPEN = 4 * waiting.DEADLINE

#: The one gateway that all tests of the contract share (see ``share``).
_shared: list[Gateway] = []


def settings(sshd: PrivateSshd) -> dict[str, Any]:
    """Parameters of a Gateway to *sshd*, as JSON takes them."""
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
    """A Gateway to *sshd*, with its key and its host key unless told otherwise."""
    from sshgateway import Gateway

    return Gateway(**(settings(sshd) | options))


def to_address(address: tuple[str, int], **options: Any) -> Gateway:
    """A Gateway to what listens at *address*, which it does not know."""
    from sshgateway import Gateway

    given: dict[str, Any] = {
        "timeout": OPEN,
        "known_hosts": [],
        "allow_agent": False,
        "look_for_keys": False,
        "username": "who",
    }
    return Gateway(hostname=address[0], port=address[1], **(given | options))


def share(gateway: Gateway) -> None:
    _shared[:] = [gateway]


def shared() -> Gateway:
    assert _shared, "the fixture shared_gateway is not set up"
    return _shared[0]


def logins(sshd: PrivateSshd) -> int:
    """How many have logged in to *sshd* so far.

    A client may know of its login before sshd's monitor has told it.  So what becomes
    of each connection is waited for; not for long, as it may be meant to wait itself.
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
    """A listening TCP socket that a gateway reaches; ``serve`` runs in a thread.

    ``with Target(lambda sock: sock.sendall(b"hello")) as target: ... target.address``
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
            except OSError:  # shut down
                return
            sock.settimeout(4 * waiting.DEADLINE)
            self._connections.append((sock, waiting.Worker(self._serve_one, sock)))

    def _serve_one(self, sock: socket.socket) -> Any:
        with sock:
            return self._serve(sock)

    def results(self) -> list[Any]:
        """What ``serve`` returned for each connection so far, when it has.

        At least one: a connection may be sshd's before it is accepted here.
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
    """Send back what comes, up to the end of it."""
    while data := sock.recv(65536):
        sock.sendall(data)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def kill_sessions(sshd: PrivateSshd, signal_number: int = signal.SIGKILL) -> None:
    """End every connection of *sshd* rudely, or stop it; it goes on to listen."""
    assert sshd._keeper is not None
    for listening in children(sshd._keeper.pid):
        for session in children(listening):
            for pid in (session, *children(session)):
                try:
                    os.kill(pid, signal_number)
                except ProcessLookupError:
                    continue


def connect(gateway: Gateway, address: Any, **options: Any) -> Any:
    """A channel made by its class, which takes all parameters."""
    from sshgateway import DirectTcpipChannel

    return DirectTcpipChannel(gateway, address, **options)
