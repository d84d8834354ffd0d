# SPDX-License-Identifier: BSD-2-Clause
"""Sockets to hosts behind an SSH gateway (jump host, bastion) or a proxy command."""

import importlib
from typing import TYPE_CHECKING, Any

try:
    from sshgateway._core import DirectTcpipChannel, ProxyCommand
except ImportError as _error:
    from sshgateway._import_error import explain

    raise explain(_error) from None

from sshgateway.errors import (
    AuthenticationError,
    ChannelOpenError,
    ConfigError,
    Error,
    GatewayBusyError,
    GatewayError,
    GatewayLostError,
    HostKeyError,
    ProxyCommandError,
)

if TYPE_CHECKING:
    from sshgateway._build import build_info
    from sshgateway.gateway import Gateway, GatewayStats
    from sshgateway.route import close_all, create_connection, shared_gateway

__all__ = [
    "AuthenticationError",
    "ChannelOpenError",
    "ConfigError",
    "DirectTcpipChannel",
    "Error",
    "Gateway",
    "GatewayBusyError",
    "GatewayError",
    "GatewayLostError",
    "GatewayStats",
    "HostKeyError",
    "ProxyCommand",
    "ProxyCommandError",
    "__version__",
    "build_info",
    "close_all",
    "create_connection",
    "shared_gateway",
]

__version__ = "0.1.0"


#: The names that are imported at their first use, with their modules. These modules take most
#: of the time of an import, and a program that only runs a ProxyCommand needs none of them.
_LATER = {
    "Gateway": "gateway",
    "GatewayStats": "gateway",
    "build_info": "_build",
    "close_all": "route",
    "create_connection": "route",
    "shared_gateway": "route",
}
_MODULES = ("agent", "config", "gateway", "known_hosts", "login", "proxy", "route", "shared")


def __getattr__(name: str) -> Any:
    """Import a public name or a public module at its first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"sshgateway.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sshgateway.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Only the public names, and not the submodules that have been imported."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
