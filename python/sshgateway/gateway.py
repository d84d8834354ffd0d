# SPDX-License-Identifier: BSD-2-Clause
"""Gateway: an SSH connection to a gateway, with its host key check and its login.

This module decides which steps are taken, in which order, and which exception reports a
failure. The C ``Session`` executes the steps.
"""

from __future__ import annotations

import copy
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

from sshgateway import _core, _logins, _messages
from sshgateway._channel_args import DIRECT_STREAMLOCAL, DIRECT_TCPIP, ChannelKind
from sshgateway._connectors import (
    Carrier,
    Connector,
    GatewayConnector,
    SocketConnector,
    TcpConnector,
)
from sshgateway._deadline import Deadline
from sshgateway._hosts import format_host, parse_host
from sshgateway._kexinit import Hello, is_busy, missing_algorithm
from sshgateway._messages import SessionFailed
from sshgateway._offers import Names, Offers, chosen
from sshgateway._parameters import GatewayParameters, Path
from sshgateway._public_keys import plain_key
from sshgateway._stats import AGREED, COUNTS, GatewayStats
from sshgateway._status import Status
from sshgateway._trust.command import Command
from sshgateway._trust.policy import HostKeyPolicy, Strictness, command_of
from sshgateway._trust.revocation import RevokedKeys
from sshgateway._usage import Usage
from sshgateway.errors import GatewayBusyError
from sshgateway.known_hosts import KnownHosts, Verdict, fingerprint, lookup_name
from sshgateway.login import (
    METHODS,
    Login,
    LoginInterrupted,
    Method,
    Prompt,
    Question,
    ask,
    printable_lines,
)

__all__ = ["Gateway", "GatewayParameters", "GatewayStats", "parse_host"]

_log = logging.getLogger(__name__)
_LONGEST_BANNER = 65536  # characters
#: The texts of the pinned libssh2 (patch 31) about a well-formed host certificate. It ends the
#: handshake, but the plain key in it may be known.
_UNSUPPORTED_CERTIFICATES = (
    "The algorithm of the host certificate's signature is not accepted",
    "The key of the host certificate's authority has a type that is not accepted",
)


