# SPDX-License-Identifier: BSD-2-Clause
"""shared_gateway(): one Gateway for all callers with the same parameters.

The cache holds a weak reference to each gateway, and a strong one while the gateway is
connected. A gateway therefore stays open between two uses, and is forgotten once it is closed
and no caller holds it. One thread, which exists only while a gateway is connected, closes idle
gateways.
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
from typing import Any, Unpack

from sshgateway._connectors import GatewayConnector, ProxyConnector
from sshgateway._hosts import parse_host
from sshgateway._offers import KEYWORDS
from sshgateway._parameters import GatewayParameters
from sshgateway.agent import socket_path
from sshgateway.gateway import Gateway
from sshgateway.known_hosts import default_paths
from sshgateway.proxy import Proxy

__all__ = ["IDLE_TIMEOUT", "SharedGateway", "close_all", "shared_gateway"]

_log = logging.getLogger(__name__)

#: Seconds without a channel after which a shared gateway is closed; it may take up to twice as
#: long. The next use opens it again.
IDLE_TIMEOUT = 300.0

#: The key of the hashes of passwords, so that a cache key reveals nothing.
_SALT = secrets.token_bytes(32)

#: Parameters that do not distinguish connections.
_OF_THE_CALLER = ("timeout", "channel_timeout")


class SharedGateway(Gateway):
    """A Gateway of the cache, which ``shared_gateway()`` makes.

    - proxy (Proxy or None): a proxy command to start for each connection. (A Gateway can use
      its sock= for only one connection.)

    The other parameters are those of Gateway.
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        proxy: Proxy | None = None,
        **parameters: Unpack[GatewayParameters],
    ) -> None:
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
        """The earliest ``time.monotonic()`` at which the gateway can count as idle."""
        return self._usage.idle_at(IDLE_TIMEOUT)

    def depth(self) -> int:
        """The number of gateways through which this one is reached."""
        depth, gateway = 0, self._connector.inner
        while gateway is not None:
            depth, gateway = depth + 1, gateway._connector.inner
        return depth


def shared_gateway(host: str | None = None, **parameters: Unpack[GatewayParameters]) -> Gateway:
    """Return the shared Gateway with these parameters, which are those of ``Gateway``.

    Callers with the same user, host, port, way (sock=, gateway=), credentials, agent, methods,
    known_hosts, strictness, ``prompt`` and ``banner`` get the same object, in every thread. Two
    callables are the same if they are equal, as two references to one function are.
    ``timeout`` and ``channel_timeout`` are those of the first caller; pass your own to
    ``open()`` and ``open_channel()``.

    The Gateway connects at its first use, and again after a loss. It is closed after five to
    ten minutes without an open channel, by ``close_all()``, and at exit. ``close()`` closes it
    for all callers; the next use opens it again. A child of fork() makes its own connection.

    Raises ValueError and TypeError for invalid parameters, as ``Gateway`` does.
    """
    return _cache.get(key_of(host, parameters), host, parameters)


def shared_gateway_by(proxy: Proxy | None, parameters: GatewayParameters) -> SharedGateway:
    """Return a shared Gateway that starts a proxy command for each connection.

    - proxy (Proxy or None): the command.
    - parameters: those of ``Gateway``.
    """
    key = key_of(None, parameters) + (() if proxy is None else (("proxy", proxy),))
    return _cache.get(key, None, parameters, proxy)


def close_all() -> None:
    """Close all shared gateways. Returns at once, as ``Gateway.close()`` does.

    The next use of a gateway opens it again. This function also runs at exit.
    """
    _cache.close_all()


# ---- The key ----------------------------------------------------------------

Key = tuple[tuple[str, Hashable], ...]


def key_of(host: str | None, parameters: GatewayParameters) -> Key:
    """Return the cache key: all parameters that distinguish connections, without secrets."""
    try:
        bound = inspect.signature(Gateway).bind(host, **parameters)
    except TypeError as error:
        raise TypeError(f"shared_gateway() {error}") from None
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
    for files in ("key_filename", "certificate_filename", "revoked_host_keys"):
        given[files] = _paths(given[files])
    for names in ("preferred_authentications", *KEYWORDS):
        if isinstance(given[names], Sequence) and not isinstance(given[names], str):
            given[names] = tuple(given[names])
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
    """The key's type, blob and certificate, so that a key that is loaded twice counts once."""
    if not hasattr(pkey, "asbytes"):
        return _hashable(pkey)
    blob = getattr(getattr(pkey, "public_blob", None), "key_blob", None)
    return (type(pkey), pkey.asbytes(), blob)


class _ByIdentity:
    """A hashable stand-in for an object that cannot be hashed; it equals only itself."""

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __repr__(self) -> str:
        return f"<{type(self.thing).__name__}>"


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return _ByIdentity(value)
    return value  # type: ignore[no-any-return]


# ---- The cache --------------------------------------------------------------


class _Cache:
    """The shared gateways by key, and the thread that closes idle ones.

    ``_lock`` is not held while a gateway connects, nor while the lock of its Usage is taken.
    """

    def __init__(self) -> None:
        self._gateways: weakref.WeakValueDictionary[Key, SharedGateway] = (
            weakref.WeakValueDictionary()
        )
        self._is_prepared = False
        self._start_afresh()

    def _start_afresh(self) -> None:
        """Initialize the state, in __init__() and in a child of fork().

        The child has no connections. The gateways stay in the cache, because their next use
        opens them again.
        """
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._open: set[SharedGateway] = set()
        self._sweeper: threading.Thread | None = None

    def get(
        self,
        key: Key,
        host: str | None,
        parameters: GatewayParameters,
        proxy: Proxy | None = None,
    ) -> SharedGateway:
        with self._lock:
            self._prepare()
            gateway = self._gateways.get(key)
            if gateway is None:
                gateway = self._gateways[key] = SharedGateway(host, proxy=proxy, **parameters)
            return gateway

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._is_prepared = True
            os.register_at_fork(after_in_child=self._start_afresh)
            atexit.register(close_all)

    def keep(self, gateway: SharedGateway) -> None:
        """Hold a gateway that has just connected. It is held until it is closed, and closed when
        it is idle."""
        with self._lock:
            if not gateway.is_connected:
                return
            self._open.add(gateway)
            if self._sweeper is None:
                sweeper = threading.Thread(target=self._sweep, name="sshgateway-idle", daemon=True)
                with contextlib.suppress(RuntimeError):  # at exit no thread can start
                    sweeper.start()
                    self._sweeper = sweeper

    def _sweep(self) -> None:
        """Close idle gateways until none is open; sleep until the next one could be idle."""
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
        for gateway in gateways:  # the last hops first
            gateway.close()


_cache = _Cache()
