# SPDX-License-Identifier: BSD-2-Clause
"""create_connection(): choose the way to a host and connect by it."""

from __future__ import annotations

import dataclasses
import errno
import logging
import shlex
import socket
import warnings
from collections.abc import Sequence
from typing import Literal, Unpack

from sshgateway import config
from sshgateway._channel_args import DIRECT_TCPIP
from sshgateway._deadline import Deadline
from sshgateway._parameters import GatewayParameters
from sshgateway.config import Host, SshConfig
from sshgateway.gateway import Gateway
from sshgateway.proxy import Proxy, expand, first_word
from sshgateway.shared import close_all, shared_gateway, shared_gateway_by

__all__ = ["Way", "close_all", "create_connection", "find_way", "shared_gateway"]

_log = logging.getLogger(__name__)

#: The proxy_command and gateway of create_connection().
Command = str | Sequence[str] | None
Through = Gateway | str | None


@dataclasses.dataclass(frozen=True)
class Way:
    """How a host is reached: by a proxy command, else through a gateway, else directly."""

    target: Host
    proxy: Proxy | None = None
    #: The last gateway of the way.
    gateway: Gateway | None = None
    #: The hosts of the gateways as ssh_config describes them, the first hop first.
    hops: tuple[Host, ...] = ()
    #: The parameter or keyword that decided: "proxy_command=", "gateway=", "ProxyCommand",
    #: "ProxyJump", or "" for a direct connection.
    reason: Literal["proxy_command=", "gateway=", "ProxyCommand", "ProxyJump", ""] = ""
    #: The gateway that is not used because there is a proxy command, or "".
    overruled: str = ""

    def __str__(self) -> str:
        if self.proxy is not None:
            return f"by the proxy command {self.proxy.program}"
        return "directly" if self.gateway is None else f"through {self.gateway}"


def create_connection(
    address: tuple[str, int | None],
    timeout: float | None = None,
    source_address: tuple[str, int] | None = None,
    *,
    gateway: Through = None,
    proxy_command: Command = None,
    ssh_config: SshConfig = None,
    username: str | None = None,
) -> socket.socket:
    """Connect to a host directly, through gateways, or by a proxy command, as the parameters or
    ssh_config(5) say. The interface is that of ``socket.create_connection``.

    - address: (host, port). A port of None means the Port of ssh_config.
    - timeout (float): seconds for all steps together; afterwards it is the timeout of the
      returned socket. Default: each step has the ConnectTimeout of its host in ssh_config.
    - source_address: (host, port). A direct connection binds to it; a gateway gets it as the
      address of the originator. Default: None.
    - gateway (Gateway or str): a Gateway, or "[user@]host[:port]", or a list of these in the
      syntax of ProxyJump. It is used instead of the ProxyJump of ssh_config, which describes
      how each host of the list is reached. "none" means no gateway. Default: ssh_config decides.
    - proxy_command (str or sequence of str): a command, used instead of the ProxyCommand of
      ssh_config. A str is split without a shell. Then the tokens %% %h %k %n %p %r of
      ssh_config(5) are expanded. "none" means no proxy command. Default: ssh_config decides.
    - ssh_config (path or False): the file to read; False reads none. Default: the user's and
      the system's files.
    - username (str): the user who will log in to the host, for Match user and %r. Default: the
      User of ssh_config.

    If there are both a gateway= and a proxy command, from the parameter or from ssh_config, the
    proxy command is used, with a UserWarning.

    Returns a ``ProxyCommand``, a ``DirectTcpipChannel`` or a plain socket. Gateways are shared:
    see ``shared_gateway()``.

    Raises ConfigError, TimeoutError(ETIMEDOUT, text), and what Gateway and ProxyCommand raise.
    """
    sentinel = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", None)  # http.client passes it
    seconds = None if timeout is None or timeout is sentinel else float(timeout)
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
        warnings.warn(_overruling_text(way), UserWarning, stacklevel=2)
    sock = _connect_by(way, deadline, source_address)
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
    """Return the way that ``create_connection()`` would take, without connecting.

    The parameters are those of ``create_connection()``. Raises ConfigError, and
    TimeoutError(ETIMEDOUT, text).
    """
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
        return Way(target, proxy, reason="proxy_command=", overruled=_name_of(gateway))
    proxy = None if is_cancelled else target.proxy()
    if proxy is not None:
        return Way(target, proxy, reason="ProxyCommand", overruled=_name_of(gateway))
    if isinstance(gateway, Gateway):
        return Way(target, None, gateway, reason="gateway=")
    if gateway is not None and gateway.lower() != "none":
        hops = config.route_by(gateway, ssh_config=ssh_config, timeout=deadline.left())
        return Way(target, None, gateway_by(hops), tuple(hops), reason="gateway=")
    if gateway is None and target.proxy_jump is not None:
        hops = config.route(target, ssh_config=ssh_config, timeout=deadline.left())
        return Way(target, None, gateway_by(hops), tuple(hops), reason="ProxyJump")
    return Way(target)


