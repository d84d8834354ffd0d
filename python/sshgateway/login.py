# SPDX-License-Identifier: BSD-2-Clause
"""Login: choose the keys and methods for a gateway, in OpenSSH's order."""

from __future__ import annotations

import base64
import contextlib
import inspect
import logging
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sshgateway import _core, _messages
from sshgateway._messages import SessionFailed
from sshgateway._status import LIBSSH2_ERROR_AUTHENTICATION_FAILED, Status
from sshgateway.agent import Agent, AgentError, socket_path
from sshgateway.known_hosts import fingerprint, key_type

__all__ = ["Login", "Prompt"]

_log = logging.getLogger(__name__)

#: prompt(text, echo) asks a person and returns the answer, or None to give up. With echo False
#: the answer is a secret, and must not be shown.
Prompt = Callable[[str, bool], str | None]

#: The defaults of IdentityFile in ssh_config(5), without the security keys, which libssh2
#: cannot use from a file.
_USUAL_FILES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_CERTIFICATE = "-cert-v01@openssh.com"
_CERTIFICATE_FILE = "-cert.pub"
_KNOWS_ALL = 0x010B00  # libssh2 1.11: RSA with SHA-2, and certificates

#: The releases 1.11.0 and 1.11.1 of libssh2 write past a heap block when they choose the
#: algorithm of an RSA key and the server repeats a name in server-sig-algs (RFC 8308).
#: Upstream fixed this after 1.11.1 (pull requests 1881 and 1885).  The pinned build fixes
#: it with a patch of this name.  A distribution's fix cannot be recognised.
_OVERFLOWS = range(0x010B00, 0x010B02)
_OVERFLOW_PATCH = "-signature-algorithm-overflow"

#: Returns the seconds until the deadline, or None.
Left = Callable[[], float | None]

#: libssh2's error code, and its message.
_Refusal = tuple[int, str]


