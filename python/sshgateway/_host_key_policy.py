# SPDX-License-Identifier: BSD-2-Clause
"""Which host keys a Gateway asks for, and whether it trusts the one that it gets.

The decisions are those of verify_host_key() and check_host_key() in OpenSSH's sshconnect.c.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sshgateway._certificates import CA_SIGNATURE_ALGORITHMS
from sshgateway._deadline import Deadline
from sshgateway._messages import PresentedKey
from sshgateway._offers import Offers
from sshgateway._public_keys import fingerprint, key_type_or_unknown, plain_key
from sshgateway._revocation import RevokedKeys
from sshgateway.known_hosts import KnownHosts, Verdict

__all__ = ["STRICT", "HostKeyPolicy"]

_log = logging.getLogger(__name__)

#: The values of StrictHostKeyChecking of ssh_config(5).
STRICT = ("yes", "ask", "accept-new", "no")

#: How often a person is asked about one key.
_MOST_QUESTIONS = 10

#: Asks a person; returns the answer, or None without one.
Ask = Callable[[str], str | None]


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
    #: One of STRICT.
    strict: str
    #: Asks a person, for "ask"; None refuses unknown keys.
    ask: Ask | None = None
    #: Hide the names of new keys, as HashKnownHosts of ssh_config(5).
    hashes_names: bool = False
    ca_signature_algorithms: Sequence[str] = CA_SIGNATURE_ALGORITHMS
    _more: list[tuple[str, bytes]] = field(default_factory=list)

    def algorithms(self, offers: Offers) -> tuple[str, ...]:
        """Return the host key algorithms to offer, the preferred one first."""
        known = self.known_hosts.known(self.name, self._more)
        if self.revoked.paths:
            known = dataclasses.replace(known, has_revoked=True)
        return offers.host_keys(known)

    def check(self, key: bytes, deadline: Deadline) -> Verdict:
        """Check the host key, or the host certificate, that the server has presented.

        Returns the verdict. If its state is "changed", the connection may be intercepted: "no"
        accepts the key, but no password must be sent then, as in OpenSSH. Raises HostKeyError.
        """
        self._check_revoked(key)
        verdict = self.known_hosts.check(
            self.name, key, more=self._more, ca_signature_algorithms=self.ca_signature_algorithms
        )
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

    def _check_revoked(self, key: bytes) -> None:
        revocation = self.revoked.check(key)
        if revocation is None:
            return
        plain = plain_key(key)
        presented = PresentedKey(
            self.gateway, self.name, key_type_or_unknown(plain), fingerprint(plain), ()
        )
        file, reason = revocation.file, revocation.reason
        if revocation.is_unreadable:
            raise presented.unreadable(
                file, revocation.errno, reason, parameter="revoked_host_keys="
            )
        raise presented.revoked(f"{file} revokes: {reason}", file)

    def _decide_on_unknown(self, key: bytes, verdict: Verdict, deadline: Deadline) -> Verdict:
        if self.strict == "accept-new" or (self.strict == "ask" and self._is_confirmed(key)):
            return self._make_known(key, verdict, deadline)
        return verdict

    def _is_confirmed(self, key: bytes) -> bool:
        """Ask a person, in the words of OpenSSH."""
        if self.ask is None:
            return False
        kind, shown = key_type_or_unknown(key), fingerprint(key)
        text = (
            f"The authenticity of host {self.name!r} can't be established.\n"
            f"{kind} key fingerprint is {shown}.\n"
            "Are you sure you want to continue connecting (yes/no/[fingerprint])? "
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
