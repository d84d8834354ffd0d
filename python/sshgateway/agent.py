# SPDX-License-Identifier: BSD-2-Clause
"""Keys held by an ssh-agent(1): list them, have them sign.

Two messages of the agent protocol (draft-ietf-sshm-ssh-agent) over the Unix
socket the agent listens on.  libssh2's own agent code blocks without limit and
fails on some keys; here every operation has a deadline and messages have
bounds, as in OpenSSH's authfd.c.

Not spoken: session-bind@openssh.com.  So an agent does not show or use here
keys that ``ssh-add -h`` restricted to certain hosts.
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
from sshgateway.errors import Error
from sshgateway.known_hosts import fingerprint, key_type

__all__ = ["Agent", "AgentError", "AgentKey", "socket_path"]

# draft-ietf-sshm-ssh-agent, sections 6.1 and 6.2; authfd.h
_FAILURES = (5, 30, 102)  # SSH_AGENT_FAILURE, and what older agents say for it
_REQUEST_IDENTITIES = 11
_IDENTITIES_ANSWER = 12
_SIGN_REQUEST = 13
_SIGN_RESPONSE = 14
_RSA_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
_CERTIFICATE = "-cert-v01@openssh.com"

_LONGEST_MESSAGE = 256 * 1024  # bytes; authfd.c MAX_AGENT_REPLY_LEN
_MOST_KEYS = 2048  # authfd.c MAX_AGENT_IDENTITIES
_CONNECT_TRIES_EVERY = 0.02  # seconds


_Answer = TypeVar("_Answer")


class AgentError(Error):
    """An agent can't be used, or refuses.

    Also the standard class of its errno: ``FileNotFoundError`` when there is no
    socket, ``ConnectionRefusedError`` when nobody listens on it,
    ``PermissionError`` (EACCES) when the agent refuses to sign,
    ``ConnectionResetError`` when it hangs up, ``TimeoutError`` at the
    deadline; EPROTO when what it says makes no sense.
    """

    #: Path of the agent's socket; "" if none is known.
    path: str = ""


def socket_path(identity_agent: str | os.PathLike[str] | None = None) -> str | None:
    """Where the agent listens; None if there is none or it is not to be used.

    identity_agent: as ssh_config(5) has it: a path ("~" is the home
    directory), "$NAME" or "SSH_AUTH_SOCK" for what that variable says, or
    "none".  Default: SSH_AUTH_SOCK.
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
    """A connection to an agent, made when it is first needed.

    path: of the socket; default: socket_path().  timeout: seconds an operation
    (a list of keys, a signature) may take, None for no limit of its own.  A
    signature may wait for a person to confirm it.  deadline: time.monotonic()
    when the last operation must be done; it may be set at any time.

    Thread-safe: operations take turns.  A child made by fork() gets a
    connection of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        *,
        deadline: float | None = None,
    ) -> None:
        self.path = socket_path() or "" if path is None else os.fspath(path)
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
        """Hang up.  The agent and its keys can't be used any more.

        Wakes whoever waits for an answer, and does not wait for that.
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
        """The keys the agent offers, in its order; none if it is locked.

        Raises AgentError.
        """

        def parse(answer: _Reader) -> list[AgentKey]:
            answer.expect(_IDENTITIES_ANSWER)
            count = answer.number()
            if count > _MOST_KEYS:
                raise answer.nonsense(f"it claims to have {count} keys")
            found = []
            for _ in range(count):
                blob, comment = answer.string(), answer.string()
                with contextlib.suppress(ValueError):  # as authfd.c: not a key we know
                    found.append(AgentKey(self, blob, comment.decode("utf-8", "replace")))
            return found

        return self._ask(bytes([_REQUEST_IDENTITIES]), "list its keys", parse)

    def sign(self, key: AgentKey, data: bytes, algorithm: str) -> bytes:
        """A signature blob (RFC 4253 section 6.6): string algorithm, string signature.

        algorithm: one that goes with the key, without "-cert-v01@openssh.com".
        Raises AgentError, also if the agent signs in another way.
        """

        def parse(answer: _Reader) -> bytes:
            answer.expect(_SIGN_RESPONSE)
            signature = answer.string()
            # authfd.c ssh_agent_sign() looks too: there are agents that ignore
            # the flags.  A security key may answer in the form of webauthn.
            made = answer.inside(signature).string().decode("ascii", "replace")
            if made != algorithm and not algorithm.startswith("sk-"):
                raise answer.nonsense(f"a signature of type {made!r}, not {algorithm!r}")
            return signature

        flags = _RSA_FLAGS.get(algorithm, 0).to_bytes(4)
        request = bytes([_SIGN_REQUEST]) + _string(key.blob) + _string(data) + flags
        return self._ask(request, f"sign with {key.describe()}", parse)

    # ---- One question, one answer -------------------------------------------

    def _ask(self, request: bytes, doing: str, parse: Callable[[_Reader], _Answer]) -> _Answer:
        """Send a message, return what *parse* makes of the answer.

        doing: what is asked for, for the error's text.
        """
        if len(request) > _LONGEST_MESSAGE:
            raise self.error(errno.EMSGSIZE, doing, "the message is longer than agents take")
        if self._pid != os.getpid():  # a child; who held the lock stayed behind
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
            # The answer may still come; it must not be taken for the next one's.
            self._hang_up()
            if isinstance(error, AgentError) or not isinstance(error, OSError):
                raise
            if isinstance(error, TimeoutError):
                raise self._too_late(doing) from None
            number, why = _reason(error)
            raise self.error(number, doing, why) from None
        finally:
            self._turn.release()
            if self._closed:  # meanwhile, by another thread
                self.close()
        raise self.error(errno.EACCES, doing, _WHY_REFUSED)

    def _exchange(self, request: bytes, deadline: Deadline, doing: str) -> bytes:
        kept = self._socket
        try:
            length = self._begin(request, deadline, doing)
        except ConnectionError:
            if self._socket is not kept or self._closed:
                raise
            self._hang_up()  # the agent was started anew since the last time
            length = self._begin(request, deadline, doing)
        if not 0 < length <= _LONGEST_MESSAGE:
            why = f"its answer makes no sense: a message of {length} bytes"
            raise self.error(errno.EPROTO, doing, why)
        return self._receive(length, deadline, doing)

    def _begin(self, request: bytes, deadline: Deadline, doing: str) -> int:
        """Send a message; the length of the answer."""
        sock = self._connected(deadline, doing)
        _limit(sock, deadline)
        sock.sendall(_string(request))  # the timeout is for all of it
        return int.from_bytes(self._receive(4, deadline, doing))

    def _receive(self, size: int, deadline: Deadline, doing: str) -> bytes:
        sock = self._socket
        assert sock is not None
        received = bytearray()
        while len(received) < size:
            _limit(sock, deadline)
            part = sock.recv(size - len(received))
            if not part:
                raise self.error(errno.ECONNRESET, doing, "it hung up without an answer")
            received += part
        return bytes(received)

    # ---- The connection ------------------------------------------------------

    def _connected(self, deadline: Deadline, doing: str) -> socket.socket:
        if self._closed:
            raise self.error(errno.EBADF, doing, "this Agent was closed")
        if not self.path:
            why = "there is none: SSH_AUTH_SOCK is not set; start ssh-agent and run ssh-add"
            raise self.error(errno.ENOENT, doing, why)
        if "\0" in self.path:  # connect(2) would take what is before it
            raise self.error(errno.EINVAL, doing, "no path holds a null byte")
        if self._socket is not None and _readable(self._socket):
            self._hang_up()  # an EOF, or bytes nobody asked for
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connect(self._socket, deadline, doing)
        return self._socket

    def _connect(self, sock: socket.socket, deadline: Deadline, doing: str) -> None:
        """connect(2), to the deadline even if the agent accepts nobody.

        On Linux a Unix socket that does not block gets EAGAIN at once when the
        queue of the listener is full, and nothing to wait for.
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
        """An AgentError; *doing* and *why* are for its text."""
        text = f"cannot have the ssh agent {self.path!r} {doing}: {why}"
        return AgentError(number, text, path=self.path)

    def _too_late(self, doing: str) -> AgentError:
        why = "no answer in time; does it wait for a confirmation, a PIN or a touch?"
        return self.error(errno.ETIMEDOUT, doing, why)


_WHY_REFUSED = (
    "it refuses; it may be locked (ssh-add -X), the key removed, restricted to certain hosts, "
    "or its use not confirmed"
)


class AgentKey:
    """A key in an agent, with what Paramiko's keys offer for logging in.

    Usable wherever a Paramiko key is: as ``pkey=`` of a Gateway, or of
    Paramiko's own Transport.  The private half never leaves the agent.
    """

    #: Paramiko: a certificate that goes with the key.  Here it is the key.
    public_blob = None

    def __init__(self, agent: Agent, blob: bytes, comment: str = "") -> None:
        self.type = key_type(blob)
        self.agent = agent
        #: The public key or certificate (RFC 4253 section 6.6).
        self.blob = blob
        #: What ssh-add -l shows: most often the file it came from.
        self.comment = comment

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} {self.fingerprint} {self.comment!r}>"

    @property
    def fingerprint(self) -> str:
        """The fingerprint in OpenSSH's form, "SHA256:..."."""
        return fingerprint(self.blob)

    def describe(self) -> str:
        """The key in words, for messages."""
        return printable(f"{self.type} {self.fingerprint} ({self.comment})")

    def get_name(self) -> str:
        """The key's type, as "ssh-ed25519"."""
        return self.type

    def asbytes(self) -> bytes:
        """The public key blob."""
        return self.blob

    def can_sign(self) -> bool:
        """True: the agent has the private half."""
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:
        """Sign; the signature blob: string algorithm, string signature.

        algorithm: for RSA "rsa-sha2-256" or "rsa-sha2-512" (RFC 8332), also
        with "-cert-v01@openssh.com"; without it "ssh-rsa", that is SHA-1.
        Other keys know but one.  The signature of a security key (sk-...) is
        followed by its flags and counter.

        Raises AgentError.
        """
        return self.agent.sign(self, bytes(data), self._algorithm(algorithm))

    def _algorithm(self, asked: str | None) -> str:
        if self.type.startswith("sk-"):
            return self.type
        plain = self.type.removesuffix(_CERTIFICATE)
        wanted = asked.removesuffix(_CERTIFICATE) if plain == "ssh-rsa" and asked else plain
        if plain == "ssh-rsa" and wanted not in (plain, *_RSA_FLAGS):
            raise ValueError(f"no signature algorithm of an RSA key: {asked!r}")
        return wanted


