# SPDX-License-Identifier: BSD-2-Clause
"""Check the arguments of DirectTcpipChannel and build its SSH_MSG_CHANNEL_OPEN."""

from __future__ import annotations

import os
from typing import Any, Final, Literal, Protocol

from sshgateway._wire import string, uint32

#: The channel types of RFC 4254 section 7.2 and of OpenSSH's PROTOCOL, section 2.4.
DIRECT_TCPIP: Final = "direct-tcpip"
DIRECT_STREAMLOCAL: Final = "direct-streamlocal@openssh.com"
ChannelKind = Literal["direct-tcpip", "direct-streamlocal@openssh.com"]

#: Bytes. Every peer must accept packets of this size (RFC 4253 section 6.1). A larger size
#: is not offered because libssh2 accepts 40000 bytes at most, and sshd uses all it is offered.
MAX_PACKET_SIZE = 32768


class Opener(Protocol):
    """The part of a Gateway that a channel needs."""

    channel_timeout: float | None

    def _open_session(self) -> object: ...


def prepare(
    gateway: Opener,
    dest_addr: tuple[str, int] | str | os.PathLike[str],
    src_addr: tuple[str, int] | None = ("", 0),
    *,
    kind: ChannelKind = DIRECT_TCPIP,
    window_size: int | None = None,
    max_packet_size: int | None = None,
    timeout: Any = ...,
    linger: float = 1.0,
) -> tuple[Any, ...]:
    """Return the arguments of the C constructor; called by _core.

    The parameters are those of DirectTcpipChannel. Opens the gateway unless it is open.

    Returns (gateway, dest_addr, session, kind, message, window_size, max_packet_size,
    timeout, linger). ``message`` is the part of SSH_MSG_CHANNEL_OPEN that depends on the
    channel type. Sizes are in bytes (a window_size of 0 lets the window grow), times in
    seconds or None.

    Raises TypeError, ValueError and OverflowError for invalid arguments, and what
    ``Gateway.open()`` raises.
    """
    if not hasattr(gateway, "_open_session"):
        raise TypeError(f"gateway must be a Gateway, not {type(gateway).__name__}")
    dest: tuple[str, int] | str
    if kind == DIRECT_TCPIP:
        dest, message = _tcp(dest_addr, src_addr or ("", 0))
    elif kind == DIRECT_STREAMLOCAL:
        dest, message = _unix(dest_addr)
    else:
        raise ValueError(
            f"cannot open a channel of kind {kind!r} as a stream; "
            f"it must be {DIRECT_TCPIP!r} or {DIRECT_STREAMLOCAL!r}"
        )
    window = _size("window_size", window_size, 0)
    packet = min(_size("max_packet_size", max_packet_size, MAX_PACKET_SIZE), MAX_PACKET_SIZE)
    seconds = gateway.channel_timeout if timeout is ... else timeout
    for name, value in (("timeout", seconds), ("linger", linger)):
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must not be negative: {value!r}")
    session = gateway._open_session()
    return gateway, dest, session, kind, message, window, packet, seconds, linger


def _tcp(dest: Any, src: tuple[str, int]) -> tuple[tuple[str, int], bytes]:
    """Return the address and the message: the host and port to connect to, the address and
    port of the originator (RFC 4254 section 7.2)."""
    host, port = _address("dest_addr", dest)
    if not host or port == 0:
        raise ValueError(f"dest_addr must name a host and a port, not {dest!r}")
    source_host, source_port = _address("src_addr", src)
    message = string(host) + uint32(port) + string(source_host) + uint32(source_port)
    return (host, port), message


def _unix(dest: Any) -> tuple[str, bytes]:
    """Return the path and the message: the path and two reserved fields (OpenSSH's PROTOCOL,
    section 2.4)."""
    path = os.fspath(dest)
    if not isinstance(path, str) or not path:
        raise TypeError(f"dest_addr must be the path of a Unix socket, not {dest!r}")
    return path, string(os.fsencode(path)) + string("") + uint32(0)


def _address(name: str, address: Any) -> tuple[str, int]:
    try:
        host, port = address
        port = int(port)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be (host, port), not {address!r}") from None
    if not isinstance(host, str):
        raise TypeError(f"{name} must be (host, port), not {address!r}")
    if not 0 <= port <= 65535:
        raise OverflowError(f"{name}: port must be 0-65535, not {port}")
    return host, port


def _size(name: str, size: int | None, default: int) -> int:
    if size is None:
        return default
    if not 1024 <= size <= 0x7FFFFFFF:
        raise ValueError(f"{name} must be 1024 to 2147483647 bytes, not {size!r}")
    return size
