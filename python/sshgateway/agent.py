# SPDX-License-Identifier: BSD-2-Clause
"""Agent: list the keys of an ssh-agent(1) and sign with them.

It uses two requests of the agent protocol (draft-ietf-sshm-ssh-agent) over the agent's Unix
socket. libssh2's own agent code blocks without a limit and fails on some keys; here every
operation has a deadline, and the size of messages is limited as in OpenSSH's authfd.c.

The extension session-bind@openssh.com is not implemented. An agent therefore neither lists nor
uses keys that ``ssh-add -h`` restricted to certain hosts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from sshgateway._deadline import Deadline
from sshgateway._messages import printable
from sshgateway._public_keys import CERTIFICATE, fingerprint, key_type
from sshgateway._wire import Reader, string, uint32
from sshgateway.errors import Error

__all__ = ["Agent", "AgentError", "AgentKey", "socket_path"]

# draft-ietf-sshm-ssh-agent, sections 6.1 and 6.2; authfd.h
_FAILURES = (5, 30, 102)  # SSH_AGENT_FAILURE, and the replies of older agents for it
_REQUEST_IDENTITIES = 11
_IDENTITIES_ANSWER = 12
_SIGN_REQUEST = 13
_SIGN_RESPONSE = 14
_RSA_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}

_LONGEST_MESSAGE = 256 * 1024  # bytes; authfd.c MAX_AGENT_REPLY_LEN
_MOST_KEYS = 2048  # authfd.c MAX_AGENT_IDENTITIES
_CONNECT_TRIES_EVERY = 0.02  # seconds


_Answer = TypeVar("_Answer")


class AgentError(Error):
    """An agent cannot be used, or refuses a request.

    It is also the standard class of its errno:

    - ``FileNotFoundError``: there is no socket.
    - ``ConnectionRefusedError``: no agent listens on the socket.
    - ``PermissionError`` (EACCES): the agent refuses to sign.
    - ``ConnectionResetError``: the agent closed the connection.
    - ``TimeoutError``: the deadline has passed.

    EPROTO stands for an invalid reply.
    """

    #: Path of the agent's socket; "" if none is known.
    path: str = ""


def socket_path(identity_agent: str | os.PathLike[str] | None = None) -> str | None:
    """Return the path of the agent's socket; None if there is none or it must not be used.

    - identity_agent (path): IdentityAgent of ssh_config(5): a path ("~" stands for the home
      directory), "$NAME" or "SSH_AUTH_SOCK" for the value of that variable, or "none".
      Default: "SSH_AUTH_SOCK".
    """
    given = "SSH_AUTH_SOCK" if identity_agent is None else os.fspath(identity_agent)
    if given == "none":
        return None
    if given == "SSH_AUTH_SOCK":
        given = "$SSH_AUTH_SOCK"
    if given.startswith("$") and not given.startswith("${"):
        return os.environ.get(given[1:]) or None
    expanded = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), given)
    return os.path.expanduser(expanded) or None


class Agent:
    """A connection to an agent, which is made for the first request.

    - path (path): the socket. Default: ``socket_path()``.
    - timeout (float or None): seconds for each operation (listing the keys, or a signature);
      None means no limit. A person may have to confirm a signature.
    - deadline (float or None): the ``time.monotonic()`` at which every operation ends, if its
      timeout does not end it earlier. The attribute may be set at any time.

    Thread-safe: operations run one after the other. A child of fork() makes its own
    connection.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        *,
        deadline: float | None = None,
    ) -> None:
        self.path: str = socket_path() or "" if path is None else os.fspath(path)
        self.timeout = timeout
        self.deadline = deadline
        self._turn = threading.Lock()
        self._pid = os.getpid()
        self._socket: socket.socket | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The Agent and its keys are no longer usable.

        An operation of another thread fails; this method does not wait for its end.
        """
        self._closed = True
        sock = self._socket
        if sock is not None and self._pid == os.getpid():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if self._turn.acquire(blocking=False):
            try:
                self._hang_up()
            finally:
                self._turn.release()

    def keys(self) -> list[AgentKey]:
        """Return the agent's keys, in its order; an empty list if it is locked.

        Raises AgentError.
        """

        def parse(answer: _Reader) -> list[AgentKey]:
            answer.expect(_IDENTITIES_ANSWER)
            count = answer.uint32()
            if count > _MOST_KEYS:
                raise answer.invalid(f"it announces {count} keys")
            found = []
            for _ in range(count):
                blob, comment = answer.string(), answer.string()
                with contextlib.suppress(ValueError):  # an unknown kind of key, as authfd.c
                    found.append(AgentKey(self, blob, comment.decode("utf-8", "replace")))
            return found

        return self._ask(bytes([_REQUEST_IDENTITIES]), "list its keys", parse)

    def sign(self, key: AgentKey, data: bytes, algorithm: str) -> bytes:
        """Sign *data* with a key of the agent.

        - algorithm (str): an algorithm of the key, without "-cert-v01@openssh.com".

        Returns the signature blob of RFC 4253 section 6.6: string algorithm, string signature.
        Raises AgentError, also if the agent signs with another algorithm.
        """

        def parse(answer: _Reader) -> bytes:
            answer.expect(_SIGN_RESPONSE)
            signature = answer.string()
            # Some agents ignore the flags; ssh_agent_sign() in authfd.c checks too. A
            # security key may return a signature of the webauthn form.
            made = answer.inside(signature).string().decode("ascii", "replace")
            if made != algorithm and not algorithm.startswith("sk-"):
                raise answer.invalid(f"a signature of type {made!r}, not {algorithm!r}")
            return signature

        flags = uint32(_RSA_FLAGS.get(algorithm, 0))
        request = bytes([_SIGN_REQUEST]) + string(key.blob) + string(data) + flags
        return self._ask(request, f"sign with {key.describe()}", parse)

    # ---- Requests and replies -----------------------------------------------

    def _ask(self, request: bytes, doing: str, parse: Callable[[_Reader], _Answer]) -> _Answer:
        """Send a request and return the result of *parse* for the reply.

        - doing (str): the operation, for the error's text.
        """
        if len(request) > _LONGEST_MESSAGE:
            raise self.error(errno.EMSGSIZE, doing, "the message is longer than agents accept")
        if self._pid != os.getpid():  # a child of fork(): a thread of the parent may hold the lock
            self._turn, self._pid = threading.Lock(), os.getpid()
            self._hang_up()
        deadline = Deadline(self.timeout, at=self.deadline)
        left = deadline.left()
        if not self._turn.acquire(timeout=-1 if left is None else left):
            raise self._too_late(doing)
        try:
            answer = self._exchange(request, deadline, doing)
            if answer[0] not in _FAILURES:
                return parse(_Reader(answer, self, doing))
        except BaseException as error:
            # A late reply must not be taken for the reply to the next request.
            self._hang_up()
            if isinstance(error, AgentError) or not isinstance(error, OSError):
                raise
            if isinstance(error, TimeoutError):
                raise self._too_late(doing) from None
            number, why = _reason(error)
            raise self.error(number, doing, why) from None
        finally:
            self._turn.release()
            if self._closed:  # by another thread in the meantime
                self.close()
        raise self.error(errno.EACCES, doing, _WHY_REFUSED)

    def _exchange(self, request: bytes, deadline: Deadline, doing: str) -> bytes:
        kept = self._socket
        try:
            length = self._begin(request, deadline, doing)
        except ConnectionError:
            if self._socket is not kept or self._closed:
                raise
            self._hang_up()  # the agent has been restarted since the last request
            length = self._begin(request, deadline, doing)
        if not 0 < length <= _LONGEST_MESSAGE:
            why = f"its reply is invalid: a message of {length} bytes"
            raise self.error(errno.EPROTO, doing, why)
        return self._receive(length, deadline, doing)

    def _begin(self, request: bytes, deadline: Deadline, doing: str) -> int:
        """Send a request and return the length of the reply."""
        sock = self._connected(deadline, doing)
        _limit(sock, deadline)
        sock.sendall(string(request))  # the timeout covers the whole call
        return int.from_bytes(self._receive(4, deadline, doing))

    def _receive(self, size: int, deadline: Deadline, doing: str) -> bytes:
        sock = self._socket
        assert sock is not None
        received = bytearray()
        while len(received) < size:
            _limit(sock, deadline)
            part = sock.recv(size - len(received))
            if not part:
                raise self.error(
                    errno.ECONNRESET, doing, "it closed the connection without a reply"
                )
            received += part
        return bytes(received)

    # ---- The connection ------------------------------------------------------

    def _connected(self, deadline: Deadline, doing: str) -> socket.socket:
        if self._closed:
            raise self.error(errno.EBADF, doing, "this Agent was closed")
        if not self.path:
            why = "there is none: SSH_AUTH_SOCK is not set; start ssh-agent and run ssh-add"
            raise self.error(errno.ENOENT, doing, why)
        if "\0" in self.path:  # connect(2) would use the part before it
            raise self.error(errno.EINVAL, doing, "its path holds a null byte")
        if self._socket is not None and _readable(self._socket):
            self._hang_up()  # an EOF, or bytes that no request has asked for
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connect(self._socket, deadline, doing)
        return self._socket

    def _connect(self, sock: socket.socket, deadline: Deadline, doing: str) -> None:
        """Connect before the deadline, even if the agent does not accept connections.

        On Linux connect(2) of a non-blocking Unix socket fails with EAGAIN if the listener's
        queue is full. poll(2) does not report when there is room, so this tries again.
        """
        sock.settimeout(0)
        while not self._closed:
            try:
                return sock.connect(self.path)
            except BlockingIOError:
                if deadline.is_over():
                    raise self._too_late(doing) from None
                time.sleep(_CONNECT_TRIES_EVERY)
        raise self.error(errno.EBADF, doing, "this Agent was closed")

    def _hang_up(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    # ---- Time and errors -----------------------------------------------------

    def error(self, number: int, doing: str, why: str) -> AgentError:
        """Return an AgentError.

        - number (int): its errno.
        - doing, why (str): the operation and the reason, for the text.
        """
        text = f"the ssh agent {self.path!r} cannot {doing}: {why}"
        return AgentError(number, text, path=self.path)

    def _too_late(self, doing: str) -> AgentError:
        why = "it did not reply in time; it may wait for a confirmation, a PIN or a touch"
        return self.error(errno.ETIMEDOUT, doing, why)


_WHY_REFUSED = (
    "it refuses; it may be locked (ssh-add -X), or the key may be removed, restricted to certain "
    "hosts, or not confirmed"
)


class AgentKey:
    """A key of an agent, with the part of the interface of Paramiko's keys that a login needs.

    It can be the ``pkey=`` of a Gateway or of Paramiko's Transport. The private key stays in
    the agent.
    """

    #: None. A Paramiko key has its certificate here, but the blob of an AgentKey is the
    #: certificate itself.
    public_blob: None = None

    def __init__(self, agent: Agent, blob: bytes, comment: str = "") -> None:
        self.type: str = key_type(blob)
        self.agent = agent
        #: The public key or certificate (RFC 4253 section 6.6).
        self.blob = blob
        #: The comment that ssh-add -l shows, most often the key's file.
        self.comment = comment

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} {self.fingerprint} {self.comment!r}>"

    @property
    def fingerprint(self) -> str:
        """The fingerprint in OpenSSH's form, "SHA256:..."."""
        return fingerprint(self.blob)

    def describe(self) -> str:
        """Return type, fingerprint and comment, for messages."""
        return printable(f"{self.type} {self.fingerprint} ({self.comment})")

    def get_name(self) -> str:
        """Return the key's type, as "ssh-ed25519"."""
        return self.type

    def asbytes(self) -> bytes:
        """Return the public key blob."""
        return self.blob

    def can_sign(self) -> bool:
        """Return True: the agent has the private key."""
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:
        """Sign *data*.

        - algorithm (str): for RSA "rsa-sha2-256" or "rsa-sha2-512" (RFC 8332), also with
          "-cert-v01@openssh.com". Default: "ssh-rsa", which uses SHA-1. Other keys have one
          algorithm.

        Returns the signature blob: string algorithm, string signature. For a security key
        (sk-...) its flags and counter follow.

        Raises AgentError, and ValueError for an unknown algorithm of an RSA key.
        """
        return self.agent.sign(self, bytes(data), self._algorithm(algorithm))

    def _algorithm(self, asked: str | None) -> str:
        if self.type.startswith("sk-"):
            return self.type
        plain = self.type.removesuffix(CERTIFICATE)
        wanted = asked.removesuffix(CERTIFICATE) if plain == "ssh-rsa" and asked else plain
        if plain == "ssh-rsa" and wanted not in (plain, *_RSA_FLAGS):
            raise ValueError(f"{asked!r} is not a signature algorithm of an RSA key")
        return wanted