class Login:
    """The user and the credentials for logging in to a gateway.

    - username (str): the user on the gateway.
    - password (str or None): for the methods password and keyboard-interactive.
    - pkey (a Paramiko key, a sequence of them, or None): keys that sign for themselves.
    - key_filename (path, sequence of paths, or None): private key files. If FILE-cert.pub
      exists beside FILE, it is tried as the certificate of that key.
    - passphrase (str or None): for the files of key_filename.
    - allow_agent (bool): use the keys of an ssh-agent(1).
    - identity_agent (path or None): the agent, as IdentityAgent of ssh_config(5); None means
      SSH_AUTH_SOCK.
    - look_for_keys (bool): try the default files of ~/.ssh if no key is given.
    - identities_only (bool): use only those keys of the agent whose files are given, as
      IdentitiesOnly of ssh_config(5).
    - prompt (callable or None): asks a person, for keyboard-interactive and for passphrases;
      see ``Prompt``.

    Raises TypeError if a pkey lacks the interface of Paramiko's keys.
    """

    def __init__(
        self,
        username: str,
        *,
        password: str | None,
        pkey: Any,
        key_filename: Any,
        passphrase: str | None,
        allow_agent: bool,
        identity_agent: Any,
        look_for_keys: bool,
        identities_only: bool,
        prompt: Prompt | None,
    ) -> None:
        self._username = username
        self._password = password
        self._pkeys = _as_list(pkey)
        for key in self._pkeys:
            if not (hasattr(key, "asbytes") and hasattr(key, "sign_ssh_data")):
                raise TypeError(
                    "pkey must be a key with Paramiko's interface, or several, not "
                    f"{type(key).__name__}; use key_filename for a file"
                )
        named = [os.path.expanduser(os.fspath(f)) for f in _as_list(key_filename)]
        self._files = [f.removesuffix(_CERTIFICATE_FILE) for f in named]
        usual = [os.path.expanduser(f) for f in _USUAL_FILES] if look_for_keys else []
        self._usual_files = [] if self._files or self._pkeys else usual
        self._passphrase = passphrase
        self._agent_path = socket_path(identity_agent) if allow_agent else None
        self._identities_only = identities_only
        self._prompt = prompt

    def run(
        self, session: _core.Session, gateway: str, left: Left, keys_only: bool = False
    ) -> str:
        """Try the credentials one after the other until the server accepts the login.

        - session: the session, after its host key has been checked.
        - gateway (str): the gateway's name, for errors.
        - left: returns the seconds until the deadline.
        - keys_only (bool): send no password, because the identity of the server is uncertain.

        Returns a description of the accepted login. Raises AuthenticationError, or what the
        session raises.
        """
        run = _Run(self._username, session, left)
        try:
            accepted = session.auth_none(self._username, left())
            if accepted is None:
                return "none"
            run.accepted = accepted.split(",")
            if any(try_it() for try_it in self._attempts(run, keys_only)):
                return run.accepted_by
        except SessionFailed as failure:
            # sshd disconnects after MaxAuthTries.
            if failure.status == Status.TIMEOUT or not run.tried:
                raise
            run.tried.append(failure.text)
        finally:
            run.passphrases.clear()
        raise _messages.authentication_failed(gateway, run.tried, run.accepted, run.locked)

    def _attempts(self, run: _Run, keys_only: bool) -> Iterator[Callable[[], bool]]:
        """The attempts in OpenSSH's order: publickey with certificates first, then
        keyboard-interactive, then password.

        Key files that need a prompt for their passphrase come after the agent's keys.
        """
        if "publickey" in run.accepted:
            files = self._files or self._usual_files
            locked = [file for file in files if self._passphrase is None and _is_locked(file)]
            for file in files:
                if file not in locked:
                    yield partial(self._with_file, run, file, file + _CERTIFICATE_FILE)
            yield partial(self._with_agent, run)
            for key in self._pkeys:
                yield partial(run.with_key, key, "key")
            for file in locked:
                yield partial(self._with_file, run, file, file + _CERTIFICATE_FILE)
            for file in files:
                yield partial(self._with_file, run, file)
        if keys_only:
            return
        if "keyboard-interactive" in run.accepted and (self._password or self._prompt):
            yield partial(run.interactive, self._answerer())
        if "password" in run.accepted and self._password is not None:
            yield partial(run.password, self._password)

    def _with_agent(self, run: _Run) -> bool:
        if self._agent_path is None:
            return False
        named = [_public_of(file) for file in self._files or self._usual_files]
        with Agent(self._agent_path, timeout=run.left()) as agent:
            try:
                keys = agent.keys()
            except AgentError as error:
                run.tried.append(f"agent: {error.args[1]}")
                return False
            # As OpenSSH: the keys that a file names come first, because the agent may hold
            # more keys than the server's MaxAuthTries allows.
            for key in sorted(keys, key=lambda key: key.asbytes() not in named):
                if self._identities_only and key.asbytes() not in named:
                    continue
                agent.timeout = run.left()
                if run.with_key(key, "agent's key"):
                    return True
        return False

    def _with_file(self, run: _Run, file: str, certified_by: str | None = None) -> bool:
        """Try a key file, with the certificate in *certified_by* if given.

        Problems of the file itself are noted only when it is tried without a certificate.
        """
        certificate = None if certified_by is None else _line_of_certificate(certified_by)
        if certified_by is not None and certificate is None:
            return False
        try:
            key = bytearray(_read(file))
        except OSError as error:
            if file in self._files and certificate is None:
                run.tried.append(f"key file {file}: {error.strerror}")
            return False
        try:
            passphrase = self._passphrase
            if is_encrypted(key) and passphrase is None:
                passphrase = self._ask_passphrase(run, file)
            if _public_in(bytes(key)) is not None:
                problem = "it is a public key, and no agent holds the private key"
            elif is_encrypted(key) and passphrase is None:
                problem = "it needs a passphrase"
                run.locked.append(file)
            else:
                return run.with_file(file, key, passphrase, certificate)
            if certificate is None:
                run.tried.append(f"key file {file}: {problem}")
            return False
        finally:
            _wipe(key)

    def _ask_passphrase(self, run: _Run, file: str) -> str | None:
        """Ask once, although the key may be tried again without its certificate."""
        if file not in run.passphrases and self._prompt is not None:
            text = f"Enter passphrase for key '{file}': "
            run.passphrases[file] = self._prompt(text, False)
        return run.passphrases.get(file)

    def _answerer(self) -> Callable[[str, str, str, bool], str | None]:
        """Return a callback that answers the first hidden prompt with the password, and passes
        the other prompts to the person."""
        passwords = [self._password] if self._password is not None else []

        def answer(name: str, instruction: str, prompt: str, echo: bool) -> str | None:
            if not echo and passwords:
                return passwords.pop()
            if self._prompt is None:
                return None
            return self._prompt(prompt, echo)

        return answer


