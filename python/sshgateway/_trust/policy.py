# SPDX-License-Identifier: BSD-2-Clause
"""Decide which host key algorithms a Gateway offers, and whether it trusts the key that it gets.

The decisions are those of verify_host_key() and check_host_key() in OpenSSH's sshconnect.c.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import pwd
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from sshgateway._deadline import Deadline
from sshgateway._messages import (
    PRINTED,
    PresentedKey,
    config_invalid,
    gateway_not_opened,
    printable,
)
from sshgateway._offers import Offers
from sshgateway._public_keys import (
    CERTIFICATE,
    fingerprint,
    key_type_or_unknown,
    plain_key,
    rsa_bits,
)
from sshgateway._trust import command
from sshgateway._trust.certificates import CA_SIGNATURE_ALGORITHMS, certificate_in
from sshgateway._trust.command import Command, Invocation
from sshgateway._trust.revocation import RevokedKeys
from sshgateway.errors import ConfigError
from sshgateway.known_hosts import KnownHosts, Verdict

__all__ = ["HostKeyPolicy", "Strictness", "command_of"]

_log = logging.getLogger(__name__)

#: The values of StrictHostKeyChecking of ssh_config(5).
Strictness = Literal["yes", "ask", "accept-new", "no"]

#: As SSH_RSA_MINIMUM_MODULUS_SIZE of OpenSSH's sshkey.h.
_SHORTEST_RSA_KEY = 1024

#: How often a person is asked about one key.
_MOST_QUESTIONS = 10

#: Asks a person; returns the answer, or None if there is none.
Ask = Callable[[str], str | None]


def command_of(
    command: str | Command | None, host: str, port: int, user: str, alias: str | None
) -> tuple[str | None, dict[str, str]]:
    """Return the template of a KnownHostsCommand, and the values of its tokens."""
    if command is None:
        return None, {}
    given = command if isinstance(command, Command) else Command(command)
    return given.template, _tokens_of(host, port, user, alias) | dict(given.tokens)


def _tokens_of(host: str, port: int, user: str, alias: str | None) -> dict[str, str]:
    """Return the tokens about a connection (ssh_config(5), TOKENS).

    A Gateway has no other name for its host, so %n is the host. %j is empty, because a Gateway
    does not know the names of the gateways before it.
    """
    here = socket.gethostname()
    try:
        me = pwd.getpwuid(os.getuid())
    except KeyError:  # ssh(1) does not run at all then
        raise config_invalid(f"user {os.getuid()} is not in the password database") from None
    connection = f"{here}{host}{port}{user}".encode("utf-8", "surrogateescape")
    return {
        "C": hashlib.sha1(connection).hexdigest(),
        "d": me.pw_dir,
        "h": host,
        "i": str(me.pw_uid),
        "j": "",
        "k": alias or host,
        "L": here.partition(".")[0],
        "l": here,
        "n": host,
        "p": str(port),
        "r": user,
        "u": me.pw_name,
    }


@dataclass(frozen=True, slots=True)
class HostKeyPolicy:
    """Decides whether the host key of one gateway is trusted."""

    #: "user@host:port".
    gateway: str
    #: Where its server listens.
    address: tuple[str, int]
    #: The name that is looked up, the result of ``lookup_name()``.
    name: str
    known_hosts: KnownHosts
    revoked: RevokedKeys
    strict: Strictness
    #: Asks a person, for "ask"; None refuses unknown keys.
    ask: Ask | None = None
    #: True if the name is HostKeyAlias.
    is_alias: bool = False
    #: Hide the names of new keys, as HashKnownHosts of ssh_config(5).
    hashes_names: bool = False
    ca_signature_algorithms: Sequence[str] = CA_SIGNATURE_ALGORITHMS
    #: KnownHostsCommand of ssh_config(5); None if there is none.
    command: str | None = None
    #: The values of its tokens about the connection, by the letters.
    tokens: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.strict not in get_args(Strictness):
            values = ", ".join(get_args(Strictness))
            raise ValueError(f"strict_host_key_checking must be one of {values}")

    def algorithms(
        self, offers: Offers, deadline: Deadline, *, certificates: bool = True
    ) -> tuple[str, ...]:
        """Return the host key algorithms to offer, the preferred one first.

        - certificates (bool): False requests no certificate.

        Raises GatewayError, TimeoutError and ConfigError if KnownHostsCommand fails.
        """
        more = self._printed("ORDER", None, deadline)
        known = self.known_hosts.known(self.name, more=more, is_alias=self.is_alias)
        if self.revoked.paths:
            known = dataclasses.replace(known, has_revoked=True)
        names = offers.host_keys(known)
        return names if certificates else tuple(n for n in names if not n.endswith(CERTIFICATE))

    def check(self, key: bytes, deadline: Deadline, remarks: Sequence[str] = ()) -> Verdict:
        """Check the host key, or the host certificate, that the server has presented.

        - remarks: further notes for the verdict.

        Returns the verdict. If its state is "changed", which only "no" accepts, the connection
        may be intercepted, and the caller must send no password, as in OpenSSH.

        Raises HostKeyError, and GatewayError, TimeoutError and ConfigError if KnownHostsCommand
        fails.
        """
        self._check_length(plain_key(key))
        self._check_revoked(key)
        verdict = self.known_hosts.check(
            self.name,
            key,
            more=self._printed("HOSTNAME", key, deadline),
            is_alias=self.is_alias,
            ca_signature_algorithms=self.ca_signature_algorithms,
        )
        verdict = dataclasses.replace(verdict, notes=(*remarks, *verdict.notes))
        plain = key if verdict.certificate is None else verdict.certificate.key
        _log.debug(
            "gateway %s: its host key %s is: %s", self.gateway, fingerprint(plain), verdict.state
        )
        if verdict.state == "unknown":
            verdict = self._decide_on_unknown(plain, verdict, deadline)
        lenient = ("unknown", "changed") if self.strict == "no" else ()
        if verdict.state != "match" and verdict.state not in lenient:
            raise self.known_hosts.error(
                self.gateway, self.name, plain, verdict, address=self.address
            )
        for note in verdict.notes:
            _log.info("gateway %s: %s", self.gateway, note)
        return verdict

    def _printed(
        self, invocation: Invocation, key: bytes | None, deadline: Deadline
    ) -> list[tuple[str, bytes]]:
        """Return the lines that KnownHostsCommand prints, as a file for KnownHosts."""
        if self.command is None:
            return []
        try:
            printed = command.run(
                self.command,
                invocation=invocation,
                host=self.name,
                tokens=self.tokens,
                key=key,
                timeout=deadline.left(),
            )
        except (ConfigError, TimeoutError):
            raise
        except OSError as error:
            words = f"its host key cannot be checked: {error.args[1]}"
            raise gateway_not_opened(self.gateway, error.errno or 0, words) from None
        return [(PRINTED, printed)]

    def _presented(self, plain: bytes) -> PresentedKey:
        kind = key_type_or_unknown(plain)
        return PresentedKey(self.gateway, self.name, kind, fingerprint(plain), ())

    def _check_length(self, plain: bytes) -> None:
        """Refuse a short RSA key, as OpenSSH does. libssh2 refuses none."""
        bits = rsa_bits(plain)
        if bits is not None and bits < _SHORTEST_RSA_KEY:
            raise self._presented(plain).too_short(bits)

    def _check_revoked(self, key: bytes) -> None:
        revocation = self.revoked.check(key)
        if revocation is None:
            return
        presented = self._presented(plain_key(key))
        file, reason = revocation.file, revocation.reason
        if revocation.is_unreadable:
            raise presented.unreadable(
                file, revocation.errno, reason, parameter="revoked_host_keys="
            )
        is_own = certificate_in(key) is None or reason.startswith("the key")
        raise presented.revoked(f"by {file}, {reason}", file, is_own=is_own)

    def _decide_on_unknown(self, key: bytes, verdict: Verdict, deadline: Deadline) -> Verdict:
        if self.strict == "accept-new" or (
            self.strict == "ask" and self._is_confirmed(key, verdict.notes)
        ):
            added = self._make_known(key, verdict, deadline)
            return dataclasses.replace(added, notes=verdict.notes, certificate=verdict.certificate)
        return verdict

    def _is_confirmed(self, key: bytes, notes: Sequence[str]) -> bool:
        """Ask a person, in the words of OpenSSH.

        - notes: observations about the key, such as why its certificate was not accepted.
        """
        if self.ask is None:
            return False
        kind, shown = key_type_or_unknown(key), fingerprint(key)
        text = (
            f"The authenticity of host {self.name!r} can't be established.\n"
            f"{kind} key fingerprint is {shown}.\n"
            + "".join(f"Note: {printable(note)}.\n" for note in notes)
            + "Are you sure you want to continue connecting (yes/no/[fingerprint])? "
        )
        for _ in range(_MOST_QUESTIONS):
            answer = self.ask(text)
            word = (answer or "no").strip()
            if word.lower() == "yes" or word == shown:
                return True
            if word.lower() in ("no", ""):
                return False
            text = "Please type 'yes', 'no' or the fingerprint: "
        return False

    def _make_known(self, key: bytes, verdict: Verdict, deadline: Deadline) -> Verdict:
        """Add a new key to known_hosts; a failure is logged and otherwise ignored."""
        try:
            return self.known_hosts.add(
                self.name, key, hashed=self.hashes_names, timeout=deadline.left()
            )
        except OSError as error:
            _log.warning(
                "the host key of gateway %s is not saved: %s", self.gateway, error.args[1]
            )
            return dataclasses.replace(verdict, state="match")
