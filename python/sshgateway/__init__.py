# SPDX-License-Identifier: BSD-2-Clause
"""Sockets to hosts behind an SSH gateway (jump host, bastion) or a proxy command."""

try:
    from sshgateway._core import DirectTcpipChannel, ProxyCommand
except ImportError as error:
    from sshgateway._import_error import explain

    raise explain(error) from None

from sshgateway._build import build_info
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


def __dir__() -> list[str]:
    """Only the public names, and not the submodules that have been imported."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
