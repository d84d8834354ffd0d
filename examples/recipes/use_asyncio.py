# SPDX-License-Identifier: BSD-2-Clause
"""asyncio: a pair of streams to a host behind a gateway, with or without TLS."""

import asyncio
import ssl

import sshgateway


async def open_connection(
    gateway: sshgateway.Gateway, host: str, port: int, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as ``asyncio.open_connection(host, port)`` does, through the gateway."""
    sock = await asyncio.to_thread(sshgateway.create_connection, (host, port), 30, gateway=gateway)
    sock.setblocking(False)
    return await asyncio.open_connection(
        sock=sock, ssl=tls, server_hostname=host if tls is not None else None
    )
