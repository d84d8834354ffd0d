# SPDX-License-Identifier: BSD-2-Clause
"""Texts of revoked host keys: the verdict of ssh(1) with RevokedHostKeys, for each of them."""

from __future__ import annotations

import base64
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sshgateway._public_keys import line_of
from sshgateway._trust.revocation import RevokedKeys
from support.oracle import ssh_logs_in
from support.revocation import blob_of, make_key, sign
from support.sshd import PrivateSshd


@dataclass(frozen=True)
class Host:
    """A server with a plain host key, and one with a host certificate of the same key."""

    plain: PrivateSshd
    certified: PrivateSshd
    key: Path
    ca: Path
    certificate: Path
    other: Path
    other_certificate: Path
    rsa: Path
    short: bytes

    def line(self, name: str) -> str:
        return getattr(self, name).read_text().rstrip("\n")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("host")
    names = ["key", "ca", "other"]
    key, ca, other = (make_key(directory / name, "ecdsa") for name in names)
    rsa = make_key(directory / "rsa", "rsa", "-b", "1024")
    certificate = sign(key, ca, "host")
    modulus = b"\x7f" + blob_of(rsa)[-126:]  # 1015 bits
    short = b"\0\0\0\7ssh-rsa\0\0\0\3\1\0\1\0\0\0\x7f" + modulus
    options = {"HostKey": str(key.with_suffix(""))}
    certified = {**options, "HostCertificate": str(certificate)}
    with PrivateSshd(options) as plain, PrivateSshd(certified) as with_certificate:
        plain.known_hosts.write_text(f"* {key.read_text()}")
        with_certificate.known_hosts.write_text(f"@cert-authority * {ca.read_text()}")
        other_certificate = sign(other, ca, "another")
        yield Host(
            plain, with_certificate, key, ca, certificate, other, other_certificate, rsa, short
        )


def with_a_byte(line: str) -> str:
    kind, key = line.split()
    return f"{kind} {base64.b64encode(base64.b64decode(key) + bytes(1)).decode()}"


def with_other_bits(line: str) -> str:
    """The base64 text with bits behind the last byte, which decoders may ignore."""
    text = line.rstrip("= ")
    assert text[-1] in "AQgw", "no two characters of padding"
    return text[:-1] + chr(ord(text[-1]) + 1) + line[len(text) :]


def without_authority(host: Host) -> str:
    """A certificate with an authority whose key is not a point of its curve."""
    ca = blob_of(host.ca)
    changed = ca[:-1] + bytes([ca[-1] ^ 1])
    return line_of(blob_of(host.other_certificate).replace(ca, changed))


Text = Callable[[Host], str]

#: A text, whether it revokes the plain key, and whether it revokes the certificate.
TEXTS: dict[str, tuple[Text, bool, bool]] = {
    "nothing": (lambda host: "", False, False),
    "comments and blank lines": (lambda host: "# a\n\n \t\n\t# b\n", False, False),
    "another key": (lambda host: f"{host.line('other')}\n", False, False),
    "the key": (lambda host: f"{host.line('other')}\n \t{host.line('key')}\n", True, True),
    "with a comment": (lambda host: f"{host.line('key')}\ta comment # b", True, True),
    "with tabs": (lambda host: host.line("key").replace(" ", "\t \t"), True, True),
    "behind a comment": (lambda host: f"#{host.line('key')}", False, False),
    "the authority": (lambda host: host.line("ca"), False, True),
    "the certificate": (lambda host: host.line("certificate"), True, True),
    "another certificate": (lambda host: host.line("other_certificate"), False, False),
    "carriage returns": (lambda host: f"{host.line('other')}\r\n", False, False),
    "a blank line of one": (lambda host: "\r\n", True, True),
    "options": (lambda host: f"no-pty {host.line('other')}", True, True),
    "a marker": (lambda host: f"@revoked * {host.line('other')}", True, True),
    "a name": (lambda host: f"host {host.line('other')}", True, True),
    "only a type": (lambda host: "ssh-ed25519\n", True, True),
    "a type and a blank": (lambda host: "ssh-ed25519 \n", True, True),
    "broken base64": (lambda host: f"{host.line('other').rstrip()}=", True, True),
    "other bits behind base64": (lambda host: with_other_bits(host.line("other")), True, True),
    "a certificate of no authority": (without_authority, True, True),
    "a truncated key": (lambda host: host.line("other")[:-4], True, True),
    "broken, behind the key": (lambda host: f"{host.line('key')}\nbroken", True, True),
    "an unknown type": (lambda host: host.line("other").replace("p384", "p385", 1), True, True),
    "another type": (lambda host: host.line("other").replace("p384", "p256", 1), True, True),
    "an algorithm": (
        lambda host: host.line("rsa").replace("ssh-rsa", "rsa-sha2-512", 1),
        False,
        False,
    ),
    "a short key": (lambda host: line_of(host.short), False, False),
    "a short key of another type": (
        lambda host: line_of(host.short).replace("ssh-rsa", "ssh-ed25519", 1),
        False,
        False,
    ),
    "a zero byte in a key": (
        lambda host: host.line("other").replace("AAAA", "AA\0AA"),
        True,
        True,
    ),
    "a zero byte behind a key": (lambda host: host.line("other") + " \0broken\n", False, False),
    "a zero byte in front": (lambda host: "\0broken\n", False, False),
    "a byte order mark": (lambda host: "\ufeff" + host.line("other"), True, True),
    "a byte behind the key": (lambda host: with_a_byte(host.line("other")), True, True),
    "a list whose magic is broken": (lambda host: "SSHKRL\n\1", True, True),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_the_verdict_is_that_of_ssh(tmp_path: Path, host: Host, text) -> None:
    write, *expected = text
    path = tmp_path / "revoked"
    path.write_text(write(host))
    revoked = RevokedKeys([path])
    results = [revoked.check(blob_of(host.key)), revoked.check(blob_of(host.certificate))]
    assert [result is not None for result in results] == expected
    options = {"RevokedHostKeys": path}
    for sshd, is_revoked in zip((host.plain, host.certified), expected, strict=True):
        assert ssh_logs_in(sshd, tmp_path, options=options) == (not is_revoked)


def test_a_file_that_is_missing_revokes_every_key(tmp_path: Path, host: Host) -> None:
    missing = tmp_path / "missing"
    result = RevokedKeys([missing]).check(blob_of(host.key))
    assert result is not None
    assert (result.is_unreadable, result.errno) == (True, errno.ENOENT)
    assert not ssh_logs_in(host.plain, tmp_path, options={"RevokedHostKeys": missing})


def test_the_reason_names_the_line(tmp_path: Path, host: Host) -> None:
    path = tmp_path / "revoked"
    for text, key, words in [
        (f"# a\n{host.line('key')}\n", host.key, "the key is revoked by line 2"),
        (f"\n\n{host.line('ca')}\n", host.certificate, "its CA key is revoked by line 3"),
        ("# a\n\nbroken\n", host.key, "line 3 is not a public key: it has no base64 text"),
    ]:
        path.write_text(text)
        result = RevokedKeys([path]).check(blob_of(key))
        assert result is not None
        assert result.reason == words


def test_a_short_rsa_key_is_revoked_though_ssh_skips_it(tmp_path: Path, host: Host) -> None:
    path = tmp_path / "revoked"
    path.write_text(line_of(host.short))
    assert RevokedKeys([path]).check(host.short) is not None
