# SPDX-License-Identifier: BSD-2-Clause
"""Relay a stream to standard input and output, as ``ssh -W`` does.

Each direction has a thread that blocks, so that neither delays the other. No descriptor is
made non-blocking, because other processes share standard input and output.
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
    """Carry bytes both ways until both directions have ended, or one side has failed.

    - sock: the stream; its timeout is set to None.
    - source (int): the descriptor to read from. Its EOF becomes a half-close of sock.
    - sink (int): the descriptor to write to. An EOF of sock closes it.

    Raises OSError: the reason of sock, or BrokenPipeError if the reader of the sink has gone.
    """
    sock.settimeout(None)
    ended, keep_open = os.pipe()  # an EOF on `ended` says that the thread has ended
    try:
        upward = threading.Thread(target=_up, args=(source, sock, keep_open), daemon=True)
        upward.start()
        _down(sock, sink)
        # Wait for the end of the other direction, or for a hangup of sock.
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(sock.fileno(), 0)
        poller.poll()
    finally:
        os.close(ended)


def _up(source: int, sock: socket.socket | _core.Stream, keep_open: int) -> None:
    """Carry bytes from source to sock. The thread that reads sock reports its errors."""
    try:
        with contextlib.suppress(OSError):
            while data := _read(source):
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
    finally:
        os.close(keep_open)


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _PIECE)
        except BlockingIOError:  # another process has made it non-blocking
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
    # Keep the descriptor's number in use, so that no new file becomes the sink.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sink)
    os.close(null)


def _wait(fd: int, event: int) -> None:
    poller = select.poll()
    poller.register(fd, event)
    poller.poll()
