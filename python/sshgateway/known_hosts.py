# SPDX-License-Identifier: BSD-2-Clause
"""Which host keys are known, changed or revoked, as OpenSSH reads its files.

The format is sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; the behaviour is that of
OpenSSH's hostfile.c and of check_host_key() in sshconnect.c.  A line that one
of them drops is dropped here.  Where we differ we refuse more:

* A key known for ``host`` says nothing about ``[host]:port``.  ssh(1) takes it
  ("found matching key w/out port"); here it is only told in the error's text.
* A key that is ``@revoked`` for ``host`` is so for ``[host]:port`` too, and in
  whatever encoding the server presents it.
* ``@cert-authority`` lines never make a key known: no certificate is asked
  for.  ssh(1) does the same with a plain key.
* ``@revoked`` may be followed by a tab, which ssh(1) takes for a broken line.
* A key of a type that ssh(1) does not know is a key, so another is a change.

The files are read anew for each question, so an answer is never stale.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import fcntl
import hashlib
import hmac
import os
import re
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sshgateway import _messages, errors
from sshgateway._deadline import Deadline

__all__ = [
    "Entry",
    "KnownHosts",
    "Verdict",
    "default_paths",
    "fingerprint",
    "key_type",
    "lookup_name",
]

#: ssh_config(5): UserKnownHostsFile, then GlobalKnownHostsFile.
DEFAULT_PATHS = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)

_REVOKED = "@revoked"
_CA = "@cert-authority"

_CERTIFICATE = b"-cert-v0"
#: Of how many numbers a key consists (RFC 4253 section 6.6).
_NUMBERS = {b"ssh-rsa": 2, b"ssh-dss": 4}

_SSH_PORT = 22
_LONGEST_PATTERN = 1023  # match.c: a longer one ends the list without a match
_SALT_LENGTH = 20  # hostfile.c: as long as a SHA-1
_LONGEST_FILE = 64 * 1024 * 1024  # bytes
_LOCK_TRIES_EVERY = 0.02  # seconds; flock(2) knows no timeout

# ---- Keys -------------------------------------------------------------------


def _strings(blob: bytes) -> tuple[list[bytes], bool]:
    """The SSH strings (RFC 4251 section 5) a blob starts with; is that all of it?

    Every public key there is, is a sequence of them; a certificate is none.
    """
    found, at = [], 0
    while at + 4 <= len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4])
        if end > len(blob):
            break
        found.append(blob[at + 4 : end])
        at = end
    return found, at == len(blob)


def key_type(key: bytes) -> str:
    """The type a public key blob names, as "ssh-ed25519" (RFC 4253 section 6.6).

    Raises ValueError if the blob can't be a key.
    """
    fields, whole = _strings(key)
    if len(fields) < 2 or not re.fullmatch(rb"[!-+\--~]{1,64}", fields[0]):
        raise ValueError("not an SSH public key")
    if not whole and _CERTIFICATE not in fields[0]:
        raise ValueError("a truncated SSH public key")
    return fields[0].decode("ascii")


def fingerprint(key: bytes) -> str:
    """The fingerprint of a public key blob as OpenSSH prints it: "SHA256:..."."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    return "SHA256:" + digest.rstrip("=")


def _key_type_or_unknown(key: bytes) -> str:
    try:
        return key_type(key)
    except ValueError:
        return "unknown"


