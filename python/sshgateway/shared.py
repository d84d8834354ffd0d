# SPDX-License-Identifier: BSD-2-Clause
"""One Gateway for all who want the same one.

The cache holds each gateway weakly, and strongly while it is connected: so it
stays open between two users, and is forgotten when it is closed and nobody has
it.  One thread, which is there only while a gateway is, closes the idle ones.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import hmac
import inspect
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Hashable, Sequence
from typing import Any

from sshgateway._connectors import GatewayConnector, ProxyConnector
from sshgateway._hosts import parse_host
from sshgateway.agent import socket_path
from sshgateway.gateway import Gateway
from sshgateway.known_hosts import default_paths
from sshgateway.proxy import Proxy

__all__ = ["IDLE_TIMEOUT", "SharedGateway", "close_all", "shared_gateway"]

_log = logging.getLogger(__name__)

#: Seconds without a channel after which a shared gateway is closed; it may take
#: up to twice as long.  It opens anew when it is used again.
IDLE_TIMEOUT = 300.0

#: What passwords are hashed with, so that a key tells nobody anything.
_SALT = secrets.token_bytes(32)

#: What concerns the caller, not the connection.
_OF_THE_CALLER = ("timeout", "channel_timeout")


class SharedGateway(Gateway):
    """A Gateway of the cache, which ``shared_gateway()`` makes.

    - proxy (Proxy or None): a proxy command to start for each connection. (Gateway's sock=
      serves for one connection.)

    The other parameters are those of Gateway.
    """

    def __init__(self, host: str | None = None, *, proxy: Proxy | None = None, **parameters: Any):
        super().__init__(host, **parameters)
        self.proxy = proxy
        inner = self._connector.inner
        if proxy is not None:
            self._connector = ProxyConnector(proxy)
        elif inner is not None:
            self._connector = GatewayConnector(inner, has_own_timeout=True)

    def open(self, timeout: float | None = None) -> None:
        super().open(timeout)
        _cache.keep(self)

    def close_if_idle(self) -> None:
        """Close the connection if it has not been used for IDLE_TIMEOUT."""
        usage = self._usage
        with usage.lock:
            idle = usage.idle_locked(self.stats.channels_open)
            if idle >= IDLE_TIMEOUT and self.is_connected:
                _log.info("gateway %s: closed, unused for %.0f s", self, idle)
                self.close()

    def idle_at(self) -> float:
        """The moment of ``time.monotonic()`` at which it could be idle."""
        return self._usage.idle_at(IDLE_TIMEOUT)

    def depth(self) -> int:
        """The number of gateways in between."""
        depth, gateway = 0, self._connector.inner
        while gateway is not None:
            depth, gateway = depth + 1, gateway._connector.inner
        return depth


def shared_gateway(host: str | None = None, **parameters: Any) -> Gateway:
    """The one Gateway with these parameters, which are those of ``Gateway``.

    Whoever asks for the same gets the same object, in every thread: the same
    user, host, port, way (sock=, gateway=), credentials, agent, known_hosts and
    strictness.  timeout and channel_timeout are those of who asked first; give
    ``open()`` and ``open_channel()`` your own.

    It is connected when it is first used, and again after a loss.  It is closed
    when no channel has been open for five to ten minutes, by ``close_all()``, and at
    exit.  ``close()`` closes it for all, until it is used again.  A child of
    fork() connects for itself.
    """
    return _cache.get(key_of(host, parameters), host, parameters)


def shared_gateway_by(proxy: Proxy | None, parameters: dict[str, Any]) -> SharedGateway:
    """The same, reached by a proxy command that is started anew for each connection."""
    key = key_of(None, parameters) + (() if proxy is None else (("proxy", proxy),))
    return _cache.get(key, None, {**parameters, "proxy": proxy})


def close_all() -> None:
    """Close all shared gateways, in the background.

    They open anew when they are used again.  Runs at exit too.
    """
    _cache.close_all()


# ---- The key ----------------------------------------------------------------

Key = tuple[tuple[str, Hashable], ...]


def key_of(host: str | None, parameters: dict[str, Any]) -> Key:
    """All that decides what the connection is, with no secret in it."""
    bound = inspect.signature(Gateway).bind(host, **parameters)
    bound.apply_defaults()
    given = dict(bound.arguments)
    user, name, port = parse_host(host) if host is not None else (None, None, None)
    del given["host"]
    given["hostname"] = (given["hostname"] or name or "").lower()
    given["port"] = given["port"] or port or 22
    given["username"] = given["username"] or user or getpass.getuser()
    agent = given.pop("identity_agent")
    given["allow_agent"] = socket_path(agent) if given["allow_agent"] else None
    given["look_for_keys"] = given["look_for_keys"] and os.path.expanduser("~")
    known_hosts = given["known_hosts"]
    given["known_hosts"] = _paths(default_paths() if known_hosts is None else known_hosts)
    given["key_filename"] = _paths(given["key_filename"])
    for secret in ("password", "passphrase"):
        given[secret] = _hashed(given[secret])
    pkey = given["pkey"]
    pkeys = pkey if isinstance(pkey, (list, tuple)) else [pkey]
    given["pkey"] = tuple(_key_of_pkey(one) for one in pkeys)
    return tuple(
        (name, _hashable(value))
        for name, value in sorted(given.items())
        if name not in _OF_THE_CALLER
    )


def _paths(paths: Any) -> tuple[str, ...]:
    if paths is None:
        return ()
    if not isinstance(paths, Sequence) or isinstance(paths, (str, bytes)):
        paths = [paths]
    return tuple(os.path.abspath(os.path.expanduser(os.fsdecode(path))) for path in paths)


def _hashed(secret: str | None) -> str | None:
    if secret is None:
        return None
    return hmac.new(_SALT, secret.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _key_of_pkey(pkey: Any) -> Hashable:
    """Two objects for one Paramiko key, loaded twice, are one credential."""
    if not hasattr(pkey, "asbytes"):
        return _hashable(pkey)
    blob = getattr(getattr(pkey, "public_blob", None), "key_blob", None)
    return (type(pkey), pkey.asbytes(), blob)


class _Itself:
    """Stands for an object that can't be hashed, and equals only itself."""

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __repr__(self) -> str:
        return f"<{type(self.thing).__name__}>"


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return _Itself(value)
    return value  # type: ignore[no-any-return]


