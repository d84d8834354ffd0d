# SPDX-License-Identifier: BSD-2-Clause
"""Fuzz the authentication: any messages of a server, against the whole engine of login.py.

    fuzz_userauth.py -max_total_time=SECONDS CORPUS

The options are libFuzzer's. With Atheris, if it is installed, the fuzzer is guided by
coverage; otherwise mutations are made blindly. check_all() states the properties that must hold.

An input is one byte of flags, then messages: two bytes of length, and as many bytes.
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
from collections.abc import Iterator
from typing import Any

from driver import atheris, run

with atheris.instrument_imports() if atheris else contextlib.nullcontext():
    from sshgateway import _messages, _userauth, _wire, errors, login
    from sshgateway._status import Status


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _failure(methods: bytes, partial: int = 0) -> bytes:
    return b"\x33" + _string(methods) + bytes([partial])


def _prompts(*prompts: bytes) -> bytes:
    body = b"".join(_string(text) + b"\0" for text in prompts)
    return b"\x3c" + _string(b"name") + _string(b"go") + _string(b"") + struct.pack(
        ">I", len(prompts)
    ) + body  # fmt: skip


_ALL = b"publickey,keyboard-interactive,password"
_BLOBS = tuple(_string(b"ssh-ed25519") + _string(bytes([number]) * 32) for number in range(4))
_SERVICE = b"\x06" + _string(b"ssh-userauth")
_OK = tuple(b"\x3c" + _string(b"ssh-ed25519") + _string(blob) for blob in _BLOBS)
_BANNER = b"\x35" + _string(b"hello\x1b\xe9") + _string(b"")
_CHANGE = b"\x3c" + _string(b"change \xe2\x82") + _string(b"")
_SUCCESS = b"\x34"

#: Messages from which the fuzzer begins and which it inserts.
_PIECES = (
    _SERVICE, *_OK, _BANNER, _CHANGE, _SUCCESS,
    _failure(_ALL), _failure(_ALL, 1), _failure(b"password"), _failure(b"password", 1),
    _failure(b"publickey", 1), _failure(b"keyboard-interactive", 1), _failure(b""),
    _prompts(b"Password: "), _prompts(), _prompts(b"Verification code: ", b"\xff"),
    b"\x3c", b"\x33\0\0\0\xff", b"",
)  # fmt: skip


def _input(flags: int, *messages: bytes) -> bytes:
    return bytes([flags]) + b"".join(struct.pack(">H", len(one)) + one for one in messages)


SEEDS = (
    _input(0, _SERVICE, _failure(_ALL), _SUCCESS),
    _input(1, _SERVICE, _BANNER, _failure(_ALL), _OK[1], _failure(_ALL), _SUCCESS),
    _input(2, _SERVICE, _failure(b"publickey", 1), _failure(_ALL), _prompts(b"Code: "), _SUCCESS),
    _input(3, _failure(b"password"), _CHANGE, _CHANGE, _failure(b"keyboard-interactive", 1)),
    _input(7, _SERVICE, _failure(_ALL), _prompts(b"Password: "), _prompts(), _SUCCESS),
    _input(15, *_PIECES),
)


def messages_of(data: bytes) -> Iterator[bytes]:
    at = 1
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


class Server:
    """A _core.Session that returns the fuzzer's messages, then a lost connection."""

    by_messages = True
    session_id = b"session"
    server_sig_algs = "ssh-ed25519,rsa-sha2-512"

    def __init__(self, data: bytes) -> None:
        self._messages = messages_of(data)
        self.methods = {"server_version": "SSH-2.0-OpenSSH_9.9" if data[0] & 1 else "SSH-2.0-X"}
        self.sent: list[bytes] = []
        self.received = b""

    def userauth_send(self, message: bytes | bytearray, timeout: float | None) -> None:
        assert message[0] in (5, 50, 61)
        self.sent.append(bytes(message))

    def userauth_receive(self, timeout: float | None) -> bytes:
        for message in self._messages:
            self.received = message
            return message
        raise _messages.SessionFailed(Status.LOST, 0, 0, "Too many authentication failures")


class Key:
    """A key with Paramiko's interface, or one of an agent."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def asbytes(self) -> bytes:
        return self.blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:
        return _string(b"ssh-ed25519") + _string(bytes(64))


class Agent:
    """An agent that holds three keys."""

    path = "/agent"
    timeout: float | None = None

    def __init__(self, *_path: object, **_options: object) -> None:
        pass

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_details: object) -> None:
        pass

    def keys(self) -> list[Any]:
        return [Key(blob) for blob in _BLOBS[1:]]


def make_login(flags: int) -> login.Login:
    """Bits: 1 an agent, 2 a given key, 4 a password, 8 a person."""
    made = login.Login(
        "who",
        password="secret" if flags & 4 else None,
        pkey=Key(_BLOBS[0]) if flags & 2 else None,
        key_filename=None,
        passphrase=None,
        allow_agent=False,
        identity_agent=None,
        look_for_keys=False,
        identities_only=False,
        prompt=(lambda text, echo: "typed") if flags & 8 else None,
    )
    made.agent_path = "/agent" if flags & 1 else None
    return made


def check_all(data: bytes) -> None:
    """Only three exceptions come out, the login ends, and no secret goes to a wrong place."""
    data = data or b"\0"
    check_replies(data)
    server = Server(data)
    texts: list[str] = []
    who = make_login(data[0] >> 1)
    try:
        words = who.run(server, "who@host:22", lambda: None, on_banner=texts.append)
    except (errors.AuthenticationError, login.LoginInterrupted, _messages.SessionFailed) as error:
        words = str(error)
        assert "secret" not in words
        assert "typed" not in words
        if isinstance(error, errors.AuthenticationError):
            assert words.isprintable()
            assert len(error.args) == 2
    else:
        assert server.received[:1] == _SUCCESS
    words.encode()
    for text in texts:
        text.encode()
    check_sent(server.sent)


def check_replies(data: bytes) -> None:
    for message in messages_of(data):
        for method in ("none", "publickey", "password", "keyboard-interactive"):
            with contextlib.suppress(_wire.MalformedMessage):
                _userauth.read_reply(message, method)


def check_sent(sent: list[bytes]) -> None:
    """The service is requested once and first."""
    assert len(sent) < 2500
    for number, message in enumerate(sent):
        assert (message[0] == 5) == (number == 0)


# ---- Without Atheris ---------------------------------------------------------


def _mutations(seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    while True:
        flags = rng.randrange(32)
        messages = list(messages_of(rng.choice(SEEDS)))
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(messages) + 1)
            match rng.randrange(9):
                case 5 | 6 | 7 | 8:
                    messages.insert(at, rng.choice(_PIECES))
                case 2 if at < len(messages):
                    del messages[at]
                case 3 if at < len(messages):
                    message = bytearray(messages[at] or b"\0")
                    message[rng.randrange(len(message))] = rng.randrange(256)
                    messages[at] = bytes(message)
                case 4 if at < len(messages):
                    messages[at] = messages[at][: rng.randrange(len(messages[at]) + 1)]
                case _:
                    messages.insert(at, rng.randbytes(rng.randrange(1, 40)))
        yield _input(flags, *messages)


if __name__ == "__main__":
    login.Agent = Agent
    run(check_all, SEEDS, mutations=_mutations(int(os.environ.get("SEED", "1"))))
