# SPDX-License-Identifier: BSD-2-Clause
"""Host certificates: a Gateway trusts a host exactly if ssh(1) does."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sshgateway import GatewayError, HostKeyError, build_info
from support import fresh, gateways
from support.host_certificates import (
    KINDS,
    Key,
    is_accepted_by_ssh,
    is_accepted_by_us,
    lines,
    make_key,
    revoke,
    sign,
)
from support.sshd import PrivateSshd
from support.waiting import Worker

pytestmark = pytest.mark.skipif(
    not any("-cert-" in name for name in build_info()["host_key_algorithms"]),
    reason="libssh2 cannot check host certificates",
)

#: "localhost" is in the hosts file of every machine.
HOST = "localhost"
A_CA = "@cert-authority"


@dataclass(frozen=True)
class Site:
    """The keys of one host, of its authority, and of another one."""

    host: Key
    ca: Key
    other: Key


@pytest.fixture(scope="module")
def sites(tmp_path_factory) -> Callable[[str, str], Site]:
    """Keys are made once; RSA keys take long."""
    made: dict[tuple[str, str], Site] = {}

    def site(kind: str, ca: str) -> Site:
        if (kind, ca) not in made:
            path = tmp_path_factory.mktemp("site")
            made[kind, ca] = Site(
                make_key(path / "host", kind), make_key(path / "ca", ca), make_key(path / "other")
            )
        return made[kind, ca]

    return site


@contextlib.contextmanager
def serving(key: Key, certificate: Path, **options: str) -> Iterator[PrivateSshd]:
    """A server that presents a certificate."""
    with PrivateSshd(
        {"HostKey": str(key.path), "HostCertificate": str(certificate), **options}
    ) as sshd:
        yield sshd


#: How a certificate is signed, and the lines of known_hosts besides that of the CA.
CASES: dict[str, tuple[list[str], str]] = {
    "good": (["-n", HOST], ""),
    "good for a minute": (["-n", f"a,{HOST}", "-V", "-1m:+1m", "-z", "5"], ""),
    "expired": (["-n", HOST, "-V", "20000101:20010101"], ""),
    "not yet valid": (["-n", HOST, "-V", "20900101:20910101"], ""),
    "another principal": (["-n", "other.example"], ""),
    "a principal in capitals": (["-n", HOST.upper()], ""),
    "a pattern as principal": (["-n", "local*"], ""),
    "a principal with the port": (["-n", f"[{HOST}]:22"], ""),
    "no principals": ([], ""),
    "user certificate": (["-n", HOST, "user"], ""),
    "critical option": (["-n", HOST, "-O", "critical:strange=1"], ""),
    "extension": (["-n", HOST, "-O", "extension:strange=1"], ""),
    "revoked key": (["-n", HOST], "@revoked * {host}\n"),
    "revoked key of another host": (["-n", HOST], "@revoked other.example {host}\n"),
    "revoked CA": (["-n", HOST], "@revoked * {ca}\n"),
    "signed by SHA-256": (["-n", HOST, "-t", "rsa-sha2-256"], ""),
}


#: Key revocation lists: the options of the certificate, whose authority is named (None: any), and
#: the line of ssh-keygen's specification.
LISTS: dict[str, tuple[list[str], str | None, str]] = {
    "serial number": (["-z", "5"], "ca", "serial: 5"),
    "another serial number": (["-z", "5"], "ca", "serial: 6"),
    "serial number of another CA": (["-z", "5"], "other", "serial: 5"),
    "range": (["-z", "5"], "ca", "serial: 4-9"),
    "serial number 0": ([], "ca", "serial: 1-9"),
    "key ID": ([], "ca", "id: an id"),
    "another key ID": ([], "ca", "id: another"),
    "key": ([], None, "key: {host}"),
    "CA": ([], None, "key: {ca}"),
    "another key": ([], None, "key: {other}"),
    "hash": ([], None, "sha256: {host}"),
    "hash of the CA": ([], None, "sha1: {ca}"),
}


def certificate(site: Site, options: list[str]) -> Path:
    if "user" in options:
        return sign(site.host, site.ca, *[o for o in options if o != "user"], is_host=False)
    return sign(site.host, site.ca, *options)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ca", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_is_that_of_ssh(sites, tmp_path, kind: str, ca: str, case: str) -> None:
    """With a line of the CA alone, and with one of the host's plain key beside it, or one of an
    old key."""
    options, more = CASES[case]
    if "-t" in options and ca != "rsa":
        pytest.skip("an option of RSA authorities")
    site = sites(kind, ca)
    known = tmp_path / "known_hosts"
    more = more.format(host=site.host.public, ca=site.ca.public)
    with serving(site.host, certificate(site, options)) as sshd:
        name = f"[{HOST}]:{sshd.port}"
        authority = f"{A_CA} * {site.ca.public}\n"
        texts = {
            "CA": authority + more,
            "CA and plain key": authority + more + f"{name} {site.host.public}\n",
            "CA and old key": authority + more + f"{name} {site.other.public}\n",
            "CA of another host": f"{A_CA} *.example {site.ca.public}\n" + more,
            "another CA": f"{A_CA} * {site.other.public}\n" + more,
        }
        if case != "good":
            del texts["CA of another host"], texts["another CA"]
        verdicts = {}
        for which, text in texts.items():
            known.write_text(text)
            verdicts[which] = is_accepted_by_us(sshd, known, HOST)
            assert verdicts[which] == is_accepted_by_ssh(sshd, known, HOST), which
    is_good = case in GOOD
    assert verdicts["CA"] is verdicts["CA and old key"] is is_good
    assert verdicts["CA and plain key"] is (case not in ("revoked key", "revoked CA"))
    assert not verdicts.get("CA of another host") and not verdicts.get("another CA")


@pytest.mark.parametrize("which", LISTS)
@pytest.mark.parametrize(("kind", "ca"), [("ed25519", "rsa"), ("rsa", "ecdsa")])
def test_a_list_revokes_what_it_revokes_for_ssh(
    sites, known, tmp_path, kind: str, ca: str, which: str
) -> None:
    """With a line of the CA, and with a known plain key. A list revokes the certificate in both
    cases."""
    options, named, what = LISTS[which]
    site = sites(kind, ca)
    specification = what.format(host=site.host.public, ca=site.ca.public, other=site.other.public)
    signers = {"ca": site.ca, "other": site.other, None: None}
    file = revoke(tmp_path / "list", signers[named], specification)
    harmless = ("another", "serial number of another CA", "serial number 0")
    with serving(site.host, sign(site.host, site.ca, "-n", HOST, *options)) as sshd:
        for text in (
            lines((A_CA, "*", site.ca.public)),
            lines((f"[{HOST}]:{sshd.port}", site.host.public)),
        ):
            known.write_text(text)
            theirs = is_accepted_by_ssh(sshd, known, HOST, f"RevokedHostKeys={file}")
            ours = is_accepted_by_us(sshd, known, HOST, revoked_host_keys=file)
            assert ours is theirs is which.startswith(harmless), text


GOOD = {
    "good", "good for a minute", "no principals", "extension", "revoked key of another host",
    "signed by SHA-256",
}  # fmt: skip


# --- Details ------------------------------------------------------------------------------


@pytest.fixture
def site(sites) -> Site:
    return sites("ed25519", "ed25519")


@pytest.fixture
def known(tmp_path) -> Path:
    return tmp_path / "known_hosts"


def refused(sshd: PrivateSshd, known: Path, **options) -> HostKeyError:
    with pytest.raises(HostKeyError) as caught:
        gateways.to(sshd, hostname=HOST, known_hosts=[known], **options).open()
    return caught.value


@pytest.mark.parametrize(
    ("names", "alias", "counts"),
    [
        ("{port}", None, True),
        ("*", None, True),
        (HOST, None, True),
        ("*,!{port}", None, True),
        (f"*,!{HOST}", None, True),
        (f"*,!{HOST},!{{port}}", None, False),
        ("127.0.0.1", None, False),
        ("db1", "db1", True),
        ("DB1", "db1", True),
        ("other", "db1", False),
    ],
)
def test_the_names_of_the_line(site, known, names: str, alias: str | None, counts: bool) -> None:
    """A line without the port counts too."""
    with serving(site.host, sign(site.host, site.ca, "-n", f"{HOST},db1")) as sshd:
        line = names.format(port=f"[{HOST}]:{sshd.port}")
        known.write_text(lines((A_CA, line, site.ca.public)))
        theirs = is_accepted_by_ssh(sshd, known, HOST, *alias_option(alias))
        assert is_accepted_by_us(sshd, known, HOST, host_key_alias=alias) is theirs is counts
        more = lines((A_CA, f"[{HOST}]:{sshd.port}", site.other.public))
        known.write_text(known.read_text() + more)
        theirs = is_accepted_by_ssh(sshd, known, HOST, *alias_option(alias))
        assert is_accepted_by_us(sshd, known, HOST, host_key_alias=alias) is theirs is counts


def alias_option(alias: str | None) -> list[str]:
    return [] if alias is None else [f"HostKeyAlias={alias}"]


def test_the_principal_is_the_alias_if_there_is_one(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public)))
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        for alias in (None, HOST, "db1"):
            theirs = is_accepted_by_ssh(sshd, known, HOST, *alias_option(alias))
            assert theirs is (alias != "db1")
            assert is_accepted_by_us(sshd, known, HOST, host_key_alias=alias) is theirs


def test_the_names_of_a_line_can_be_hashed(site, known) -> None:
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        known.write_text(lines((A_CA, f"[{HOST}]:{sshd.port}", site.ca.public)))
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
        assert is_accepted_by_us(sshd, known, HOST) is is_accepted_by_ssh(sshd, known, HOST)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-n", HOST, "-V", "20000101:20010101"], "it expired at 2001-01-01"),
        (["-n", HOST, "-V", "20900101:20910101"], "not valid before 2090-01-01"),
        (["-n", "a,b"], f"it is for a, b, not for {HOST}"),
        (["-n", HOST, "-O", "critical:odd=1"], "critical option that is not known: 'odd'"),
        (["-n", HOST, "user"], "it is not a host certificate"),
    ],
)
def test_the_error_says_which_check_failed(site, known, options: list[str], words: str) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public)))
    with serving(site.host, certificate(site, options)) as sshd:
        error = refused(sshd, known)
    assert error.state == "unknown"
    assert words in error.facts
    assert "key ID 'an id'" in error.facts


def test_the_error_names_the_authorities(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.other.public)))
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        error = refused(sshd, known)
    assert f"({known}:1 has the key of another CA)" in error.facts


def test_the_error_of_a_revoked_authority(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public), ("@revoked", "*", site.ca.public)))
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        for strict in ("yes", "accept-new", "no"):
            error = refused(sshd, known, strict_host_key_checking=strict)
            assert error.state == "revoked"
            words = f"{known}:2 marks the key of its certificate's authority as @revoked"
            assert words in error.facts
            assert "a certificate by another authority" in error.advice


def test_the_error_of_a_revoked_key(site, known, tmp_path) -> None:
    text = tmp_path / "revoked"
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        known.write_text(lines((f"[{HOST}]:{sshd.port}", site.host.public)))
        text.write_text(lines(("#", "a comment"), (site.host.public,)))
        for strict in ("yes", "accept-new", "no"):
            options = {"revoked_host_keys": [text], "strict_host_key_checking": strict}
            error = refused(sshd, known, **options)
            assert (error.state, error.file) == ("revoked", str(text))
            assert f"by {text}, the key is revoked by line 2" in error.facts
        text.write_text("this is not a key\n")
        error = refused(sshd, known, revoked_host_keys=text, strict_host_key_checking="no")
        assert (error.state, error.file) == ("unreadable", str(text))
        assert "the file of revoked keys" in error.facts
        error = refused(sshd, known, revoked_host_keys=tmp_path / "none")
        assert error.state == "unreadable"


def test_an_authority_is_revoked_for_a_known_plain_key_too(site, known) -> None:
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        known.write_text(
            lines((f"[{HOST}]:{sshd.port}", site.host.public), ("@revoked", "*", site.ca.public))
        )
        assert not is_accepted_by_ssh(sshd, known, HOST)
        assert not is_accepted_by_us(sshd, known, HOST)


def test_a_server_without_a_certificate(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public)))
    with PrivateSshd({"HostKey": str(site.host.path)}) as sshd:
        error = refused(sshd, known)
    assert f"{known}:1 is the key of a certification authority, but the server" in error.facts


def test_accept_new_adds_the_plain_key_of_a_certificate_that_does_not_count(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public)))
    with serving(site.host, sign(site.host, site.ca, "-n", "other")) as sshd:
        gateway = gateways.to(
            sshd, hostname=HOST, known_hosts=[known], strict_host_key_checking="accept-new"
        )
        with gateway:
            verdict = gateway.host_key_verdict
        assert verdict.authority is None
        assert verdict.certificate is not None
        assert "it is for other" in verdict.notes[0]
        added = known.read_text().splitlines()[1]
        assert added == f"[{HOST}]:{sshd.port} {site.host.public}"


@pytest.mark.parametrize("which", ["known plain key", "unknown plain key", "sock="])
def test_a_signature_by_sha_1_leaves_the_plain_key(sites, known, which: str) -> None:
    site = sites("ed25519", "rsa")
    with serving(site.host, sign(site.host, site.ca, "-n", HOST, "-t", "ssh-rsa")) as sshd:
        text = lines((A_CA, "*", site.ca.public))
        if which != "unknown plain key":
            text += lines((f"[{HOST}]:{sshd.port}", site.host.public))
        known.write_text(text)
        theirs = is_accepted_by_ssh(sshd, known, HOST)
        assert theirs is (which != "unknown plain key")
        if which == "sock=":  # it serves for one connection
            sock = socket.create_connection((sshd.host, sshd.port))
            with pytest.raises(GatewayError, match="signature is not accepted"):
                gateways.to(sshd, hostname=HOST, known_hosts=[known], sock=sock).open()
            return
        assert is_accepted_by_us(sshd, known, HOST) is theirs
        if not theirs:
            assert "host certificate's signature is not accepted" in refused(sshd, known).facts


def test_a_person_learns_why_a_certificate_was_not_accepted(site, known) -> None:
    asked = []

    def prompt(text: str, echo: bool) -> str:
        asked.append(text)
        return "no"

    known.write_text(lines((A_CA, "*", site.ca.public)))
    options = {"strict_host_key_checking": "ask", "prompt": prompt}
    with serving(site.host, sign(site.host, site.ca, "-n", "x\x1b[2J")) as sshd:
        refused(sshd, known, **options)
    assert "Note: its host certificate was not accepted: it is for x" in asked[0]
    assert "\x1b" not in asked[0]


@pytest.mark.parametrize("names", ["*", "inner", "[inner]:2200"])
def test_an_alias_with_a_port_is_a_name_like_others(site, known, names: str) -> None:
    """As in ssh(1), which takes no port from an alias."""
    alias = "[inner]:2200"
    known.write_text(lines((A_CA, names, site.ca.public)))
    for principal in ("inner", alias):
        with serving(site.host, sign(site.host, site.ca, "-n", principal)) as sshd:
            theirs = is_accepted_by_ssh(sshd, known, HOST, *alias_option(alias))
            assert is_accepted_by_us(sshd, known, HOST, host_key_alias=alias) is theirs
            assert theirs is (principal == alias and names != "inner")


def test_nothing_is_added_for_a_certificate_that_counts(site, known) -> None:
    text = lines((A_CA, "*", site.ca.public))
    known.write_text(text)
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        assert is_accepted_by_us(sshd, known, HOST, strict_host_key_checking="accept-new")
    assert known.read_text() == text


def test_the_verdict_has_the_certificate(site, known) -> None:
    with serving(site.host, sign(site.host, site.ca, "-n", HOST, "-z", "7")) as sshd:
        known.write_text(
            lines((A_CA, "*", site.ca.public), (f"[{HOST}]:{sshd.port}", site.other.public))
        )
        with gateways.to(sshd, hostname=HOST, known_hosts=[known]) as gateway:
            verdict = gateway.host_key_verdict
            assert gateway.methods["host_key"] == "ssh-ed25519-cert-v01@openssh.com"
    assert verdict.authority.line == 1
    assert verdict.certificate.serial == 7
    (note,) = verdict.notes
    assert f"{known}:2 has another ssh-ed25519 key" in note


def test_no_certificate_is_requested_without_an_authority(site, known) -> None:
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        known.write_text(lines((f"[{HOST}]:{sshd.port}", site.host.public)))
        with gateways.to(sshd, hostname=HOST, known_hosts=[known]) as gateway:
            assert gateway.methods["host_key"] == "ssh-ed25519"


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_exchanged_again_with_a_certificate(sites, known, kind: str) -> None:
    site = sites(kind, "rsa")
    known.write_text(lines((A_CA, "*", site.ca.public)))
    signed = sign(site.host, site.ca, "-n", HOST)
    with (
        serving(site.host, signed, RekeyLimit="1M") as sshd,
        gateways.Target(gateways.echo) as target,
        gateways.to(sshd, hostname=HOST, known_hosts=[known]) as gateway,
        gateway.open_channel(dest_addr=target.address) as channel,
    ):
        data = bytes(1_000_000)
        for _ in range(4):
            sender = Worker(channel.sendall, data)
            received = 0
            while received < len(data):
                received += len(channel.recv(65536))
            sender.result()
        assert gateway.stats.rekeys >= 3


def test_the_algorithms_of_the_authority_can_be_restricted(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public)))
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        for algorithms in (["ssh-ed25519"], ["rsa-sha2-512"]):
            option = f"CASignatureAlgorithms={','.join(algorithms)}"
            theirs = is_accepted_by_ssh(sshd, known, HOST, option)
            ours = is_accepted_by_us(sshd, known, HOST, ca_signature_algorithms=algorithms)
            assert ours is theirs is (algorithms == ["ssh-ed25519"])


def test_host_key_algorithms_without_certificates_request_none(site, known) -> None:
    known.write_text(lines((A_CA, "*", site.ca.public)))
    with serving(site.host, sign(site.host, site.ca, "-n", HOST)) as sshd:
        error = refused(sshd, known, host_key_algorithms="-*-cert-v01@openssh.com")
    assert "presented no host certificate" in error.facts


def test_route_shows_the_authority(site, known, tmp_path) -> None:
    with serving(site.host, sign(site.host, site.ca, "-n", HOST, "-z", "7")) as sshd:
        known.write_text(
            lines((A_CA, "*", site.ca.public), (f"[{HOST}]:{sshd.port}", site.other.public))
        )
        config = tmp_path / "ssh_config"
        text = sshd.ssh_config.read_text().replace("sshd\n", "gate\n", 1)
        text = re.sub(r"HostName .*", f"HostName {HOST}", text)
        text = re.sub(r"UserKnownHostsFile .*", f"UserKnownHostsFile {known}", text)
        target = f"Host target\nHostName 127.0.0.1\nPort {sshd.port}\nProxyJump gate\n"
        config.write_text(target + text)
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "sshgateway",
            "route",
            "-F",
            config,
            "--try",
        ]
        shown = subprocess.run(
            [*command, "target"], capture_output=True, text=True, env=fresh.environment()
        )
        assert shown.returncode == 0, shown.stdout + shown.stderr
        said = " ".join(shown.stdout.split())
        assert "+ certified by CA ssh-ed25519 SHA256:" in said
        assert f"({known}:1): key ID 'an id', serial 7, valid forever, for {HOST}" in said
        assert f"+ note {known}:2 has another ssh-ed25519 key of this host" in said
        machine = subprocess.run(
            [*command, "--json", "target"], capture_output=True, text=True, env=fresh.environment()
        )
    (hop,) = json.loads(machine.stdout)["hops"]
    assert hop["tried"]["certificate"]["serial"] == 7
    assert hop["tried"]["certificate"]["ca_line"] == f"{known}:1"
