# SPDX-License-Identifier: BSD-2-Clause
"""Gateway: what to connect to, whom to trust, what to log in with.

The C ``Session`` does it, step by step; here is decided which steps, in which
order, and what a failure is called.
"""

from __future__ import annotations

import copy
import dataclasses
import errno
import getpass
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from sshgateway import _core, _messages
from sshgateway._channel_args import DIRECT_STREAMLOCAL, DIRECT_TCPIP
from sshgateway._connectors import (
    Carrier,
    Connector,
    GatewayConnector,
    SocketConnector,
    TcpConnector,
)
from sshgateway._deadline import Deadline
from sshgateway._hosts import format_host, parse_host
from sshgateway._messages import SessionFailed
from sshgateway._status import Status
from sshgateway._usage import Usage
from sshgateway.known_hosts import KnownHosts, Verdict, fingerprint, lookup_name
from sshgateway.login import (
    METHODS,
    Login,
    LoginInterrupted,
    Prompt,
    printable_lines,
)

__all__ = ["Gateway", "GatewayStats", "parse_host"]

_log = logging.getLogger(__name__)
_STRICT = ("yes", "accept-new", "no")
_LONGEST_BANNER = 65536  # characters
_Path = str | os.PathLike[str]


class Gateway:
    """An SSH connection to a gateway, that carries channels to other hosts.

    host: "user@host:port", "host", "[v6]:port" or a bare v6 address; or
    hostname=, port= (22) and username= (default: who you are).

    password, pkey, key_filename, passphrase, allow_agent, identity_agent,
    look_for_keys, identities_only, prompt: see ``sshgateway.login.Login``.

    known_hosts: paths of known_hosts files; default: the user's and the
    system's.  host_key_alias: the name to look up instead (ssh_config's
    HostKeyAlias).  strict_host_key_checking: "yes" refuses unknown keys,
    "accept-new" adds them to the first file, "no" takes them and changed ones
    as they are; a revoked key is never taken.

    timeout: seconds to connect and log in, None for ever.  channel_timeout:
    seconds to open a channel, for those who give none.

    server_alive_interval: seconds of silence after which the gateway is asked
    whether it is there, 0 for never; after server_alive_count_max intervals more
    without a byte of it the connection is lost (ssh_config's ServerAliveInterval
    and ServerAliveCountMax).

    sock: the way to the gateway, a connected ``socket.socket``, which is taken
    over, or a stream of ours; or gateway: another Gateway to go through.

    Nothing is connected before ``open()`` or the first channel.
    """

    #: What the last connection agreed upon: kex, host_key, cipher, mac, and the
    #: server_version; the fingerprint of the host key; the login that was accepted.
    methods: dict[str, str]

    def __init__(
        self,
        host: str | None = None,
        *,
        hostname: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        pkey: Any = None,
        key_filename: _Path | Sequence[_Path] | None = None,
        passphrase: str | None = None,
        allow_agent: bool = True,
        identity_agent: _Path | None = None,
        look_for_keys: bool = True,
        identities_only: bool = False,
        prompt: Prompt | None = None,
        certificate_filename: _Path | Sequence[_Path] | None = None,
        preferred_authentications: Sequence[str] = METHODS,
        number_of_password_prompts: int = 3,
        banner: Callable[[str], object] | None = None,
        known_hosts: Sequence[_Path] | None = None,
        host_key_alias: str | None = None,
        strict_host_key_checking: str = "yes",
        timeout: float | None = None,
        channel_timeout: float | None = 30,
        server_alive_interval: float = 0,
        server_alive_count_max: int = 3,
        sock: socket.socket | _core.Stream | None = None,
        gateway: Gateway | None = None,
    ) -> None:
        user, name, number = parse_host(host) if host is not None else (None, None, None)
        self.hostname = hostname or name or ""
        self.port = port or number or 22
        self.username = username or user or getpass.getuser()
        if not self.hostname:
            raise ValueError("no host: give 'user@host:port' or hostname=")
        if not 0 < self.port < 65536:
            raise ValueError(f"port must be 1-65535, not {self.port}")
        if strict_host_key_checking not in _STRICT:
            raise ValueError(f"strict_host_key_checking must be one of {', '.join(_STRICT)}")
        if not 0 <= server_alive_interval <= 1_000_000:
            raise ValueError(
                f"server_alive_interval must be 0 to 1000000 seconds, not {server_alive_interval}"
            )
        if not 1 <= server_alive_count_max <= 1000:
            raise ValueError(
                f"server_alive_count_max must be 1 to 1000, not {server_alive_count_max}"
            )
        if sock is not None and gateway is not None:
            raise ValueError("sock= and gateway= are two ways; give one")
        if gateway is not None and not isinstance(gateway, Gateway):
            raise TypeError(f"gateway must be a Gateway, not {type(gateway).__name__}")
        self.timeout = timeout
        self.channel_timeout = channel_timeout
        self._alive = server_alive_interval, server_alive_count_max
        self._login = Login(
            self.username,
            password=password,
            pkey=pkey,
            key_filename=key_filename,
            passphrase=passphrase,
            allow_agent=allow_agent,
            identity_agent=identity_agent,
            look_for_keys=look_for_keys,
            identities_only=identities_only,
            prompt=prompt,
            certificate_filename=certificate_filename,
            preferred_authentications=preferred_authentications,
            number_of_password_prompts=number_of_password_prompts,
        )
        self._known_hosts = KnownHosts(known_hosts)
        self._name = lookup_name(self.hostname, self.port, host_key_alias)
        self._strict = strict_host_key_checking
        self._connector: Connector = TcpConnector()
        if sock is not None:
            self._connector = SocketConnector(sock)
        elif gateway is not None:
            self._connector = GatewayConnector(gateway)
        self._on_banner = banner
        self._start_afresh()

    def _start_afresh(self) -> None:
        """At first, and in a forked child: its parent's session is not ours."""
        self._pid = os.getpid()
        self._usage = Usage()
        self._condition = threading.Condition()
        self._attempt: _Attempt | None = None
        self._session: _core.Session | None = None
        self._carrier: Carrier | None = None
        self._banners: list[str] = []
        self.methods = {}
        self._counted: _core.Session | None = None

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            self._start_afresh()

    def _note_use(self, opening: int = 0) -> None:
        self._check_fork()
        self._usage.note(opening)

    # ---- What it is ---------------------------------------------------------

    def __str__(self) -> str:
        return format_host(self.username, self.hostname, self.port)

    def __repr__(self) -> str:
        state = "open" if self.is_connected else "closed"
        return f"<{type(self).__name__} {self} {state}>"

    def __copy__(self) -> Self:
        return self  # Fabric copies what it finds in its configuration

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def transport(self) -> Self:
        """Itself: Fabric asks a gateway for ``.transport.open_channel``."""
        return self

    def get_transport(self) -> Self:
        """Itself: Fabric 1 asks a client for its transport."""
        return self

    @property
    def is_connected(self) -> bool:
        """Opened, and neither closed nor lost."""
        session = self._session
        return session is not None and self._pid == os.getpid() and session.is_alive

    def is_active(self) -> bool:
        """As ``paramiko.Transport.is_active``."""
        return self.is_connected

    @property
    def stats(self) -> GatewayStats:
        """What the connection has carried so far, or the last one had."""
        self._check_fork()
        counts: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
        if self._counted is not None:
            counts = self._counted.counts
        nanoseconds = counts.pop("round_trip")
        agreed: dict[str, Any] = {name: self.methods.get(name, "") for name in _METHODS}
        return GatewayStats(
            **counts,
            round_trip=nanoseconds / 1e9 if nanoseconds else None,
            **agreed,
            libssh2_version=_core.LIBSSH2_VERSION,
        )

    # ---- Opening ------------------------------------------------------------

    def open(self, timeout: float | None = None) -> None:
        """Connect and log in, unless that is done; again after a loss or close().

        timeout: seconds, default: the gateway's own.  Several threads may call
        it at once: one connects, the others wait, each with its own deadline,
        and share its failure.  If that one is interrupted, another takes over.

        Raises HostKeyError, AuthenticationError, GatewayError, and
        TimeoutError(ETIMEDOUT, text).
        """
        self._note_use()
        deadline = Deadline(self.timeout if timeout is None else timeout)
        attempt = self._join_or_begin(deadline)
        if attempt is None:
            return
        try:
            self._connect(deadline)
        except OSError as error:
            attempt.error = error
            # The text may have the arguments of a proxy command.
            kind = type(error).__name__
            _log.debug("gateway %s: not open, after %.3f s: %s", self, deadline.spent(), kind)
            raise
        finally:
            self._note_use()
            with self._condition:
                attempt.is_over = True
                self._attempt = None
                self._condition.notify_all()

    def _join_or_begin(self, deadline: Deadline) -> _Attempt | None:
        """None when it is open; an attempt when it is ours to make."""
        with self._condition:
            while not self.is_connected:
                attempt = self._attempt
                if attempt is None:
                    self._attempt = _Attempt()
                    return self._attempt
                if not self._condition.wait_for(attempt.get_is_over, deadline.left()):
                    raise deadline.error(f"gateway {self} was not open")
                if attempt.error is not None:
                    raise copy.copy(attempt.error)
            return None

    def _connect(self, deadline: Deadline) -> None:
        self._drop()
        began = time.monotonic()
        try:
            self._connect_once(deadline)
        except LoginInterrupted:
            # The server counted the keys that were offered together (MaxAuthTries).
            _log.debug("gateway %s: connecting again, to offer one key at a time", self)
            self._connect_once(deadline, offers_at_once=1)
        _log.info("gateway %s: open after %.3f s", self, time.monotonic() - began)

    def _connect_once(self, deadline: Deadline, **how: Any) -> None:
        _log.debug("gateway %s: connecting", self)
        if not self._connector.can_repeat:
            how["offers_at_once"] = 1
        carrier = Carrier(self._connector.connect(self, deadline))
        session = None
        self._banners = []
        try:
            session = _core.Session(carrier.descriptor())
            is_impostor = self._shake_hands(session, deadline)
            login = self._login.run(
                session,
                str(self),
                deadline.left,
                keys_only=is_impostor,
                hop=self._depth() + 1,
                on_banner=self._take_banner,
                **how,
            )
            key = fingerprint(session.host_key)
            self.methods = session.methods | {"fingerprint": key, "login": login}
            session.start(*self._alive)
        except SessionFailed as failure:
            if session is not None:
                session.close()
            try:
                raise self._failed(failure, carrier, deadline) from None
            finally:
                carrier.close()
        except BaseException:
            if session is not None:
                session.close()
            carrier.close()
            raise
        self._session = self._counted = session
        self._carrier = carrier

    def _depth(self) -> int:
        """How many gateways there are in between."""
        depth, inner = 0, self._connector.inner
        while inner is not None:
            depth, inner = depth + 1, inner._connector.inner
        return depth

    @property
    def banner(self) -> str:
        """What the server showed before the login (SSH_MSG_USERAUTH_BANNER, RFC 4252 5.4).

        Made printable, and cut to 64 KiB; "" if there was none.
        """
        return "".join(self._banners)[:_LONGEST_BANNER]

    def _take_banner(self, text: str) -> None:
        shown = printable_lines(text)
        if sum(map(len, self._banners)) < _LONGEST_BANNER:
            self._banners.append(shown)
        if self._on_banner is not None:
            self._on_banner(shown)

    def _shake_hands(self, session: _core.Session, deadline: Deadline) -> bool:
        """Version and key exchange; then, before any secret goes out, the host key.

        True when somebody may listen in between: strictness "no" takes a
        changed key too, but then, as in OpenSSH, no password is sent.
        """
        preferred = _offer(self._known_hosts.key_types(self._name))
        try:
            session.handshake(preferred, deadline.left())
        except SessionFailed as failure:
            version = session.methods["server_version"]
            if failure.status != Status.TIMEOUT and version.startswith("SSH-"):
                failure.text = _messages.no_key_exchange(failure.text)
            elif failure.status != Status.TIMEOUT and version:
                failure.text = _messages.no_ssh_server(version)
            raise
        key = session.host_key
        verdict = self._known_hosts.check(self._name, key)
        _log.debug("gateway %s: its host key %s is: %s", self, fingerprint(key), verdict.state)
        if verdict.state == "unknown" and self._strict == "accept-new":
            verdict = self._make_known(key, verdict, deadline)
        lenient = ("unknown", "changed") if self._strict == "no" else ()
        if verdict.state != "match" and verdict.state not in lenient:
            address = (self.hostname, self.port)
            raise self._known_hosts.error(str(self), self._name, key, verdict, address=address)
        return verdict.state == "changed"

    def _make_known(self, key: bytes, verdict: Verdict, deadline: Deadline) -> Verdict:
        """Add a new key; a file that can't be written is no reason not to go on."""
        try:
            return self._known_hosts.add(self._name, key, timeout=deadline.left())
        except OSError as error:
            _log.warning("the host key of gateway %s is not saved: %s", self, error.args[1])
            return dataclasses.replace(verdict, state="match")

    def _failed(self, failure: SessionFailed, carrier: Carrier, deadline: Deadline) -> OSError:
        """The error of ``open()`` for a step that failed, with the reason of the stream that
        carried the session."""
        if failure.status == Status.TIMEOUT:
            return deadline.error(f"gateway {self} did not answer")
        reason = carrier.reason(deadline.left())
        words = "; ".join(text for text in (_messages.printable(failure.text), reason) if text)
        return _messages.gateway_not_opened(str(self), failure.errno, words)

    # ---- Channels -----------------------------------------------------------

    def open_channel(
        self,
        kind: str = DIRECT_TCPIP,
        dest_addr: tuple[str, int] | _Path = ("", 0),
        src_addr: tuple[str, int] | None = None,
        window_size: int | None = None,
        max_packet_size: int | None = None,
        timeout: float | None = None,
    ) -> _core.DirectTcpipChannel:
        """A stream to dest_addr, as ``paramiko.Transport.open_channel`` gives one.

        kind: "direct-tcpip" with (host, port), or "direct-streamlocal@openssh.com"
        with the path of a Unix socket on the gateway.  timeout: seconds,
        default: channel_timeout.  Opens the gateway when it is not.
        """
        self._note_use(opening=1)
        try:
            return _core.DirectTcpipChannel(
                self,
                dest_addr,
                src_addr,
                kind=kind,
                window_size=window_size,
                max_packet_size=max_packet_size,
                timeout=self.channel_timeout if timeout is None else timeout,
            )
        finally:
            self._note_use(opening=-1)

    def open_unix(self, path: _Path, timeout: float | None = None) -> _core.DirectTcpipChannel:
        """A stream to a Unix socket on the gateway (OpenSSH's PROTOCOL 2.4)."""
        return self.open_channel(DIRECT_STREAMLOCAL, path, timeout=timeout)

    def _open_session(self) -> _core.Session:
        """For DirectTcpipChannel.  A gateway that is not open yet is opened, in its
        own time."""
        self._note_use()
        if not self.is_connected:
            self.open()
        session = self._session
        if session is None:
            raise _messages.gateway_lost(errno.ECONNRESET, self, "it was closed meanwhile")
        return session

    def why_lost(self, reason: str, session: object, at_most: float | None = None) -> str:
        """The reason of a loss, with that of the stream that carried the session.

        - reason (str): why *session* ended, as far as the session knows.
        - session (Session): the session that was lost. The gateway may have been opened
          again since; nothing is then read from its new connection.
        - at_most (float or None): seconds that the caller can wait for the reason of the
          stream; 0 means not at all, None means no limit.
        """
        carrier = self._carrier
        if carrier is None or session is not self._session:
            return reason
        return "; ".join(text for text in (reason, carrier.reason(at_most)) if text)

    # ---- Closing ------------------------------------------------------------

    def close(self) -> None:
        """Close the connection and its channels, in the background.

        What the channels have accepted goes out first, for up to a second.
        """
        self._check_fork()
        self._drop()

    def _drop(self) -> None:
        session, self._session = self._session, None
        carrier, self._carrier = self._carrier, None
        if session is not None:
            _log.debug("gateway %s: %s", self, "closed" if session.is_alive else "gone before")
            session.close()
        if carrier is not None:
            carrier.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclasses.dataclass(frozen=True)
