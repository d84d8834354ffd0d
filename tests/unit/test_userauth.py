# SPDX-License-Identifier: BSD-2-Clause
"""The messages of an authentication: any bytes of a server become a reply or one exception."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshgateway import _messages, _userauth, login
from sshgateway._userauth import (
    Accepted,
    Banner,
    ChangeRequest,
    KeyAccepted,
    Prompts,
    Refused,
    ServiceAccepted,
)
from sshgateway._wire import MalformedMessage, string

METHODS = ("none", "publickey", "password", "keyboard-interactive")


@given(st.binary(max_size=200), st.sampled_from(METHODS))
def test_any_message_is_a_reply_or_malformed(message: bytes, method: str) -> None:
    try:
        reply = _userauth.read_reply(message, method)
    except MalformedMessage as error:
        assert str(error).isprintable()
    else:
        repr(reply).encode()


@given(st.binary(max_size=200), st.sampled_from((51, 53, 60, 6)), st.sampled_from(METHODS))
def test_any_body_of_a_known_message(body: bytes, number: int, method: str) -> None:
    test_any_message_is_a_reply_or_malformed.hypothesis.inner_test(bytes([number]) + body, method)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", [b"\xe9", "\u20ac".encode(), "\U0001f511".encode(), b"\x1b[", b"a"]
)
def test_text_of_every_length_up_to_1000(unit: bytes) -> None:
    for length in range(1, 1001):
        text = (unit * length)[:length]
        replies = [
            _userauth.read_reply(b"\x35" + string(text) + string(b""), "none"),
            _userauth.read_reply(b"\x3c" + string(text) + string(b""), "password"),
            _userauth.read_reply(
                b"\x3c" + string(text) * 2 + string(b"") + b"\0\0\0\1" + string(text) + b"\1",
                "keyboard-interactive",
            ),
        ]
        for found in _texts(replies):
            found.encode()  # no surrogates
            assert len(_messages.printable(found)) <= 700
            assert _messages.printable(found).isprintable()
            lines = login.printable_lines(found)
            assert all(c.isprintable() or c in "\n\t" for c in lines)
        methods = _userauth.read_reply(b"\x33" + string(text) + b"\0", "none")
        assert isinstance(methods, Refused)
        for name in methods.can_continue or ():
            name.encode()


def _texts(replies: list[_userauth.Reply]) -> list[str]:
    banner, change, prompts = replies
    assert isinstance(banner, Banner)
    assert isinstance(change, ChangeRequest)
    assert isinstance(prompts, Prompts)
    asked = [text for text, _ in prompts.prompts]
    return [banner.text, change.prompt, prompts.name, prompts.instruction, *asked]


def test_the_replies() -> None:
    blob = b"blob"
    read = _userauth.read_reply
    assert read(b"\x34", "none") == Accepted()
    assert read(b"\x33" + string("a,b") + b"\0", "none") == Refused(("a", "b"))
    assert read(b"\x33" + string("a") + b"\1", "none") == Refused(("a",), is_partial=True)
    assert read(b"\x33" + string("") + b"\0", "none") == Refused(())
    assert read(b"\x06" + string("ssh-userauth"), "none") == ServiceAccepted()
    pk_ok = b"\x3c" + string("ssh-ed25519") + string(blob)
    assert read(pk_ok, "publickey") == KeyAccepted("ssh-ed25519", blob)
    prompts = b"\x3c" + string("n") + string("i") + string("") + b"\0\0\0\0"
    assert read(prompts, "keyboard-interactive") == Prompts("n", "i", ())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b",a,,b,", ("a", "b")),
        (b"a,\xff", ("a", "\\xff")),
        (b"a b,\x1b", ("a b", "\x1b")),
        (b",".join([b"m"] * 5000), ("m",) * 5000),
        (b"x" * 5000, ("x" * 5000,)),
    ],
    ids=["empty names", "no UTF-8", "control characters", "many names", "a long name"],
)
def test_the_names_of_the_methods(names: bytes, expected: tuple[str, ...]) -> None:
    """A name may be any text, but not long, and there may not be many."""
    found = _userauth.read_reply(b"\x33" + string(names) + b"\0", "none")
    assert isinstance(found, Refused)
    assert found.can_continue
    assert len(found.can_continue) <= 256
    for name, whole in zip(found.can_continue, expected, strict=False):
        assert whole.startswith(name)
        assert len(name) <= 64


@pytest.mark.parametrize(
    ("message", "method"),
    [
        (b"", "none"),
        (b"\x32", "none"),
        (b"\x33", "none"),
        (b"\x33\0\0\0\1", "none"),
        (b"\x33" + string("a"), "none"),
        (b"\x06" + string("ssh-connection"), "none"),
        (b"\x3c", "none"),
        (b"\x3d", "keyboard-interactive"),
        (b"\x3c" + string("") * 3 + struct.pack(">I", 257), "keyboard-interactive"),
        (b"\x3c" + string("") * 3 + b"\0\0\0\2" + string("a") + b"\1", "keyboard-interactive"),
        (b"\x35\xff\xff\xff\xff", "none"),
    ],
)
def test_a_message_that_breaks_the_rfc(message: bytes, method: str) -> None:
    with pytest.raises(MalformedMessage):
        _userauth.read_reply(message, method)


def test_the_requests_are_those_of_the_rfc() -> None:
    """RFC 4252 sections 5, 7 and 8; RFC 4256 sections 3.1 and 3.4."""
    head = b"\x32" + string("who") + string("ssh-connection")
    secret = bytearray(b"old")
    assert _userauth.service_request() == b"\x05" + string("ssh-userauth")
    assert _userauth.none_request("who") == head + string("none")
    password = head + string("password")
    assert _userauth.password_request("who", secret) == password + b"\0" + string("old")
    changed = password + b"\1" + string("old") + string("new")
    assert _userauth.password_request("who", secret, bytearray(b"new")) == changed
    key = string("ssh-ed25519") + string("blob")
    offer = head + string("publickey") + b"\0" + key
    assert _userauth.offer_request("who", "ssh-ed25519", b"blob") == offer
    unsigned = _userauth.unsigned_request("who", "ssh-ed25519", b"blob")
    assert unsigned == head + string("publickey") + b"\1" + key
    assert _userauth.data_to_sign(b"id", unsigned) == string("id") + unsigned
    assert _userauth.signed_request(unsigned, b"sig") == unsigned + string("sig")
    interactive = head + string("keyboard-interactive") + string("") * 2
    assert _userauth.interactive_request("who") == interactive
    answers = b"\x3d\0\0\0\2" + string("a") + string("")
    assert _userauth.info_response([b"a", b""]) == answers