class Gateway:
    """An SSH connection to a gateway, which carries channels to other hosts.

    Nothing is connected before ``open()`` or the first channel. All methods are thread-safe.

    Address:

    - host (str): "user@host:port", "host", "[v6]:port" or a bare IPv6 address. The next three
      parameters can replace it, or parts of it.
    - hostname (str): the name or address of the gateway.
    - port (int): the port of its SSH server. Default: 22.
    - username (str): the user to log in as. Default: the current user.

    Login, by as many methods as the server requires (RFC 4252, RFC 4256):

    - password (str): for the method password, and for the password prompt of
      keyboard-interactive.
    - pkey (a Paramiko key or a sequence of them): key objects with a method that signs.
    - key_filename (path or sequence of paths): private key files, as IdentityFile of
      ssh_config(5). If FILE-cert.pub exists beside FILE, it is tried as its certificate.
    - passphrase (str): decrypts the files of key_filename.
    - allow_agent (bool): use the keys of an ssh-agent(1). Default: True.
    - identity_agent (path): the socket of the agent, as IdentityAgent of ssh_config(5).
      Default: SSH_AUTH_SOCK.
    - look_for_keys (bool): try the default files of ~/.ssh if neither pkey nor key_filename is
      given. Default: True.
    - identities_only (bool): use only those keys of the agent whose files are given, as
      IdentitiesOnly of ssh_config(5). Default: False.
    - prompt (callable): asks a person and returns the answer, or None to give up. It is called
      as ``prompt(text, echo)``, or as ``prompt(text, echo, question)`` if it accepts a third
      argument, a ``sshgateway.login.Question``; with echo False the answer is a secret. It is
      called for passphrases, for passwords, for keyboard-interactive, and about a new host key.
    - certificate_filename (path or sequence of paths): certificates of the keys, as
      CertificateFile of ssh_config(5).
    - preferred_authentications (sequence of str): the methods that may be used, in the order in
      which they are tried, as PreferredAuthentications of ssh_config(5). Default: publickey,
      keyboard-interactive, password.
    - number_of_password_prompts (int): how often a person is asked for a password, or for the
      passphrase of a file. Default: 3. See NumberOfPasswordPrompts of ssh_config(5).
    - banner (callable): called with each text that the server shows during the login, as it
      arrives (RFC 4252 section 5.4). Control characters are escaped.

    Host key:

    - known_hosts (sequence of paths): known_hosts files. Default: the user's and the system's,
      as UserKnownHostsFile and GlobalKnownHostsFile of ssh_config(5).
    - revoked_host_keys (path or sequence of paths): files with the public keys that are refused,
      each a text or a key revocation list, as RevokedHostKeys of ssh_config(5). Every key is
      refused while one of them cannot be read. Default: none.
    - known_hosts_command (str): a program with arguments that prints further lines of a
      known_hosts file, as KnownHostsCommand of ssh_config(5). It runs twice for each
      connection, before and after the host key arrives. Default: none.
    - host_key_alias (str): the name to look up in known_hosts, as HostKeyAlias of ssh_config(5).
      Default: the host, with the port if it is not 22.
    - strict_host_key_checking (str): "yes" refuses unknown and changed keys; "ask" asks by
      ``prompt`` about an unknown key, and adds it if the answer is yes or its fingerprint, and
      is "yes" without ``prompt``; "accept-new" adds unknown keys to the first file; "no"
      accepts unknown and changed keys, and sends no password if the key has changed. A revoked
      key is always refused. Default: "yes".
    - hash_known_hosts (bool): hide the names of the keys that are added, as HashKnownHosts of
      ssh_config(5). Default: False.

    Algorithms. Each parameter is a sequence of names, or a str in the syntax of ssh_config(5):
    names separated by commas, the preferred one first; "+" before them appends them to the
    default, "-" removes them (with wildcards), "^" puts them first. ``build_info()`` lists the
    names. Default: all of them.

    - kex: the key exchange methods, as KexAlgorithms.
    - ciphers: as Ciphers.
    - macs: as MACs.
    - host_key_algorithms: as HostKeyAlgorithms. The types of known keys are offered first, and
      certificates only where one may change the verdict.
    - ca_signature_algorithms: the algorithms by which an authority may sign a host certificate,
      as CASignatureAlgorithms. SHA-1 is never accepted.

    Times:

    - timeout (float): seconds to connect and log in. Default: None, no limit.
    - channel_timeout (float): seconds to open a channel, unless the call has its own; None
      means no limit. Default: 30.
    - server_alive_interval (float): seconds without a byte from the gateway after which a
      keepalive request is sent, 0 to 1000000; 0 sends none. Default: 0. See
      ServerAliveInterval of ssh_config(5).
    - server_alive_count_max (int): the number of further intervals without a byte after which
      the connection is lost, 1 to 1000. Default: 3. See ServerAliveCountMax of ssh_config(5).

    The way to the gateway. Default: a TCP connection. Give at most one of:

    - sock (``socket.socket`` or stream): a connected socket, which the Gateway owns from then
      on, or a ProxyCommand or DirectTcpipChannel.
    - gateway (Gateway): another Gateway to go through.

    Raises ValueError and TypeError for invalid parameters.
    """

    #: Facts about the last connection: the algorithms ``kex``, ``host_key``, ``cipher`` and
    #: ``mac``, the ``server_version``, the ``fingerprint`` of the host key, and the ``login``
    #: that was accepted, in words. Empty before the first one.
    methods: dict[str, str]

    #: The verdict on the host key of the last connection; None before the first one.
    host_key_verdict: Verdict | None

    def __init__(
        self,
        host: str | None = None,
        *,
        hostname: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        pkey: Any = None,
        key_filename: Path | Sequence[Path] | None = None,
        passphrase: str | None = None,
        allow_agent: bool = True,
        identity_agent: Path | None = None,
        look_for_keys: bool = True,
        identities_only: bool = False,
        prompt: Prompt | None = None,
        certificate_filename: Path | Sequence[Path] | None = None,
        preferred_authentications: Sequence[Method] = METHODS,
        number_of_password_prompts: int = 3,
        banner: Callable[[str], object] | None = None,
        known_hosts: Sequence[Path] | None = None,
        revoked_host_keys: Path | Sequence[Path] = (),
        known_hosts_command: str | Command | None = None,
        host_key_alias: str | None = None,
        strict_host_key_checking: Strictness = "yes",
        hash_known_hosts: bool = False,
        kex: Names | None = None,
        ciphers: Names | None = None,
        macs: Names | None = None,
        host_key_algorithms: Names | None = None,
        ca_signature_algorithms: Names | None = None,
        timeout: float | None = None,
        channel_timeout: float | None = 30,
        server_alive_interval: float = 0,
        server_alive_count_max: int = 3,
        sock: socket.socket | None = None,
        gateway: Gateway | None = None,
    ) -> None:
        self._set_address(host, hostname, port, username)
        self.timeout = timeout
        self.channel_timeout = channel_timeout
        self._alive = _checked_alive(server_alive_interval, server_alive_count_max)
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
        self._offers = Offers.chosen(
            kex=kex, ciphers=ciphers, macs=macs, host_key_algorithms=host_key_algorithms
        )
        self._host_keys = HostKeyPolicy(
            str(self),
            (self.hostname, self.port),
            lookup_name(self.hostname, self.port, host_key_alias),
            KnownHosts(known_hosts),
            RevokedKeys(_as_paths(revoked_host_keys)),
            strict_host_key_checking,
            self._ask_about_host_key if prompt is not None else None,
            bool(host_key_alias),
            hash_known_hosts,
            chosen("ca_signature_algorithms", ca_signature_algorithms),
            *command_of(
                known_hosts_command, self.hostname, self.port, self.username, host_key_alias
            ),
        )
        self._connector = _connector_by(sock, gateway)
        self._on_banner = banner
        self._start_afresh()

    def _set_address(
        self, host: str | None, hostname: str | None, port: int | None, username: str | None
    ) -> None:
        user, name, number = parse_host(host) if host is not None else (None, None, None)
        self.hostname: str = hostname or name or ""
        self.port: int = port or number or 22
        self.username: str = username or user or getpass.getuser()
        if not self.hostname:
            raise ValueError("no host is given; pass 'user@host:port' or hostname=")
        if not 0 < self.port < 65536:
            raise ValueError(f"port must be 1-65535, not {self.port}")

    def _start_afresh(self) -> None:
        """Initialize the state of the connection, in __init__() and in a child of fork().

        The child must not use its parent's session.
        """
        self._pid = os.getpid()
        self._usage = Usage()
        self._condition = threading.Condition()
        self._attempt: _Attempt | None = None
        self._session: _core.Session | None = None
        self._carrier: Carrier | None = None
        self._banners: list[str] = []
        #: Set while close() wants a login that waits for a busy server to give up.
        self._closing = threading.Event()
        self.methods = {}
        self.host_key_verdict = None
        self._counted: _core.Session | None = None

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            self._start_afresh()

    def _note_use(self, opening: int = 0) -> None:
        self._check_fork()
        self._usage.note(opening)

    # ---- Attributes ---------------------------------------------------------

    def __str__(self) -> str:
        return format_host(self.username, self.hostname, self.port)

    def __repr__(self) -> str:
        state = "open" if self.is_connected else "closed"
        return f"<{type(self).__name__} {self} {state}>"

    def __copy__(self) -> Self:
        return self  # Fabric copies the values of its configuration

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def transport(self) -> Self:
        """The Gateway itself, because Fabric calls ``gateway.transport.open_channel``."""
        return self

    def get_transport(self) -> Self:
        """Return the Gateway itself, because Fabric 1 calls it."""
        return self

    @property
    def is_connected(self) -> bool:
        """True if the connection is open: logged in, and neither closed nor lost."""
        session = self._session
        return session is not None and self._pid == os.getpid() and session.is_alive

    def is_active(self) -> bool:
        """Return ``is_connected``, as ``paramiko.Transport.is_active`` does."""
        return self.is_connected

    @property
    def stats(self) -> GatewayStats:
        """Counters of the current connection, or of the last one."""
        self._check_fork()
        counts: dict[str, Any] = dict.fromkeys(COUNTS, 0)
        if self._counted is not None:
            counts = self._counted.counts
        nanoseconds = counts.pop("round_trip")
        agreed: dict[str, Any] = {name: self.methods.get(name, "") for name in AGREED}
        return GatewayStats(
            **counts,
            round_trip=nanoseconds / 1e9 if nanoseconds else None,
            **agreed,
            libssh2_version=_core.LIBSSH2_VERSION,
        )

    # ---- Opening ------------------------------------------------------------

    def open(self, timeout: float | None = None) -> None:
        """Connect and log in, unless the connection is open. It can be called again after a
        loss and after ``close()``.

        - timeout (float): seconds for all steps. Default: the Gateway's timeout.

        Several threads may call it at the same time: one connects; the others wait, each until
        its own deadline, and get the same exception if it fails. If the thread that connects is
        interrupted by a signal handler, another one takes over.

        Raises HostKeyError, AuthenticationError, GatewayError if the gateway cannot be reached
        or the key exchange fails, and TimeoutError(ETIMEDOUT, text).
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
            # Not the text: it may hold the arguments of a proxy command.
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
        """Wait while another thread connects.

        Returns None if the connection is open, or the attempt that the caller must make.
        """
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
        """Connect and log in; again after a pause while the server is busy."""
        self._drop()
        self._closing.clear()
        began = time.monotonic()
        pauses = _logins.pauses(deadline)
        how: dict[str, Any] = {} if self._connector.can_repeat else {"offers_at_once": 1}
        was_lost = False
        while True:
            self._connector.prepare(deadline)
            try:
                with _logins.slot(self.hostname, self.port, deadline, str(self)):
                    inner = self._connector.inner
                    if inner is not None and not inner.is_connected and not was_lost:
                        # Lost while this login waited for its place. Give the place back: two
                        # chains in opposite directions could wait for each other.
                        was_lost = True
                        continue
                    self._connect_once(deadline, **how)
                break
            except LoginInterrupted:
                # The server counts keys that are offered together (MaxAuthTries).
                _log.debug("gateway %s: connecting again, to offer one key at a time", self)
                how["offers_at_once"] = 1
            except CertificateNotSupported as refused:
                _log.debug("gateway %s: connecting again, for its plain host key", self)
                how["refused_certificate"] = str(refused)
            except GatewayBusyError:
                pause = next(pauses, None) if self._connector.can_repeat else None
                if pause is None:
                    raise
                _log.info("gateway %s: it is busy; trying again in %.2f s", self, pause)
                self._closing.wait(pause)
                if self._closing.is_set():
                    raise
        _log.info("gateway %s: open after %.3f s", self, time.monotonic() - began)

    def _connect_once(
        self, deadline: Deadline, *, refused_certificate: str = "", **how: int
    ) -> None:
        _log.debug("gateway %s: connecting", self)
        carrier = Carrier(self._connector.connect(self, deadline))
        session = None
        self._banners = []
        try:
            session = _core.Session(carrier.descriptor())
            verdict = self._shake_hands(session, deadline, refused_certificate)
            login = self._login.run(
                session,
                str(self),
                deadline.left,
                keys_only=verdict.state == "changed",
                hop=self._depth() + 1,
                on_banner=self._take_banner,
                last_banner=lambda: self._banners[-1] if self._banners else "",
                **how,
            )
            key = fingerprint(plain_key(session.host_key))
            self.methods = session.methods | {"fingerprint": key, "login": login}
            self.host_key_verdict = verdict
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
        """The texts that the server showed during the login (RFC 4252 section 5.4).

        Made printable, and cut to 64 KiB; "" if there was none.
        """
        return "".join(self._banners)[:_LONGEST_BANNER]

    def _take_banner(self, text: str) -> None:
        shown = printable_lines(text)
        if sum(map(len, self._banners)) < _LONGEST_BANNER:
            self._banners.append(shown)
        if self._on_banner is not None:
            self._on_banner(shown)

    def _shake_hands(
        self, session: _core.Session, deadline: Deadline, refused_certificate: str
    ) -> Verdict:
        """Exchange versions and keys, then check the host key, before any secret is sent.

        - refused_certificate (str): why libssh2 has refused the host's certificate on an earlier
          connection, so that none is requested now; or "".
        """
        offers = self._offers
        host_keys = self._host_keys.algorithms(
            offers, deadline, certificates=not refused_certificate
        )
        try:
            session.handshake(
                ",".join(offers.kex),
                ",".join(host_keys),
                ",".join(offers.ciphers),
                ",".join(offers.macs),
                deadline.left(),
            )
        except SessionFailed as failure:
            if failure.text in _UNSUPPORTED_CERTIFICATES and self._connector.can_repeat:
                raise CertificateNotSupported(failure.text) from None
            if failure.status in (Status.SSH, Status.LOST):
                hello = Hello.parse(session.hello)
                if hello.version:
                    missing = missing_algorithm(
                        hello, offers.kex, host_keys, offers.ciphers, offers.macs
                    )
                    failure.text = _messages.no_key_exchange(failure.text, missing)
                elif is_busy(hello):
                    raise _messages.gateway_busy(str(self), hello.lines[-1]) from None
                elif hello.lines:
                    failure.text = _messages.no_ssh_server(hello.lines[-1])
            raise
        remarks = [refused_certificate] if refused_certificate else []
        return self._host_keys.check(session.host_key, deadline, remarks)

    def _ask_about_host_key(self, text: str) -> str | None:
        """Ask a person whether to trust a new host key, by the prompt of the login."""
        question = Question(text, True, "host key", str(self), self._depth() + 1)
        return ask(self._login.prompt, question) if self._login.prompt is not None else None

    def _failed(self, failure: SessionFailed, carrier: Carrier, deadline: Deadline) -> OSError:
        """The exception for a step that failed, with the reason of the stream to the gateway."""
        if failure.status == Status.TIMEOUT:
            banner = _messages.printable(self._banners[-1]) if self._banners else ""
            note = f"; its banner: {banner}" if banner else ""
            return deadline.error(f"gateway {self} did not answer", note)
        reason = carrier.reason(deadline.left())
        words = "; ".join(text for text in (_messages.printable(failure.text), reason) if text)
        return _messages.gateway_not_opened(str(self), failure.errno, words)

    # ---- Channels -----------------------------------------------------------

    def open_channel(
        self,
        kind: ChannelKind = DIRECT_TCPIP,
        dest_addr: tuple[str, int] | Path = ("", 0),
        src_addr: tuple[str, int] | None = None,
        window_size: int | None = None,
        max_packet_size: int | None = None,
        timeout: float | None = None,
    ) -> _core.DirectTcpipChannel:
        """Open a channel and return it as a stream. The parameters are those of
        ``paramiko.Transport.open_channel``.

        - kind (str): "direct-tcpip" (RFC 4254 section 7.2), or
          "direct-streamlocal@openssh.com" (OpenSSH's PROTOCOL, section 2.4).
        - dest_addr: (host, port), which the gateway looks up and connects to; or the path of a
          Unix socket on the gateway.
        - src_addr: (host, port) of the originator, for the gateway's log. Default: ("", 0).
        - window_size (int): size of our receive window in bytes, which then does not grow.
          Default: 2 MiB, which may grow.
        - max_packet_size (int): the most bytes that the gateway may send in one packet.
          Default: 32768, which is also the maximum.
        - timeout (float): seconds to open the channel. Default: the Gateway's channel_timeout.

        If the gateway is not open, this opens it first, within the Gateway's own timeout.

        Raises ChannelOpenError if the gateway refuses, GatewayLostError,
        TimeoutError(ETIMEDOUT, text), and what ``open()`` raises.
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

    def open_unix(self, path: Path, timeout: float | None = None) -> _core.DirectTcpipChannel:
        """Open a channel to a Unix socket on the gateway and return it as a stream (OpenSSH's
        PROTOCOL, section 2.4).

        - path: the path of the socket.
        - timeout (float): seconds to open the channel. Default: the Gateway's channel_timeout.

        Raises what ``open_channel()`` raises.
        """
        return self.open_channel(DIRECT_STREAMLOCAL, path, timeout=timeout)

    def _open_session(self) -> _core.Session:
        """Return the open session for DirectTcpipChannel.

        If the gateway is not open, this opens it first, within the Gateway's own timeout.
        """
        self._note_use()
        if not self.is_connected:
            self.open()
        session = self._session
        if session is None:
            raise _messages.gateway_lost(errno.ECONNRESET, self, "it was closed in the meantime")
        return session

    def why_lost(self, reason: str, session: object, at_most: float | None = None) -> str:
        """Return the reason of a loss, with the reason of the stream to the gateway added.

        - reason (str): the reason that the session reports.
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
        """Close the connection and its channels. Returns at once.

        A background thread first sends the data that the channels have accepted, for up to one
        second.
        """
        self._check_fork()
        self._closing.set()
        self._drop()

    def _drop(self) -> None:
        session, self._session = self._session, None
        carrier, self._carrier = self._carrier, None
        if session is not None:
            state = "closed" if session.is_alive else "closed after it was lost"
            _log.debug("gateway %s: %s", self, state)
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


class CertificateNotSupported(Exception):  # noqa: N818
    """libssh2 cannot verify the host certificate, such as one that is signed with SHA-1.

    ssh(1) then checks the plain key in it. A new connection without certificates does the same.
    """


class _Attempt:
    """The attempt of one thread to open the connection; other threads wait for its result."""

    is_over = False
    error: OSError | None = None

    def get_is_over(self) -> bool:
        return self.is_over


def _as_paths(paths: Path | Sequence[Path]) -> Sequence[Path]:
    return [paths] if isinstance(paths, (str, bytes, os.PathLike)) else paths


def _checked_alive(interval: float, count_max: int) -> tuple[float, int]:
    if not 0 <= interval <= 1_000_000:
        raise ValueError(f"server_alive_interval must be 0 to 1000000 seconds, not {interval}")
    if not 1 <= count_max <= 1000:
        raise ValueError(f"server_alive_count_max must be 1 to 1000, not {count_max}")
    return interval, count_max


def _connector_by(sock: socket.socket | _core.Stream | None, gateway: Gateway | None) -> Connector:
    if sock is not None and gateway is not None:
        raise ValueError("pass either sock= or gateway=, not both")
    if gateway is not None and not isinstance(gateway, Gateway):
        raise TypeError(f"gateway must be a Gateway, not {type(gateway).__name__}")
    if sock is not None:
        return SocketConnector(sock)
    return TcpConnector() if gateway is None else GatewayConnector(gateway)
