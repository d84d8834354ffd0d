# SPDX-License-Identifier: BSD-2-Clause
"""http.client: HTTP and HTTPS to a server behind a gateway."""

import functools
import http.client
from typing import Any

import sshgateway


def connect(
    gateway: sshgateway.Gateway, host: str, port: int, **options: Any
) -> http.client.HTTPConnection:
    """Return a connection through the gateway; ``context=``, an ssl.SSLContext, means HTTPS.

    http.client calls its attribute ``_create_connection``, which is
    ``socket.create_connection``.  It has no public way to replace it.
    """
    kind = http.client.HTTPSConnection if "context" in options else http.client.HTTPConnection
    connection = kind(host, port, timeout=30, **options)
    connection._create_connection = functools.partial(  # type: ignore[attr-defined]
        sshgateway.create_connection, gateway=gateway
    )
    return connection
