# SPDX-License-Identifier: BSD-2-Clause
"""asyncssh: many hosts through one gateway."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncssh

import sshgateway


async def run(
    gateway: sshgateway.Gateway, host: str, port: int, command: str, **login: Any
) -> str:
    """Run a command.  Opening the channel blocks, so a thread does it."""
    sock = await asyncio.to_thread(sshgateway.create_connection, (host, port), 30, gateway=gateway)
    sock.setblocking(False)
    async with asyncssh.connect(host, port, sock=sock, **login) as connection:
        done = await connection.run(command, check=True)
    return str(done.stdout)


async def run_everywhere(
    gateway: sshgateway.Gateway, hosts: Sequence[tuple[str, int]], command: str, **login: Any
) -> list[str]:
    """Run a command on many hosts; one login on the gateway serves all of them."""
    runs = [run(gateway, host, port, command, **login) for host, port in hosts]
    return await asyncio.gather(*runs)
