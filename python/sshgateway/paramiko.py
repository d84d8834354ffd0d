# SPDX-License-Identifier: BSD-2-Clause
"""Make our ProxyCommand Paramiko's, for libraries that call it themselves.

Fabric, fab-classic, netmiko and others read ``ProxyCommand`` from ssh_config
and call ``paramiko.ProxyCommand(command_line)``.  After ``install()`` they get
ours, without a change in them.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType
from typing import Any

import paramiko
import paramiko.proxy

import sshgateway
from sshgateway.errors import ProxyCommandError

__all__ = ["ProxyCommand", "ProxyCommandFailure", "install", "uninstall"]


class ProxyCommandFailure(ProxyCommandError, paramiko.ProxyCommandFailure):  # type: ignore[misc] # noqa: N818
    """A ProxyCommandError for callers that know only Paramiko's.

    ``args`` is (errno, text) as ever; ``command`` is the list that was
    executed, ``error`` the text of the failure, as Paramiko names it.
    """

    def __str__(self) -> str:
        return OSError.__str__(self)


def _failure(error: ProxyCommandError) -> ProxyCommandFailure:
    errno, text = error.args
    return ProxyCommandFailure(errno, text, **error.__dict__, error=text)


class Process:
    """What users of ``paramiko.ProxyCommand.process`` ask of it."""

    def __init__(self, proxy: ProxyCommand) -> None:
        self._proxy = proxy
        self.args = proxy.cmd
        self.pid = proxy.pid

    @property
    def returncode(self) -> int | None:
        return self._proxy.returncode

    def poll(self) -> int | None:
        """The return code, or None while the command runs."""
        return self._proxy.returncode


class ProxyCommand(sshgateway.ProxyCommand):
    """``sshgateway.ProxyCommand`` with the face of ``paramiko.ProxyCommand``.

    The same arguments; but the constructor and ``recv`` raise a
    ``ProxyCommandFailure``, which is Paramiko's exception too.
    """

    def __init__(self, command_line: Any, **options: Any) -> None:
        try:
            super().__init__(command_line, **options)
        except ProxyCommandError as error:
            raise _failure(error) from None

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        try:
            return super().recv(bufsize, flags)
        except ProxyCommandError as error:
            raise _failure(error) from None

    @property
    def process(self) -> Process:
        return Process(self)


#: (module, the class it had), while installed.
_replaced: list[tuple[ModuleType, Any]] = []


def install() -> None:
    """Put our ProxyCommand in the place of Paramiko's.

    In ``paramiko``, ``paramiko.proxy`` and, when it is loaded already,
    ``fabric.connection``.  Streams that exist are left as they are.  Doing
    it twice is doing it once; but a second call reaches a ``fabric`` that
    was loaded in between.
    """
    already = [module for module, _ in _replaced]
    modules = [paramiko, paramiko.proxy, sys.modules.get("fabric.connection")]
    for module in modules:
        if module is not None and module not in already:
            original = getattr(module, "ProxyCommand", None)
            if original is not None and original is not ProxyCommand:
                _replaced.append((module, original))
                module.ProxyCommand = ProxyCommand  # type: ignore[attr-defined]


def uninstall() -> None:
    """Put Paramiko's own ProxyCommand back."""
    while _replaced:
        module, original = _replaced.pop()
        with contextlib.suppress(AttributeError):
            module.ProxyCommand = original  # type: ignore[attr-defined]
