# SPDX-License-Identifier: BSD-2-Clause
"""Sockets to hosts that can only be reached through a gateway."""

from sshgateway._core import DirectTcpipChannel, ProxyCommand
from sshgateway.errors import (
    AuthenticationError,
    ChannelOpenError,
    Error,
    GatewayError,
    GatewayLostError,
    HostKeyError,
    ProxyCommandError,
)
from sshgateway.gateway import Gateway

__all__ = [
    "AuthenticationError",
    "ChannelOpenError",
    "DirectTcpipChannel",
    "Error",
    "Gateway",
    "GatewayError",
    "GatewayLostError",
    "HostKeyError",
    "ProxyCommand",
    "ProxyCommandError",
    "__version__",
]

__version__ = "0.1.0"
