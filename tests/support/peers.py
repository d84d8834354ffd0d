# SPDX-License-Identifier: BSD-2-Clause
"""SSH servers that are not OpenSSH: asyncssh's and dropbear."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from support import pam
from support.server import Server, find_program
from support.sshd import make_key

PEERS = Path(sys.prefix) / "peers"


class Peer(Server):
    """A server that accepts one key and one password.

    .user_key: the path of the private key; .username; .password.
    """

    username = "root"
    password = pam.PASSWORD
    user_key: Path

    def prepare(self) -> None:
        self.user_key = self.directory / "user_key"
        public = make_key(self.user_key)
        (self.directory / "authorized_keys").write_text(public + "\n")
        make_key(self.directory / "host_key")


class AsyncsshServer(Peer):
    ready = "asyncssh listens"

    def command(self) -> list[str]:
        path = f"PYTHONPATH={PEERS}"
        script = Path(__file__).with_name("asyncssh_server.py")
        words = [str(self.port), str(self.directory), self.password]
        return ["env", path, sys.executable, str(script), *words]

    @staticmethod
    def why_not() -> str:
        return "" if (PEERS / "asyncssh").is_dir() else f"no asyncssh in {PEERS}"


class Dropbear(Peer):
    """It looks for authorized_keys in the home directory, so it gets a copy of /etc."""

    ready = "Not backgrounding"

    def prepare(self) -> None:
        super().prepare()
        (self.directory / "host_key").unlink()
        home = self.directory / "home"
        (home / ".ssh").mkdir(parents=True)
        os.chmod(home, 0o700)
        shutil.copy(self.directory / "authorized_keys", home / ".ssh" / "authorized_keys")
        os.chmod(home / ".ssh" / "authorized_keys", 0o600)
        etc = pam.copy_of_etc(self.directory, self.password, home=home)
        key = self.directory / "host_key"
        self._command = pam.with_etc(
            etc,
            [find_program("dropbearkey"), "-t", "ed25519", "-f", str(key)],
            [
                find_program("dropbear"),
                "-F",
                "-E",
                "-r",
                str(key),
                "-p",
                f"{self.host}:{self.port}",
            ],
        )

    def command(self) -> list[str]:
        return self._command

    @staticmethod
    def why_not() -> str:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
        missing = "" if shutil.which("dropbear", path=path) else "dropbear is not installed"
        return missing or pam.why_no_namespace()


def skip_without(kind: type[AsyncsshServer | Dropbear]) -> None:
    if why := kind.why_not():
        pytest.skip(why)
