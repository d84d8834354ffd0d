# SPDX-License-Identifier: BSD-2-Clause
"""A private HTTP proxy on loopback that supports CONNECT: tinyproxy."""

from __future__ import annotations

from support.server import Server, find_program


class HttpProxy(Server):
    """``with HttpProxy() as proxy: ... f"ncat --proxy {proxy.host}:{proxy.port}" ...``

    CONNECT is allowed to every port, from loopback only.  .log names the client and
    the destination of each connection.
    """

    ready = "Starting main loop"
    taken = "Could not create listening sockets"

    def prepare(self) -> None:
        (self.directory / "tinyproxy.conf").write_text(
            f"Port {self.port}\n"
            f"Listen {self.host}\n"
            f"Allow {self.host}\n"
            "Timeout 600\n"
            "MaxClients 200\n"
            "LogLevel Info\n"
        )

    def command(self) -> list[str]:
        return [find_program("tinyproxy"), "-d", "-c", str(self.directory / "tinyproxy.conf")]
