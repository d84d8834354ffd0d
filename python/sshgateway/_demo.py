# SPDX-License-Identifier: BSD-2-Clause
"""``sshgateway demo``: a gateway on this machine, and a connection through it.

The gateway is an sshd(8) with keys of its own, started as a proxy command
(``sshd -i``): so it listens nowhere, and ends with the connection.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from sshgateway import _core
from sshgateway.gateway import Gateway

__all__ = ["demo"]

HELLO = b"hello from behind the gateway\n"


def demo() -> int:
    """Print what happens; the exit status."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
    sshd, keygen = (shutil.which(name, path=path) for name in ("sshd", "ssh-keygen"))
    if sshd is None or keygen is None:
        print("sshgateway: the demo needs the programs sshd and ssh-keygen", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="sshgateway-") as name, _Target() as target:
        try:
            _show(_gateway(Path(name), sshd, keygen), target)
        except OSError as error:
            print(f"sshgateway: {error.args[-1]}", file=sys.stderr)
            return 1
    return 0


def _show(gateway: Gateway, target: _Target) -> None:
    start = time.monotonic()
    with gateway:
        _say("gateway", f"{gateway}, an sshd that a ProxyCommand started")
        _say("host key", gateway.methods["fingerprint"])
        _say("logged in", f"by {gateway.methods['login']}")
        _say("open", f"after {time.monotonic() - start:.3f} s, {gateway.methods['cipher']}")
        for _ in range(2):
            start = time.monotonic()
            with gateway.open_channel("direct-tcpip", target.address, timeout=10) as sock:
                sock.settimeout(10)
                line = sock.recv(100)
            took = (time.monotonic() - start) * 1000
            _say("a channel", f"to port {target.address[1]}, {took:.1f} ms: {line.decode()!r}")
    _say("done", "both servers are gone, with their keys")


def _say(label: str, text: str) -> None:
    print(f"{label:>10}  {text}", flush=True)


def _gateway(directory: Path, sshd: str, keygen: str) -> Gateway:
    for name in ("host_key", "user_key"):
        command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    host_key = (directory / "host_key.pub").read_text()
    (directory / "known_hosts").write_text(f"demo {host_key}")
    options = {
        "HostKey": directory / "host_key",
        "AuthorizedKeysFile": directory / "user_key.pub",
        "AuthenticationMethods": "publickey",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",
        "PidFile": "none",
        "UsePAM": "yes" if os.getuid() == 0 else "no",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return Gateway(
        hostname="demo",
        username=pwd.getpwuid(os.getuid()).pw_name,
        key_filename=directory / "user_key",
        known_hosts=[directory / "known_hosts"],
        allow_agent=False,
        timeout=20,
        sock=_core.ProxyCommand([sshd, "-i", "-e", "-f", os.devnull, *settings]),
    )


class _Target:
    """A server on loopback that says hello."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # shut down
                return
            with sock:
                sock.sendall(HELLO)

    def __enter__(self) -> _Target:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
