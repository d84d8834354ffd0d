# SPDX-License-Identifier: BSD-2-Clause
"""The ways in which a Gateway can reach its own SSH server.

A Gateway has one connector. It asks the connector for a new connection each time it opens.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Protocol

from sshgateway import _core
from sshgateway._channel_args import DIRECT_TCPIP
from sshgateway._deadline import Deadline
from sshgateway.errors import GatewayError
from sshgateway.proxy import Proxy

if TYPE_CHECKING:
    from sshgateway.gateway import Gateway

__all__ = [
    "Connection",
    "Connector",
    "GatewayConnector",
    "ProxyConnector",
    "SocketConnector",
    "TcpConnector",
    "descriptor_of",
    "reason_of",
]

#: A connection to an SSH server.
Connection = socket.socket | _core.Stream

_TIME_FOR_A_REASON = 0.3  # seconds


class Connector(Protocol):
    """One way to reach the SSH server of a gateway."""

    @property
    def inner(self) -> Gateway | None:
        """The gateway in between, if there is one."""

    #: True if ``connect()`` can be called again after a failed login.
    can_repeat: bool

    def prepare(self, deadline: Deadline) -> None:
        """Open the gateway in between, if there is one. Raises what its ``open()`` raises."""

    def connect(self, gateway: Gateway, deadline: Deadline) -> Connection:
        """Return a connection to the server of *gateway*, which the caller owns.

        Raises GatewayError, or TimeoutError(ETIMEDOUT, text) at the deadline.
        """


class TcpConnector:
    """Connects by TCP to the host and port of the gateway."""

    inner = None
    can_repeat = True

    def prepare(self, deadline: Deadline) -> None:
        """Nothing has to be opened first."""

    def connect(self, gateway: Gateway, deadline: Deadline) -> Connection:
        try:
            return _connect_tcp(gateway.hostname, gateway.port, deadline)
        except UnicodeError as error:
            text = f"cannot look up gateway {gateway}: {error}"
            raise GatewayError(errno.EHOSTUNREACH, text, gateway=str(gateway)) from None
        except OSError as error:
            if deadline.is_over():
                raise deadline.error(f"cannot connect to gateway {gateway}") from None
            text = f"cannot connect to gateway {gateway}: {error.strerror or error}"
            # A failed look-up (gaierror) has no errno of its own. The kernel's ETIMEDOUT
            # would make a TimeoutError, which stands for the caller's deadline.
            number = error.errno or 0
            if isinstance(error, socket.gaierror) or number in (0, errno.ETIMEDOUT):
                number = errno.EHOSTUNREACH
            raise GatewayError(number, text, gateway=str(gateway)) from None


class SocketConnector:
    """Hands over a connection that the caller has made, which serves once.

    - sock (socket.socket or Stream): the connection.

    Raises TypeError for other objects. The descriptor must be the connection itself: that of
    a Paramiko Channel is only a pipe, and that of an SSLSocket carries ciphertext.
    """

    inner = None
    can_repeat = False

    def __init__(self, sock: Connection) -> None:
        import ssl  # not before it is needed: it takes long

        is_socket = isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)
        if not is_socket and not isinstance(sock, _core.Stream):
            raise TypeError(
                "sock must be a connected socket.socket or a stream of sshgateway, "
                f"not {type(sock).__name__}"
            )
        self._sock = sock

    def prepare(self, deadline: Deadline) -> None:
        """Nothing has to be opened first."""

    def connect(self, gateway: Gateway, deadline: Deadline) -> Connection:
        if self._sock.fileno() < 0:
            text = f"cannot open gateway {gateway} again: its sock= is closed"
            raise GatewayError(errno.EBADF, text, gateway=str(gateway))
        return self._sock


class GatewayConnector:
    """Connects by a channel of another gateway, which it opens.

    - inner (Gateway): the other gateway.
    - has_own_timeout (bool): True limits the opening of *inner* to its own timeout too, as
      each host of a ProxyJump has its own ConnectTimeout.
    """

    can_repeat = True

    def __init__(self, inner: Gateway, *, has_own_timeout: bool = False) -> None:
        self.inner = inner
        self._has_own_timeout = has_own_timeout

    def prepare(self, deadline: Deadline) -> None:
        self.inner.open(deadline.left(self.inner.timeout if self._has_own_timeout else None))

    def connect(self, gateway: Gateway, deadline: Deadline) -> Connection:
        self.prepare(deadline)
        address = (gateway.hostname, gateway.port)
        return self.inner.open_channel(DIRECT_TCPIP, address, timeout=deadline.left())


class ProxyConnector:
    """Starts a proxy command for each connection.

    - proxy (Proxy): the command.
    """

    inner = None
    can_repeat = True

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def prepare(self, deadline: Deadline) -> None:
        """Nothing has to be opened first."""

    def connect(self, gateway: Gateway, deadline: Deadline) -> Connection:
        return self._proxy.start(deadline.left())


def _connect_tcp(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address that accepts; the look-up itself has no deadline."""
    failure: OSError | None = None
    for family, kind, proto, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(deadline.left())
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        if deadline.is_over():
            break
    assert failure is not None  # getaddrinfo never returns an empty list
    raise failure


def descriptor_of(connection: Connection) -> int:
    """A descriptor of the connection, which the caller owns.

    A socket gives up its own. A stream keeps its own too, because it knows why it ended;
    see ``reason_of()``.
    """
    if isinstance(connection, _core.Stream):
        return os.dup(connection.fileno())
    return connection.detach()


def reason_of(connection: Connection) -> str:
    """Why a stream ended, in words; "" if it does not know or is not a stream."""
    if not isinstance(connection, _core.Stream):
        return ""
    try:
        connection.settimeout(_TIME_FOR_A_REASON)
        while connection.recv(65536):
            pass
    except TimeoutError:
        return ""
    except OSError as error:
        return str(error.args[1]) if len(error.args) == 2 else ""
    return ""
