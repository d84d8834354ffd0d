# SPDX-License-Identifier: BSD-2-Clause
"""Read the files that decide on trust: whole, with bounded size, and without waiting."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["explain", "open_file", "read", "read_descriptor"]

_LONGEST_FILE = 64 * 1024 * 1024  # bytes
_PIECE = 1024 * 1024  # bytes that one read(2) asks for, and for which memory is allocated


def read(path: str) -> bytes:
    """Return the contents of a file. Never waits for the writer of a FIFO.

    Raises OSError or ValueError if it cannot be read: see ``explain()``.
    """
    fd = open_file(path)
    try:
        return read_descriptor(fd)
    finally:
        os.close(fd)


def open_file(path: str) -> int:
    """Open a file without waiting and return its descriptor. Raises OSError or ValueError."""
    if not path:
        raise ValueError("its path is empty")
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def read_descriptor(fd: int) -> bytes:
    """Return all bytes of a regular file, or of /dev/null. Raises OSError."""
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull)):
        # A FIFO or a terminal gives its bytes only once, and a device may have no end.
        raise OSError(errno.EINVAL, "it is not a regular file")
    pieces, left = [], _LONGEST_FILE
    while piece := os.read(fd, min(status.st_size + 1, _PIECE)):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:  # a part could lack the revoked keys
            raise OSError(errno.EFBIG, f"it is larger than {_LONGEST_FILE >> 20} MiB")
    return b"".join(pieces)


def explain(error: OSError | ValueError) -> tuple[int, str]:
    """Return the error number and the reason, in words, of a file that cannot be used."""
    number = getattr(error, "errno", None) or errno.EINVAL
    return number, getattr(error, "strerror", None) or str(error)
