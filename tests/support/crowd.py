# SPDX-License-Identifier: BSD-2-Clause
"""A target for thousands of connections: one process with one thread.

``with Crowd() as crowd`` provides two addresses: a server at ``crowd.echo`` that sends
back the bytes it gets, and one at ``crowd.flood`` that sends zeros without end.
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
    """Allow *count* open descriptors to this process, and to servers started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise OSError(f"{count} descriptors are needed: ulimit -Hn is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """The process.  Start it under the limit of descriptors that it will need."""

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
    """One connection, served a piece at a time, so that it never blocks the others."""

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
        """Serve once; returns False when the connection has ended."""
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