def gateway_by(hops: Sequence[Host], **more: Unpack[GatewayParameters]) -> Gateway:
    """Return the shared gateway at the end of a route; more: Gateway parameters for all hops."""
    return gateways_by(hops, **more)[-1]


def gateways_by(hops: Sequence[Host], **more: Unpack[GatewayParameters]) -> list[Gateway]:
    """Return a shared gateway for each host of a route; more: Gateway parameters for all hops."""
    gateways: list[Gateway] = []
    for hop in hops:
        inner = gateways[-1] if gateways else None
        proxy = hop.proxy() if inner is None else None
        parameters = hop.gateway_parameters() | {"gateway": inner} | more
        gateways.append(shared_gateway_by(proxy, parameters))
    return gateways


def _explicit(command: str | Sequence[str], target: Host) -> Proxy:
    """Return the proxy_command= of the caller as a Proxy.

    The command is split before its tokens are expanded, so that no part of a host's name can
    become an argument of its own.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    name = f"proxy_command= {first_word(words)!r}"
    expanded = tuple(expand(word, target.tokens(word), name=name) for word in words)
    return Proxy(expanded, peername=(target.hostname, target.port))


def _name_of(gateway: Through) -> str:
    return "" if gateway is None or gateway == "none" else str(gateway)


def _overruling_text(way: Way) -> str:
    where = (
        "proxy_command=" if way.reason == "proxy_command=" else "the ProxyCommand of ssh_config"
    )
    program = way.proxy.program if way.proxy is not None else ""
    return (
        f"for {way.target.name!r} there are both {where} {program!r} and gateway "
        f"{way.overruled!r}: the proxy command is used, the gateway is not; "
        'give proxy_command="none" for the gateway, or gateway="none"'
    )


# ---- Connecting -------------------------------------------------------------


def _connect_by(
    way: Way, deadline: Deadline, source_address: tuple[str, int] | None
) -> socket.socket:
    target = way.target
    address = (target.hostname, target.port)
    if way.proxy is not None:
        return way.proxy.start(deadline.left())
    if way.gateway is None:
        return connect(address, deadline.left(target.connect_timeout), source_address)
    way.gateway.open(deadline.left(way.gateway.timeout))
    seconds = deadline.left(target.connect_timeout)
    return way.gateway.open_channel(DIRECT_TCPIP, address, source_address, timeout=seconds)


def connect(
    address: tuple[str, int], timeout: float | None, source_address: tuple[str, int] | None = None
) -> socket.socket:
    """Connect directly; errors name the address.

    - timeout (float or None): seconds; the socket then has the default timeout.

    Raises TimeoutError(ETIMEDOUT, text) at the deadline, and other OSErrors.
    """
    deadline = Deadline(timeout)
    if timeout is not None and timeout <= 0:  # 0 would make a non-blocking socket
        raise deadline.error(f"cannot connect to {address[0]}:{address[1]}")
    try:
        sock = socket.create_connection(address, timeout, source_address)
    except TimeoutError as error:
        where = f"{address[0]}:{address[1]}"
        if error.errno is None:
            raise deadline.error(f"cannot connect to {where}") from None
        # The kernel gives up with ETIMEDOUT too; that is not the caller's deadline.
        text = f"cannot connect to {where}: {error.strerror}"
        raise OSError(errno.EHOSTUNREACH, text) from None
    sock.settimeout(socket.getdefaulttimeout())
    return sock