class _Run:
    """The progress of one login."""

    def __init__(self, username: str, session: _core.Session, left: Left) -> None:
        self.username = username
        self.session = session
        self.left = left
        self.accepted: list[str] = []
        self.accepted_by = ""
        #: The failed attempts, in words without secrets.
        self.tried: list[str] = []
        #: Key files whose passphrase is missing or may be wrong.
        self.locked: list[str] = []
        #: The answers of a person, by key file.
        self.passphrases: dict[str, str | None] = {}

    def _note(self, what: str, refusal: _Refusal | None) -> bool:
        _log.debug("%s: %s", what, "accepted" if refusal is None else "refused")
        if refusal is None:
            self.accepted_by = what
            return True
        _, text = refusal
        self.tried.append(f"{what} ({text})" if text else what)
        return False

    def _is_beyond_libssh2(self, what: str, blob: bytes) -> bool:
        """True if the libssh2 in use must not get a key of this type; the reason is noted.

        libssh2 1.10 can only fail with some types.  Others can be attacked by the server
        when the key is RSA; see _OVERFLOWS.
        """
        kind = key_type(blob)
        if kind.startswith("ssh-rsa") and rsa_is_dangerous():
            why = _DANGEROUS_RSA
        elif _core.LIBSSH2_NUMBER >= _KNOWS_ALL:
            return False
        elif kind.endswith(_CERTIFICATE):
            why = _NO_CERTIFICATES
        elif kind == "ssh-rsa":
            why = _NO_RSA
        elif kind.startswith("sk-"):
            why = f"libssh2 {_core.LIBSSH2_VERSION} has no security keys"
        else:
            return False
        self.tried.append(f"{what} ({why})")
        return True

    def with_key(self, key: Any, what: str) -> bool:
        """Try a key that signs for itself, through Paramiko's interface.

        - what (str): the kind of key, for messages.
        """
        blob = getattr(getattr(key, "public_blob", None), "key_blob", None) or key.asbytes()
        what = f"{what} {_describe(blob)}"
        if self._is_beyond_libssh2(what, blob):
            return False

        def sign(algorithm: str, data: bytes) -> bytes:
            made = _signature(key, data, algorithm.removesuffix(_CERTIFICATE))
            return _bare_signature(made, what)

        with contextlib.suppress(AgentError):
            refusal = self.session.auth_signer(self.username, blob, sign, self.left())
            return self._note(what, refusal)
        return self._note(what, (0, "the agent did not sign"))

    def with_file(
        self, file: str, key: bytearray, passphrase: str | None, certificate: str | None
    ) -> bool:
        """Try a private key, which was read from *file*.

        - certificate (str or None): the line of a certificate file.
        """
        what = f"key file {file}"
        public = _public_in(certificate.encode()) if certificate else _public_of(file)
        if public is not None:
            what += f" {_describe(public)}"
            if self._is_beyond_libssh2(what, public):
                return False
        if certificate is None and rsa_is_dangerous():
            danger = _danger_of(key, public)
            if danger is not None:
                self.tried.append(f"{what} ({danger})")
                return False
        refusal = self.session.auth_key(self.username, key, passphrase, certificate, self.left())
        if refusal is not None and is_encrypted(key):
            code, text = refusal
            if code != LIBSSH2_ERROR_AUTHENTICATION_FAILED:
                self.locked.append(file)
                refusal = code, f"{text}; check the passphrase"
        return self._note(what, refusal)

    def interactive(self, answer: Callable[[str, str, str, bool], str | None]) -> bool:
        """Try keyboard-interactive (RFC 4256)."""
        refusal = self.session.auth_interactive(self.username, answer, self.left())
        return self._note("keyboard-interactive", refusal)

    def password(self, password: str) -> bool:
        """Try the method password (RFC 4252 section 8)."""
        secret = bytearray(password, "utf-8")
        try:
            refusal = self.session.auth_password(self.username, secret, self.left())
        finally:
            _wipe(secret)
        return self._note("password", refusal)


