# SPDX-License-Identifier: BSD-2-Clause
"""A small web server on loopback, and an exchange with it."""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.streams import digest, payload

BODY = payload(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # several requests on one connection

    def do_GET(self) -> None:
        self.answer(BODY)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[tuple[str, int]]:
    """Run the server and yield its address; with a *context* it speaks TLS."""
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        thread.join()


def exchange(connection: http.client.HTTPConnection) -> None:
    """Make several requests on one connection, with much data in both directions."""
    for _ in range(2):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert digest(answer.read()) == digest(BODY)
    connection.request("POST", "/", body=BODY)
    assert connection.getresponse().read() == BODY[::-1]
