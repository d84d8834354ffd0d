# SPDX-License-Identifier: BSD-2-Clause
"""The keys that a login can try: from files, from the caller, from an agent.

A ``Keyring`` puts them in order. Keys that the caller gave come first, then the other keys of
the agent, then the usual files; keys that need a passphrase from a person come last.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from sshgateway import _core
from sshgateway._keyfile import (
    CERTIFICATE_FILE,
    KeyFile,
    certificate_in,
    read,
    wipe,
)
from sshgateway._public_keys import CERTIFICATE, describe, is_certificate, key_type, plain_key
from sshgateway._wire import MalformedMessage, Reader, string
from sshgateway.agent import Agent, AgentError, AgentKey

__all__ = ["FileKey", "KeyUnusable", "Keyring", "LoginKey"]

#: Seconds in which an agent must list its keys. A list takes no person's attention.
AGENT_LIST_TIMEOUT = 10.0


class KeyUnusable(Exception):  # noqa: N818
    """A key cannot sign; the text says why.

    - is_locked (bool): the file could not be read, perhaps because the passphrase is wrong.
    """

    def __init__(self, why: str, *, is_locked: bool = False) -> None:
        super().__init__(why)
        self.is_locked = is_locked


class LoginKey(Protocol):
    """A public key or certificate, and a way to sign by it."""

    @property
    def known_blob(self) -> bytes | None:
        """``blob``, or None if ``prepare()`` has to find it first."""

    @property
    def blob(self) -> bytes:
        """The public key or certificate that the server gets to see."""

    @property
    def what(self) -> str:
        """In words, for messages."""

    @property
    def needs_person(self) -> bool:
        """True if a person may have to touch, confirm or type something before it signs, so
        that it must not sign unless the server would accept it."""

    def prepare(self, session: _core.Session) -> None:
        """Find the public key, if no file has it. Raises KeyUnusable."""

    def algorithm(self, server_sig_algs: str | None) -> str:
        """The algorithm to sign by. Raises KeyUnusable if the server takes none of the key's."""

    def sign(self, session: _core.Session, algorithm: str, data: bytes) -> bytes:
        """Return a signature as RFC 4253 6.6 encodes it. Raises KeyUnusable."""


def _algorithm(blob: bytes, server_sig_algs: str | None) -> str:
    kind = key_type(blob)
    plain = kind.removesuffix(CERTIFICATE)
    if plain != "ssh-rsa":
        return kind
    suffix = CERTIFICATE if kind.endswith(CERTIFICATE) else ""
    if server_sig_algs is None:
        # RFC 8332 3.3: guess. A server that knows rsa-sha2-512 knows rsa-sha2-256 too.
        return "rsa-sha2-256" + suffix
    taken = server_sig_algs.split(",")
    for name in ("rsa-sha2-512", "rsa-sha2-256"):
        if name in taken or name + CERTIFICATE in taken:
            return name + suffix
    raise KeyUnusable("the server takes RSA signatures by SHA-1 only, which are not safe")


def _plain_algorithm(algorithm: str) -> str:
    if algorithm.startswith("sk-") and algorithm.endswith(CERTIFICATE):
        return algorithm.removesuffix(CERTIFICATE) + "@openssh.com"
    return algorithm.removesuffix(CERTIFICATE)


class FileKey:
    """A key in a private key file, perhaps with a certificate."""

    def __init__(
        self,
        file: KeyFile,
        passphrase: str | None,
        certificate: bytes | None = None,
        *,
        needs_person: bool = False,
    ) -> None:
        self.file = file
        self.passphrase = passphrase
        self.needs_person = needs_person
        self.known_blob = certificate or file.public
        self.is_certificate = certificate is not None

    @property
    def blob(self) -> bytes:
        assert self.known_blob is not None  # prepare() found it
        return self.known_blob

    @property
    def what(self) -> str:
        words = f"key file {self.file.path}"
        return f"{words} {describe(self.known_blob)}" if self.known_blob is not None else words

    def read(self) -> bytearray:
        """The content of the file, for the caller to wipe. Raises KeyUnusable."""
        try:
            return read(self.file.path)
        except OSError as error:
            raise KeyUnusable(error.strerror or str(error)) from None

    def prepare(self, session: _core.Session) -> None:
        """Find the public key, if no file has it. Raises KeyUnusable."""
        if self.known_blob is not None or not session.by_messages:
            return
        content = self.read()
        try:
            self.known_blob = session.key_public(content, self.passphrase)
        except ValueError as error:
            raise self._unreadable(str(error)) from None
        finally:
            wipe(content)

    def _unreadable(self, text: str) -> KeyUnusable:
        is_locked = self.file.is_encrypted
        return KeyUnusable(
            f"{text}; check the passphrase" if is_locked else text, is_locked=is_locked
        )

    def algorithm(self, server_sig_algs: str | None) -> str:
        return _algorithm(self.blob, server_sig_algs)

    def sign(self, session: _core.Session, algorithm: str, data: bytes) -> bytes:
        name = _plain_algorithm(algorithm)
        content = self.read()
        try:
            bare = session.key_sign(name, content, self.passphrase, data)
        except ValueError as error:
            raise self._unreadable(str(error)) from None
        finally:
            wipe(content)
        return string(name) + string(bare)