class GatewayStats:
    """Counters of one SSH connection, and what it agreed upon.

    What a single channel has carried is in its ``bytes_sent`` and
    ``bytes_received``.
    """

    #: Bytes on the connection's socket, all of SSH's own included.
    bytes_sent: int
    bytes_received: int
    #: Channels that are open now, and all that ever were.
    channels_open: int
    channels_opened: int
    #: Key exchanges after the first one (RFC 4253 9).
    rekeys: int
    #: Seconds from the last question whether the gateway is alive to its answer;
    #: None before the first (see server_alive_interval).
    round_trip: float | None
    #: Names of algorithms (RFC 4253 7.1); "" before the first connection.
    kex: str
    host_key: str
    cipher: str
    mac: str
    #: The server's identification, as "SSH-2.0-OpenSSH_9.2".
    server_version: str
    #: Of the library in use, as "1.10.0".
    libssh2_version: str


_COUNTS = (
    "bytes_sent", "bytes_received", "channels_open", "channels_opened", "rekeys", "round_trip",
)  # fmt: skip
_METHODS = ("kex", "host_key", "cipher", "mac", "server_version")


class _Attempt:
    """One thread opens, others wait for what becomes of it."""

    is_over = False
    error: OSError | None = None

    def get_is_over(self) -> bool:
        return self.is_over


def _offer(known: Sequence[str]) -> str | None:
    """The algorithms to sign with, for the key types that are known."""
    algorithms: list[str] = []
    for kind in known:
        algorithms += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
    return ",".join(algorithms) or None
