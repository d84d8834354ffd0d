# SPDX-License-Identifier: BSD-2-Clause
"""The way to a host: which one it is, and going it."""

from __future__ import annotations

import dataclasses
import errno
import logging
import shlex
import socket
import warnings
from collections.abc import Sequence
from typing import Any

from sshgateway import _core, config
from sshgateway._channel_args import DIRECT_TCPIP
from sshgateway._deadline import Deadline
from sshgateway.config import Host, SshConfig
from sshgateway.gateway import Gateway
from sshgateway.proxy import Proxy, expand
from sshgateway.shared import close_all, shared_gateway, shared_gateway_by

__all__ = ["Way", "close_all", "create_connection", "find_way", "shared_gateway"]

_log = logging.getLogger(__name__)

#: What create_connection takes for its proxy_command and its gateway.
Command = str | Sequence[str] | None
Through = Gateway | str | None


@dataclasses.dataclass(frozen=True)
class Way:
    """How a host is reached: by proxy, else through gateway, else directly."""

    target: Host
    proxy: Proxy | None = None
    gateway: Gateway | None = None
    #: The hosts of ssh_config behind gateway, in the order of the way.
    hops: tuple[Host, ...] = ()
    #: What decided: "proxy_command=", "gateway=", "ProxyCommand", "ProxyJump" or "".
    reason: str = ""
    #: What was given too, and is not used.
    overruled: str = ""

    def __str__(self) -> str:
        if self.proxy is not None:
            return f"by the proxy command {self.proxy.program}"
        return "directly" if self.gateway is None else f"through {self.gateway}"


def create_connection(
    address: tuple[str, int | None],
    timeout: Any = None,
    source_address: tuple[str, int] | None = None,
    *,
    gateway: Through = None,
    proxy_command: Command = None,
    ssh_config: SshConfig = None,
    username: str | None = None,
) -> socket.socket | _core.ProxyCommand | _core.DirectTcpipChannel:
    """Connect to (host, port), by the way that ssh_config or the caller tells.

    Like ``socket.create_connection``; a port of None is ssh_config's Port.

    timeout: seconds for all of it, and then the timeout of what is returned.
    Default: each ConnectTimeout of ssh_config.

    gateway: a Gateway, or "[user@]host[:port]", or several of these as
    ProxyJump has them; ssh_config says how each is reached.  Instead of a
    ProxyJump there.  "none": no gateway.

    proxy_command: a command, split without a shell and then expanded: %% %h %k
    %n %p %r, as in ssh_config(5).  Instead of what ssh_config has.  "none": no
    proxy command.  With a gateway= too, a proxy command is used, of whatever
    origin, with a UserWarning.

    ssh_config: a path; default: the user's and the system's files; False: none.

    username: who will log in there, for Match user and %r.

    Returns a ``ProxyCommand``, a ``DirectTcpipChannel`` or a plain socket.
    Gateways are shared: see ``shared_gateway``.  Raises ConfigError, what
    Gateway and ProxyCommand raise, and TimeoutError(ETIMEDOUT, text).
    """
    # http.client hands over the sentinel of the socket module.
    is_default = timeout is None or timeout is getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", None)
    seconds = None if is_default else float(timeout)
    deadline = Deadline(seconds)
    way = find_way(
        address,
        gateway=gateway,
        proxy_command=proxy_command,
        ssh_config=ssh_config,
        username=username,
        timeout=seconds,
    )
    if way.overruled:
        warnings.warn(_overruling(way), UserWarning, stacklevel=2)
    sock = _go(way, deadline, source_address)
    if seconds is not None:
        sock.settimeout(seconds)
    target = way.target
    _log.info(
        "%s:%d: connected %s after %.3f s", target.hostname, target.port, way, deadline.spent()
    )
    return sock


