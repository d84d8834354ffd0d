# SPDX-License-Identifier: BSD-2-Clause
"""What the bench asks of a contestant: Contestant, and the Link that its open() returns."""

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

    ``send`` and ``recv`` are the contestant's own functions, with nothing of
    ours around them: what we added would be measured with them.
    """

    send: Callable[[memoryview | bytes], int]
    recv: Callable[[int], bytes]
    #: recv gives up after that many seconds; None: never
    settimeout: Callable[[float | None], None]
    #: What a program calls when it is done with the stream.
    close: Callable[[], None]
    #: After close: wait until the program is reaped, and give back the rest.
    finish: Callable[[], None]
    #: Wait in recv for the end of the stream and tell how the program ended:
    #: return code and stderr.  TimeoutError when recv doesn't tell.
    recv_end: Callable[[], Ending]
    #: Processes besides ours that carry or take the bytes.
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
    #: The distribution that is measured: its version is told.
    package: str = ""
    #: Where that is, unless it is what this interpreter imports anyway.
    path: Path | None = None
    #: recv_end() tells what the program wrote to stderr.
    tells_stderr: bool
    #: So many bytes can wait for recv when the program has ended.
    holds: int

    def open(self, program: list[str]) -> Link:
        """A stream to that program, which is started for it."""


@contextlib.contextmanager
def opened(
    contestant: Contestant, program: list[str], timeout: float | None = None
) -> Iterator[Link]:
    """A link that leaves nothing behind."""
    link = contestant.open(program)
    try:
        link.settimeout(timeout)
        yield link
    finally:
        link.close()
        link.finish()