class _Reader(Reader):
    """Reads a reply; a missing or invalid field is an AgentError."""

    def __init__(self, data: bytes, agent: Agent, doing: str) -> None:
        super().__init__(data)
        self._agent = agent
        self._doing = doing

    def invalid(self, what: str) -> AgentError:
        why = f"its reply is invalid: {printable(what)}"
        return self._agent.error(errno.EPROTO, self._doing, why)

    def inside(self, part: bytes) -> _Reader:
        """Return a reader for a field that consists of fields."""
        return _Reader(part, self._agent, self._doing)

    def expect(self, kind: int) -> None:
        found = self.byte()
        if found != kind:
            raise self.invalid(f"message {found} instead of {kind}")


def _limit(sock: socket.socket, deadline: Deadline) -> None:
    """Set the socket's timeout to the time left."""
    left = deadline.left()
    if left == 0:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    sock.settimeout(left)


def _readable(sock: socket.socket) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _reason(error: OSError) -> tuple[int, str]:
    """Return errno and text for an error of the socket."""
    number = error.errno
    if number is None:  # "AF_UNIX path too long" has no errno
        number = errno.ENAMETOOLONG
    if number == errno.ENOENT:
        return number, "there is no such socket; check that the agent is running"
    if number == errno.ECONNREFUSED:
        return number, "no agent listens there; check that the agent is running"
    return number, os.strerror(number)
