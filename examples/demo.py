# SPDX-License-Identifier: BSD-2-Clause
"""make demo: log into a target behind a gateway, on this machine, in a few ways.

Gateway and target are throwaway OpenSSH servers on loopback, with keys and
ports of their own. Nothing of them is left afterwards.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import paramiko

from sshgateway import DirectTcpipChannel, Gateway, ProxyCommand

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.server import free_port
from support.sshd import PrivateSshd

COMMAND = 'echo "Hello from the $PLACE, on $(uname -sr)."'

LABEL_WIDTH = 18
TEXT_WIDTH = 79 - LABEL_WIDTH
BOLD, DIM, GREEN, RED, PLAIN = "1", "2", "32", "31", "0"


def paint(code: str, text: str) -> str:
    """The text in a colour, where there is somebody to like it."""
    if code == PLAIN or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{code}m{text}\033[0m"


def title(text: str) -> None:
    print("\n" + paint(BOLD, text))


def row(label: str, text: str, code: str = PLAIN) -> None:
    """A label and its text, folded where that is long."""
    for line in text.splitlines():
        for part in textwrap.wrap(line, TEXT_WIDTH, break_on_hyphens=False):
            print(paint(DIM, label.rjust(LABEL_WIDTH - 2)) + "  " + paint(code, part))
            label = ""


def seconds(start: float) -> str:
    return f"{time.monotonic() - start:.2f} s"


def log_in(target: PrivateSshd, sock: ProxyCommand | DirectTcpipChannel) -> paramiko.SSHClient:
    """What everybody does with Paramiko; sock= is where we come in."""
    client = paramiko.SSHClient()
    client.load_host_keys(str(target.known_hosts))
    client.connect(
        target.host,
        target.port,
        username=target.username,
        key_filename=str(target.user_key),
        allow_agent=False,
        look_for_keys=False,
        sock=sock,
    )
    return client


def works(way: str, target: PrivateSshd, command: str, **options: Any) -> None:
    """Log into the target through the proxy command and run something there."""
    title(way)
    row("proxy command", command)
    start = time.monotonic()
    with ProxyCommand(command, **options) as sock, log_in(target, sock) as client:
        row("logged in", f"after {seconds(start)}")
        ask(client)


def ask(client: paramiko.SSHClient) -> None:
    row("ran", COMMAND)
    start = time.monotonic()
    _, output, _ = client.exec_command(COMMAND)
    row("came back", output.read().decode(), GREEN)
    row("took", seconds(start))


def through_a_gateway(gateway: PrivateSshd, target: PrivateSshd) -> None:
    """Two logins by one connection: the second pays for itself alone."""
    way = Gateway(
        hostname=gateway.host,
        port=gateway.port,
        username=gateway.username,
        key_filename=gateway.user_key,
        known_hosts=[gateway.known_hosts],
        allow_agent=False,
        timeout=10,
    )
    title("Through a channel of our own SSH connection: no program at all")
    start = time.monotonic()
    with way:
        row("gateway", f"{way}, {way.methods['cipher']}, open after {seconds(start)}")
        for number in ("first", "second"):
            start = time.monotonic()
            with (
                way.open_channel("direct-tcpip", (target.host, target.port)) as sock,
                log_in(target, sock) as client,
            ):
                row("logged in", f"the {number} time, after {seconds(start)}")
                if number == "first":
                    ask(client)
        try:
            way.open_channel("direct-tcpip", (target.host, free_port()))
        except OSError as error:
            row("a closed port", name_of(type(error)))
            row("it says", str(error), RED)


def name_of(kind: type[BaseException]) -> str:
    """The name of an exception, and of the standard one that it is too."""
    standard = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    also = f", also a {standard.__name__}" if issubclass(standard, OSError) else ""
    return f"{kind.__module__}.{kind.__qualname__}{also}"


def fails(way: str, target: PrivateSshd, command: str) -> None:
    """The same, where it cannot work: what does the user get to see?"""
    title(way)
    row("proxy command", command)
    start = time.monotonic()
    try:
        with ProxyCommand(command) as sock, log_in(target, sock):
            raise SystemExit("demo: this should have failed")
    except (OSError, paramiko.SSHException) as error:
        row("exception", name_of(type(error)))
        row("it says", str(error), RED)
        row("known", f"after {seconds(start)}")


def demo(gateway: PrivateSshd, target: PrivateSshd) -> None:
    print(f"gateway: OpenSSH on {gateway.host}, port {gateway.port}")
    print(f"target:  OpenSSH on {target.host}, port {target.port}")

    through_a_gateway(gateway, target)
    works(
        "Through the gateway, as with OpenSSH's own ProxyCommand",
        target,
        shlex.join(gateway.ssh_forward(target.host, target.port)),
    )
    works(
        "Through ncat: any program that carries bytes will do",
        target,
        f"ncat {target.host} {target.port}",
    )
    works(
        "Through a shell: variables and redirection",
        target,
        'ssh -F "$CONFIG" -W "$TARGET" gateway 2>>"$LOG"',
        shell=True,
        env={
            **os.environ,
            "CONFIG": str(gateway.ssh_config),
            "TARGET": f"{target.host}:{target.port}",
            "LOG": str(gateway.directory / "proxy.log"),
        },
    )
    fails(
        "When the gateway cannot reach the target",
        target,
        shlex.join(gateway.ssh_forward(target.host, free_port())),
    )
    fails(
        "When the program is not there",
        target,
        f"no-such-program {target.host} {target.port}",
    )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Paramiko's thread logs a traceback of what we show as an exception.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        with (
            PrivateSshd(name="gateway", environment={"PLACE": "gateway"}) as gateway,
            PrivateSshd(name="target", environment={"PLACE": "target"}) as target,
        ):
            demo(gateway, target)
        print("\nBoth servers are gone again, with their keys and ports.")
    except KeyboardInterrupt:
        print("\ninterrupted; the servers are gone", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
