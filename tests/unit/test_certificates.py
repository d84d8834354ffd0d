# SPDX-License-Identifier: BSD-2-Clause
"""Certificates: reading those that ssh-keygen makes, and what makes one invalid."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path

import pytest

from sshgateway._public_keys import fingerprint
from sshgateway._trust.certificates import HOST, USER, Certificate

KINDS = {"ed25519": [], "ecdsa": ["-b", "384"], "rsa": ["-b", "2048"]}
A_DAY = 86400


def make(path: Path, kind: str = "ed25519") -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, *KINDS[kind], "-N", "", "-C", "", "-f", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def blob_of(path: Path) -> bytes:
    return base64.b64decode(path.read_text().split()[1])


@pytest.fixture
def ca(tmp_path) -> Path:
    return make(tmp_path / "ca")


def signed(key: Path, ca: Path, *options: str, kind: str = "-h") -> Certificate:
    """The certificate that ssh-keygen makes of a key."""
    command = ["ssh-keygen", "-q", "-s", ca, "-I", "an id", *([kind] if kind else []), *options]
    subprocess.run([*command, f"{key}.pub"], check=True)
    return Certificate.parse(blob_of(key.with_name(key.name + "-cert.pub")))


@pytest.mark.parametrize("authority", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_read(tmp_path, kind: str, authority: str) -> None:
    key, ca = make(tmp_path / "key", kind), make(tmp_path / "ca", authority)
    found = signed(key, ca, "-n", "a.example,b.example", "-z", "77", "-V", "0x10:0x20")
    assert found.key == blob_of(key.with_name("key.pub"))
    assert found.authority == blob_of(ca.with_name("ca.pub"))
    assert (found.serial, found.kind, found.key_id) == (77, HOST, b"an id")
    assert found.principals == (b"a.example", b"b.example")
    assert (found.valid_after, found.valid_before) == (0x10, 0x20)
    shown = subprocess.run(
        ["ssh-keygen", "-L", "-f", f"{key}-cert.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert f"(using {found.signature_algorithm})" in shown
    assert fingerprint(found.authority) in shown
    assert found.key_type in shown


def test_every_truncation_and_each_byte_more_is_refused(tmp_path, ca) -> None:
    whole = signed(make(tmp_path / "key"), ca, "-n", "a,b", "-O", "critical:x=y").blob
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="not a certificate"):
            Certificate.parse(whole[:length])
    with pytest.raises(ValueError, match="not a certificate"):
        Certificate.parse(whole + b"\0")


def test_a_plain_key_is_no_certificate(ca) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        Certificate.parse(blob_of(ca.with_name("ca.pub")))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["-n", "db1.example"], "-h", None),
        (["-n", "other,db1.example"], "-h", None),
        ([], "-h", None),
        (["-n", "DB1.example"], "-h", "for DB1.example, not for db1.example"),
        (["-n", "*.example"], "-h", "not for db1.example"),
        (["-n", "db1.example"], "", "not a host certificate"),
        (["-V", "19990101:20000101"], "-h", "it expired at 2000-01-01"),
        (["-V", "20900101:20910101"], "-h", "not valid before 2090-01-01"),
        (["-O", "critical:strange=1"], "-h", "critical option that is not known: 'strange'"),
    ],
)
def test_the_objection_says_which_check_failed(tmp_path, ca, options, kind, words) -> None:
    found = signed(make(tmp_path / "key"), ca, *options, kind=kind)
    assert found.kind == (HOST if kind else USER)
    objection = found.objection("db1.example")
    assert objection is None if words is None else words in str(objection)


def test_the_first_and_the_last_second_of_the_validity(tmp_path, ca, monkeypatch) -> None:
    found = signed(make(tmp_path / "key"), ca, "-V", "20300101:20300102")
    begin, end = found.valid_after, found.valid_before
    assert end - begin == A_DAY
    for now, is_valid in ((begin - 1, False), (begin, True), (end - 1, True), (end, False)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert (found.objection("a") is None) is is_valid


def test_an_algorithm_of_the_authority_can_be_forbidden(tmp_path, ca) -> None:
    found = signed(make(tmp_path / "key"), ca)
    objection = found.objection("a", ("rsa-sha2-512",))
    assert objection == "its authority signed it with ssh-ed25519, which is not accepted"


def test_a_text_about_a_certificate_is_printable_and_short(tmp_path, ca) -> None:
    """Any server can present a certificate of its own making."""
    names = ",".join(["x\x1b[2J\n"] + [f"host{number}" for number in range(40)])
    found = signed(make(tmp_path / "key"), ca, "-n", names, "-O", "critical:\x1b[1m=x")
    for text in (str(found), found.objection("x"), found.objection(names.split(",")[0])):
        assert text is not None
        assert text.isprintable()
        assert len(text) < 400
    assert "and 36 more" in str(found)


def test_a_certificate_is_one_line(tmp_path, ca) -> None:
    line = str(signed(make(tmp_path / "key"), ca, "-n", "a", "-z", "5"))
    assert "key ID 'an id', serial 5, valid forever, for a, signed by CA ssh-ed25519" in line
