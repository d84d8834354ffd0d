# SPDX-License-Identifier: BSD-2-Clause
"""Fabric 2 and 3: a Connection that goes the way of ssh_config as OpenSSH does.

A Gateway needs nothing of this: Fabric's own ``Connection(host, gateway=gateway)``
takes it as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import fabric
from paramiko import SSHConfig

from sshgateway import config
from sshgateway.gateway import Gateway
from sshgateway.route import create_connection

__all__ = ["Connection"]

_USUAL_FILES = ["~/.ssh/config", "/etc/ssh/ssh_config"]


@dataclasses.dataclass(frozen=True)
class _Way:
    """Stands where Fabric keeps a gateway: ssh_config has one of these."""

    keyword: str
    value: str


class Connection(fabric.Connection):
    """A ``fabric.Connection`` with the ways of ``sshgateway.create_connection``.

    The same arguments.  ProxyJump is followed in OpenSSH's order, the host keys
    on the way are checked, "none" is none; ProxyCommand is run as OpenSSH runs
    it; ssh(1) reads the files that Fabric would read (see ``sshgateway.config``).
    Gateways are shared by all connections (see ``sshgateway.shared_gateway``).

    gateway: a Gateway, which wins over a ProxyJump of ssh_config, while a
    ProxyCommand wins over it, with a UserWarning; a str is a proxy command, with
    the tokens %% %h %k %n %p %r; a ``fabric.Connection`` is used as Fabric does.

    The key of the host itself is Fabric's affair, which takes any: see
    ``client.set_missing_host_key_policy``.
    """

    def get_gateway(self) -> Any:
        """What ssh_config says, else the gateway of Fabric's configuration."""
        with _ssh_config(self.config) as source:
            host = config.lookup(self.original_host, self.port, self.user, ssh_config=source)
        if host.proxy_command is not None:
            return _Way("ProxyCommand", host.proxy_command)
        if host.proxy_jump is not None:
            return _Way("ProxyJump", host.proxy_jump)
        return self.config.gateway

    def open_gateway(self) -> Any:
        """A socket to the host, by its gateway or proxy command."""
        options: dict[str, Any] = {}
        given = self.gateway
        if isinstance(given, str):
            options["proxy_command"] = given
        elif isinstance(given, Gateway):
            options["gateway"] = given
        elif not isinstance(given, _Way):
            return super().open_gateway()
        elif given.keyword == "ProxyCommand" and isinstance(self.config.gateway, Gateway):
            options["gateway"] = self.config.gateway  # to be told that it is not used
        with _ssh_config(self.config) as source:
            return create_connection(
                (self.original_host, self.port),
                self.connect_timeout,
                ssh_config=source,
                username=self.user,
                **options,
            )


@contextlib.contextmanager
def _ssh_config(given: fabric.Config) -> Iterator[str | bool | None]:
    """The files that Fabric has read, as config.lookup wants to be told of them.

    An SSHConfig that was given to Fabric as an object becomes a file for a while.
    (That a clone of a configuration was read from files, only its rules tell.)
    """
    if given._runtime_ssh_path is not None:
        paths = [given._runtime_ssh_path]
        source: str | bool | None = os.path.expanduser(given._runtime_ssh_path)
    elif given.load_ssh_configs:
        paths = [given._user_ssh_path, given._system_ssh_path]
        source = None
    else:
        paths, source = [], False
    rules = given.base_ssh_config._config
    can_be_named = source is not None or (paths == _USUAL_FILES and _home_is_that_of_ssh())
    if can_be_named and rules == _rules_of(paths):
        yield source
        return
    with tempfile.NamedTemporaryFile("w", prefix="sshgateway-") as file:
        file.writelines(_lines(rules))
        file.flush()
        yield file.name


def _home_is_that_of_ssh() -> bool:
    """ssh(1) asks for the account's home directory, not for $HOME."""
    return os.path.expanduser("~") == pwd.getpwuid(os.getuid()).pw_dir


def _rules_of(paths: Sequence[str]) -> Any:
    read = SSHConfig()
    for path in map(os.path.expanduser, paths):
        if os.path.isfile(path):
            with open(path) as file:
                read.parse(file)
    return read._config


def _lines(rules: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The rules of a Paramiko SSHConfig, as they stand in a file."""
    for rule in rules:
        if "host" in rule:
            yield f"Host {' '.join(rule['host'])}\n"
        else:
            yield f"Match {' '.join(map(_condition, rule['matches']))}\n"
        for keyword, value in rule["config"].items():
            for one in value if isinstance(value, list) else [value]:
                yield f"  {keyword} {'none' if one is None else one}\n"


def _condition(match: dict[str, Any]) -> str:
    words = ("!" if match["negate"] else "") + match["type"]
    return words if match["param"] is None else f'{words} "{match["param"]}"'
