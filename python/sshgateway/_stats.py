# SPDX-License-Identifier: BSD-2-Clause
"""The counters of a Gateway's connection."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AGREED", "COUNTS", "GatewayStats"]


@dataclass(frozen=True)
class GatewayStats:
    """Counters and algorithms of one SSH connection.

    The counters of a single channel are its ``bytes_sent`` and ``bytes_received``.
    """

    #: Bytes sent on the connection's socket, with the overhead of SSH.
    bytes_sent: int
    #: Bytes received on the connection's socket, with the overhead of SSH.
    bytes_received: int
    #: The number of channels that are open now.
    channels_open: int
    #: The number of channels that have been opened since the connection was made.
    channels_opened: int
    #: The number of key exchanges after the first one (RFC 4253 section 9).
    rekeys: int
    #: Seconds between the last keepalive request and its reply; None before the first reply
    #: (see server_alive_interval).
    round_trip: float | None
    #: The key exchange method (RFC 4253 section 7.1). This attribute and the next four are ""
    #: before the first connection.
    kex: str
    #: The algorithm of the host key, as "ssh-ed25519".
    host_key: str
    #: The cipher of the data that is sent, as "aes256-gcm@openssh.com".
    cipher: str
    #: The MAC of the data that is sent; a GCM cipher does not use it.
    mac: str
    #: The server's identification string (RFC 4253 section 4.2), as "SSH-2.0-OpenSSH_9.2".
    server_version: str
    #: The version of the libssh2 in use, as "1.10.0".
    libssh2_version: str


COUNTS = (
    "bytes_sent", "bytes_received", "channels_open", "channels_opened", "rekeys", "round_trip",
)  # fmt: skip
AGREED = ("kex", "host_key", "cipher", "mac", "server_version")
