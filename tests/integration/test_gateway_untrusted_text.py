# SPDX-License-Identifier: BSD-2-Clause
"""Texts of a server that are not UTF-8: any bytes become a str, and no error escapes."""

from __future__ import annotations

import struct

import paramiko
import pytest

from sshgateway import AuthenticationError, GatewayError, GatewayLostError
from support import gateways, scripted
from support.gateways import Target
from support.waiting import DEADLINE

SECRET = "right"
BAD = b"bad \xff text"
SHOWN = r"bad \xff text"
#: The engine cuts a text off after 511 bytes, and here in the middle of a character.
LONG = "\u20ac" * 200


def raw_disconnect(text: bytes) -> bytes:
    body = b"\1" + struct.pack(">II", 11, len(text)) + text + struct.pack(">I", 0)
    return scripted.packet(body)


@pytest.mark.parametrize("text", [BAD, LONG.encode()], ids=["invalid", "cut"])
def test_a_disconnect_message_during_the_handshake(text: bytes) -> None:
    serve = scripted.says(scripted.BANNER, raw_disconnect(text))
    with Target(serve) as target, pytest.raises(GatewayError) as caught:
        gateways.to_address(target.address).open()
    assert (SHOWN if text == BAD else LONG[:100]) in str(caught.value)


def test_the_methods_that_the_server_accepts(sshd, monkeypatch) -> None:
    monkeypatch.setattr(
        scripted.ParamikoServer, "get_allowed_auths", lambda self, user: b"password,\xff"
    )
    with scripted.ParamikoServer(sshd, password=SECRET) as server:
        with pytest.raises(AuthenticationError) as caught:
            server.gateway(password="wrong").open()
        assert caught.value.accepted == ["password", r"\xff"]


def test_a_prompt(sshd, monkeypatch) -> None:
    monkeypatch.setattr(
        scripted.ParamikoServer,
        "check_auth_interactive",
        lambda self, user, submethods: paramiko.InteractiveQuery(BAD, BAD, (BAD, True)),
    )
    asked = []

    def prompt(text: str, echo: bool) -> str:
        asked.append((text, echo))
        return SECRET

    with (
        scripted.ParamikoServer(sshd, methods="keyboard-interactive", password=SECRET) as server,
        server.gateway(password=None, prompt=prompt),
    ):
        pass
    assert asked[0][0].endswith(SHOWN)


def test_a_disconnect_message_while_a_channel_is_open(sshd) -> None:
    with scripted.ParamikoServer(sshd, password=SECRET) as server:
        gateway = server.gateway()
        channel = gateway.open_channel("direct-tcpip", ("target", 22))
        server.disconnect(BAD)
        channel.settimeout(DEADLINE)
        with pytest.raises(GatewayLostError) as caught:
            channel.recv(1)
        assert SHOWN in str(caught.value)
        channel.close()
        gateway.close()
