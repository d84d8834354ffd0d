# SPDX-License-Identifier: BSD-2-Clause
"""SSH servers whose authentication a test writes: chains of methods, and single messages."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.auth_handler import AuthHandler

from support.scripted import FAILURE, SUCCESS, ParamikoServer

if TYPE_CHECKING:
    from support.sshd import PrivateSshd

PARTIAL: int = paramiko.AUTH_PARTIALLY_SUCCESSFUL

# ---- Messages of RFC 4252 and RFC 4256 ---------------------------------------


def string(value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def failure(*methods: str, partial: bool = False) -> bytes:
    return b"\x33" + string(",".join(methods)) + bytes([partial])


def banner(text: bytes | str) -> bytes:
    return b"\x35" + string(text) + string("")


def change_request(prompt: bytes | str) -> bytes:
    return b"\x3c" + string(prompt) + string("")


def info_request(
    *prompts: tuple[bytes | str, bool], name: bytes | str = "", instruction: bytes | str = ""
) -> bytes:
    body = b"".join(string(text) + bytes([echo]) for text, echo in prompts)
    count = struct.pack(">I", len(prompts))
    return b"\x3c" + string(name) + string(instruction) + string("") + count + body


def disconnect(text: bytes | str, reason: int = 2) -> bytes:
    return b"\x01" + struct.pack(">I", reason) + string(text) + string("")


ACCEPT = b"\x34"


@dataclass
class Request:
    """A message of the client.

    - number (int): 50 for SSH_MSG_USERAUTH_REQUEST, 61 for SSH_MSG_USERAUTH_INFO_RESPONSE.
    - method (str): the method of a request, or of the request that is answered.
    - message (paramiko.Message): the rest, after the method or the number.
    """

    number: int
    method: str
    message: paramiko.Message

    def answers(self) -> list[bytes]:
        """The answers of an SSH_MSG_USERAUTH_INFO_RESPONSE."""
        return [self.message.get_binary() for _ in range(self.message.get_int())]

    def passwords(self) -> list[bytes]:
        """The password of a request; two if the client changes it."""
        count = 1 + self.message.get_boolean()
        return [self.message.get_binary() for _ in range(count)]


#: Returns the payloads to send in reply to a request; ACCEPT ends the login.
Script = Callable[[Request], Sequence[bytes]]


class _ScriptedAuth(AuthHandler):  # type: ignore[misc]
    """Runs a script in the transport's thread."""

    def __init__(self, transport: paramiko.Transport, script: Script) -> None:
        super().__init__(transport)
        self._script = script
        self._method = ""

    @property
    def _handler_table(self) -> dict[int, Callable[[Any], None]]:
        return {
            5: lambda m: AuthHandler._parse_service_request(self, m),
            50: self._take_request,
            61: lambda m: self._reply(Request(61, self._method, m)),
        }

    def _take_request(self, message: paramiko.Message) -> None:
        message.get_binary()  # the user
        message.get_binary()  # the service
        self._method = message.get_binary().decode()
        self._reply(Request(50, self._method, message))

    def _reply(self, request: Request) -> None:
        for payload in self._script(request):
            self.say(payload)

    def say(self, payload: bytes) -> None:
        # It must be true before the client, which may be quick, opens a channel.
        if payload == ACCEPT:
            self.authenticated = True
        self.transport._send_message(paramiko.Message(payload))
        if payload == ACCEPT:
            self.transport._auth_trigger()


class AuthScript(ParamikoServer):
    """A server that authenticates by a script.

    .requests: the requests so far.
    """

    def __init__(
        self, sshd: PrivateSshd, script: Script, *, version: str = "SSH-2.0-Scripted"
    ) -> None:
        super().__init__(sshd)
        self._script = script
        self._version = version
        self.requests: list[Request] = []

    def prepare_transport(self, transport: paramiko.Transport) -> None:
        transport.local_version = self._version
        transport.auth_handler = _ScriptedAuth(transport, self._play)

    def _play(self, request: Request) -> Sequence[bytes]:
        self.requests.append(request)
        return self._script(request)


class _ChainAuth(AuthHandler):  # type: ignore[misc]
    """Lets a ChainServer see each result; a good signature is one only here."""

    def __init__(self, transport: paramiko.Transport, server: ChainServer) -> None:
        super().__init__(transport)
        self._server = server

    def _send_auth_result(self, username: str, method: str, result: int) -> None:
        super()._send_auth_result(username, method, self._server.advance(method, result))


class ChainServer(ParamikoServer):
    """AuthenticationMethods (sshd_config), by Paramiko.

    - methods: as there, for example "publickey,password publickey,keyboard-interactive".
    - keys: the public keys, as blobs, that are accepted; each one only once.
    - password: the right password.
    - rounds: the prompts of keyboard-interactive, round by round: text, echo, right answer.

    .decisions: the methods that were used, each with its result.
    """

    def __init__(
        self,
        sshd: PrivateSshd,
        methods: str,
        *,
        keys: Sequence[bytes] = (),
        password: str = "",
        rounds: Sequence[Sequence[tuple[str, bool, str]]] = (),
    ) -> None:
        super().__init__(sshd, password=password)
        self._lists = [one.split(",") for one in methods.split()]
        self._keys = list(keys)
        self._rounds = rounds
        self.decisions: list[tuple[str, int]] = []

    def prepare_transport(self, transport: paramiko.Transport) -> None:
        self._left = [list(one) for one in self._lists]
        self._unused = list(self._keys)
        self._key = b""
        transport.auth_handler = _ChainAuth(transport, self)

    def advance(self, method: str, result: int) -> int:
        fitting = [one for one in self._left if one[0] == method]
        if result == SUCCESS and fitting:
            if method == "publickey":
                self._unused.remove(self._key)
            # As sshd: the lists that begin with another method stay.
            self._left = [one[1:] if one[0] == method else one for one in self._left]
            result = SUCCESS if [] in self._left else PARTIAL
        else:
            result = FAILURE
        self.decisions.append((method, result))
        return result

    def get_allowed_auths(self, username: str) -> str:
        return ",".join(dict.fromkeys(one[0] for one in self._left))

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._key = key.asbytes()
        return SUCCESS if self._key in self._unused else FAILURE

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        self._coming = list(self._rounds)
        return self._query()

    def _query(self) -> paramiko.InteractiveQuery:
        prompts = [(text, echo) for text, echo, _ in self._coming[0]]
        return paramiko.InteractiveQuery("The name", "The instruction", *prompts)

    def check_auth_interactive_response(self, responses: list[Any]) -> Any:
        given = [one.decode() if isinstance(one, bytes) else str(one) for one in responses]
        self.answers.append(given)
        if given != [answer for _, _, answer in self._coming.pop(0)]:
            return FAILURE
        return self._query() if self._coming else SUCCESS