# ---- The cache --------------------------------------------------------------


class _Cache:
    """_lock is never held while a gateway connects, nor while its _turn is wanted."""

    def __init__(self) -> None:
        self._gateways: weakref.WeakValueDictionary[Key, SharedGateway] = (
            weakref.WeakValueDictionary()
        )
        self._is_prepared = False
        self._start_afresh()

    def _start_afresh(self) -> None:
        """At first, and in a forked child: nothing is open there.  Its gateways
        stay known, for they open anew."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._open: set[SharedGateway] = set()
        self._sweeper: threading.Thread | None = None

    def get(self, key: Key, host: str | None, parameters: dict[str, Any]) -> SharedGateway:
        with self._lock:
            self._prepare()
            gateway = self._gateways.get(key)
            if gateway is None:
                gateway = self._gateways[key] = SharedGateway(host, **parameters)
            return gateway

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._is_prepared = True
            os.register_at_fork(after_in_child=self._start_afresh)
            atexit.register(close_all)

    def keep(self, gateway: SharedGateway) -> None:
        """It is connected; close it when it is idle."""
        with self._lock:
            if not gateway.is_connected:
                return
            self._open.add(gateway)
            if self._sweeper is None:
                sweeper = threading.Thread(target=self._sweep, name="sshgateway-idle", daemon=True)
                with contextlib.suppress(RuntimeError):  # at exit there are no new threads
                    sweeper.start()
                    self._sweeper = sweeper

    def _sweep(self) -> None:
        """Until no gateway is open: sleep to the time when one could be idle."""
        with self._lock:
            try:
                while self._open and self._sweeper is threading.current_thread():
                    due = min(gateway.idle_at() for gateway in self._open)
                    self._changed.wait(max(0.0, due - time.monotonic()))
                    self._close_idle_ones()
                    self._open = {gateway for gateway in self._open if gateway.is_connected}
            finally:
                if self._sweeper is threading.current_thread():
                    self._sweeper = None

    def _close_idle_ones(self) -> None:
        gateways = list(self._open)
        self._lock.release()
        try:
            for gateway in gateways:
                gateway.close_if_idle()
        finally:
            self._lock.acquire()

    def close_all(self) -> None:
        with self._lock:
            gateways = sorted(self._gateways.values(), key=SharedGateway.depth, reverse=True)
            self._open.clear()
            self._sweeper = None
            self._changed.notify_all()
        for gateway in gateways:  # those behind others first
            gateway.close()


_cache = _Cache()
