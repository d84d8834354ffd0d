# SPDX-License-Identifier: BSD-2-Clause
"""urllib3: a pool manager whose connections go through a gateway."""

from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

import sshgateway


def pool_manager(gateway: sshgateway.Gateway, **options: Any) -> urllib3.PoolManager:
    """Return a ``urllib3.PoolManager(**options)`` whose connections use the gateway."""

    class ThroughGateway:
        def _new_conn(self: Any) -> Any:
            return sshgateway.create_connection((self.host, self.port), 30, gateway=gateway)

    class Http(ThroughGateway, HTTPConnection):  # type: ignore[misc]
        pass

    class Https(ThroughGateway, HTTPSConnection):  # type: ignore[misc]
        pass

    class HttpPool(HTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls: Any = Http

    class HttpsPool(HTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls: Any = Https

    manager = urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return manager
