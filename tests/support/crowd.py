# SPDX-License-Identifier: BSD-2-Clause
"""A target for a thousand connections: one process with one thread.

``with Crowd() as crowd: ... crowd.echo ... crowd.flood`` are two addresses: the
one sends back what comes, the other sends zeros for ever.
"""

from __future__ import annotations

import contextlib
import json
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Self

PIECE = memoryview(bytes(65536))


@contextlib.contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """So many for us, and for the servers that are started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise OSError(f"{count} descriptors are needed: ulimit -Hn is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Start it with the descriptors it will need."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.echo, self.flood = (("127.0.0.1", ports[name]) for name in ("echo", "flood"))
        return self

    def __exit__(self, *_details: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Connection:
    """Served a piece at a time, so that one that is stuck holds up nobody."""

    def __init__(self, poller: select.epoll, listener: socket.socket, floods: bool) -> None:
        self._poller = poller
        self._floods = floods
        self._unsent = PIECE[:0]
        self._sock, _ = listener.accept()
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)
        self.fd = self._sock.fileno()
        poller.register(self.fd, select.EPOLLOUT if floods else select.EPOLLIN)

    def serve(self, events: int) -> bool:
        """False when there is nobody any more."""
        with contextlib.suppress(OSError):
            if events & select.EPOLLIN:
                self._unsent = memoryview(self._sock.recv(65536))
            if self._floods:
                self._unsent = PIECE
            if self._unsent:
                self._send()
                return True
        self._poller.unregister(self.fd)
        self._sock.close()
        return False

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        if not self._floods:
            wanted = select.EPOLLOUT if self._unsent else select.EPOLLIN
            self._poller.modify(self.fd, wanted)


def main() -> None:
    poller = select.epoll()
    listeners: dict[int, tuple[socket.socket, bool]] = {}
    connections: dict[int, Connection] = {}
    ports = {}
    for name in ("echo", "flood"):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        ports[name] = listener.getsockname()[1]
        listeners[listener.fileno()] = (listener, name == "flood")
        poller.register(listener, select.EPOLLIN)
    poller.register(0, select.EPOLLIN)
    print(json.dumps(ports), flush=True)
    while True:
        for fd, events in poller.poll():
            if fd == 0:
                return
            if fd in listeners:
                connection = Connection(poller, *listeners[fd])
                connections[connection.fd] = connection
            elif not connections[fd].serve(events):
                del connections[fd]


if __name__ == "__main__":
    main()
