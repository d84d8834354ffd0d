# SPDX-License-Identifier: BSD-2-Clause
"""Exchanges of authentication messages with a server, in two implementations.

``MessageExchange`` composes the messages itself (_userauth.py), which takes the pinned libssh2.
``Libssh2Exchange`` lets libssh2 do so, in its own order and with more round trips; it serves the
system's libssh2, which does not tell which methods can continue after a request.

Neither decides what to try: login.py does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sshgateway import _core, _userauth
from sshgateway._keyfile import wipe
from sshgateway._limits import danger_of
from sshgateway._login_keys import FileKey, KeyUnusable, LoginKey
from sshgateway._messages import SessionFailed
from sshgateway._public_keys import line_of
from sshgateway._status import (
    LIBSSH2_ERROR_AUTHENTICATION_FAILED,
    LIBSSH2_ERROR_PASSWORD_EXPIRED,
    LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED,
    Status,
)
from sshgateway._userauth import (
    Accepted,
    Banner,
    ChangeRequest,
    KeyAccepted,
    Prompts,
    Refused,
    Reply,
    ServiceAccepted,
)
from sshgateway._wire import MalformedMessage, Reader

__all__ = ["Exchange", "Libssh2Exchange", "MessageExchange", "exchange_with"]

Left = Callable[[], float | None]
#: Answers the prompts of one round; None gives up.
Answer = Callable[[Prompts], list[str] | None]
#: Given the server's prompt, returns a new password; None gives up.
NewPassword = Callable[[str], str | None]

#: libssh2.h: the codes of a refusal by the server. The others say why nothing was asked.
_REFUSED = (LIBSSH2_ERROR_AUTHENTICATION_FAILED, LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)

#: A server may send up to this many banners and rounds of prompts during one login.
_MOST_MESSAGES = 1000

#: How many new passwords a server may reject.
_MOST_CHANGES = 3


class Exchange(Protocol):
    """Sends requests for one user, and returns the server's reply to each.

    Every method raises SessionFailed if the connection breaks or the deadline passes.
    """

    #: True if a Refused tells which methods can continue.
    reports_methods: bool

    def begin(self) -> None:
        """Prepare the first request; call it before the algorithm of a key is chosen."""

    def none(self) -> Reply:
        """Ask for the methods. Returns Accepted or Refused."""

    def offer(self, keys: Sequence[LoginKey]) -> list[Reply]:
        """Offer keys without a signature, all at once. Returns KeyAccepted or Refused for each;
        fewer replies if the server accepted the login before the last."""

    def sign(self, key: LoginKey) -> Reply:
        """Log in by a key. Returns Accepted or Refused."""

    def password(self, password: str, new_password: NewPassword) -> Reply:
        """Log in by a password. Returns Accepted or Refused, or the ChangeRequest that
        *new_password* did not answer."""

    def interactive(self, answer: Answer) -> Reply:
        """keyboard-interactive. Returns Accepted or Refused, or the Prompts that *answer* did
        not answer."""


class MessageExchange:
    """Composes the messages, and sends the service request with the first of them."""

    reports_methods = True

    def __init__(
        self,
        session: _core.Session,
        username: str,
        left: Left,
        on_banner: Callable[[str], None],
    ) -> None:
        self._session = session
        self._username = username
        self._left = left
        self._on_banner = on_banner
        self._is_begun = False
        self._awaits_service = False
        self._has_requested_service = False
        self._messages = 0
        #: Messages that arrived before the first request.
        self._early: list[bytes] = []

    def begin(self) -> None:
        """Read what the server has sent after the key exchange, without waiting.

        A server that sends EXT_INFO sends it right after its NEWKEYS (RFC 8308 2.4), so the
        signature algorithms that it takes are known before the first request.
        """
        if self._is_begun:
            return
        self._is_begun = self._awaits_service = True
        try:
            self._early.append(self._session.userauth_receive(0))
        except SessionFailed as failure:
            if failure.status != Status.TIMEOUT:
                raise

    def _send(self, message: bytes | bytearray) -> None:
        self.begin()
        if self._awaits_service and not self._has_requested_service:
            self._has_requested_service = True
            self._session.userauth_send(_userauth.service_request(), self._left())
        try:
            self._session.userauth_send(message, self._left())
        finally:
            if isinstance(message, bytearray):
                wipe(message)

    def _receive(self, method: str) -> Reply:
        """The next reply that is not a banner nor the answer to the service request."""
        while True:
            early = self._early.pop(0) if self._early else None
            message = early or self._session.userauth_receive(self._left())
            self._messages += 1
            try:
                if self._messages > _MOST_MESSAGES:
                    raise MalformedMessage("the server sent too many messages of the login")
                reply = _userauth.read_reply(message, method)
                if isinstance(reply, ServiceAccepted) and not self._awaits_service:
                    raise MalformedMessage("the server accepted the service twice")
            except MalformedMessage as error:
                raise SessionFailed(Status.SSH, 0, 0, str(error)) from None
            if isinstance(reply, Banner):
                self._on_banner(reply.text)
            elif isinstance(reply, ServiceAccepted):
                self._awaits_service = False
            else:
                return reply

    def _final(self, method: str) -> Reply:
        """The reply to a request that can only be accepted or refused."""
        reply = self._receive(method)
        if isinstance(reply, Accepted | Refused):
            return reply
        raise SessionFailed(Status.SSH, 0, 0, f"the server's reply to {method!r} is out of order")

    def none(self) -> Reply:
        self._send(_userauth.none_request(self._username))
        return self._final("none")

    def _algorithm(self, key: LoginKey) -> str:
        """The algorithm for a key. Some servers send EXT_INFO only after our NEWKEYS, so for the
        first request that of an RSA key may be a guess: the one that OpenSSH prefers."""
        names = self._session.server_sig_algs
        return key.algorithm("rsa-sha2-512" if names is None and not self._messages else names)

    def _corrected(self, key: LoginKey, guess: str, reply: Reply) -> str | None:
        """The algorithm for a key that was refused because of a wrong guess, or None."""
        if not isinstance(reply, Refused) or reply.is_partial:
            return None
        try:
            algorithm = self._algorithm(key)
        except KeyUnusable:
            return None
        return algorithm if algorithm != guess else None

    def offer(self, keys: Sequence[LoginKey]) -> list[Reply]:
        algorithms = [self._algorithm(key) for key in keys]
        for key, algorithm in zip(keys, algorithms, strict=True):
            self._send(_userauth.offer_request(self._username, algorithm, key.blob))
        replies: list[Reply] = []
        for key in keys:
            replies.append(self._answer_to_offer(key))
            if isinstance(replies[-1], Accepted):
                return replies
        for number, reply in enumerate(replies):
            better = self._corrected(keys[number], algorithms[number], reply)
            if better is not None:
                self._send(_userauth.offer_request(self._username, better, keys[number].blob))
                replies[number] = self._answer_to_offer(keys[number])
        return replies

    def _answer_to_offer(self, key: LoginKey) -> Reply:
        reply = self._receive("publickey")
        if isinstance(reply, KeyAccepted) and reply.blob != key.blob:
            text = "the server accepted a key that was not offered"
            raise SessionFailed(Status.SSH, 0, 0, text)
        return reply

    def sign(self, key: LoginKey) -> Reply:
        algorithm = self._algorithm(key)
        reply = self._sign(key, algorithm)
        better = self._corrected(key, algorithm, reply)
        return reply if better is None else self._sign(key, better)

    def _sign(self, key: LoginKey, algorithm: str) -> Reply:
        request = _userauth.unsigned_request(self._username, algorithm, key.blob)
        data = _userauth.data_to_sign(self._session.session_id, request)
        signature = key.sign(self._session, algorithm, data)
        self._send(_userauth.signed_request(request, signature))
        return self._final("publickey")

    def password(self, password: str, new_password: NewPassword) -> Reply:
        current = bytearray(password, "utf-8", "surrogateescape")
        try:
            self._send(_userauth.password_request(self._username, current))
            reply = self._receive("password")
            for _ in range(_MOST_CHANGES):
                if not isinstance(reply, ChangeRequest):
                    break
                answer = new_password(reply.prompt)
                if answer is None:
                    break
                new = bytearray(answer, "utf-8", "surrogateescape")
                try:
                    self._send(_userauth.password_request(self._username, current, new))
                finally:
                    wipe(new)
                reply = self._receive("password")
            return reply
        finally:
            wipe(current)

    def interactive(self, answer: Answer) -> Reply:
        self._send(_userauth.interactive_request(self._username))
        reply = self._receive("keyboard-interactive")
        while isinstance(reply, Prompts):
            answers = answer(reply)
            if answers is None:
                return reply
            encoded = [text.encode("utf-8", "surrogateescape") for text in answers]
            self._send(_userauth.info_response(encoded))
            reply = self._receive("keyboard-interactive")
        return reply


class Libssh2Exchange:
    """Lets libssh2 compose the messages: one attempt of a method per call.

    libssh2 offers each key before it signs, does not tell a partial success from a refusal, and
    keeps banners to itself.
    """

    reports_methods = False

    def __init__(self, session: _core.Session, username: str, left: Left) -> None:
        self._session = session
        self._username = username
        self._left = left

    def begin(self) -> None:
        """libssh2 does all that is necessary."""

    def none(self) -> Reply:
        methods = self._session.auth_none(self._username, self._left())
        return Accepted() if methods is None else Refused(tuple(methods.split(",")))

    def offer(self, keys: Sequence[LoginKey]) -> list[Reply]:
        """Nothing is sent: libssh2 offers a key when ``sign()`` is called."""
        return [KeyAccepted("", key.blob) for key in keys]

    def sign(self, key: LoginKey) -> Reply:
        if isinstance(key, FileKey):
            return self._sign_by_file(key)

        def sign(algorithm: str, data: bytes) -> bytes:
            return _bare(key.sign(self._session, algorithm, data))

        refusal = self._session.auth_signer(self._username, key.blob, sign, self._left())
        return _key_reply(refusal)

    def _sign_by_file(self, key: FileKey) -> Reply:
        content = key.read()
        try:
            danger = None if key.is_certificate else danger_of(content, key.known_blob)
            if danger is not None:
                raise KeyUnusable(danger)
            refusal = self._session.auth_key(
                self._username,
                content,
                key.passphrase,
                line_of(key.blob) if key.is_certificate else None,
                self._left(),
            )
        finally:
            wipe(content)
        if refusal is not None and refusal[0] not in _REFUSED:
            is_locked = key.file.is_encrypted
            words = f"{refusal[1]}; check the passphrase" if is_locked else refusal[1]
            raise KeyUnusable(words, is_locked=is_locked)
        return _key_reply(refusal)

    def password(self, password: str, new_password: NewPassword) -> Reply:
        secret = bytearray(password, "utf-8", "surrogateescape")
        try:
            return _reply(self._session.auth_password(self._username, secret, self._left()))
        finally:
            wipe(secret)

    def interactive(self, answer: Answer) -> Reply:
        """libssh2 asks prompt by prompt, and does not say which prompts belong together."""
        given_up: list[Prompts] = []

        def ask(name: str, instruction: str, prompt: str, echo: bool) -> str | None:
            prompts = Prompts(name, instruction, ((prompt, echo),))
            answers = None if given_up else answer(prompts)
            if answers is None:
                given_up.append(prompts)
                return None
            return answers[0]

        refusal = self._session.auth_interactive(self._username, ask, self._left())
        return given_up[0] if refusal is not None and given_up else _reply(refusal)


def _reply(refusal: tuple[int, str] | None) -> Reply:
    if refusal is None:
        return Accepted()
    code, text = refusal
    if code == LIBSSH2_ERROR_PASSWORD_EXPIRED:
        return ChangeRequest("")
    return Refused(None, reason="" if code in _REFUSED else text, is_unclear=True)


def _key_reply(refusal: tuple[int, str] | None) -> Reply:
    """libssh2 offers a key first. A key that was welcome, and whose signature then was not enough,
    is most often accepted in part."""
    if refusal is not None and refusal[0] == LIBSSH2_ERROR_AUTHENTICATION_FAILED:
        return Refused(None)
    return _reply(refusal)


def _bare(signature: bytes) -> bytes:
    """A signature without the name of its algorithm, which libssh2 adds itself.

    Whatever follows the signature (the flags and counter of a security key) belongs to it.
    """
    reader = Reader(signature)
    name, bare = reader.string(), reader.string()
    return bare + signature[8 + len(name) + len(bare) :]


def exchange_with(
    session: _core.Session, username: str, left: Left, on_banner: Callable[[str], None]
) -> Exchange:
    """The best exchange that the libssh2 of the session can do."""
    if session.by_messages:
        return MessageExchange(session, username, left, on_banner)
    return Libssh2Exchange(session, username, left)