_NO_RSA = (
    f"libssh2 {_core.LIBSSH2_VERSION} cannot sign with RSA and SHA-2; use an ed25519 or "
    "ecdsa key, or libssh2 1.11 or newer"
)

_DANGEROUS_RSA = (
    f"libssh2 {_core.LIBSSH2_VERSION} has a fault by which a server can crash this program "
    "when the key is RSA; use an ed25519 or ecdsa key, or the pinned libssh2 (make libssh2)"
)

_UNKNOWN_TYPE = (
    f"libssh2 {_core.LIBSSH2_VERSION} has a fault by which a server can crash this program "
    "when the key is RSA, and the type of this key cannot be read without its public key; "
    "put the public key into a file of the same name with .pub, or use the pinned libssh2 "
    "(make libssh2)"
)

# libssh2 before 1.11 puts the certificate's type into the signature, and sshd refuses that.
_NO_CERTIFICATES = (
    f"libssh2 {_core.LIBSSH2_VERSION} cannot log in with a certificate; use a key without "
    "one, or libssh2 1.11 or newer"
)


def rsa_is_dangerous() -> bool:
    """Returns True if the libssh2 in use has the overflow; see _OVERFLOWS."""
    patches = _core.BUILD_PATCHES.split()
    return _core.LIBSSH2_NUMBER in _OVERFLOWS and not any(
        patch.endswith(_OVERFLOW_PATCH) for patch in patches
    )


# Object identifiers (DER) of a PKCS #8 key: RFC 5480 2.1.1, RFC 8410 3.
_OID_EC = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
_OID_ED25519 = b"\x06\x03\x2b\x65\x70"


def _danger_of(key: bytes | bytearray, public: bytes | None) -> str | None:
    """Why a file is not handed to a libssh2 with the overflow; see _OVERFLOWS.

    key: the file.  public: the public key in the file or beside it, or None.

    Returns None only if every private key in the file is known to be of another type
    than RSA.
    """
    pattern = rb"-----BEGIN ([^-]*PRIVATE KEY)-----(.*?)-----END"
    for label, body in re.findall(pattern, key, re.DOTALL):
        if label == b"ENCRYPTED PRIVATE KEY" and public is None:
            return _UNKNOWN_TYPE
        if label == b"PRIVATE KEY":
            is_other = _is_other_pkcs8(body)
        elif label in (b"OPENSSH PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"):
            is_other = public is not None and not key_type(public).startswith("ssh-rsa")
        else:
            is_other = label in (b"EC PRIVATE KEY", b"DSA PRIVATE KEY")
        if not is_other:
            return _DANGEROUS_RSA
    return None


def _is_other_pkcs8(body: bytes) -> bool:
    """Returns True if a PKCS #8 key without a passphrase is ECDSA or ed25519."""
    with contextlib.suppress(ValueError):
        head = base64.b64decode(body)[:40]
        return _OID_EC in head or _OID_ED25519 in head
    return False


