# SPDX-License-Identifier: BSD-2-Clause
"""Texts of a server: banners (RFC 4252 5.4), and texts in any encoding, at every place.

A text may be Latin-1, may be cut inside a character of UTF-8, and may be long. It must never
raise UnicodeDecodeError, and its control characters must not reach a terminal.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

import paramiko
import pytest

from sshgateway import AuthenticationError, Gateway, GatewayError, _core
from support import gateways, scripted, waiting
from support.auth_script import (
    ACCEPT,
    AuthScript,
    Request,
    banner,
    change_request,
    disconnect,
    failure,
    info_request,
    string,
)
from support.sshd import PrivateSshd


class Replies:
    """Reply with banners, then accept the password."""

    def __init__(self, *before: bytes, accept: bool = True) -> None:
        self._before = before
        self._last = ACCEPT if accept else failure("password")

    def __call__(self, request: Request) -> list[bytes]:
        if request.method == "none":
            return [failure("password")]
        return [*self._before, self._last]


def shown(gateway: Gateway) -> str:
    with gateway:
        return gateway.banner


# ---- Banners -----------------------------------------------------------------------------


def test_the_banner_of_an_sshd(tmp_path, by_messages) -> None:
    path = tmp_path / "banner"
    path.write_text("No trespassing.\nReally.\n")
    texts: list[str] = []
    with PrivateSshd({"Banner": str(path)}) as sshd:
        gateway = gateways.to(sshd, banner=texts.append)
        assert gateway.banner == ""
        assert shown(gateway) == "No trespassing.\nReally.\n"
    assert texts == ["No trespassing.\nReally.\n"]


def test_no_banner(sshd, exchange) -> None:
    texts: list[str] = []
    assert shown(gateways.to(sshd, banner=texts.append)) == ""
    assert texts == []


def test_a_banner_arrives_while_the_server_waits(sshd, by_messages) -> None:
    """Some servers show a URL, and wait until the user has been there."""
    seen = threading.Event()
    arrived_in_time = []

    class Waits:
        def __call__(self, request: Request) -> Sequence[bytes]:
            if request.method != "password":
                return [failure("password")]
            server.transports[-1].auth_handler.say(banner("Visit https://login.example/1"))
            arrived_in_time.append(seen.wait(waiting.DEADLINE))
            return [ACCEPT]

    def take(text: str) -> None:
        assert text == "Visit https://login.example/1"
        seen.set()

    with AuthScript(sshd, Waits()) as server:
        assert shown(server.gateway(password="x", banner=take)) == "Visit https://login.example/1"
    assert arrived_in_time == [True]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"plain\r\ntext\r\n", "plain\ntext\n"),
        (b"\x1b[31mred\x1b[0m\7", "\\033[31mred\\033[0m\\007"),
        (b"a\tb\n", "a\tb\n"),
        (b"\r\x00", "\\015\\000"),
        (b"caf\xe9", "caf\\xe9"),
        ("caf\u00e9 \u20ac".encode(), "caf\u00e9 \u20ac"),
        ("\u20ac".encode()[:2], "\\xe2\\x82"),
        ("\u202egnirts\u009b".encode(), "\\342\\200\\256gnirts\\302\\233"),
        (b"", ""),
    ],
    ids=repr,
)
def test_a_banner_is_made_printable(sshd, by_messages, sent: bytes, expected: str) -> None:
    texts: list[str] = []
    with AuthScript(sshd, Replies(banner(sent))) as server:
        assert shown(server.gateway(password="x", banner=texts.append)) == expected
    assert texts == [expected]


def test_banners_are_put_together(sshd, by_messages) -> None:
    texts: list[str] = []
    with AuthScript(sshd, Replies(*map(banner, ("one\n", "two\n", "three")))) as server:
        gateway = server.gateway(password="x", banner=texts.append)
        assert shown(gateway) == "one\ntwo\nthree"
        assert shown(gateway) == "one\ntwo\nthree", "a new connection begins anew"
    assert texts == ["one\n", "two\n", "three"] * 2


@pytest.mark.parametrize(
    "banners",
    [[b"\x01" * 30000] * 9, [b"x" * 100] * 900, [b"\xe9" * 32000]],
    ids=["huge", "many", "all escapes"],
)
def test_banners_are_bounded(sshd, by_messages, banners: list[bytes]) -> None:
    replies = [banner(text) for text in banners]
    with AuthScript(sshd, Replies(*replies)) as server:
        assert 0 < len(shown(server.gateway(password="x"))) <= 65536
    refuses = AuthScript(sshd, Replies(*replies, accept=False))
    with refuses, pytest.raises(AuthenticationError) as caught:
        refuses.gateway(password="x").open()
    assert len(str(caught.value)) < 2000


def test_banners_without_end(sshd, by_messages) -> None:
    server = AuthScript(sshd, Replies(*[banner("")] * 2000))
    with server, pytest.raises(GatewayError, match="too many messages"):
        server.gateway(password="x").open()


def test_an_exception_of_the_banner_callable_comes_out(sshd, by_messages) -> None:
    with AuthScript(sshd, Replies(banner("hello"))) as server:
        gateway = server.gateway(password="x", banner=lambda text: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gateway.open()
        assert not gateway.is_connected


def test_an_error_has_the_last_banner(sshd, by_messages) -> None:
    replies = Replies(banner("the first"), banner("ask\nthe\x1b admin"), accept=False)
    server = AuthScript(sshd, replies)
    with server, pytest.raises(AuthenticationError, match=r"ask the\\033 admin") as caught:
        server.gateway(password="x").open()
    assert "the first" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_timeout_has_the_last_banner(sshd, by_messages) -> None:
    done = threading.Event()

    class Waits:
        def __call__(self, request: Request) -> Sequence[bytes]:
            if request.method != "password":
                return [failure("password")]
            server.transports[-1].auth_handler.say(banner("Visit https://login.example/2"))
            done.wait(4 * waiting.DEADLINE)
            return [failure("password")]

    def attempt() -> None:
        with pytest.raises(TimeoutError) as caught:
            server.gateway(password="x").open(timeout=3)
        assert "login.example/2" in str(caught.value)

    with AuthScript(sshd, Waits()) as server:
        try:
            waiting.at_last(attempt)  # the key exchange must be over in time
        finally:
            done.set()


# ---- Text in any encoding, of any length, at every place -----------------------------------

LENGTHS = (1, 2, 3, 254, 600, 601, 1000)
TEXTS: dict[str, Callable[[int], bytes]] = {
    "latin-1": lambda n: b"\xe9" * n,
    "utf-8": lambda n: ("\u20ac" * n).encode()[:n],
    "control": lambda n: (b"\x1b\x00\r\n" * n)[:n],
}


@pytest.fixture(params=TEXTS)
def texts(request) -> list[bytes]:
    make = TEXTS[request.param]
    return [make(length) for length in LENGTHS]


def is_told(error: OSError) -> None:
    """An error of ours, in one printable line that is not endless."""
    assert len(error.args) == 2
    assert isinstance(error, GatewayError | TimeoutError)
    assert error.args[1].isprintable()
    assert len(error.args[1]) < 5000
    repr(error)


def last(gateway: Gateway) -> OSError:
    with pytest.raises(GatewayError) as caught:
        gateway.open()
    is_told(caught.value)
    return caught.value


REPLIES: dict[str, Callable[[bytes], list[bytes]]] = {
    "methods": lambda text: [b"\x33" + string(text) + b"\0"],
    "disconnect": lambda text: [disconnect(text)],
    "disconnect_reason_11": lambda text: [disconnect(text, 11)],
    "banner": lambda text: [banner(text), failure("password")],
    "change": lambda text: [change_request(text)],
    "unknown message": lambda text: [b"\x3d" + text],
    "cut message": lambda text: [b"\x33" + struct.pack(">I", len(text) + 9) + text],
}


@pytest.mark.parametrize("place", REPLIES)
def test_text_in_the_reply_to_a_password(sshd, exchange, texts, place: str) -> None:
    current = [b""]

    def script(request: Request) -> Sequence[bytes]:
        if request.method == "none":
            return [failure("password", "keyboard-interactive")]
        return REPLIES[place](current[0]) if request.method == "password" else [failure("x")]

    if place == "unknown message" and exchange == "libssh2":
        pytest.skip("libssh2 waits for a message that it knows")
    with AuthScript(sshd, script) as server:
        for current[0] in texts:
            last(server.gateway(password="x", timeout=gateways.OPEN))


@pytest.mark.parametrize("place", ["prompt", "name", "instruction"])
def test_text_in_a_prompt(sshd, exchange, texts, place: str) -> None:
    if place == "name" and _core.LIBSSH2_NUMBER < 0x010B00:
        pytest.skip("libssh2 1.10 rejects a name that is longer than the rest of its message")
    current = [b""]
    asked: list[Any] = []

    def script(request: Request) -> Sequence[bytes]:
        if request.number == 61:  # libssh2 sends an empty answer if there is none
            return [ACCEPT if request.answers() == [b"1"] else failure("keyboard-interactive")]
        if request.method != "keyboard-interactive":
            return [failure("keyboard-interactive")]
        prompt = current[0] if place == "prompt" else b"Code: "
        more = {place: current[0]} if place != "prompt" else {}
        return [info_request((prompt, True), **more)]

    def prompt(text: str, echo: bool, question: Any) -> str:
        asked.append(question)
        return "1"

    with AuthScript(sshd, script) as server:
        for current[0] in texts:
            with server.gateway(password=None, prompt=prompt):
                pass
            last(server.gateway(password=None, prompt=lambda text, echo: None))
    assert len(asked) == len(texts)
    for question in asked:
        for text in (question.text, question.name, question.instruction):
            assert all(c.isprintable() or c in "\n\t" for c in text)
            text.encode()


@pytest.mark.parametrize("place", ["version", "before the version", "no version", "disconnect"])
def test_text_before_the_login(exchange, texts, place: str) -> None:
    for text in texts:
        line = text.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        said = {
            "version": b"SSH-2.0-" + line + b"\r\n",
            "before the version": line + b"\r\n" + scripted.BANNER,
            "no version": line + b"\r\n",
            "disconnect": scripted.BANNER + scripted.packet(disconnect(text)),
        }[place]
        with gateways.Target(scripted.says_and_closes(said)) as server:
            last(gateways.to_address(server.address, strict_host_key_checking="no"))


def test_text_of_a_refused_channel_and_of_the_end(sshd, exchange, texts) -> None:
    current = [b""]

    class Refuses(AuthScript):
        def prepare_transport(self, transport: paramiko.Transport) -> None:
            super().prepare_transport(transport)
            table = dict(transport._handler_table)
            table[90] = lambda *args: self._refuse(transport, args[-1])
            transport._handler_table = table

        def _refuse(self, transport: paramiko.Transport, message: paramiko.Message) -> None:
            message.get_binary()
            number = struct.pack(">I", message.get_int())
            said = b"\x5c" + number + struct.pack(">I", 2) + string(current[0]) + string("")
            transport._send_message(paramiko.Message(said))

    with Refuses(sshd, Replies()) as server:
        for current[0] in texts:
            with server.gateway(password="x") as gateway:
                with pytest.raises(OSError, match="refused a channel") as caught:
                    gateway.open_channel("direct-tcpip", ("db", 1))
                is_told(caught.value)
                server.transports[-1]._send_message(paramiko.Message(disconnect(current[0])))
                waiting.until(lambda: not gateway.is_connected, "the loss")
