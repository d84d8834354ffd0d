# SPDX-License-Identifier: BSD-2-Clause
"""``sshgateway demo``: reach a target behind a gateway, on this machine.

The gateway and the target are OpenSSH servers on loopback. They have keys and ports of
their own, and the demo removes them at its end. ``through_a_gateway()``,
``by_a_proxy_command()`` and ``log_in()`` are the code to copy; the rest of the file runs
the servers and prints.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from sshgateway import DirectTcpipChannel, Gateway, ProxyCommand

__all__ = ["demo"]

HOST = "127.0.0.1"
COMMAND = "echo hello from behind the gateway; uname -sr"
TIMEOUT = 20  # seconds


def demo() -> int:
    """Run the demo and print its steps.

    Returns the exit status: 0, or 1 if a step failed or a program is missing.
    """
    missing = [name for name in ("ssh", "sshd", "ssh-keygen") if find_program(name) is None]
    if missing:
        words = " and ".join(missing)
        print(f"sshgateway: the demo needs {words}; install OpenSSH", file=sys.stderr)
        return 1
    # Paramiko's thread logs a traceback of each failure that the demo shows.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sshgateway-") as directory,
            privilege_separation_directory(),
            Server("gateway", Path(directory)) as gateway,
            Server("target", Path(directory)) as target,
        ):
            show(gateway, target)
    except Exception as error:
        print(f"sshgateway: the demo failed: {error}", file=sys.stderr)
        return 1
    print("\nBoth servers are gone, with their keys and ports.")
    return 0


def show(gateway: Server, target: Server) -> None:
    print(f"gateway: OpenSSH on {HOST}, port {gateway.port}")
    print(f"target:  OpenSSH on {HOST}, port {target.port}")
    through_a_gateway(gateway, target)
    to_target = f"{HOST}:{target.port}"
    ssh = ["ssh", "-F", str(gateway.ssh_config), "-W"]
    by_a_proxy_command(
        "A ProxyCommand: ssh -W carries the bytes",
        target,
        shlex.join([*ssh, to_target, "gateway"]),
    )
    if find_program("ncat") is not None:
        by_a_proxy_command(
            "Another program: ncat carries the bytes",
            target,
            f"ncat {HOST} {target.port}",
        )
    by_a_proxy_command(
        "A shell runs the command, with variables and redirection",
        target,
        'ssh -F "$CONFIG" -W "$TARGET" gateway 2>>"$LOG"',
        shell=True,
        env={
            **os.environ,
            "CONFIG": str(gateway.ssh_config),
            "TARGET": to_target,
            "LOG": str(gateway.directory / "proxy.log"),
        },
    )
    with closed_port() as port:
        failing(
            "The gateway cannot connect to the target",
            target,
            shlex.join([*ssh, f"{HOST}:{port}", "gateway"]),
        )
    failing(
        "The program is not installed",
        target,
        f"no-such-program {HOST} {target.port}",
    )


# ---- The code to copy -------------------------------------------------------


def through_a_gateway(gateway: Server, target: Server) -> None:
    """Log in to the target twice through one SSH connection to the gateway."""
    title("A Gateway: one SSH connection for all targets, and no program to start")
    start = time.monotonic()
    with Gateway(
        hostname=HOST,
        port=gateway.port,
        username=gateway.username,
        key_filename=gateway.user_key,
        known_hosts=[gateway.known_hosts],
        allow_agent=False,
        timeout=TIMEOUT,
    ) as through:
        row("gateway", f"{through}, open after {since(start)}, {through.methods['cipher']}")
        row("host key", through.methods["fingerprint"])
        row("login", through.methods["login"])
        for _ in range(2):
            start = time.monotonic()
            with through.open_channel("direct-tcpip", (HOST, target.port), timeout=10) as sock:
                row("channel", f"to port {target.port}, open after {since(start)}")
                log_in(target, sock)
        with closed_port() as port:
            try:
                through.open_channel("direct-tcpip", (HOST, port), timeout=10)
            except OSError as error:
                row("a closed port", names_of(error))
                row("message", str(error), RED)


def by_a_proxy_command(what: str, target: Server, command: str, **options: Any) -> None:
    """Log in to the target through a program."""
    title(what)
    row("proxy command", command)
    with ProxyCommand(command, **options) as sock:
        log_in(target, sock)


def log_in(target: Server, sock: ProxyCommand | DirectTcpipChannel) -> None:
    """Log in with Paramiko over *sock* and run a command.

    Without Paramiko the first line of the target's server has to do.
    """
    paramiko = import_paramiko()
    if paramiko is None:
        with sock.makefile("rb") as lines:
            row("target said", lines.readline(256).decode().strip(), GREEN)
            row("no login", "Paramiko is not installed")
        return
    start = time.monotonic()
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(target.known_hosts))
        client.connect(
            HOST,
            target.port,
            username=target.username,
            key_filename=str(target.user_key),
            allow_agent=False,
            look_for_keys=False,
            sock=sock,
        )
        row("logged in", f"after {since(start)}")
        _, output, _ = client.exec_command(COMMAND, timeout=TIMEOUT)
        row("ran", COMMAND)
        row("output", output.read().decode(), GREEN)


def failing(what: str, target: Server, command: str) -> None:
    """Show the error of a proxy command that cannot work."""
    start = time.monotonic()
    try:
        by_a_proxy_command(what, target, command)
    except Exception as error:  # Paramiko has classes of its own
        row("exception", names_of(error))
        row("message", str(error), RED)
        row("known", f"after {since(start)}")
    else:
        raise RuntimeError(f"{command!r} did not fail")


# ---- The servers ------------------------------------------------------------


class Server:
    """An OpenSSH server on a port of loopback: one ``sshd -i`` for each connection.

    name: also its name in ``ssh_config``, a file with which ssh(1) logs in to it.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory: Path = directory / name
        self.username: str = pwd.getpwuid(os.getuid()).pw_name
        self.user_key: Path = self.directory / "user_key"
        self.known_hosts: Path = self.directory / "known_hosts"
        self.ssh_config: Path = self.directory / "ssh_config"
        self._sessions: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.directory.mkdir()
        make_key(self.user_key)
        host_key = make_key(self.directory / "host_key")
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.known_hosts.write_text(f"[{HOST}]:{self.port} {host_key}\n")
        self.ssh_config.write_text(self._client_config())
        self._command = [str(find_program("sshd")), "-i", "-e", "-f", self._server_config()]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for session in self._sessions:
            session.terminate()
            session.wait()

    def _accept(self) -> None:
        with open(self.directory / "log", "ab") as log:
            while True:
                try:
                    sock, _ = self._listener.accept()
                except OSError:  # shut down
                    return
                with sock:
                    fd = sock.fileno()
                    session = subprocess.Popen(
                        self._command, stdin=fd, stdout=fd, stderr=log, start_new_session=True
                    )
                self._sessions.append(session)

    def _server_config(self) -> str:
        path = self.directory / "sshd_config"
        path.write_text(
            f"HostKey {self.directory}/host_key\n"
            f"AuthorizedKeysFile {self.user_key}.pub\n"
            "AuthenticationMethods publickey\n"
            "PermitRootLogin prohibit-password\n"
            f"UsePAM {'yes' if root_is_locked() else 'no'}\n"
            "StrictModes no\n"  # the temporary directory may be group-writable
            "PidFile none\n"
            "PrintMotd no\n"
        )
        return str(path)

    def _client_config(self) -> str:
        return (
            f"Host {self.name}\n"
            f"HostName {HOST}\n"
            f"Port {self.port}\n"
            f"User {self.username}\n"
            f"IdentityFile {self.user_key}\n"
            "IdentityAgent none\n"
            "BatchMode yes\n"
            "StrictHostKeyChecking yes\n"
            f"UserKnownHostsFile {self.known_hosts}\n"
            "GlobalKnownHostsFile none\n"
        )


