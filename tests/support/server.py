# SPDX-License-Identifier: BSD-2-Clause
"""A temporary server on a free port of loopback, run by keeper.py.

After the ``with`` block, or after the end of this process, no process, port or file of
the server is left.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"

# Another program may take a free port before the server binds it.
PORT_ATTEMPTS = 20

# Preloaded sanitizers are for our code, not for the servers.
NOT_INHERITED = ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


class ServerError(RuntimeError):
    """A server did not start; the text gives the reason."""


def find_program(name: str) -> str:
    """The absolute path of a program, found also in the directories of root's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerError(f"{name} is not installed: run tools/bootstrap.sh test")
    return str(Path(found).absolute())


def peer_environment() -> dict[str, str]:
    """This process's environment, without the variables that are for our code only."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Server:
    """Base of the temporary servers: a context manager with .host, .port, .log.

    A subclass provides `command()`, `ready` (the text that the server logs once it
    listens), `taken` (the text that it logs when the port is in use) and, if it needs
    one, `shared_directory` (see keeper.py).
    """

    host = HOST
    port: int
    directory: Path
    ready: str
    taken = "in use"
    shared_directory = ""

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[str] | None = None

    def prepare(self) -> None:
        """Write the server's files into self.directory; self.port is set."""

    def command(self) -> list[str]:
        """The command of a server on self.port that stays in the foreground."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """The output of the server so far."""
        return (self.directory / "log").read_text(errors="backslashreplace")

    def start(self) -> Self:
        """Start the server; return when it accepts connections."""
        for _ in range(PORT_ATTEMPTS):
            self.directory = Path(tempfile.mkdtemp(prefix="sshgateway-"))
            self.port = free_port()
            if self._try_to_start():
                return self
        raise ServerError(f"no free port in {PORT_ATTEMPTS} attempts")

    def _try_to_start(self) -> bool:
        """Returns True if the server listens, False if another program took the port."""
        try:
            self.prepare()
            command = self.command()
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", Path(__file__).with_name("keeper.py"),
                 self.directory, self.shared_directory, self.ready, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=peer_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for this process only
            )  # fmt: skip
            assert self._keeper.stdout is not None
            if self._keeper.stdout.readline() == "ready\n":
                return True
            log = self.log
        except BaseException:
            self.stop()
            raise
        self.stop()
        if self.taken in log:
            return False
        raise ServerError(f"{command[0]} did not start; it said:\n{log}")

    def stop(self) -> None:
        """End the server and its descendants, and remove its files."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            shutil.rmtree(self.directory, ignore_errors=True)
            return
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.close()
        keeper.stdout.close()
        keeper.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
