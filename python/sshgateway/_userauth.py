# SPDX-License-Identifier: BSD-2-Clause
"""The messages of SSH authentication (RFC 4252, RFC 4256).

This module composes requests and reads replies. It makes no decision about what to try:
login.py does. Everything a server sends is untrusted: a message that breaks RFC 4252 raises
MalformedMessage, and text becomes a str whatever its bytes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sshgateway._wire import MalformedMessage, Reader, string, uint32

SERVICE_REQUEST: Final = 5
SERVICE_ACCEPT: Final = 6
REQUEST: Final = 50
FAILURE: Final = 51
SUCCESS: Final = 52
BANNER: Final = 53
#: The meaning of 60 depends on the method of the last request: SSH_MSG_USERAUTH_PK_OK,
#: SSH_MSG_USERAUTH_PASSWD_CHANGEREQ or SSH_MSG_USERAUTH_INFO_REQUEST.
METHOD_REPLY: Final = 60
INFO_RESPONSE: Final = 61

#: The most prompts of one SSH_MSG_USERAUTH_INFO_REQUEST; OpenSSH's servers send up to 100.
MAX_PROMPTS: Final = 256

_CONNECTION: Final = b"ssh-connection"


# ---- Replies ----------------------------------------------------------------


@dataclass(frozen=True)
class Accepted:
    """SSH_MSG_USERAUTH_SUCCESS: the login is complete."""


@dataclass(frozen=True)
class Refused:
    """SSH_MSG_USERAUTH_FAILURE (RFC 4252 5.1)."""

    #: The methods that can continue; None if this is not known (the system's libssh2).
    can_continue: tuple[str, ...] | None
    #: True if the request itself was successful, and the server wants more.
    is_partial: bool = False
    #: libssh2's words, if it gave some.
    reason: str = ""
    #: True if the request may have been successful, and libssh2 does not tell.
    is_unclear: bool = False


@dataclass(frozen=True)
class KeyAccepted:
    """SSH_MSG_USERAUTH_PK_OK: the server would take a signature by this key."""

    algorithm: str
    blob: bytes


@dataclass(frozen=True)
class ChangeRequest:
    """SSH_MSG_USERAUTH_PASSWD_CHANGEREQ: the password has expired."""

    prompt: str


@dataclass(frozen=True)
class Prompts:
    """SSH_MSG_USERAUTH_INFO_REQUEST (RFC 4256 3.2)."""

    name: str
    instruction: str
    prompts: tuple[tuple[str, bool], ...]  # text, echo


@dataclass(frozen=True)
class Banner:
    """SSH_MSG_USERAUTH_BANNER (RFC 4252 5.4)."""

    text: str


@dataclass(frozen=True)
class ServiceAccepted:
    """SSH_MSG_SERVICE_ACCEPT for ssh-userauth (RFC 4253 section 10)."""


Reply = Accepted | Refused | KeyAccepted | ChangeRequest | Prompts | Banner | ServiceAccepted


def read_reply(message: bytes, method: str) -> Reply:
    """Read one message of the server.

    method: the method of the request that is answered; it decides what number 60 means.
    Raises MalformedMessage.
    """
    reader = Reader(message)
    number = reader.byte()
    if number == SUCCESS:
        return Accepted()
    if number == FAILURE:
        return Refused(reader.name_list(), reader.boolean())
    if number == BANNER:
        return Banner(reader.text())
    if number == SERVICE_ACCEPT:
        if reader.string() != b"ssh-userauth":
            raise MalformedMessage("the server accepted a service that was not requested")
        return ServiceAccepted()
    if number == METHOD_REPLY:
        return _read_method_reply(reader, method)
    raise MalformedMessage(f"the server sent message {number} during the authentication")


def _read_method_reply(reader: Reader, method: str) -> Reply:
    if method == "publickey":
        return KeyAccepted(reader.text(), reader.string())
    if method == "password":
        return ChangeRequest(reader.text())
    if method == "keyboard-interactive":
        return _read_prompts(reader)
    raise MalformedMessage(f"the server sent message {METHOD_REPLY} in reply to {method!r}")


def _read_prompts(reader: Reader) -> Prompts:
    name, instruction = reader.text(), reader.text()
    reader.string()  # language tag
    count = reader.uint32()
    if count > MAX_PROMPTS:
        raise MalformedMessage(f"the server sent {count} prompts at once")
    prompts = tuple((reader.text(), reader.boolean()) for _ in range(count))
    return Prompts(name, instruction, prompts)


# ---- Requests ---------------------------------------------------------------


def service_request() -> bytes:
    return bytes([SERVICE_REQUEST]) + string(b"ssh-userauth")


def _request(user: str, method: bytes) -> bytearray:
    return bytearray(bytes([REQUEST]) + string(user) + string(_CONNECTION) + string(method))


def none_request(user: str) -> bytearray:
    """Ask which methods there are (RFC 4252 5.2)."""
    return _request(user, b"none")


def password_request(
    user: str, password: bytearray, new_password: bytearray | None = None
) -> bytearray:
    """Send a password (RFC 4252 section 8), with a new one after a ChangeRequest."""
    message = _request(user, b"password")
    message += b"\1" if new_password is not None else b"\0"
    for secret in (password,) if new_password is None else (password, new_password):
        message += uint32(len(secret))
        message += secret  # no copy that could not be wiped
    return message


def offer_request(user: str, algorithm: str, blob: bytes) -> bytearray:
    """Ask whether a signature by this key would be accepted (RFC 4252 section 7)."""
    return _request(user, b"publickey") + b"\0" + string(algorithm) + string(blob)


def unsigned_request(user: str, algorithm: str, blob: bytes) -> bytearray:
    """The request that a signature covers, without the signature."""
    return _request(user, b"publickey") + b"\1" + string(algorithm) + string(blob)


def data_to_sign(session_id: bytes, unsigned: bytes | bytearray) -> bytes:
    """The data that the signature of a request covers (RFC 4252 section 7)."""
    return string(session_id) + unsigned


def signed_request(unsigned: bytearray, signature: bytes) -> bytearray:
    """signature: as RFC 4253 6.6 encodes it, with the name of its algorithm."""
    return unsigned + string(signature)


def interactive_request(user: str) -> bytearray:
    """Begin keyboard-interactive (RFC 4256 3.1) without a language or a submethod."""
    return _request(user, b"keyboard-interactive") + string(b"") + string(b"")


def info_response(answers: Sequence[bytes | bytearray]) -> bytearray:
    """Answer the prompts (RFC 4256 3.4)."""
    message = bytearray(bytes([INFO_RESPONSE]) + uint32(len(answers)))
    for answer in answers:
        message += string(answer)
    return message
