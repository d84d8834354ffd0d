# SPDX-License-Identifier: BSD-2-Clause
"""A throwaway server on a loopback port of its own, run by keeper.py.

Nothing outlives the ``with`` block, nor this process however it ends: no
process, no port, no file.
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

# A port found free may be taken before the server binds it.
PORT_ATTEMPTS = 20

# Sanitizers preloaded into a test run are for our code, not for the peers.
NOT_INHERITED = ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


class ServerError(RuntimeError):
    """A server did not start; the text says why."""


def find_program(name: str) -> str:
    """The absolute path of name, also where only root's PATH leads."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerError(f"{name} is not installed: run tools/bootstrap.sh test")
    return str(Path(found).absolute())


def peer_environment() -> dict[str, str]:
    """This process's environment, less what is meant for our own code only."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Server:
    """Base of the throwaway servers: a context manager with .host, .port, .log.

    A subclass gives `ready` (what the server says once it listens), `taken`
    (what it says when the port is in use) and `command()`; if it needs one,
    `shared_directory` (see keeper.py).
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
        """Write into self.directory what the server needs, the port apart."""

    def command(self) -> list[str]:
        """The command that serves on self.port and stays in the foreground."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.directory / "log").read_text(errors="backslashreplace")

    def start(self) -> Self:
        """Start, and return as soon as connections are accepted."""
        for _ in range(PORT_ATTEMPTS):
            self.directory = Path(tempfile.mkdtemp(prefix="sshgateway-"))
            self.port = free_port()
            if self._try_to_start():
                return self
        raise ServerError(f"no free port in {PORT_ATTEMPTS} attempts")

    def _try_to_start(self) -> bool:
        """True if it listens; False if the port was taken meanwhile."""
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
                start_new_session=True,  # Ctrl-C in a terminal is for us
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
        """End the server and all that it started, and remove its files."""
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
