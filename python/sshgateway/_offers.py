# SPDX-License-Identifier: BSD-2-Clause
"""The algorithms that a gateway's connection may use (RFC 4253 section 7.1).

libssh2 has more algorithms than sshgateway offers; csrc/ssh/handshake.c says why. A caller, or
ssh_config, can restrict the offer and reorder it, but cannot add to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sshgateway import _core
from sshgateway._messages import config_invalid
from sshgateway._patterns import matches_pattern
from sshgateway._public_keys import CERTIFICATE
from sshgateway._trust.certificates import CA_SIGNATURE_ALGORITHMS
from sshgateway.known_hosts import Known

__all__ = ["KEYWORDS", "USUAL", "Names", "Offers", "chosen", "of_config"]

#: A list of names: several, or one text in the syntax of ssh_config(5).
Names = str | Sequence[str]


def _split(names: str) -> tuple[str, ...]:
    return tuple(name for name in map(str.strip, names.split(",")) if name)


#: The names that can be offered, by parameter of Gateway, the preferred one first.
USUAL = {
    "kex": _split(_core.OFFERED_KEX),
    "ciphers": _split(_core.OFFERED_CIPHERS),
    "macs": _split(_core.OFFERED_MACS),
    "host_key_algorithms": _split(_core.OFFERED_HOST_CERTIFICATES)
    + _split(_core.OFFERED_HOST_KEYS),
}

#: The signature algorithms that an authority may use are restricted in the same way.
_LISTS = {**USUAL, "ca_signature_algorithms": CA_SIGNATURE_ALGORITHMS}

#: The keywords of ssh_config(5) that restrict these lists.
KEYWORDS = {
    "kex": "KexAlgorithms",
    "ciphers": "Ciphers",
    "macs": "MACs",
    "host_key_algorithms": "HostKeyAlgorithms",
    "ca_signature_algorithms": "CASignatureAlgorithms",
}


@dataclass(frozen=True, slots=True)
class Offers:
    """The offers of one Gateway. Each tuple has the preferred name first."""

    kex: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    host_key_algorithms: tuple[str, ...]

    @classmethod
    def chosen(cls, **parameters: Names | None) -> Offers:
        """Return the offers for the parameters of Gateway of the same names.

        Raises ValueError if a name is not known, or if no name is left.
        """
        return cls(**{name: chosen(name, value) for name, value in parameters.items()})

    def host_keys(self, known: Known) -> tuple[str, ...]:
        """Return the host key algorithms to offer to one host.

        First come those of known keys, and all certificates if an authority is known, as in
        order_hostkeyalgs() of OpenSSH's sshconnect2.c. Certificates are requested only if a
        @cert-authority line, a @revoked line or revoked_host_keys= makes them matter.
        """
        certificates = [n for n in self.host_key_algorithms if n.endswith(CERTIFICATE)]
        plain = [n for n in self.host_key_algorithms if n not in certificates]
        wants_certificate = known.has_authority or known.has_revoked or not plain
        offer = [*(certificates if wants_certificate else []), *plain]
        if _type_of(offer[0]) in known.types:
            return tuple(offer)
        first = [
            name
            for name in offer
            if _type_of(name) in known.types
            or (known.has_authority and name.endswith(CERTIFICATE))
        ]
        return tuple(dict.fromkeys([*first, *offer]))


def _type_of(algorithm: str) -> str:
    """The type of the plain keys that an algorithm of signatures uses."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm.removesuffix(CERTIFICATE)


def chosen(parameter: str, value: Names | None) -> tuple[str, ...]:
    """Return the names that a parameter of Gateway leaves. Raises ValueError."""
    usual = _LISTS[parameter]
    if value is None:
        return usual
    names = _named(value)
    if not isinstance(value, str) or not value.startswith("-"):
        for name in names:
            if not any(_matches(known, name) for known in usual):
                raise ValueError(
                    f"{parameter}= cannot use {name!r}: it must be one of {', '.join(usual)}"
                )
    found = _applied(usual, value, names)
    if not found:
        raise ValueError(
            f"{parameter}= leaves no algorithm: at least one of {', '.join(usual)} must remain"
        )
    return found


def _named(value: Names) -> tuple[str, ...]:
    if isinstance(value, str):
        return _split(value[1:] if value[:1] in ("+", "-", "^") else value)
    if not all(isinstance(name, str) for name in value):
        raise TypeError("the names of algorithms must be str")
    return tuple(value)


def _applied(usual: tuple[str, ...], value: Names, names: tuple[str, ...]) -> tuple[str, ...]:
    """Apply a list of ssh_config(5): "+" appends, "-" removes, "^" puts first, without a sign it
    replaces. Names that cannot be offered are left out."""
    sign = value[:1] if isinstance(value, str) else ""
    if sign == "-":
        return tuple(name for name in usual if not any(_matches(name, text) for text in names))
    # HostKeyAlgorithms and CASignatureAlgorithms accept patterns here too.
    known = [name for text in names for name in usual if _matches(name, text)]
    lists = {"+": [*usual, *known], "^": [*known, *usual]}
    return tuple(dict.fromkeys(lists.get(sign, known)))


def _matches(name: str, pattern: str) -> bool:
    return matches_pattern(name.encode(), pattern.encode("utf-8", "surrogateescape"))


def of_config(parameter: str, value: str, host: str) -> tuple[str, ...]:
    """Return the value of a keyword of ssh_config(5) as a list for Gateway.

    - parameter (str): the parameter of Gateway; ``KEYWORDS`` has the keyword.
    - host (str): the name that was looked up, for the error.

    Names that cannot be offered are left out, because ssh_config is written for OpenSSH, which
    has more. Raises ConfigError if none is left.
    """
    usual = _LISTS[parameter]
    found = _applied(usual, value, _named(value))
    if not found:
        raise config_invalid(
            f"{KEYWORDS[parameter]} of ssh_config leaves no algorithm for {host!r} that libssh2 "
            f"{_core.LIBSSH2_VERSION} has: it has {', '.join(usual)}"
        )
    return found
