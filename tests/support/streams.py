# SPDX-License-Identifier: BSD-2-Clause
"""The kinds of stream under test, and functions that move bytes through them.

A kind is a function that returns a connected ``Stream``: ``sock`` is the object under
test, ``peer`` a plain socket at the far end.  To add one, write a function and add it to
``KINDS``; every test in tests/contract then runs on it.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support import gateways, waiting

#: Lengths around every boundary: nothing, one byte, small, an SSH packet, more than a
#: pipe or a socket buffer.
SIZES = (0, 1, 2, 100, 32_700, 200_000, 1_000_000)

#: Copies in both directions and closes its stdout when the peer ends.  A plain ``-`` would
#: keep stdout open until stdin ends too, or for the 30 s of ``-t30``.  The option must be
#: given for stdout alone, because socat 1.8 does not apply that of ``-,shut-close`` to it.
SOCAT = "socat -t30 -b65536 -!!-,shut-close"

ORACLE = "socketpair"


@dataclass
class Stream:
    kind: str
    sock: Any
    peer: socket.socket
    pids: list[int] = field(default_factory=list)
    peername: Any = ("unknown", 0)

    @property
    def is_oracle(self) -> bool:
        return self.kind == ORACLE

    def close(self) -> None:
        """Close both ends and wait until the child processes have been reaped."""
        self.sock.close()
        self.peer.close()
        for pid in self.pids:
            waiting.gone(pid)


def open_socketpair() -> Stream:
    """The oracle: a stream socket of the standard library."""
    sock, peer = socket.socketpair()
    peer.settimeout(waiting.DEADLINE)
    return Stream(ORACLE, sock, peer)


def open_proxycommand(**options: Any) -> Stream:
    """A ProxyCommand; socat carries the bytes to the peer."""
    from sshgateway import ProxyCommand

    with tempfile.TemporaryDirectory(prefix="sg-") as directory:
        path = os.path.join(directory, "peer")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(waiting.DEADLINE)
            sock = ProxyCommand(f"{SOCAT} UNIX-CONNECT:{path}", **options)
            try:
                peer, _ = listener.accept()
            except BaseException:
                sock.close()
                raise
    peer.settimeout(waiting.DEADLINE)
    return Stream("ProxyCommand", sock, peer, [sock.pid])


def open_relayed(**options: Any) -> Stream:
    """The same after fileno(), so that the relay carries the bytes (csrc/engine/loan.h)."""
    stream = open_proxycommand(**options)
    stream.sock.fileno()
    return stream


def open_channel(**options: Any) -> Stream:
    """A channel of the shared gateway to a listening TCP socket.

    The peer's receive buffer is bounded, because the kernel would otherwise enlarge it
    beyond the data that the tests send to fill a stream.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(waiting.DEADLINE)
        address = listener.getsockname()
        sock = gateways.shared().open_channel("direct-tcpip", address, **options)
        try:
            peer, _ = listener.accept()
        except BaseException:
            sock.close()
            raise
    peer.settimeout(waiting.DEADLINE)
    return Stream("DirectTcpipChannel", sock, peer, peername=address)


KINDS: dict[str, Callable[[], Stream]] = {
    ORACLE: open_socketpair,
    "ProxyCommand": open_proxycommand,
    "ProxyCommand, relayed": open_relayed,
    "DirectTcpipChannel": open_channel,
}


def payload(size: int, seed: int = 1) -> bytes:
    """*size* bytes without a period, the same in every run."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def recv_exactly(sock: Any, size: int) -> bytes:
    """Read *size* bytes, or fewer if the stream ends before."""
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(min(65536, size - len(data)))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def recv_all(sock: Any) -> bytes:
    """Read up to the end of the stream."""
    data = bytearray()
    while chunk := sock.recv(65536):
        data += chunk
    return bytes(data)


def fill(sock: Any, chunk: bytes = b"x" * 65536) -> int:
    """Send until *sock* is full; return how many bytes it accepted.

    The relay behind the socket makes room as it moves bytes on, so "full" means that
    there was no room for 50 ms, because everything behind the relay is full too.
    """
    old = sock.gettimeout()
    total = 0
    sock.settimeout(0.05)
    try:
        while True:
            total += sock.send(chunk)
    except TimeoutError:
        return total
    finally:
        sock.settimeout(old)
