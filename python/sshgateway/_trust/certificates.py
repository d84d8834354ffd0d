# SPDX-License-Identifier: BSD-2-Clause
"""OpenSSH certificates (OpenSSH's PROTOCOL.certkeys): reading them, and what makes one invalid.

A certificate holds a public key, the names for which a certification authority vouches, and the
authority's signature. This module does not verify the signature. libssh2 does that during the key
exchange; see deps/libssh2/patches/31-host-certificates.patch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sshgateway._messages import printable
from sshgateway._public_keys import (
    CERTIFICATE,
    fingerprint,
    is_certificate,
    key_type_or_unknown,
    plain_key,
)
from sshgateway._wire import MalformedMessage, Reader, text_of

__all__ = ["CA_SIGNATURE_ALGORITHMS", "HOST", "USER", "Certificate", "certificate_in"]

#: The types of a certificate.
USER, HOST = 1, 2

#: The signature algorithms that an authority may use, as CASignatureAlgorithms of ssh_config(5).
CA_SIGNATURE_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

#: The number of fields between the nonce and the serial number, by the plain key type.
_KEY_FIELDS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ssh-dss": 4,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519": 2,
    "sk-ecdsa-sha2-nistp256": 3,
}
_MOST_PRINCIPALS = 256  # SSHKEY_CERT_MAX_PRINCIPALS of sshkey.h
_FOREVER = 2**64 - 1
#: The number of principals that a text names.
_SHOWN_NAMES = 5
#: The largest time that a certificate shows as a date, the last second of the year 9999.
_LAST_DATE = 253402300799


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of a certificate."""

    #: The whole certificate.
    blob: bytes = field(repr=False)
    #: As "ssh-ed25519-cert-v01@openssh.com".
    key_type: str
    #: The certified key, as a public key blob of its own.
    key: bytes = field(repr=False)
    serial: int
    #: USER or HOST; a blob may hold another number.
    kind: int
    key_id: bytes
    principals: tuple[bytes, ...]
    #: The first second in which it is valid, in seconds since 1970.
    valid_after: int
    #: The first second in which it is no longer valid, in seconds since 1970.
    valid_before: int
    critical_options: tuple[tuple[bytes, bytes], ...]
    extensions: tuple[tuple[bytes, bytes], ...]
    #: The public key blob of the certification authority.
    authority: bytes = field(repr=False)
    #: As "rsa-sha2-512".
    signature_algorithm: str

    @classmethod
    def parse(cls, blob: bytes) -> Certificate:
        """Read a certificate. Raises ValueError if it is not exactly one certificate."""
        try:
            return cls._parse(blob)
        except MalformedMessage as error:
            raise ValueError(f"not a certificate: {error}") from None

    @classmethod
    def _parse(cls, blob: bytes) -> Certificate:
        reader = Reader(blob)
        named = text_of(reader.string())
        plain = named.removesuffix(CERTIFICATE)
        if plain == named or plain not in _KEY_FIELDS:
            raise ValueError(f"not a certificate, but {named!r}")
        reader.string()  # the nonce
        for _ in range(_KEY_FIELDS[plain]):
            reader.string()
        serial, kind, key_id = reader.uint64(), reader.uint32(), reader.string()
        principals = _principals(reader.string())
        valid_after, valid_before = reader.uint64(), reader.uint64()
        critical, extensions = _options(reader.string()), _options(reader.string())
        reader.string()  # reserved
        authority, signature = reader.string(), Reader(reader.string())
        algorithm = text_of(signature.string())
        signature.string()
        if not reader.is_at_end or b"\0" in key_id or _is_no_authority(authority):
            raise ValueError("not a certificate: a field is invalid")
        # The signature of a security key continues with its flags and counter.
        if not signature.is_at_end and not algorithm.startswith("sk-"):
            raise ValueError("not a certificate: its signature is too long")
        return cls(
            blob, named, plain_key(blob), serial, kind, key_id, principals, valid_after,
            valid_before, critical, extensions, authority, algorithm,
        )  # fmt: skip

    def objection(
        self, name: str, algorithms: tuple[str, ...] = CA_SIGNATURE_ALGORITHMS
    ) -> str | None:
        """Return why this certificate does not vouch for a host now, or None if it does.

        - name (str): the name of the host in lower case, without its port, or its alias.
        - algorithms: the signature algorithms that its authority may use.

        The checks and their order are those of sshkey_cert_check_host() of OpenSSH's sshkey.c.
        A certificate without principals is valid for every host, and "*" in a principal has no
        meaning. OpenSSH 10.3 refuses a certificate without principals and accepts wildcards.
        """
        now = time.time()
        if self.kind != HOST:
            return "it is not a host certificate"
        if now < self.valid_after:
            return f"it is not valid before {date(self.valid_after)}"
        if now >= self.valid_before:
            return f"it expired at {date(self.valid_before)}"
        encoded = name.encode("utf-8", "surrogateescape")
        if self.principals and encoded not in self.principals:
            return f"it is for {self.names}, not for {name}"
        if self.critical_options:
            option = printable(text_of(self.critical_options[0][0]))
            return f"it has a critical option that is not known: {option!r}"
        if self.signature_algorithm not in algorithms:
            algorithm = printable(self.signature_algorithm)
            return f"its authority signed it with {algorithm}, which is not accepted"
        return None

    # ---- For messages -------------------------------------------------------

    @property
    def names(self) -> str:
        """The principals as one printable line, which names the first few of many; "every host"
        if there are none."""
        shown = ", ".join(printable(text_of(name)) for name in self.principals[:_SHOWN_NAMES])
        rest = len(self.principals) - _SHOWN_NAMES
        return f"{shown} and {rest} more" if rest > 0 else shown or "every host"

    @property
    def validity(self) -> str:
        """The time in which it is valid, as ``ssh-keygen -L`` shows it, in UTC."""
        if self.valid_after == 0 and self.valid_before == _FOREVER:
            return "forever"
        if self.valid_after == 0:
            return f"before {date(self.valid_before)}"
        if self.valid_before == _FOREVER:
            return f"from {date(self.valid_after)}"
        return f"from {date(self.valid_after)} to {date(self.valid_before)}"

    def __str__(self) -> str:
        """One line that names the authority, the key ID, the serial number and the validity."""
        ca = f"{key_type_or_unknown(self.authority)} {fingerprint(self.authority)}"
        return (
            f"key ID {printable(text_of(self.key_id))!r}, serial {self.serial}, "
            f"valid {self.validity}, "
            f"for {self.names}, signed by CA {ca}"
        )


def certificate_in(blob: bytes) -> Certificate | None:
    """Parse a certificate; return None if the blob is not one."""
    try:
        return Certificate.parse(blob)
    except ValueError:
        return None


def date(seconds: int) -> str:
    """A time of a certificate in UTC, or the number if it is no date."""
    if seconds > _LAST_DATE:
        return str(seconds)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _principals(data: bytes) -> tuple[bytes, ...]:
    reader, names = Reader(data), []
    while not reader.is_at_end:
        names.append(reader.string())
    if len(names) > _MOST_PRINCIPALS or any(b"\0" in name for name in names):
        raise ValueError("not a certificate: its principals are invalid")
    return tuple(names)


def _options(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    reader, options = Reader(data), []
    while not reader.is_at_end:
        options.append((reader.string(), reader.string()))
    return tuple(options)


def _is_no_authority(blob: bytes) -> bool:
    """Return True unless the blob is a plain public key. A certificate cannot sign another."""
    try:
        return is_certificate(blob)
    except ValueError:
        return True