class ObjectKey:
    """A key object with Paramiko's interface: ``asbytes()`` and ``sign_ssh_data()``."""

    def __init__(self, key: Any, what: str, certificate: bytes | None = None) -> None:
        self._key = key
        own = getattr(getattr(key, "public_blob", None), "key_blob", None)
        self.blob: bytes = certificate or own or key.asbytes()
        self.known_blob: bytes | None = self.blob
        self.what = f"{what} {describe(self.blob)}"
        self.needs_person = isinstance(key, AgentKey)

    def prepare(self, session: _core.Session) -> None:
        """Nothing is missing."""

    def algorithm(self, server_sig_algs: str | None) -> str:
        return _algorithm(self.blob, server_sig_algs)

    def sign(self, session: _core.Session, algorithm: str, data: bytes) -> bytes:
        try:
            made = _signature(self._key, data, _plain_algorithm(algorithm))
        except AgentError as error:
            raise KeyUnusable(error.args[1]) from None
        return _checked(made, self.what)


def _signature(key: Any, data: bytes, algorithm: str) -> Any:
    """Sign. Paramiko before 2.9 and paramiko-ng take no algorithm."""
    try:
        inspect.signature(key.sign_ssh_data).bind(data, algorithm)
    except TypeError:
        return key.sign_ssh_data(data)
    except ValueError:  # the signature of the method cannot be found out
        pass
    return key.sign_ssh_data(data, algorithm)


def _checked(made: Any, what: str) -> bytes:
    """made: bytes, or a Message of Paramiko's."""
    blob = made if isinstance(made, bytes) else getattr(made, "asbytes", lambda: None)()
    if not isinstance(blob, bytes):
        raise TypeError(f"{what}: sign_ssh_data must return bytes or a Message")
    try:
        reader = Reader(blob)
        is_complete = bool(reader.string()) and bool(reader.string())
    except MalformedMessage:
        is_complete = False
    if not is_complete:
        raise ValueError(f"{what}: sign_ssh_data returned no signature of RFC 4253 6.6")
    return blob


