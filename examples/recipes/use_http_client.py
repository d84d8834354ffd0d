# SPDX-License-Identifier: BSD-2-Clause
"""http.client: HTTP and HTTPS to a server behind a gateway."""

import functools
import http.client
from typing import Any

import sshgateway


def connect(
    gateway: sshgateway.Gateway, host: str, port: int, **options: Any
) -> http.client.HTTPConnection:
    """context=: an ssl.SSLContext, for HTTPS.

    ``_create_connection`` is the place where http.client itself keeps
    ``socket.create_connection``.  Python has no public one.
    """
    kind = http.client.HTTPSConnection if "context" in options else http.client.HTTPConnection
    connection = kind(host, port, timeout=30, **options)
    connection._create_connection = functools.partial(  # type: ignore[attr-defined]
        sshgateway.create_connection, gateway=gateway
    )
    return connection
