# SPDX-License-Identifier: BSD-2-Clause
"""A private OpenSSH server on loopback.

It has its own host key, accepts one key made for it, serves the user that runs it, and
needs no privileges.  Run by root, it serves root.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.server import HOST, Server, ServerError, find_program

NO_LOGIN = ("nologin", "false")

# The chroot directory of an sshd run by root (privilege separation). The path is
# compiled in, and distributions make the directory only when their own sshd starts.
PRIVSEP_DIRECTORY = "/run/sshd"


def openssh_version() -> tuple[int, int]:
    """The version of the OpenSSH programs installed, as (9, 2)."""
    run = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True)
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", run.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def root_is_locked() -> bool:
    """True if sshd would refuse root because of a "!" in /etc/shadow, unless PAM decides."""
    with open("/etc/shadow") as shadow:
        return any(line.startswith("root:!") for line in shadow)


def make_key(path: Path) -> str:
    """Make an ed25519 key pair at path; return the public key as "ssh-ed25519 AAAA..."."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path.with_name(path.name + ".pub").read_text().strip()


class PrivateSshd(Server):
    """``with PrivateSshd() as sshd: subprocess.run(sshd.ssh("uname -a"))``

    name: the name of the server in .ssh_config.
    options: sshd_config lines that win over the defaults here, for example
    ``{"AllowTcpForwarding": "no"}``; a list repeats the keyword.
    environment: variables of the sessions.  HOME is an empty directory, so that the
    user's own shell files are neither run nor written.
    addresses: the addresses to listen on, 127.0.0.1 and others of 127.0.0.0/8, up to the
    16 that an sshd can listen on.

    .host .port .username   where to log in
    .user_key               path of the private key that is accepted
    .host_key               the server's public key, "ssh-ed25519 AAAA..."
    .known_hosts            path of a file that names .host_key
    .ssh_config             path of a file with which ssh(1) trusts this server and
                            logs in without prompts: ``ssh -F FILE NAME``
    .home                   HOME of the sessions
    .log                    the server's output so far
    """

    ready = "Server listening on"
    shared_directory = PRIVSEP_DIRECTORY if os.getuid() == 0 else ""

    username: str
    user_key: Path
    host_key: str
    known_hosts: Path
    ssh_config: Path
    home: Path

    def __init__(
        self,
        options: Mapping[str, str | Sequence[str]] | None = None,
        *,
        name: str = "sshd",
        environment: Mapping[str, str] | None = None,
        addresses: Sequence[str] = (HOST,),
    ) -> None:
        super().__init__()
        self.addresses = list(addresses)
        self.name = name
        self._options = dict(options or {})
        self._environment = dict(environment or {})

    def prepare(self) -> None:
        user = pwd.getpwuid(os.getuid())
        if Path(user.pw_shell).name in NO_LOGIN:
            raise ServerError(f"{user.pw_name} cannot log in: the shell is {user.pw_shell}")
        self.username = user.pw_name
        self.user_key = self.directory / "user_key"
        authorized = make_key(self.user_key)
        (self.directory / "authorized_keys").write_text(authorized + "\n")
        self.host_key = make_key(self.directory / "host_key")
        self.known_hosts = self.directory / "known_hosts"
        names = ",".join(f"[{address}]:{self.port}" for address in self.addresses)
        self.known_hosts.write_text(f"{names} {self.host_key}\n")
        self.home = self.directory / "home"
        self.home.mkdir()
        (self.directory / "sshd_config").write_text(self._server_config())
        self.ssh_config = self.directory / "ssh_config"
        self.ssh_config.write_text(self._client_config())

    def _client_config(self) -> str:
        options = {
            "Host": self.name,
            "HostName": self.host,
            "Port": self.port,
            "User": self.username,
            "IdentityFile": self.user_key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "none",
        }
        return "".join(f"{name} {value}\n" for name, value in options.items())

    def _server_config(self) -> str:
        options: dict[str, str | Sequence[str]] = {
            "HostKey": str(self.directory / "host_key"),
            **self._options,
            "ListenAddress": [f"{address}:{self.port}" for address in self.addresses],
            "AuthorizedKeysFile": str(self.directory / "authorized_keys"),
            "PidFile": "none",
            "SetEnv": " ".join(
                f'{name}="{value}"'
                for name, value in {"HOME": self.home, **self._environment}.items()
            ),
        }
        defaults = {
            "AuthenticationMethods": "publickey",
            "PermitRootLogin": "prohibit-password",
            "UsePAM": "yes" if os.getuid() == 0 and root_is_locked() else "no",
            "StrictModes": "no",  # the temporary directory may be group-writable
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "PermitUserRC": "no",
            "MaxStartups": "1000",
            "MaxSessions": "1000",
            "LogLevel": "VERBOSE",
            "Subsystem": "sftp internal-sftp",
        }
        if openssh_version() >= (9, 8):
            # Some tests fail to log in on purpose, and all come from one address.
            defaults["PerSourcePenalties"] = "no"
        given = {name.lower() for name in options}
        options |= {name: value for name, value in defaults.items() if name.lower() not in given}
        lines = [
            f"{name} {value}\n"
            for name, values in options.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        return "".join(lines)

    def command(self) -> list[str]:
        # sshd executes itself again for each connection, so it requires a full path.
        return [find_program("sshd"), "-D", "-e", "-f", str(self.directory / "sshd_config")]

    def ssh(self, *words: str) -> list[str]:
        """An ssh(1) command line to this server: ``sshd.ssh("uname -a")``."""
        return ["ssh", "-F", str(self.ssh_config), self.name, *words]

    def ssh_forward(self, host: str, port: int) -> list[str]:
        """An ssh(1) command line that serves as ProxyCommand to host:port through this server."""
        return ["ssh", "-F", str(self.ssh_config), "-W", f"{host}:{port}", self.name]