def find_program(name: str) -> str | None:
    """The path of a program; sshd is often in a directory of root's PATH only."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=f"{path}:/usr/local/sbin:/usr/sbin")


def make_key(path: Path) -> str:
    """Make an ed25519 key pair; returns the public key's line."""
    command = [str(find_program("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-C", ""]
    subprocess.run([*command, "-f", path], check=True, stdin=subprocess.DEVNULL)
    return path.with_name(path.name + ".pub").read_text().strip()


def root_is_locked() -> bool:
    """True if the demo runs as root and sshd would refuse root unless PAM decides."""
    with contextlib.suppress(OSError), open("/etc/shadow") as shadow:
        return os.getuid() == 0 and any(line.startswith("root:!") for line in shadow)
    return False


@contextlib.contextmanager
def privilege_separation_directory() -> Iterator[None]:
    """The directory in which an sshd of root confines its unprivileged process.

    Its path is built in to sshd. Distributions make it when their own sshd starts; else
    it is made here and removed by the last process that holds a lock on it.
    """
    path = Path("/run/sshd")
    if os.getuid() != 0:
        yield
        return
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        yield
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(held).st_mode & 0o777 == 0o700:  # made here
                path.rmdir()
    finally:
        os.close(held)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of loopback that refuses connections."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        yield sock.getsockname()[1]


def import_paramiko() -> Any:
    """The module, or None if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its dependencies
            import paramiko
    except ImportError:
        return None
    return paramiko


# ---- Printing ---------------------------------------------------------------

LABEL_WIDTH = 18
TEXT_WIDTH = 79 - LABEL_WIDTH
BOLD, DIM, GREEN, RED, PLAIN = "1", "2", "32", "31", "0"


def paint(code: str, text: str) -> str:
    """The text in colour, on a terminal."""
    if code == PLAIN or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{code}m{text}\033[0m"


def title(text: str) -> None:
    print("\n" + paint(BOLD, text), flush=True)


def row(label: str, text: str, code: str = PLAIN) -> None:
    """Print a label and its text, wrapped."""
    for line in text.splitlines():
        for part in textwrap.wrap(line, TEXT_WIDTH, break_on_hyphens=False):
            print(paint(DIM, label.rjust(LABEL_WIDTH - 2)) + "  " + paint(code, part), flush=True)
            label = ""


def since(start: float) -> str:
    return f"{time.monotonic() - start:.3f} s"


def names_of(error: BaseException) -> str:
    """The name of the exception's class, and of the standard class it belongs to."""
    kind = type(error)
    standard = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    also = f", also a {standard.__name__}" if issubclass(standard, OSError) else ""
    return f"{kind.__module__}.{kind.__qualname__}{also}"
