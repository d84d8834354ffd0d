# SPDX-License-Identifier: BSD-2-Clause
"""Contestants that start the program themselves: streams over a child's pipes or socket.

The program at the other end has the stream as its stdin and stdout.  To add a
contestant, write a class with ``name``, ``about`` and ``open()``, and add it to ``ALL``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import socket
import subprocess
from collections.abc import Callable
from typing import Any

from bench.contestants.base import Contestant, Ending, Link
from bench.meter import await_reaped


class Ours(Contestant):
    name = "sshgateway"
    package = "sshgateway"
    about = "sshgateway.ProxyCommand"
    tells_stderr = True
    holds = 250_000

    def open(self, program: list[str]) -> Link:
        from sshgateway import ProxyCommand

        proxy = ProxyCommand(program)
        return Link(
            send=proxy.send,
            recv=proxy.recv,
            settimeout=proxy.settimeout,
            close=proxy.close,
            finish=functools.partial(await_reaped, proxy.pid),
            recv_end=functools.partial(self._recv_end, proxy),
            pids=[proxy.pid],
        )

    @staticmethod
    def _recv_end(proxy: Any) -> Ending:
        from sshgateway import ProxyCommandError

        try:
            data = proxy.recv(1)
        except ProxyCommandError as error:
            return error.returncode, error.stderr
        if data:
            raise ValueError(f"{data!r} instead of the end")
        return proxy.returncode, proxy.stderr


class OursAsSocket(Contestant):
    """The same through the kernel's socket alone, as asyncio, ssl and every other user of
    the descriptor sees it."""

    name = "sshgateway-dup"
    package = "sshgateway"
    about = "the plain socket that sshgateway.ProxyCommand.dup() returns"
    tells_stderr = False
    holds = Ours.holds

    def open(self, program: list[str]) -> Link:
        from sshgateway import ProxyCommand

        with ProxyCommand(program) as proxy:
            sock = proxy.dup()
        return Link(
            send=sock.send,
            recv=sock.recv,
            settimeout=sock.settimeout,
            close=sock.close,
            finish=functools.partial(await_reaped, proxy.pid),
            recv_end=functools.partial(self._recv_end, proxy, sock),
            pids=[proxy.pid],
        )

    @staticmethod
    def _recv_end(proxy: Any, sock: socket.socket) -> Ending:
        if sock.recv(1):
            raise ValueError("data instead of the end")
        return proxy.returncode, ""


class Paramiko(Contestant):
    """Defects are worked around where a careful user could do so.

    It never reports the end of a stream, so nothing is read past the expected data.  Its
    close() only sends SIGTERM, so finish() does the rest.
    """

    name = "paramiko"
    package = "paramiko"
    about = "paramiko.ProxyCommand"
    tells_stderr = False
    holds = 60_000

    def open(self, program: list[str]) -> Link:
        import paramiko

        proxy = paramiko.ProxyCommand(shlex.join(program))
        return Link(
            send=proxy.send,
            recv=proxy.recv,
            settimeout=proxy.settimeout,
            close=proxy.close,
            finish=functools.partial(_finish, proxy.process),
            recv_end=functools.partial(self._recv_end, proxy.recv, proxy.process),
            pids=[proxy.process.pid],
        )

    @staticmethod
    def _recv_end(recv: Callable[[int], bytes], process: subprocess.Popen[bytes]) -> Ending:
        if recv(1):
            raise ValueError("data instead of the end")
        return process.wait(), ""


class Pipes(Contestant):
    """The lower bound of the cost: the child's own pipes, without anything between."""

    name = "pipes"
    about = "subprocess.Popen, os.read and os.write on blocking pipes"
    tells_stderr = True
    holds = 60_000

    def open(self, program: list[str]) -> Link:
        pipe = subprocess.PIPE
        process = subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        assert process.stdin is not None and process.stdout is not None
        return Link(
            send=functools.partial(os.write, process.stdin.fileno()),
            recv=functools.partial(os.read, process.stdout.fileno()),
            settimeout=lambda timeout: None,
            close=process.stdin.close,
            finish=functools.partial(_finish, process),
            recv_end=functools.partial(self._recv_end, process),
            pids=[process.pid],
        )

    @staticmethod
    def _recv_end(process: subprocess.Popen[bytes]) -> Ending:
        assert process.stdout is not None and process.stderr is not None
        if os.read(process.stdout.fileno(), 1):
            raise ValueError("data instead of the end")
        # As long as ours waits, in case the program lives on.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            return process.returncode, process.stderr.read().decode()
        return None, ""


def _finish(process: subprocess.Popen[bytes]) -> None:
    """Reap the child and close its pipes."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


#: Every contestant by name.
ALL: dict[str, Contestant] = {
    each.name: each for each in (Ours(), OursAsSocket(), Paramiko(), Pipes())
}
#: The contestants of a normal run.  The first is compared with the others.
USUAL = (Ours.name, OursAsSocket.name, Paramiko.name, Pipes.name)
