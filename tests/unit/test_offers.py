# SPDX-License-Identifier: BSD-2-Clause
"""The lists of algorithms that parameters and ssh_config restrict."""

from __future__ import annotations

import subprocess

import pytest

from sshgateway import ConfigError, Gateway
from sshgateway._offers import KEYWORDS, USUAL, Offers, of_config
from sshgateway.known_hosts import Known

MACS = USUAL["macs"]
FIRST, SECOND = MACS[:2]
#: The lists that "ssh -G" prints for these keywords.
PLAIN = ("kex", "ciphers", "macs")


def chosen(parameter: str, value: object) -> tuple[str, ...]:
    given = dict.fromkeys(USUAL) | {parameter: value}
    return getattr(Offers.chosen(**given), parameter)


@pytest.mark.parametrize("parameter", USUAL)
def test_each_list_can_be_one_name(parameter: str) -> None:
    for name in USUAL[parameter]:
        assert chosen(parameter, name) == chosen(parameter, [name]) == (name,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, MACS),
        ([SECOND, FIRST], (SECOND, FIRST)),
        (f"{SECOND},{FIRST}", (SECOND, FIRST)),
        (f" {SECOND} , {FIRST} ", (SECOND, FIRST)),
        ([FIRST, FIRST], (FIRST,)),
        (f"^{SECOND}", (SECOND, FIRST)),
        (f"+{SECOND}", MACS),
        (f"-{SECOND}", (FIRST,)),
        ("-*512", (FIRST,)),
        ("-umac-*", MACS),
        ("*-512,*-256", (SECOND, FIRST)),
    ],
)
def test_the_syntax_of_ssh_config(value: object, expected: tuple[str, ...]) -> None:
    assert chosen("macs", value) == expected


@pytest.mark.parametrize("value", ["none", ["none"], "+hmac-md5", "^hmac-md5", f"{FIRST},x", [""]])
def test_a_name_that_is_not_known_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match=f"macs= cannot use .*it must be one of .*{FIRST}"):
        Gateway("h", macs=value)


@pytest.mark.parametrize("value", [[], "", "-*"])
def test_an_empty_offer_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="macs= leaves no algorithm"):
        Gateway("h", macs=value)


def test_sha_1_is_no_signature_of_an_authority() -> None:
    with pytest.raises(ValueError, match="ca_signature_algorithms= cannot use 'ssh-rsa'"):
        Gateway("h", ca_signature_algorithms=["ssh-rsa"])


def test_a_name_must_be_a_text() -> None:
    with pytest.raises(TypeError):
        Gateway("h", macs=[1])


@pytest.mark.parametrize("parameter", PLAIN)
@pytest.mark.parametrize("sign", ["", "+", "-", "^"])
def test_a_list_of_ssh_config_is_the_list_of_ssh(parameter: str, sign: str) -> None:
    """The names that can be offered, with those of ssh(1) and no others, except names that
    are newer than the ssh(1) here."""
    query = ["ssh", "-Q", KEYWORDS[parameter]]
    known = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()
    usual = [name for name in USUAL[parameter] if name in known]
    value = sign + ",".join(usual[1:][::-1])
    said = subprocess.run(
        ["ssh", "-G", "-F", "none", "-o", f"{KEYWORDS[parameter]}={value}", "host"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    line = next(x for x in said.splitlines() if x.startswith(KEYWORDS[parameter].lower() + " "))
    theirs = line.split()[1].split(",")
    ours = [name for name in of_config(parameter, value, "host") if name in known]
    assert set(ours) == set(usual).intersection(theirs)
    if sign == "":
        assert ours == [name for name in theirs if name in usual]
    if sign == "^":
        assert ours[:-1] == theirs[: len(usual) - 1]


def test_names_of_ssh_config_that_cannot_be_offered_are_left_out() -> None:
    assert of_config("macs", f"umac-64@openssh.com,{SECOND}", "h") == (SECOND,)


def test_a_list_of_ssh_config_without_a_usable_name_is_an_error() -> None:
    with pytest.raises(ConfigError, match=f"MACs of ssh_config leaves no .*'h'.*{FIRST}"):
        of_config("macs", "umac-64@openssh.com", "h")


CERTIFICATES = [name for name in USUAL["host_key_algorithms"] if "-cert-" in name]
KEYS = [name for name in USUAL["host_key_algorithms"] if name not in CERTIFICATES]


USUALLY = Offers.chosen(**dict.fromkeys(USUAL))
KNOWN = "ecdsa-sha2-nistp384"


def first(names: list[str], known: str) -> list[str]:
    return [n for n in names if n.startswith(known)] + [n for n in names if known not in n]


def test_known_types_come_first() -> None:
    assert list(USUALLY.host_keys(Known((KNOWN, "ssh-dss")))) == first(KEYS, KNOWN)


def test_certificates_come_first_with_an_authority() -> None:
    offer = USUALLY.host_keys(Known((KNOWN,), has_authority=True))
    assert list(offer) == [*CERTIFICATES, *first(KEYS, KNOWN)]


def test_certificates_of_known_types_come_first_with_revoked_keys() -> None:
    offer = USUALLY.host_keys(Known((KNOWN,), has_revoked=True))
    assert list(offer) == first([*CERTIFICATES, *KEYS], KNOWN)


def test_nothing_moves_if_the_preferred_type_is_known() -> None:
    assert list(USUALLY.host_keys(Known((KNOWN, KEYS[0])))) == KEYS


def test_a_known_rsa_key_is_asked_for_by_its_signature_algorithms() -> None:
    rsa = [name for name in KEYS if name.startswith("rsa-")]
    assert list(USUALLY.host_keys(Known(("ssh-rsa",)))[: len(rsa)]) == rsa


@pytest.mark.skipif(not CERTIFICATES, reason="libssh2 cannot check host certificates")
def test_an_offer_of_certificates_alone_stays_as_it_is() -> None:
    given = dict.fromkeys(USUAL) | {"host_key_algorithms": CERTIFICATES[:2]}
    assert list(Offers.chosen(**given).host_keys(Known())) == CERTIFICATES[:2]
