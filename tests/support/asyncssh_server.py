# SPDX-License-Identifier: BSD-2-Clause
"""An SSH server by asyncssh, in a process of its own.

``python asyncssh_server.py PORT DIRECTORY PASSWORD``: the directory holds host_key and
authorized_keys. A user "expired" has to change the password.
"""

from __future__ import annotations

import asyncio
import sys

import asyncssh


class Server(asyncssh.SSHServer):  # type: ignore[misc]
    password = ""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        if username == "expired" and password == self.password:
            raise asyncssh.PasswordChangeRequired("Choose another password: ")
        return password == self.password

    def change_password(self, username: str, old_password: str, new_password: str) -> bool:
        return old_password == self.password and new_password == "changed"

    def connection_requested(self, *_details: object) -> bool:
        return True


async def serve(port: int, directory: str, password: str) -> None:
    Server.password = password
    server = await asyncssh.create_server(
        Server,
        "127.0.0.1",
        port,
        server_host_keys=[f"{directory}/host_key"],
        authorized_client_keys=f"{directory}/authorized_keys",
    )
    print("asyncssh listens", flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:]))
