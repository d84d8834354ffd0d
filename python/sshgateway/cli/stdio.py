# SPDX-License-Identifier: BSD-2-Clause
"""A stream on standard input and output: what ``ssh -W`` does.

Each direction blocks on its own, in a thread each, so that none can hold up
the other; no descriptor is made non-blocking, for we share them with others.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

from sshgateway import _core

__all__ = ["relay"]

_PIECE = 256 * 1024  # bytes


def relay(sock: socket.socket | _core.Stream, source: int = 0, sink: int = 1) -> None:
    """Carry bytes both ways until both ends have come, or one side is gone.

    The end of the source is told to sock (a half-close), that of sock to the
    sink, which is closed.  Raises OSError: sock's own reason, or BrokenPipeError
    when nobody reads the sink any more.
    """
    sock.settimeout(None)
    ended, told = os.pipe()
    try:
        upward = threading.Thread(target=_up, args=(source, sock, told), daemon=True)
        upward.start()
        _down(sock, sink)
        # The other side may be gone altogether, not only done with sending.
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(sock.fileno(), 0)
        poller.poll()
    finally:
        os.close(ended)


def _up(source: int, sock: socket.socket | _core.Stream, told: int) -> None:
    """What fails here is told where sock is read."""
    try:
        with contextlib.suppress(OSError):
            while data := _read(source):
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
    finally:
        os.close(told)


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _PIECE)
        except BlockingIOError:  # somebody else made it so
            _wait(source, select.POLLIN)


def _down(sock: socket.socket | _core.Stream, sink: int) -> None:
    buffer = bytearray(_PIECE)
    with memoryview(buffer) as view:
        while count := sock.recv_into(view):
            done = 0
            while done < count:
                try:
                    done += os.write(sink, view[done:count])
                except BlockingIOError:
                    _wait(sink, select.POLLOUT)
    # The number stays taken, so that nothing else becomes the sink.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sink)
    os.close(null)


def _wait(fd: int, event: int) -> None:
    poller = select.poll()
    poller.register(fd, event)
    poller.poll()