class _Reader:
    """Takes a message apart; whatever is not there is an AgentError."""

    def __init__(self, data: bytes, agent: Agent, doing: str) -> None:
        self._data = data
        self._at = 0
        self._agent = agent
        self._doing = doing

    def nonsense(self, what: str) -> AgentError:
        why = f"its answer makes no sense: {printable(what)}"
        return self._agent.error(errno.EPROTO, self._doing, why)

    def inside(self, part: bytes) -> _Reader:
        """For a field that has fields."""
        return _Reader(part, self._agent, self._doing)

    def expect(self, kind: int) -> None:
        found = self._take(1)[0]
        if found != kind:
            raise self.nonsense(f"message {found} instead of {kind}")

    def number(self) -> int:
        return int.from_bytes(self._take(4))

    def string(self) -> bytes:
        return self._take(self.number())

    def _take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise self.nonsense("it ends in the middle of a field")
        self._at += size
        return part


def _string(data: bytes) -> bytes:
    """RFC 4251 section 5; an agent's message is one as well."""
    return len(data).to_bytes(4) + data


def _limit(sock: socket.socket, deadline: Deadline) -> None:
    """Let the next call on the socket wait until the deadline."""
    left = deadline.left()
    if left == 0:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    sock.settimeout(left)


def _readable(sock: socket.socket) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _reason(error: OSError) -> tuple[int, str]:
    """Errno and text of what went wrong with the socket."""
    number = error.errno
    if number is None:  # "AF_UNIX path too long" comes without
        number = errno.ENAMETOOLONG
    if number == errno.ENOENT:
        return number, "there is no such socket; is the agent still running?"
    if number == errno.ECONNREFUSED:
        return number, "nobody listens there; is the agent still running?"
    return number, os.strerror(number)