def _material(key: bytes) -> tuple[bytes, ...]:
    """What makes two blobs one and the same key, however they are encoded.

    Whoever holds a revoked key could present it with another encoding: an RSA
    number with zeros in front, a compressed point, bytes at the end.
    """
    fields, _ = _strings(key)
    family = fields[0] if fields else b""
    if family in _NUMBERS and len(fields) > _NUMBERS[family]:
        numbers = fields[1 : 1 + _NUMBERS[family]]
        return (family, *(number.lstrip(b"\0") for number in numbers))
    if family.startswith((b"ecdsa-sha2-", b"sk-ecdsa-sha2-")) and len(fields) > 2:
        # SEC 1, 2.3.3: 04 x y; 02 x and 03 x are shorter, 06 and 07 as long.
        kind, point = fields[2][:1], fields[2][1:]
        return (family, point if kind in (b"\2", b"\3") else point[: len(point) // 2])
    if family in (b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com") and len(fields) > 1:
        return (family, fields[1])
    return (key,)


# ---- Names ------------------------------------------------------------------


def default_paths() -> list[str]:
    """The files ssh(1) reads: the user's two, then the system's two."""
    return [os.path.expanduser(path) for path in DEFAULT_PATHS]


def lookup_name(host: str, port: int = _SSH_PORT, alias: str | None = None) -> str:
    """The name to look a host up by, in lower case.

    It is the alias (ssh_config: HostKeyAlias) as it stands, else the host, or
    "[host]:port" if the port is not 22.  An IPv6 address is written in its
    shortest form, as ssh(1) does.
    """
    if alias:
        return alias.lower()
    address, percent, scope = host.partition("%")
    with contextlib.suppress(OSError, ValueError):
        address = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address))
        return _with_port(address + percent + scope, port)
    return _with_port(host.lower(), port)


def _with_port(host: str, port: int) -> str:
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def _without_port(name: str) -> str | None:
    """The host in "[host]:port"; None for another name."""
    found = re.fullmatch(r"\[(.+)\]:\d+", name)
    return found[1] if found else None


def _encode(name: str) -> bytes:
    """A name as the files have it.  bytes.lower() is tolower(3) in C's locale."""
    return name.encode("utf-8", "surrogateescape").lower()


def _matches_pattern(name: bytes, pattern: bytes) -> bool:
    """match.c match_pattern(): "*" and "?", in O(len(name) * len(pattern)).

    Only the last "*" seen ever needs another try, with one byte more.
    """
    at = here = 0
    star, tried = -1, 0
    while at < len(name):
        if here < len(pattern) and pattern[here] == 0x2A:
            star, tried = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in (0x3F, name[at]):
            at += 1
            here += 1
        elif star >= 0:
            tried += 1
            at, here = tried, star + 1
        else:
            return False
    return not pattern[here:].strip(b"*")


def _matches_list(name: bytes, patterns: bytes) -> bool:
    """match.c match_pattern_list(): a negated match undoes every other one."""
    found = False
    for pattern in patterns.lower().split(b","):
        negated = pattern[:1] == b"!"
        pattern = pattern[negated:]
        if len(pattern) >= _LONGEST_PATTERN:
            return False
        if _matches_pattern(name, pattern):
            if negated:
                return False
            found = True
    return found


def _matches_hashed(name: bytes, hashed: bytes) -> bool:
    """hostfile.c host_hash(): "|1|", salt, "|", HMAC-SHA1 of the name with it.

    Only in the one right encoding.
    """
    parts = hashed.split(b"|")
    if len(parts) != 4 or parts[1] != b"1":
        return False
    salt = _decode(parts[2])
    return salt is not None and len(salt) == _SALT_LENGTH and hashed == _hash(name, salt)


def _hash(name: bytes, salt: bytes) -> bytes:
    digest = hmac.digest(salt, name, "sha1")
    return b"|1|%s|%s" % (base64.b64encode(salt), base64.b64encode(digest))


def _decode(text: bytes) -> bytes | None:
    """base64 as b64_pton() takes it: strict, but with white space anywhere."""
    try:
        decoded = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None
    return decoded if base64.b64encode(decoded) == b"".join(text.split()) else None


# ---- Lines ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file."""

    file: str
    #: Counted from 1; comments, blank and broken lines count too.
    line: int
    #: "", "@revoked" or "@cert-authority"
    marker: str
    key_type: str
    #: "SHA256:..."
    fingerprint: str
    #: The public key blob.
    key: bytes = field(repr=False)

    @property
    def where(self) -> str:
        """ "file:line", as OpenSSH writes it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the files say of a host and a key.

    * "match": they have this key for this host.
    * "unknown": they have none for it.
    * "changed": they have others only, of whatever type, as in OpenSSH.
    * "revoked": they mark this key as @revoked, whatever else they say.
    """

    state: Literal["match", "unknown", "changed", "revoked"]
    #: The lines that decided: those with the key; for "changed" those with the
    #: other keys, the ones of the key's own type first.
    entries: tuple[Entry, ...] = ()
    #: What else is worth telling, in words: files that can't be read, broken
    #: lines and lines of authorities for this host, the key known for the
    #: host's port 22.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    """The parts of a line; the key is decoded only if the names match."""

    file: str
    number: int
    marker: str
    names: bytes
    rest: bytes

    def names_host(self, name: bytes) -> bool:
        if self.names[:1] == b"|":
            return _matches_hashed(name, self.names)
        return _matches_list(name, self.names)

    def entry(self) -> Entry | None:
        """The line with its key; None if that is broken (sshkey_read())."""
        fields = self.rest.replace(b"\t", b" ").split(b" ")
        words = [word for word in fields if word][:2]
        if len(words) < 2:
            return None
        key = _decode(words[1])
        try:
            kind = key_type(key or b"")
        except ValueError:
            return None
        named = words[0].decode("ascii", "replace")
        # OpenSSH reads the names of RSA's signatures as names of its keys.
        if named != kind and (named, kind) not in (
            ("rsa-sha2-256", "ssh-rsa"),
            ("rsa-sha2-512", "ssh-rsa"),
        ):
            return None
        assert key is not None
        return Entry(self.file, self.number, self.marker, kind, fingerprint(key), key)


def _marker_of(line: bytes) -> tuple[str, bytes] | None:
    """hostfile.c check_markers(): the marker, if any, and what follows it."""
    if line[:1] != b"@":
        return "", line
    found = re.match(rb"(@revoked|@cert-authority)[ \t]+(?!@)", line)
    return (found[1].decode("ascii"), line[found.end() :]) if found else None


def _lines(file: str, data: bytes) -> Iterator[_Line]:
    """The lines that are neither blank nor comments, nor broken on the left."""
    for number, whole in enumerate(data.split(b"\n"), 1):
        line = whole.partition(b"\0")[0].lstrip(b" \t")
        if not line or line[:1] == b"#":
            continue
        marked = _marker_of(line)
        if marked is None:
            continue
        parts = re.match(rb"([^ \t]+)[ \t]+(.*)", marked[1], re.DOTALL)
        if parts is not None:
            yield _Line(file, number, marked[0], parts[1], parts[2])


@dataclass(slots=True)
class _Found:
    """All that the files have for one name."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def marked(self, marker: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.marker == marker]


# ---- Files ------------------------------------------------------------------


class KnownHosts:
    """The host keys in several files, OpenSSH's known_hosts.

    paths: the files in order, the one to write first; "~" stands for the home
    directory.  Default: those of ssh(1).  None of them need exist.  Nothing is
    read before it is needed.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]] | None = None) -> None:
        if isinstance(paths, (str, bytes, os.PathLike)):
            raise TypeError("known_hosts files must be a sequence of paths, not a single one")
        given = DEFAULT_PATHS if paths is None else paths
        self.paths: tuple[str, ...] = tuple(
            os.path.expanduser(os.fsdecode(os.fspath(path))) for path in given
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.paths)!r})"

    def key_types(self, name: str) -> list[str]:
        """The types of the keys known for a name, in the order of the files.

        They are to be offered first (sshconnect2.c order_hostkeyalgs()): a
        server that has several keys must present the one that is known.
        """
        found = self._find(name)
        revoked = {_material(entry.key) for entry in found.marked(_REVOKED)}
        types = [
            entry.key_type
            for entry in found.marked("")
            if _material(entry.key) not in revoked and _CERTIFICATE.decode() not in entry.key_type
        ]
        return list(dict.fromkeys(types))

    def check(self, name: str, key: bytes) -> Verdict:
        """What the files say of the key a host presented.

        name: from lookup_name().  key: the public key blob (RFC 4253 section
        6.6).  Raises nothing: a file that can't be read has no keys, and the
        verdict's notes name it.
        """
        found = self._find(name)
        bare = _without_port(name)
        of_host = _Found() if bare is None else self._find(bare)
        material = _material(key)
        revoked = [
            entry
            for entry in found.marked(_REVOKED) + of_host.marked(_REVOKED)
            if _material(entry.key) == material
        ]
        known = found.marked("")
        same = [entry for entry in known if entry.key == key]
        notes = tuple(found.notes)
        if revoked:
            return Verdict("revoked", tuple(dict.fromkeys(revoked)), notes)
        if same:
            return Verdict("match", tuple(same), notes)
        if known:
            # Any other key makes it "changed", not only one of the same type:
            # check_hostkeys_by_key_or_type() in hostfile.c.
            kind = _key_type_or_unknown(key)
            known.sort(key=lambda entry: entry.key_type != kind)
            return Verdict("changed", tuple(known), notes)
        return Verdict("unknown", (), notes + tuple(_notes_on_new(found, of_host, bare, key)))

    def error(
        self,
        gateway: str,
        name: str,
        key: bytes,
        verdict: Verdict,
        *,
        address: tuple[str, int] | None = None,
    ) -> errors.HostKeyError:
        """The exception that tells of a verdict other than "match".

        gateway: "user@host:port".  address: what was connected to, for the
        advice if name is an alias.
        """
        about = (gateway, name, _key_type_or_unknown(key), fingerprint(key))
        notes = verdict.notes
        if verdict.state == "unknown":
            file = next((path for path in self.paths if path != os.devnull), None)
            return _messages.host_key_unknown(*about, file, address=address, notes=notes)
        if verdict.state == "revoked":
            first = verdict.entries[0]
            return _messages.host_key_revoked(*about, first.file, first.line, notes=notes)
        if verdict.state != "changed":
            raise ValueError("a key that matches is no error")
        first = verdict.entries[0]
        where = (first.file, first.line, first.key_type, first.fingerprint)
        return _messages.host_key_changed(*about, *where, notes=notes)

    def add(
        self,
        name: str,
        key: bytes,
        path: str | os.PathLike[str] | None = None,
        *,
        hashed: bool = False,
        timeout: float | None = None,
    ) -> Verdict:
        """Make a key known for a host: ssh_config's StrictHostKeyChecking accept-new.

        The line goes to the end of *path*, or of the first file, which is made
        with mode 0600 (its directory with 0700) if missing.  The file is
        locked meanwhile (flock(2)) and the question is asked again, so that of
        several processes one writes.  If one of them was first with another
        key, nothing is written.

        hashed: hide the name (ssh_config: HashKnownHosts).  timeout: seconds
        to wait for the lock.

        Returns what the files say now: "match", "changed" or "revoked".  Raises
        OSError(errno, text) if the key can't be written; TimeoutError if
        somebody else keeps the lock.
        """
        if path is None and not self.paths:
            text = f"cannot remember the host key of {name!r}: there is no known_hosts file"
            raise OSError(errno.ENOENT, text)
        file = os.path.expanduser(os.fsdecode(os.fspath(self.paths[0] if path is None else path)))
        line = _new_line(name, key, hashed)
        deadline = Deadline(timeout)
        try:
            with _locked(file, deadline) as fd:
                verdict = KnownHosts(list(dict.fromkeys((*self.paths, file)))).check(name, key)
                if verdict.state == "unknown":
                    _append(fd, line)
                    verdict = Verdict("match", (_written(fd, file, key),), verdict.notes)
                return verdict
        except OSError as error:
            number = error.errno or errno.EIO
            why = error.strerror or os.strerror(number)
            text = f"cannot remember the host key of {name!r} in {file}: {why}"
            raise OSError(number, text) from None

    def _find(self, name: str) -> _Found:
        """The lines for a name, of all files."""
        encoded = _encode(name)
        found = _Found()
        for path in self.paths:
            try:
                data = _read(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                found.notes.append(f"{path} could not be read: {why}")
                continue
            for line in _lines(path, data):
                if line.names_host(encoded):
                    entry = line.entry()
                    if entry is not None:
                        found.entries.append(entry)
                    else:
                        found.notes.append(f"{path}:{line.number} is broken and was not used")
        return found


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        data = stream.read(_LONGEST_FILE + 1)
    if len(data) > _LONGEST_FILE:  # a device; a part could lack what is revoked
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data


def _notes_on_new(found: _Found, of_host: _Found, bare: str | None, key: bytes) -> Iterable[str]:
    """What looks like a known key and is none."""
    for entry in found.marked(_CA):
        yield (
            f"{entry.where} is of a certification authority, and host certificates "
            "are not supported"
        )
    for entry in of_host.marked(""):
        if entry.key == key:
            yield f"{entry.where} has this key, but for {bare!r}, which is its port {_SSH_PORT}"


def _new_line(name: str, key: bytes, hashed: bool) -> bytes:
    host = _without_port(name) or name
    # sshconnect.c check_host_key(): "Don't ever try to write an invalid name".
    # A comma, "!" or white space would change what the line means.
    if not host or re.search(r"[@?*#\[\]|'\"\\,!\s\0-\x20\x7f]", host):
        text = f"cannot remember the host key of {name!r}: no such name can stand in known_hosts"
        raise OSError(errno.EINVAL, text)
    try:
        kind = key_type(key)
    except ValueError:
        text = f"cannot remember the host key of {name!r}: it is not an SSH public key"
        raise OSError(errno.EINVAL, text) from None
    names = _encode(name)
    if hashed:
        names = _hash(names, os.urandom(_SALT_LENGTH))
    return b"%s %s %s\n" % (names, kind.encode("ascii"), base64.b64encode(key))


@contextlib.contextmanager
def _locked(file: str, deadline: Deadline) -> Iterator[int]:
    """A descriptor of the file, which stays locked meanwhile."""
    directory = os.path.dirname(os.path.abspath(file))
    if not os.path.isdir(directory):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
    while True:
        fd = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, deadline)
            if _is_still(fd, file):
                yield fd
                return
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # a child forked meanwhile has it too
            os.close(fd)


def _is_still(fd: int, file: str) -> bool:
    """False if another file has the name by now: ssh-keygen -R and -H rename."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(file))
    except FileNotFoundError:
        return False


def _lock(fd: int, deadline: Deadline) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if deadline.is_over():
                text = "another process keeps it locked"
                raise TimeoutError(errno.ETIMEDOUT, text) from None
        except OSError as error:
            # No locks on this file system: as safe as ssh(1), which has none.
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                return
            raise
        time.sleep(_LOCK_TRIES_EVERY)


def _append(fd: int, line: bytes) -> None:
    """Add a line by one write, after the end of a last line that has none.

    What is cut short by a full disk is left: ssh(1) could have written after
    it, and a broken line is no more than that.
    """
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        line = b"\n" + line
    if os.write(fd, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _written(fd: int, file: str, key: bytes) -> Entry:
    """The entry just appended: the last line."""
    number = 1
    if stat.S_ISREG(os.fstat(fd).st_mode):
        with open(fd, "rb", closefd=False) as stream:
            stream.seek(0)
            number = stream.read().count(b"\n")
    return Entry(file, number, "", key_type(key), fingerprint(key), key)
