# SPDX-License-Identifier: BSD-2-Clause
"""The ways in which a Gateway can reach its own SSH server.

A Gateway has one connector. It asks the connector for a new connection each time it opens.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from typing import TYPE_CHECKING, Protocol

from sshgateway import _core
from sshgateway._channel_args import DIRECT_TCPIP
from sshgateway._deadline import Deadline
from sshgateway.errors import GatewayError
from sshgateway.proxy import Proxy

if TYPE_CHECKING:
    from sshgateway.gateway import Gateway

__all__ = [
    "Carrier",
    "Connection",
    "Connector",
    "GatewayConnector",
    "ProxyConnector",
    "SocketConnector",
    "TcpConnector",
]

#: A connection to an SSH server.
Connection = socket.socket | _core.Stream

#: Limits of the search for the reason why a connection ended: seconds and bytes.
_TIME_FOR_A_REASON = 0.3
_BYTES_FOR_A_REASON = 1 << 20


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


class Carrier:
    """The connection that carries a session, and the reason why it ended.

    - connection (Connection): the connection, which the carrier then owns.

    Any thread may call the methods.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # guards the fields below
        self._reason: str | None = None  # None: not known yet
        self._bytes_left = _BYTES_FOR_A_REASON
        self._seconds_left = _TIME_FOR_A_REASON

    def descriptor(self) -> int:
        """A descriptor of the connection for a Session, which the caller owns.

        A socket gives up its own. A stream keeps its own too, because it knows why it ended.
        """
        if isinstance(self._connection, _core.Stream):
            return os.dup(self._connection.fileno())
        return self._connection.detach()

    def reason(self, at_most: float | None) -> str:
        """Why the connection ended, in words; "" if that is not known.

        A stream raises the reason only after its last byte, so the rest is read and dropped,
        up to a limit: the other end may send without end. Call this only after the end of
        the session, because the session would miss the bytes.

        - at_most (float or None): seconds that the caller can wait; 0 means not at all, None
          means no limit. All calls together never wait longer than 0.3 s for the stream.
        """
        connection = self._connection
        if not isinstance(connection, _core.Stream):
            return ""
        deadline = Deadline(at_most)
        # Another thread may be waiting for the reason.
        if not self._lock.acquire(timeout=deadline.left(_TIME_FOR_A_REASON) or 0):
            return ""
        try:
            if self._reason is None:
                deadline = Deadline(deadline.left(self._seconds_left))
                self._reason = self._read_reason(connection, deadline)
                self._seconds_left = max(0.0, self._seconds_left - deadline.spent())
            return self._reason or ""
        finally:
            self._lock.release()

    def _read_reason(self, connection: _core.Stream, deadline: Deadline) -> str | None:
        try:
            while self._bytes_left > 0:
                connection.settimeout(deadline.left())
                received = connection.recv(min(65536, self._bytes_left))
                if not received:
                    return ""
                self._bytes_left -= len(received)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as error:
            # Another thread may have closed the connection.
            is_reason = len(error.args) == 2 and error.errno != errno.EBADF
            return str(error.args[1]) if is_reason else ""
        return ""

    def close(self) -> None:
        self._connection.close()