def find_way(
    address: tuple[str, int | None],
    *,
    gateway: Through = None,
    proxy_command: Command = None,
    ssh_config: SshConfig = None,
    username: str | None = None,
    timeout: float | None = None,
) -> Way:
    """Which way create_connection() would go; nothing is connected."""
    deadline = Deadline(timeout)
    host, port = address
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {type(host).__name__}")
    if gateway is not None and not isinstance(gateway, (Gateway, str)):
        raise TypeError(f"gateway must be a Gateway or a str, not {type(gateway).__name__}")
    target = config.lookup(
        host, port or None, username, ssh_config=ssh_config, timeout=deadline.left()
    )
    is_cancelled = isinstance(proxy_command, str) and proxy_command.lower() == "none"
    if proxy_command is not None and not is_cancelled:
        proxy: Proxy | None = _explicit(proxy_command, target)
        return Way(target, proxy, reason="proxy_command=", overruled=_named(gateway))
    proxy = None if is_cancelled else target.proxy()
    if proxy is not None:
        return Way(target, proxy, reason="ProxyCommand", overruled=_named(gateway))
    if isinstance(gateway, Gateway):
        return Way(target, None, gateway, reason="gateway=")
    if gateway is not None and gateway.lower() != "none":
        hops = config.route_by(gateway, ssh_config=ssh_config, timeout=deadline.left())
        return Way(target, None, gateway_by(hops), tuple(hops), reason="gateway=")
    if gateway is None and target.proxy_jump is not None:
        hops = config.route(target, ssh_config=ssh_config, timeout=deadline.left())
        return Way(target, None, gateway_by(hops), tuple(hops), reason="ProxyJump")
    return Way(target)


def gateway_by(hops: Sequence[Host], **more: Any) -> Gateway:
    """The shared gateway at the end of a route."""
    return gateways_by(hops, **more)[-1]


def gateways_by(hops: Sequence[Host], **more: Any) -> list[Gateway]:
    """A shared gateway for each host of a route; more: parameters for all."""
    gateways: list[Gateway] = []
    for hop in hops:
        inner = gateways[-1] if gateways else None
        proxy = hop.proxy() if inner is None else None
        parameters = hop.gateway_parameters() | {"gateway": inner} | more
        gateways.append(shared_gateway_by(proxy, parameters))
    return gateways


def _explicit(command: str | Sequence[str], target: Host) -> Proxy:
    """Split first, then expand: so nothing in a host can become an argument."""
    words = shlex.split(command) if isinstance(command, str) else list(command)
    expanded = tuple(expand(word, target.tokens(word)) for word in words)
    return Proxy(expanded, peername=(target.hostname, target.port))


def _named(gateway: Through) -> str:
    return "" if gateway is None or gateway == "none" else str(gateway)


def _overruling(way: Way) -> str:
    where = (
        "proxy_command=" if way.reason == "proxy_command=" else "the ProxyCommand of ssh_config"
    )
    return (
        f"for {way.target.name!r} there are both {where} {str(way.proxy)!r} and gateway "
        f"{way.overruled!r}: the proxy command is used, the gateway is not; "
        'give proxy_command="none" for the gateway, or gateway="none"'
    )


# ---- Going ------------------------------------------------------------------


def _go(
    way: Way, deadline: Deadline, source_address: tuple[str, int] | None
) -> socket.socket | _core.ProxyCommand | _core.DirectTcpipChannel:
    target = way.target
    address = (target.hostname, target.port)
    if way.proxy is not None:
        return way.proxy.start(deadline.left())  # type: ignore[return-value]
    if way.gateway is None:
        return connect(address, deadline.left(target.connect_timeout), source_address)
    way.gateway.open(deadline.left(way.gateway.timeout))
    seconds = deadline.left(target.connect_timeout)
    return way.gateway.open_channel(DIRECT_TCPIP, address, source_address, timeout=seconds)


def connect(
    address: tuple[str, int], timeout: float | None, source_address: tuple[str, int] | None = None
) -> socket.socket:
    deadline = Deadline(timeout)
    try:
        sock = socket.create_connection(address, timeout, source_address)
    except TimeoutError as error:
        where = f"{address[0]}:{address[1]}"
        if error.errno is None:
            raise deadline.error(f"cannot connect to {where}") from None
        # The kernel's own is not the caller's deadline.
        text = f"cannot connect to {where}: {error.strerror}"
        raise OSError(errno.EHOSTUNREACH, text) from None
    sock.settimeout(socket.getdefaulttimeout())
    return sock
