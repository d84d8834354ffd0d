# SPDX-License-Identifier: BSD-2-Clause
"""Replace Paramiko's ProxyCommand by ours, for libraries that use Paramiko's.

Fabric, fab-classic, netmiko and others read ``ProxyCommand`` from ssh_config
and call ``paramiko.ProxyCommand(command_line)``. After ``install()`` that call
returns our stream, and the libraries need no change.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Unpack

import sshgateway
from sshgateway import _extras
from sshgateway.errors import ProxyCommandError
from sshgateway.proxy import ProxyCommandParameters

try:
    import paramiko
except ModuleNotFoundError as _error:
    raise _extras.missing(_error, "paramiko", "paramiko") from _error
import paramiko.proxy

if TYPE_CHECKING:
    from _typeshed import StrOrBytesPath

__all__ = ["ProxyCommand", "ProxyCommandFailure", "install", "uninstall"]


class ProxyCommandFailure(ProxyCommandError, paramiko.ProxyCommandFailure):  # type: ignore[misc] # noqa: N818
    """A ProxyCommandError that is also Paramiko's exception of this name.

    ``args`` is (errno, text), as in every error of sshgateway. ``command`` is the
    list of arguments, and ``error`` the text of the failure, under Paramiko's name.
    """

    def __str__(self) -> str:
        return OSError.__str__(self)


def _failure(error: ProxyCommandError) -> ProxyCommandFailure:
    errno, text = error.args
    return ProxyCommandFailure(errno, text, **error.__dict__, error=text)


class Process:
    """The part of ``subprocess.Popen`` that users of ``paramiko.ProxyCommand.process`` need."""

    def __init__(self, proxy: ProxyCommand) -> None:
        self._proxy = proxy
        self.args: list[str] = proxy.cmd
        self.pid: int = proxy.pid

    @property
    def returncode(self) -> int | None:
        return self._proxy.returncode

    def poll(self) -> int | None:
        """The return code, or None while the command runs."""
        return self._proxy.returncode


class ProxyCommand(sshgateway.ProxyCommand):
    """``sshgateway.ProxyCommand`` with the interface of ``paramiko.ProxyCommand``.

    The arguments are those of ``sshgateway.ProxyCommand``. The constructor and ``recv``
    raise ``ProxyCommandFailure``, which is also Paramiko's exception.
    """

    def __init__(
        self,
        command_line: str | Sequence[StrOrBytesPath],
        **options: Unpack[ProxyCommandParameters],
    ) -> None:
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


#: The modules that install() has changed, each with its original class.
_replaced: list[tuple[ModuleType, Any]] = []


def install() -> None:
    """Replace Paramiko's ProxyCommand by ours.

    This changes ``paramiko``, ``paramiko.proxy`` and, if it has been imported,
    ``fabric.connection``. Existing streams do not change. A second call does
    nothing, except that it changes a ``fabric`` that was imported in between.
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
    """Undo ``install()``: restore Paramiko's own ProxyCommand."""
    while _replaced:
        module, original = _replaced.pop()
        with contextlib.suppress(AttributeError):
            module.ProxyCommand = original  # type: ignore[attr-defined]
