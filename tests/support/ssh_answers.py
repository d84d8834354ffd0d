# SPDX-License-Identifier: BSD-2-Clause
"""The two answers to a look-up in ssh_config: that of the reader, and that of ``ssh -G``."""

from __future__ import annotations

import os

from sshgateway import ConfigError, config
from sshgateway._deadline import Deadline
from sshgateway._ssh_config.ask import Lookup
from sshgateway._ssh_config.program import Program, find_program
from sshgateway._ssh_config.reader import Unsupported
from sshgateway.config import Host

__all__ = ["Refused", "by_reader", "by_ssh", "program"]


class Refused(str):
    """The refusal to answer; the text says why."""


def program() -> Program:
    """The real ssh."""
    found = find_program(Deadline(20))
    assert found is not None
    return found


def by_reader(
    host: str,
    path: str | os.PathLike[str] | None,
    port: int | None = None,
    user: str | None = None,
    *,
    without_ssh: bool = False,
) -> Host | Refused:
    """Return what the reader finds; Refused if it leaves the answer to ssh, or for a circle.

    - without_ssh (bool): as on a machine without ssh.
    """
    asked = _asked(host, path, port, user)
    try:
        return config._host(host, asked._read(None if without_ssh else program()))
    except Unsupported as found:
        return Refused(found)
    except ConfigError as error:
        return Refused(error)


def by_ssh(
    host: str,
    path: str | os.PathLike[str] | None,
    port: int | None = None,
    user: str | None = None,
) -> Host | Refused:
    """Return what ``ssh -G`` prints; Refused if it fails."""
    try:
        return config._host(host, _asked(host, path, port, user)._printed(program()))
    except ConfigError as error:
        return Refused(error)


def _asked(
    host: str, path: str | os.PathLike[str] | None, port: int | None, user: str | None
) -> Lookup:
    return config._asked(host, port, user, None, path, Deadline(60))