def is_encrypted(key: bytes | bytearray) -> bool:
    """True if the contents of a private key file need a passphrase."""
    text = bytes(key)
    if b"ENCRYPTED" in text:
        return True  # PEM, PKCS8
    found = re.search(rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", text, re.DOTALL)
    if not found:
        return False
    with contextlib.suppress(ValueError):
        blob = base64.b64decode(found[1])
        return not blob.startswith(b"openssh-key-v1\0\0\0\0\4none")
    return False


def _is_locked(file: str) -> bool:
    with contextlib.suppress(OSError):
        return is_encrypted(_read(file))
    return False


def _public_of(file: str) -> bytes | None:
    """The public key of a private key file: beside it, within it (OpenSSH's format), or the
    file itself if it is a public key. None if there is none."""
    for name in (file, file + ".pub"):
        with contextlib.suppress(OSError):
            public = _public_in(_read(name))
            if public is not None:
                return public
    with contextlib.suppress(OSError, ValueError, IndexError, struct.error):
        blob = base64.b64decode(_read(file).split(b"-----")[2])
        if blob.startswith(b"openssh-key-v1\0"):
            rest = blob[15:]
            for _ in range(3):  # cipher, kdf, kdf options
                rest = rest[4 + struct.unpack(">I", rest[:4])[0] :]
            size = struct.unpack(">I", rest[4:8])[0]
            return rest[8 : 8 + size] or None
    return None


def _line_of_certificate(file: str) -> str | None:
    """The type and blob of a certificate file, which ssh-keygen -s makes; None if it is not
    one."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        line = b" ".join(_read(file).split(None, 2)[:2])  # no comment
        blob = _public_in(line)
        if blob is not None and key_type(blob).endswith(_CERTIFICATE):
            return line.decode("ascii")
    return None


def _describe(blob: bytes) -> str:
    return f"{key_type(blob)} {fingerprint(_certified(blob))}"


def _certified(blob: bytes) -> bytes:
    """The key that a certificate certifies, whose fingerprint OpenSSH shows; other blobs are
    returned as they are.

    A certificate holds its type, a nonce, the strings of the key, and more (OpenSSH's
    PROTOCOL.certkeys).
    """
    strings: list[bytes] = []
    rest = blob
    while len(rest) >= 4 and len(strings) < 5:
        end = 4 + int.from_bytes(rest[:4])
        strings.append(rest[4:end])
        rest = rest[end:]
    kind = strings[0].decode("ascii")
    if not kind.endswith(_CERTIFICATE):
        return blob
    plain = kind.removesuffix(_CERTIFICATE)
    parts = strings[2 : 3 + plain.startswith(("ssh-rsa", "ecdsa", "sk-ecdsa"))]
    if plain.startswith("sk-"):
        plain += "@openssh.com"
        parts = strings[2 : 3 + len(parts)]  # with the application
    return b"".join(struct.pack(">I", len(part)) + part for part in (plain.encode(), *parts))


def _public_in(text: bytes) -> bytes | None:
    """The key blob in a line of sshd(8), AUTHORIZED_KEYS, without options; else None."""
    with contextlib.suppress(ValueError, IndexError):
        kind, encoded = text.split(None, 2)[:2]
        blob = base64.b64decode(encoded, validate=True)
        if key_type(blob) == kind.decode("ascii"):
            return blob
    return None


def _read(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(1 << 20)


def _signature(key: Any, data: bytes, algorithm: str) -> Any:
    """Call sign_ssh_data() without the algorithm for Paramiko before 2.9 and paramiko-ng, whose
    keys do not take it."""
    try:
        inspect.signature(key.sign_ssh_data).bind(data, algorithm)
    except TypeError:
        return key.sign_ssh_data(data)
    except ValueError:  # a builtin without a signature
        pass
    return key.sign_ssh_data(data, algorithm)


def _bare_signature(made: Any, what: str) -> bytes:
    """The signature without the name of the algorithm, which libssh2 adds itself.

    - made (bytes or a Message of Paramiko): the signature of RFC 4253 section 6.6.

    The flags and counter of a security key follow the signature and are kept.
    """
    blob = made if isinstance(made, bytes) else getattr(made, "asbytes", lambda: None)()
    if not isinstance(blob, bytes):
        raise TypeError(f"{what}: sign_ssh_data must return bytes or a Message")
    strings: list[bytes] = []
    rest = blob
    while len(rest) >= 4 and len(strings) < 2:
        size = struct.unpack(">I", rest[:4])[0]
        strings.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    if len(strings) < 2 or not strings[1]:
        raise ValueError(f"{what}: sign_ssh_data returned no signature of RFC 4253 6.6")
    return strings[1] + rest


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return list(value)
    return [value]


def _wipe(secret: bytearray) -> None:
    secret[:] = bytes(len(secret))
