# SPDX-License-Identifier: BSD-2-Clause
"""Errors in the words of the command line.

The advice in the text of an error is about parameters of ``Gateway``. The user of the command
has options and ssh_config instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sshgateway import _messages, errors
from sshgateway._hosts import parse_host
from sshgateway.config import Host

__all__ = ["Adviser", "facts_of"]

#: The keyword of ssh_config(5) that allows a method of authentication.
_KEYWORDS = {
    "publickey": "PubkeyAuthentication",
    "keyboard-interactive": "KbdInteractiveAuthentication",
    "password": "PasswordAuthentication",
}
_BY_PERSON = ("keyboard-interactive", "password")


def facts_of(error: OSError) -> str:
    """The text of an error without advice, if it has advice about parameters."""
    facts = getattr(error, "facts", "")
    return facts or str(error.args[1] if len(error.args) > 1 else error)


@dataclass(frozen=True)
class Adviser:
    """Gives advice about errors.

    - hops: the gateways of the way.
    - has_terminal (bool): True if the command can ask a person.
    - has_identity_option (bool): True if the command knows the option -i.
    """

    hops: Sequence[Host] = ()
    has_terminal: bool = False
    has_identity_option: bool = False

    def advice(self, error: OSError) -> str | None:
        """Return advice about an error; None if its text needs no further advice."""
        if isinstance(error, errors.AuthenticationError):
            return self._about_login(error)
        if isinstance(error, errors.GatewayBusyError):
            return (
                "try again later, give a longer --timeout or ConnectTimeout, or raise "
                "MaxStartups (PerSourcePenalties) in its sshd_config"
            )
        if isinstance(error, errors.HostKeyError) and error.state == "unknown":
            return self._about_unknown_key(error)
        return getattr(error, "advice", "") or None

    def text(self, error: OSError) -> str:
        """The text of an error, with advice."""
        advice = self.advice(error)
        return f"{facts_of(error)}; {advice}" if advice else facts_of(error)

    @staticmethod
    def _about_unknown_key(error: errors.HostKeyError) -> str:
        if error.file is None:
            return (
                f"{_messages.COMPARE}, then name a file that has the key in UserKnownHostsFile "
                "of ssh_config"
            )
        _, host, port = parse_host(error.gateway)
        scan = _messages.scan(error.hostname, (host, port or 22))
        return (
            f"{_messages.COMPARE}, then add the key to {error.file} ({scan}), or set "
            "StrictHostKeyChecking accept-new in ssh_config for one connection"
        )

    def _about_login(self, error: errors.AuthenticationError) -> str:
        if error.too_many_attempts:
            return (
                "put IdentitiesOnly yes and the IdentityFile of the right key into ssh_config "
                "for this host"
            )
        if error.locked_keys:
            keys = " ".join(error.locked_keys)
            where = "" if self.has_terminal else "run the command at a terminal to "
            return f"{where}type the right passphrase, or add the key to an agent: ssh-add {keys}"
        option = ", or -l" if self.has_identity_option else ""
        named = self._cures(error)
        return (
            f"check the user name (User in ssh_config{option}), and "
            f"{'; or '.join(named) or 'use a method that it accepts'}"
        )

    def _cures(self, error: errors.AuthenticationError) -> list[str]:
        """Return the cures, by the methods that the server accepts."""
        accepted = [name for name in _KEYWORDS if name in error.accepted or not error.accepted]
        usable = self._usable(error.gateway)
        cures = []
        if "publickey" in accepted and "publickey" in usable:
            option = "-i or IdentityFile" if self.has_identity_option else "IdentityFile"
            cures.append(f"give a key by {option}, with its CertificateFile, or by ssh-add")
        by_person = [name for name in _BY_PERSON if name in accepted and name in usable]
        if by_person and self.has_terminal:
            cures.append(f"type the right answers ({', '.join(by_person)})")
        elif by_person:
            cures.append(f"run the command at a terminal, for {' and '.join(by_person)}")
        cures += [
            f"allow {name} in ssh_config by {_KEYWORDS[name]} and PreferredAuthentications"
            for name in accepted
            if name not in usable
        ]
        return cures

    def _usable(self, gateway: str) -> Sequence[str]:
        """The methods that ssh_config allows for a gateway."""
        for hop in self.hops:
            if str(hop) == gateway:
                return hop.preferred_authentications
        return tuple(_KEYWORDS)
