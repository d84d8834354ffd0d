# SPDX-License-Identifier: BSD-2-Clause
"""Run KnownHostsCommand of ssh_config(5), which prints lines of a known_hosts file.

The command is run as load_hostkeys_command() of OpenSSH's sshconnect.c does: without a shell,
with /dev/null for its input, and with our environment and stderr. The differences:

* A command that cannot be executed is an error. ssh(1) continues as if it had printed nothing,
  so accept-new accepts any key then.
* The command has a session of its own, so that it ends with all its children if the time is up.
  It cannot ask a question on the terminal.

A message names the program only, because the arguments may hold secrets.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sshgateway._deadline import Deadline
from sshgateway._messages import config_invalid
from sshgateway._public_keys import fingerprint, key_type_or_unknown, plain_key
from sshgateway._ssh_config.lines import split_arguments
from sshgateway.proxy import expand

__all__ = ["Command", "Invocation", "run", "split"]

_LONGEST_OUTPUT = 64 * 1024 * 1024  # bytes, as that of a known_hosts file
_PIECE = 64 * 1024  # bytes that one read(2) asks for
_SHORTEST_WAIT, _LONGEST_WAIT = 0.001, 0.05  # seconds; waitpid(2) has no timeout

Invocation = Literal["ORDER", "HOSTNAME", "ADDRESS"]


@dataclass(frozen=True, slots=True)
class Command:
    """KnownHostsCommand of one host, with the tokens that only ssh_config knows."""

    template: str
    #: Pairs of a letter and its value.
    tokens: tuple[tuple[str, str], ...] = ()


def run(
    template: str,
    *,
    invocation: Invocation,
    host: str,
    tokens: Mapping[str, str],
    key: bytes | None,
    timeout: float | None,
) -> bytes:
    """Run a command and return what it prints.

    - template (str): the value of KnownHostsCommand.
    - invocation (str): why it is run, %I: "ORDER" to find the types of known keys, "HOSTNAME" or
      "ADDRESS" to find keys of the host's name or address.
    - host (str): the name whose keys are looked up, %H: "[name]:port" unless the port is 22.
      OpenSSH before 9.6 gave "ORDER" the name without the port.
    - tokens (mapping): the values of the other tokens, by their letters, as "h" for %h.
    - key (bytes or None): the public key or certificate that the host has presented, for %t, %f
      and %K. None means that there is none yet.
    - timeout (float or None): seconds until it must have ended; None means no limit.

    Raises ConfigError if the template is invalid, TimeoutError, and OSError if the command cannot
    be executed, fails or prints more than 64 MiB. No process is left behind, even if a signal
    handler raises; only a program that runs as another user goes on until it ends.
    """
    argv = _arguments(template, {**tokens, **_tokens(invocation, host, key)})
    deadline, process = Deadline(timeout), _Process(argv)
    try:
        process.start()
        output = process.read(deadline)
        status = process.reap(deadline)
    except BaseException:
        process.kill()
        raise
    finally:
        process.close()
    if status < 0:
        raise OSError(errno.EIO, f"{process.name} was killed by signal {-status}")
    if status > 0:
        raise OSError(errno.EIO, f"{process.name} failed with exit status {status}")
    return output


# ---- Arguments --------------------------------------------------------------


def split(template: str) -> list[str]:
    """Split a command into its arguments as argv_split() of OpenSSH's misc.c.

    Blanks and tabs separate arguments. Quotes of both kinds group, and a backslash escapes a
    quote, a backslash and, outside quotes, a blank; any other backslash is a character.

    Raises ConfigError if a quote has no end.
    """
    arguments = split_arguments(template, comments=False)
    if arguments is None:
        raise config_invalid("KnownHostsCommand has a quote without an end")
    return arguments


def _arguments(template: str, tokens: Mapping[str, str]) -> list[str]:
    """Return the arguments, expanded except for the program."""
    argv = split(template)
    if not argv:
        raise config_invalid("KnownHostsCommand is empty")
    name = _name(argv)
    if not os.path.isabs(argv[0]):
        raise config_invalid(f"{name} is not an absolute path")
    for argument in argv[1:]:
        if any("${" in piece for piece in re.split(r"\$\{[^}]*\}|%.?", argument, flags=re.DOTALL)):
            raise config_invalid(f"{name} has a ${{ without an end")
    argv[1:] = [expand(argument, tokens, variables=True, name=name) for argument in argv[1:]]
    if any("\0" in argument for argument in argv):
        raise config_invalid(f"{name} has an argument with a zero byte")
    return argv


def _name(argv: list[str]) -> str:
    return f"the KnownHostsCommand {argv[0]!r}"


def _tokens(invocation: str, host: str, key: bytes | None) -> dict[str, str]:
    found = {"I": invocation, "H": host, "t": "NONE", "f": "NONE", "K": "NONE"}
    if key is not None:
        found["t"] = key_type_or_unknown(key)
        found["f"] = fingerprint(plain_key(key))
        found["K"] = base64.b64encode(key).decode("ascii")
    return found


# ---- The process ------------------------------------------------------------


class _Process:
    """A command that is running.

    A signal handler may raise while Popen runs, and the process would then be lost. Handlers run
    only in the main thread, so the process is started in another thread.
    """

    def __init__(self, argv: list[str]) -> None:
        self.name = _name(argv)
        self._argv = argv
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._is_over = False

    def start(self) -> None:
        thread = threading.Thread(target=self._spawn, name="KnownHostsCommand", daemon=True)
        thread.start()
        thread.join()
        if self._failure is not None:
            number = self._failure.errno or errno.EIO
            why = os.strerror(number)
            raise OSError(number, f"{self.name} cannot be executed: {why}") from None

    def _spawn(self) -> None:
        with self._lock:
            if self._is_over:
                return
            try:
                self._child = subprocess.Popen(
                    self._argv,
                    bufsize=0,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                self._failure = error

    def read(self, deadline: Deadline) -> bytes:
        """Return the output, up to its end."""
        assert self._child is not None
        assert self._child.stdout is not None
        fd, size = self._child.stdout.fileno(), 0
        pieces: list[bytes] = []
        with selectors.PollSelector() as selector:  # needs no descriptor
            selector.register(fd, selectors.EVENT_READ)
            while True:
                is_ready = selector.select(deadline.left())
                if deadline.is_over():
                    raise deadline.error(f"{self.name} did not end its output")
                if not is_ready:
                    continue
                piece = os.read(fd, _PIECE)
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)
                size += len(piece)
                if size > _LONGEST_OUTPUT:
                    limit = f"{_LONGEST_OUTPUT >> 20} MiB"
                    raise OSError(errno.EFBIG, f"{self.name} printed more than {limit}")

    def reap(self, deadline: Deadline) -> int:
        """Wait for the end and return the exit status, or minus the number of a signal.

        Popen.wait() returns 0 if other code has reaped the child, or if SIGCHLD is ignored.
        """
        assert self._child is not None
        pause = _SHORTEST_WAIT
        while True:
            options = 0 if deadline.left() is None else os.WNOHANG
            try:
                pid, status = os.waitpid(self._child.pid, options)
            except ChildProcessError:
                self._child.returncode = 255  # so that kill() signals no other process
                why = "SIGCHLD is ignored, or other code waited for it"
                text = f"the exit status of {self.name} is not known: {why}"
                raise OSError(errno.ECHILD, text) from None
            if pid:
                self._child.returncode = os.waitstatus_to_exitcode(status)
                return self._child.returncode
            if deadline.is_over():
                raise deadline.error(f"{self.name} did not exit")
            time.sleep(deadline.left(pause) or 0)
            pause = min(2 * pause, _LONGEST_WAIT)

    def kill(self) -> None:
        """Kill the command with its children, unless it has been reaped."""
        with self._lock:
            self._is_over = True
        child = self._child
        if child is None or child.returncode is not None:
            return
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except PermissionError:  # a program of another user, such as sudo(8), cannot be killed
            threading.Thread(target=child.wait, name="KnownHostsCommand", daemon=True).start()
            return
        except ProcessLookupError:
            pass
        child.wait()

    def close(self) -> None:
        if self._child is not None and self._child.stdout is not None:
            self._child.stdout.close()
