# SPDX-License-Identifier: BSD-2-Clause
"""Sockets to hosts that can only be reached through a gateway."""

from sshgateway._core import ProxyCommand
from sshgateway.errors import Error, ProxyCommandError

__all__ = ["Error", "ProxyCommand", "ProxyCommandError", "__version__"]

__version__ = "0.1.0"
