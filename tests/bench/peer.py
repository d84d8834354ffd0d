# SPDX-License-Identifier: BSD-2-Clause
"""The program at the other end of every measured stream.

It obeys orders, one per line, that arrive in the stream itself.  So it serves as a proxy
command, and behind any other carrier of a stream:

    down N R   write N bytes of the pattern, at most R per second (0: no limit)
    up N       read N bytes, check them, answer with a verdict
    echo N     send N bytes back as they arrive

With --serve it listens on loopback, writes its port to stdout and serves every connection
like this, until its stdin ends.

It reads up to 64 KiB per system call.  It writes 8 KiB per call to a pipe, as yes(1),
socat and ncat do, because larger writes wait for the reader to make room; on a TCP
connection it writes 64 KiB.  It allocates nothing while it moves data, and is as fast as
dd, cat and head.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

PIECE = 65536
WRITTEN = 8192
#: The size of a write at a limited rate: an sshd reads no more at a time.
PACED = 32768
#: The period of the pattern is a prime, so a lost, doubled or swapped block is noticed.
PERIOD = 131_071
#: The length of every verdict, because Paramiko's recv waits for all bytes it asked for.
VERDICT = 32
GOOD = b"good"


class Pattern:
    """Produces the bytes of the pattern, and checks those that arrive."""

    def __init__(self, longest: int = PIECE) -> None:
        block = hashlib.shake_128(b"sshgateway").digest(PERIOD)
        self._bytes = block * (longest // PERIOD + 2)
        self._view = memoryview(self._bytes)
        self.position = 0

    def take(self, n: int) -> memoryview:
        """The next n bytes, at most *longest*."""
        start = self.position % PERIOD
        self.position += n
        return self._view[start : start + n]

    def check(self, data: bytes | memoryview, whole: bool = False) -> bool:
        """Returns whether these are the next bytes: the first and last 8, or the *whole* data."""
        start = self.position % PERIOD
        end = start + len(data)
        self.position += len(data)
        if whole:
            return data == self._bytes[start:end]
        return (
            data[:8] == self._bytes[start : start + 8][: len(data)]
            and data[-8:] == (self._bytes[max(start, end - 8) : end])
        )


def write_all(data: memoryview) -> None:
    while data:
        data = data[os.write(1, data) :]


def down(total: int, rate: int, piece: int = WRITTEN) -> None:
    pattern = Pattern()
    piece = min(piece, PACED) if rate else piece
    start = time.monotonic()
    while pattern.position < total:
        write_all(pattern.take(min(piece, total - pattern.position)))
        if rate:
            time.sleep(max(0.0, start + pattern.position / rate - time.monotonic()))


def up(total: int) -> None:
    pattern = Pattern()
    buffer = memoryview(bytearray(PIECE))
    verdict = GOOD
    while pattern.position < total:
        n = os.readv(0, [buffer[: total - pattern.position]])
        if n == 0:
            verdict = b"short: %d" % pattern.position
            break
        if not pattern.check(buffer[:n]):
            verdict = b"bad before %d" % pattern.position
    write_all(memoryview(verdict.ljust(VERDICT)))


def echo(total: int) -> None:
    buffer = memoryview(bytearray(PIECE))
    while total > 0:
        n = os.readv(0, [buffer[:total]])
        if n == 0:
            return
        write_all(buffer[:n])
        total -= n


def read_order() -> list[str]:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return []
        line += byte
    return line.decode().split()


def serve() -> None:
    """Fork a process for each connection, which becomes its stdin and stdout."""
    import select
    import signal
    import socket

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    write_all(memoryview(b"%d\n" % listener.getsockname()[1]))
    inputs: list[int | socket.socket] = [0, listener]
    while 0 not in select.select(inputs, [], [])[0]:
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if os.fork() == 0:
                os.dup2(connection.fileno(), 0)
                os.dup2(connection.fileno(), 1)
                obey(PIECE)
                os._exit(0)


def obey(piece: int) -> None:
    while words := read_order():
        total = int(words[1])
        if words[0] == "down":
            down(total, int(words[2]), piece)
        elif words[0] == "up":
            up(total)
        else:
            echo(total)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        obey(WRITTEN)
