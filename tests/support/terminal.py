# SPDX-License-Identifier: BSD-2-Clause
"""A pseudo-terminal with a program in it, and a keyboard for the test."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from typing import Self

from support.waiting import DEADLINE, readable


class Terminal:
    """``with Terminal(command) as t: t.expect("ready"); t.type("\\x03")``

    The command leads a session of its own.  It makes its standard input, the terminal,
    its controlling terminal (TIOCSCTTY).
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.said = ""
        self._master, slave = pty.openpty()
        try:
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)

    def expect(self, text: str) -> None:
        """Read until the output contains *text*, and forget the output up to there."""
        while text not in self.said:
            if not readable(self._master, 4 * DEADLINE) or not self._read():
                raise AssertionError(f"{text!r} was not said, but {self.said!r}")
        self.said = self.said.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: no process has the terminal open
                raise
            data = b""
        self.said += data.decode(errors="replace")
        return bool(data)

    def ends(self) -> int:
        """Read to the end of the output and return the exit status."""
        while readable(self._master, 4 * DEADLINE) and self._read():
            pass
        return self.process.wait(4 * DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
