# SPDX-License-Identifier: BSD-2-Clause
"""The program at the far side of every measured stream.

It obeys orders, a line each, that come down the stream itself, so it serves
as a proxy command and behind anything else that carries a stream:

    down N R   write N bytes of the pattern, R in a second at most (0: as fast as it can)
    up N       read N bytes, check them, answer with a verdict
    echo N     send back N bytes as they come

With --serve it listens on loopback, writes its port to stdout and does this
on every connection, until its stdin ends.

It reads 64 KiB and writes 8 KiB with a system call (what yes(1), socat and ncat
write too: larger pieces are slower through a pipe, as they wait for the reader
to make room; on a TCP connection 64 KiB) and allocates nothing: dd, cat and head are no faster.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

PIECE = 65536
WRITTEN = 8192
#: What is written at a time when it is not as fast as it can: an sshd reads no more.
PACED = 32768
#: A prime: no lost, doubled or swapped block goes unnoticed.
PERIOD = 131_071
#: Every verdict has this length, as Paramiko's recv waits for all it asked for.
VERDICT = 32
GOOD = b"good"


class Pattern:
    """The bytes that are moved, and the check of those that arrive."""

    def __init__(self, longest: int = PIECE) -> None:
        block = hashlib.shake_128(b"sshgateway").digest(PERIOD)
        self._bytes = block * (longest // PERIOD + 2)
        self._view = memoryview(self._bytes)
        self.position = 0

    def take(self, n: int) -> memoryview:
        """The next n bytes, *longest* at most."""
        start = self.position % PERIOD
        self.position += n
        return self._view[start : start + n]

    def check(self, data: bytes | memoryview, whole: bool = False) -> bool:
        """Whether these are the next bytes: both edges, or all of them."""
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
    """A process for each connection, which is its stdin and stdout."""
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
