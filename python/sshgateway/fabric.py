# SPDX-License-Identifier: BSD-2-Clause
"""Fabric 2 and 3: a Connection that follows ssh_config as OpenSSH does.

To use a single Gateway this module is not needed: Fabric's own
``Connection(host, gateway=gateway)`` accepts it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from sshgateway import _extras, config
from sshgateway.gateway import Gateway
from sshgateway.route import create_connection

try:
    import fabric
except ModuleNotFoundError as _error:
    raise _extras.missing(_error, "fabric", "fabric") from _error
from paramiko import SSHConfig

__all__ = ["Connection"]

_USUAL_FILES = ["~/.ssh/config", "/etc/ssh/ssh_config"]


@dataclasses.dataclass(frozen=True)
class _Way:
    """The directive of ssh_config that decides, in the place where Fabric keeps a gateway."""

    keyword: str
    value: str


class Connection(fabric.Connection):
    """A ``fabric.Connection`` that connects by ``sshgateway.create_connection``.

    The arguments are those of ``fabric.Connection``, with these differences:

    - ProxyJump of ssh_config(5) is followed in OpenSSH's order, the host keys of the gateways
      are checked, and "none" means none.
    - ProxyCommand is run as OpenSSH runs it.
    - ssh(1) interprets the files that Fabric would read (see ``sshgateway.config``).
    - All connections share their gateways (see ``sshgateway.shared_gateway``).
    - gateway (Gateway, str or ``fabric.Connection``): a Gateway is used instead of a ProxyJump
      of ssh_config. If ssh_config has a ProxyCommand, that is used instead, with a UserWarning.
      A str is a proxy command with the tokens %% %h %k %n %p %r. A ``fabric.Connection`` is
      used as Fabric does.

    Fabric itself checks the key of the host at the end of the way. By default it accepts any
    key: see ``client.set_missing_host_key_policy``.
    """

    def get_gateway(self) -> Any:
        """The directive of ssh_config that decides, else the gateway of Fabric's configuration."""
        with _ssh_config(self.config) as source:
            host = config.lookup(self.original_host, self.port, self.user, ssh_config=source)
        if host.proxy_command is not None:
            return _Way("ProxyCommand", host.proxy_command)
        if host.proxy_jump is not None:
            return _Way("ProxyJump", host.proxy_jump)
        return self.config.gateway

    def open_gateway(self) -> Any:
        """Return a socket to the host through its gateway or proxy command."""
        options: dict[str, Any] = {}
        given = self.gateway
        if isinstance(given, str):
            options["proxy_command"] = given
        elif isinstance(given, Gateway):
            options["gateway"] = given
        elif not isinstance(given, _Way):
            return super().open_gateway()
        elif given.keyword == "ProxyCommand" and isinstance(self.config.gateway, Gateway):
            options["gateway"] = self.config.gateway  # for the warning that it is not used
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
    """The files that Fabric has read, as the ssh_config= of ``config.lookup()``.

    An SSHConfig that Fabric got as an object is written to a temporary file. The rules are
    compared with those of the files, because a clone of a configuration does not record that
    it was read from files.
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
    """True if $HOME is the account's home directory, which ssh(1) uses."""
    return os.path.expanduser("~") == pwd.getpwuid(os.getuid()).pw_dir


def _rules_of(paths: Sequence[str]) -> Any:
    read = SSHConfig()
    for path in map(os.path.expanduser, paths):
        if os.path.isfile(path):
            with open(path) as file:
                read.parse(file)
    return read._config


def _lines(rules: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The rules of a Paramiko SSHConfig in the syntax of ssh_config(5)."""
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
