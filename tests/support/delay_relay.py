# SPDX-License-Identifier: BSD-2-Clause
"""A TCP relay on loopback that delays every byte, in both directions.

    delay_relay.py PORT SECONDS

It listens on a free port, writes its number to stdout, and relays to PORT until its stdin
ends.  It reads whatever arrives at once, so that only the window of the protocol inside
the connection limits how many bytes are under way.

The relay's TCP acknowledges at once, without the delay.  So a measurement counts the round trips
of the protocol only.  Over a real line a program that sends with Nagle's algorithm, as sshd does
until the login ends, also waits for acknowledgements.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import sys
import threading
import time

PIECE = 1 << 20


def acknowledge(sock: socket.socket) -> None:
    """Make the kernel acknowledge at once, where it might wait up to 40 ms (tcp(7))."""
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class Line:
    """One direction of a connection: one thread receives, another sends after the delay."""

    def __init__(self, source: socket.socket, sink: socket.socket, delay: float) -> None:
        self._source, self._sink, self._delay = source, sink, delay
        self._queue: collections.deque[tuple[float, bytes]] = collections.deque()
        self._has_come = threading.Condition()
        for main in (self._take, self._give):
            threading.Thread(target=main, daemon=True).start()

    def _take(self) -> None:
        data = b"x"
        while data:
            data = b""
            with contextlib.suppress(OSError):
                data = self._source.recv(PIECE)
                acknowledge(self._source)
            with self._has_come:
                self._queue.append((time.monotonic() + self._delay, data))
                self._has_come.notify()

    def _give(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._next():
                self._sink.sendall(data)
            self._sink.shutdown(socket.SHUT_WR)

    def _next(self) -> bytes:
        with self._has_come:
            while not self._queue:
                self._has_come.wait()
            due, data = self._queue.popleft()
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)
        return data


def main(port: int, delay: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Line(near, far, delay)
            Line(far, near, delay)

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