class Keyring:
    """The keys of one login, in the order in which they are tried.

    - pkeys: objects with Paramiko's interface.
    - files: paths of private key files that the caller named.
    - certificates: paths of certificates that the caller named.
    - usual_files: paths to try if the caller named no key.
    - passphrase: for the files that need one, or None.
    - agent: the agent to use, or None.
    - identities_only: take only those keys of the agent that a file names.
    - note: called with the description of a key, or of an agent, that cannot be used.
    """

    def __init__(
        self,
        *,
        pkeys: Sequence[Any],
        files: Sequence[str],
        certificates: Sequence[str],
        usual_files: Sequence[str],
        passphrase: str | None,
        agent: Agent | None,
        identities_only: bool,
        note: Any,
    ) -> None:
        self._pkeys = pkeys
        self._passphrase = passphrase
        self._agent = agent
        self._agent_keys: list[AgentKey] | None = None
        self._identities_only = identities_only
        self._note = note
        #: By public key: the keys that were left out because another one comes first.
        self._spare: dict[bytes, list[LoginKey]] = {}
        # A file that is itself a certificate (IdentityFile may name one) goes with another key.
        named = [f for f in files if not f.endswith(CERTIFICATE_FILE)]
        self._named = [KeyFile.look_at(path) for path in named]
        self._usual = [KeyFile.look_at(path) for path in usual_files]
        paths = [
            *certificates,
            *(f for f in files if f.endswith(CERTIFICATE_FILE)),
            *(file.path + CERTIFICATE_FILE for file in (*self._named, *self._usual)),
        ]
        self._certificates = _unique(blob for path in paths if (blob := certificate_in(path)))
        self._bare = [
            f.removesuffix(CERTIFICATE_FILE) for f in files if f.endswith(CERTIFICATE_FILE)
        ]
        known = {file.path for file in self._named}
        self._named += [KeyFile.look_at(path) for path in self._bare if path not in known]

    # ---- In order -----------------------------------------------------------

    def __iter__(self) -> Iterator[LoginKey]:
        """The keys, each found when it is needed. Locked files come last."""
        for key in self._all():
            blob = key.known_blob
            if blob is None:
                yield key
            elif blob in self._spare:
                self._spare[blob].append(key)
            else:
                self._spare[blob] = []
                yield key

    def spare(self, key: LoginKey) -> list[LoginKey]:
        """Other ways to sign by a key that cannot sign: for example the file of an agent's key.

        Those that are not found yet come later, in their order.
        """
        return self._spare.pop(key.known_blob, []) if key.known_blob is not None else []

    def _all(self) -> Iterator[LoginKey]:
        named = [*self._named]
        yield from self._with_certificates(self._open(named))
        for pkey in self._pkeys:
            yield from self._certified(pkey)
            yield ObjectKey(pkey, "key")
        for file in self._open(named):
            yield FileKey(file, self._passphrase)
        yield from self._from_agent()
        yield from self._with_certificates(self._open(self._usual))
        for file in self._open(self._usual):
            yield FileKey(file, self._passphrase)
        yield from self._locked_files()
        self._note_problems()

    def _is_locked(self, file: KeyFile) -> bool:
        return file.is_encrypted and self._passphrase is None

    def _open(self, files: Sequence[KeyFile]) -> list[KeyFile]:
        return [file for file in files if not file.problem and not self._is_locked(file)]

    def _with_certificates(self, files: Sequence[KeyFile]) -> Iterator[LoginKey]:
        for file in files:
            for certificate in self._certificates_of(file.public):
                yield FileKey(file, self._passphrase, certificate)

    def _certificates_of(self, public: bytes | None) -> list[bytes]:
        return [blob for blob in self._certificates if plain_key(blob) == public]

    def _certified(self, pkey: Any) -> Iterator[LoginKey]:
        for certificate in self._certificates_of(pkey.asbytes()):
            yield ObjectKey(pkey, "key", certificate)

    def _locked_files(self) -> Iterator[LoginKey]:
        locked = [f for f in (*self._named, *self._usual) if not f.problem and self._is_locked(f)]
        for file in locked:
            for certificate in self._certificates_of(file.public):
                yield FileKey(file, None, certificate, needs_person=True)
        for file in locked:
            yield FileKey(file, None, needs_person=True)

    # ---- The agent ----------------------------------------------------------

    def _from_agent(self) -> Iterator[LoginKey]:
        keys = self._list_agent()
        named = [file.public for file in self._named if file.public]
        usual = [file.public for file in self._usual if file.public]
        certified = {plain_key(blob) for blob in self._certificates}

        def rank(key: AgentKey) -> int:
            plain = plain_key(key.blob)
            return 0 if plain in named or plain in certified else 1 if plain in usual else 2

        def is_named(key: AgentKey) -> bool:
            """As OpenSSH has it for IdentitiesOnly: a file has this key or this certificate."""
            return key.blob in named or key.blob in usual or key.blob in self._certificates

        # OpenSSH's order too: first those that a file names, because a server's MaxAuthTries may
        # be smaller than the agent's list.
        for key in sorted(keys, key=rank):
            if self._identities_only and not is_named(key):
                continue
            if not is_certificate(key.blob):
                for certificate in self._certificates_of(key.blob):
                    yield ObjectKey(key, "agent's key", certificate)
            yield ObjectKey(key, "agent's key")

    def _list_agent(self) -> list[AgentKey]:
        if self._agent is None:
            return []
        if self._agent_keys is None:
            try:
                self._agent_keys = self._agent.keys()
            except AgentError as error:
                self._note(f"agent: {error.args[1]}")
                self._agent_keys = []
        return self._agent_keys

    def _note_problems(self) -> None:
        """Say why a file that the caller named was of no use."""
        held = [plain_key(key.blob) for key in self._agent_keys or []]
        for file in self._named:
            if file.problem and file.public not in held and file.path not in self._bare:
                why = ", and no agent has its private key" if file.public else ""
                self._note(f"key file {file.path}: {file.problem}{why}")


def _unique(blobs: Iterator[bytes]) -> list[bytes]:
    return list(dict.fromkeys(blobs))
