# SPDX-License-Identifier: BSD-2-Clause
"""The interface of a contestant: Contestant, and the Link that its open() returns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Ending = tuple[int | None, str]


@dataclass
class Link:
    """A connected stream.

    ``send`` and ``recv`` are the contestant's own functions without a wrapper, because a
    wrapper would be measured with them.
    """

    send: Callable[[memoryview | bytes], int]
    recv: Callable[[int], bytes]
    #: Set the seconds after which recv gives up; None means no limit.
    settimeout: Callable[[float | None], None]
    #: The call by which a program ends its use of the stream.
    close: Callable[[], None]
    #: Called after close: wait until the child is reaped, and release the rest.
    finish: Callable[[], None]
    #: Wait in recv for the end of the stream; return the child's return code and stderr.
    #: Raises TimeoutError when recv does not report the end.
    recv_end: Callable[[], Ending]
    #: Processes besides this one that carry or read the bytes.
    pids: list[int] = field(default_factory=list)

    def send_all(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    def recv_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.recv(size - len(data))
            if not piece:
                raise EOFError(f"the stream ended after {len(data)} of {size} bytes")
            data += piece
        return data


class Contestant(Protocol):
    name: str
    about: str
    #: The distribution under test, whose version is reported.
    package: str = ""
    #: The directory to import it from, unless it is on the normal path.
    path: Path | None = None
    #: recv_end() returns the stderr of the program.
    tells_stderr: bool
    #: The number of bytes that recv can still return after the program has ended.
    holds: int

    def open(self, program: list[str]) -> Link:
        """Start the program and return a stream to its stdin and stdout."""


@contextlib.contextmanager
def opened(
    contestant: Contestant, program: list[str], timeout: float | None = None
) -> Iterator[Link]:
    """A link that is closed, and whose processes have ended, after the block."""
    link = contestant.open(program)
    try:
        link.settimeout(timeout)
        yield link
    finally:
        link.close()
        link.finish()
