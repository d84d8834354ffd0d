# SPDX-License-Identifier: BSD-2-Clause
"""Decide whether a host key is known, unknown, changed or revoked, as OpenSSH does.

The format is sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. The behaviour is that of OpenSSH's hostfile.c
and of check_host_key() in sshconnect.c; a line that OpenSSH ignores is ignored here too. The
differences make this module stricter:

* A key that is known for ``host`` does not count for ``[host]:port``. ssh(1) accepts it ("found
  matching key w/out port"); here the error's text mentions it.
* A key that is ``@revoked`` for ``host`` is also revoked for ``[host]:port``, and in any
  encoding.
* A tab may follow ``@revoked``. ssh(1) ignores such a line.
* A key of a type that ssh(1) does not support counts as a key, so that another key is a change.
* A file that exists and cannot be read makes every key "unreadable", because the file may hold
  another key of the host or revoke this one. Only a path that leads to no file means "no keys".
  OpenSSH 9.2 takes a file that it cannot open or read for an empty one: with accept-new and no it
  accepts any key then, also without free descriptors (EMFILE), and with accept-new it appends the
  key, through a dangling symbolic link too. It waits for the writer of a FIFO.

A host certificate is trusted if a ``@cert-authority`` line for the host has the key of its
authority, and if ``Certificate.objection()`` finds no fault. Otherwise the plain key in it is
checked, as in OpenSSH.

The files are read for each check, so changes take effect at once.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import os
import re
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sshgateway import _core, _files, _messages, errors
from sshgateway._deadline import Deadline
from sshgateway._public_keys import (
    fingerprint,
    key_type,
    key_type_or_unknown,
    material_of,
    plain_key,
)
from sshgateway._trust.certificates import CA_SIGNATURE_ALGORITHMS, Certificate, certificate_in
from sshgateway._trust.lines import (
    CA,
    REVOKED,
    SALT_LENGTH,
    Entry,
    encode,
    hash_of,
    lines_in,
)

__all__ = [
    "Certificate",
    "Entry",
    "Known",
    "KnownHosts",
    "Unreadable",
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

#: A part of the type of a certificate of any version.
_CERTIFICATE = "-cert-v0"

#: The cure for a limit of the system's libssh2.
PINNED = "a build of sshgateway with its own libssh2 can (SSHGATEWAY_LIBSSH2=pinned)"

_SSH_PORT = 22
_TRIES = 10  # to open a file that appears and disappears
_LOCK_TRIES_EVERY = 0.02  # seconds; flock(2) has no timeout

# ---- Names ------------------------------------------------------------------


def default_paths() -> list[str]:
    """Return the files that ssh(1) reads: the user's two, then the system's two."""
    return [os.path.expanduser(path) for path in DEFAULT_PATHS]


def lookup_name(host: str, port: int = _SSH_PORT, alias: str | None = None) -> str:
    """Return the name under which known_hosts files list a host, in lower case.

    - host (str): its name or address.
    - port (int): the port of its SSH server.
    - alias (str): HostKeyAlias of ssh_config(5), which is used as it is.

    The name is the alias, else the host, or "[host]:port" if the port is not 22. An IPv6 address
    is written in its shortest form, as ssh(1) does.
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


# ---- Verdicts ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A known_hosts file that exists and cannot be read."""

    file: str
    #: The error number.
    errno: int
    #: Why, in words.
    reason: str

    def __str__(self) -> str:
        return f"{self.file} cannot be read: {self.reason}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check of a host key.

    * "match": the files hold this key for this host, or trust the authority of its certificate.
    * "unknown": the files hold no key for this host.
    * "changed": the files hold only other keys for this host, of any type, as in OpenSSH.
    * "unreadable": a file cannot be read, so the key may be changed or revoked. This overrides
      the states above, and no value of StrictHostKeyChecking accepts it.
    * "revoked": the files mark this key as @revoked. This overrides the other states.
    """

    state: Literal["match", "unknown", "changed", "unreadable", "revoked"]
    #: The lines that decided. These are the lines with the key, or with its authority; for
    #: "changed" they are the lines with other keys, keys of the same type first.
    entries: tuple[Entry, ...] = ()
    #: Further observations, in words:
    #:
    #: * invalid lines, and lines of certification authorities for this host;
    #: * why the certificate was not accepted;
    #: * that a line holds another key beside an accepted certificate;
    #: * that the key is known for port 22.
    notes: tuple[str, ...] = ()
    #: The files that cannot be read.
    unreadable: tuple[Unreadable, ...] = ()
    #: The certificate that was presented; None if it was a plain key.
    certificate: Certificate | None = None

    @property
    def authority(self) -> Entry | None:
        """The line of the certification authority that made the key trusted, or None."""
        first = self.entries[0] if self.state == "match" and self.entries else None
        return first if first is not None and first.marker == CA else None


@dataclass(frozen=True, slots=True)
class Known:
    """The lines about a host, before it presents a key."""

    #: The types of its known keys.
    types: tuple[str, ...] = ()
    #: True if a certification authority is known for it.
    has_authority: bool = False
    #: True if a @revoked line is about it, which may have the key of an authority.
    has_revoked: bool = False


@dataclass(slots=True)
class _Found:
    """The lines of all files for one name."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def marked(self, marker: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.marker == marker]


class _LookUp:
    """The lines for a name, and for the same host without its port."""

    def __init__(
        self,
        name: str,
        files: Sequence[tuple[str, bytes]],
        more: Sequence[tuple[str, bytes]],
        is_alias: bool,
    ) -> None:
        self.found = _find(name, [*files, *more])
        self.bare = _without_port(name)
        self.of_host = _Found() if self.bare is None else _find(self.bare, files)
        #: The name that a certificate must list: the alias, else the host without its port.
        self.principal = name if is_alias or self.bare is None else self.bare
        self._is_alias = is_alias

    def authorities(self) -> list[Entry]:
        """The certification authorities of the host. A line for the host without its port also
        counts, because ssh(1) looks that name up too, unless there is an alias."""
        more = [] if self._is_alias else self.of_host.marked(CA)
        return list(dict.fromkeys(self.found.marked(CA) + more))

    def all_revoked(self) -> list[Entry]:
        return list(dict.fromkeys(self.found.marked(REVOKED) + self.of_host.marked(REVOKED)))

    def revoked(self, *keys: bytes) -> list[Entry]:
        materials = [material_of(key) for key in keys]
        return [
            entry for entry in self.all_revoked() if material_of(plain_key(entry.key)) in materials
        ]


# ---- Files ------------------------------------------------------------------


class KnownHosts:
    """The host keys in known_hosts files.

    - paths (sequence of paths): the files in order. New keys are added to the first. "~" stands
      for the home directory. Files need not exist. Default: ``default_paths()``.

    Raises TypeError if paths is a single path.
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
        """Return the types of the keys that are known for a name, in the order of the files."""
        return list(self.known(name).types)

    def known(
        self, name: str, *, more: Sequence[tuple[str, bytes]] = (), is_alias: bool = False
    ) -> Known:
        """Return the types of the known keys of a host, so that a server with several keys can be
        asked for a known one.

        - name (str): the result of ``lookup_name()``.
        - more: further files, each as (name, contents), for this name only.
        - is_alias (bool): True if the name is a HostKeyAlias.
        """
        files, _ = self._read()  # check() refuses the key if a file cannot be read
        looked = _LookUp(name, files, more, is_alias)
        revoked = {material_of(entry.key) for entry in looked.found.marked(REVOKED)}
        types = [
            entry.key_type
            for entry in looked.found.marked("")
            if material_of(entry.key) not in revoked and _CERTIFICATE not in entry.key_type
        ]
        return Known(
            tuple(dict.fromkeys(types)), bool(looked.authorities()), bool(looked.all_revoked())
        )

    def check(
        self,
        name: str,
        key: bytes,
        *,
        more: Sequence[tuple[str, bytes]] = (),
        is_alias: bool = False,
        ca_signature_algorithms: Sequence[str] = CA_SIGNATURE_ALGORITHMS,
    ) -> Verdict:
        """Check the key, or the certificate, that a host has presented.

        - name (str): the result of ``lookup_name()``.
        - key (bytes): the public key blob (RFC 4253 section 6.6), or a host certificate whose
          signature has been verified.
        - more: further files, each as (name, contents), for this name only.
        - is_alias (bool): True if the name is a HostKeyAlias, which a certificate must list as it
          is.
        - ca_signature_algorithms: as CASignatureAlgorithms of ssh_config(5).

        A certificate that is not trusted is checked as the plain key that it holds.

        Returns a Verdict. It raises nothing if a file cannot be read: see "unreadable".
        """
        files, unreadable = self._read()
        looked = _LookUp(name, files, more, is_alias)
        certificate = certificate_in(key)
        plain = key if certificate is None else certificate.key
        signer = () if certificate is None else (certificate.authority,)
        notes = list(looked.found.notes)
        known = looked.found.marked("")
        same = [entry for entry in known if entry.key == plain]
        if revoked := looked.revoked(plain, *signer):
            return Verdict("revoked", tuple(revoked), tuple(notes), unreadable, certificate)
        if unreadable:
            entries = tuple(same or known)
            return Verdict("unreadable", entries, tuple(notes), unreadable, certificate)
        if certificate is not None:
            trusted, remarks = _trusted(looked, certificate, tuple(ca_signature_algorithms))
            notes += remarks
            if trusted:
                return Verdict("match", trusted, tuple(notes), (), certificate)
        if same:
            return Verdict("match", tuple(same), tuple(notes), (), certificate)
        if certificate is None:
            notes += _notes_on_authorities(looked)
        if known:
            # A key of any type makes it "changed", as check_hostkeys_by_key_or_type() in
            # hostfile.c.
            kind = key_type_or_unknown(plain)
            known.sort(key=lambda entry: entry.key_type != kind)
            return Verdict("changed", tuple(known), tuple(notes), (), certificate)
        notes += _notes_on_port(looked, plain)
        return Verdict("unknown", (), tuple(notes), (), certificate)

    def error(
        self,
        gateway: str,
        name: str,
        key: bytes,
        verdict: Verdict,
        *,
        address: tuple[str, int] | None = None,
    ) -> errors.HostKeyError:
        """Return the exception for a verdict other than "match".

        - gateway (str): "user@host:port".
        - address: the host and port of the connection, used in the advice if name is an alias.
        """
        notes = verdict.notes
        if verdict.certificate is not None:
            key = verdict.certificate.key
        if verdict.state == "unreadable":  # the text is about the first such file
            notes = (*map(str, verdict.unreadable[1:]), *notes)
        kind = key_type_or_unknown(key)
        presented = _messages.PresentedKey(gateway, name, kind, fingerprint(key), notes)
        if verdict.state == "unreadable":
            broken = verdict.unreadable[0]
            return presented.unreadable(broken.file, broken.errno, broken.reason)
        if verdict.state == "unknown":
            file = next((path for path in self.paths if path != os.devnull), None)
            return presented.unknown(file, address)
        if verdict.state == "match":
            raise ValueError("a key that matches is not an error")
        first = verdict.entries[0]
        if verdict.state == "revoked":
            is_own = material_of(plain_key(first.key)) == material_of(key)
            what = "the key" if is_own else "the key of its certificate's authority"
            how = f"{first.where} marks {what} as @revoked"
            return presented.revoked(how, first.file, is_own=is_own)
        return presented.changed(first.file, first.line, first.key_type, first.fingerprint)

    def add(
        self,
        name: str,
        key: bytes,
        path: str | os.PathLike[str] | None = None,
        *,
        hashed: bool = False,
        timeout: float | None = None,
    ) -> Verdict:
        """Add a key of a host, as StrictHostKeyChecking accept-new of ssh_config(5).

        - name (str): the result of ``lookup_name()``.
        - key (bytes): the public key blob. Of a certificate the plain key is added.
        - path (path): the file. Default: the first one. It is created with mode 0600, and its
          directory with 0700.
        - hashed (bool): hide the name, as HashKnownHosts of ssh_config(5). Default: False.
        - timeout (float): seconds to wait for the lock of the file. Default: no limit.

        The file is locked with flock(2) and the key is checked again, so that only one of
        several processes adds it. If another process has added another key, nothing is written.

        Returns the Verdict after that: "match", "changed", "unreadable" or "revoked". Raises
        OSError(errno, text) if the key cannot be written, and TimeoutError if another process
        holds the lock.
        """
        if path is None and not self.paths:
            text = f"cannot remember the host key of {name!r}: there is no known_hosts file"
            raise OSError(errno.ENOENT, text)
        file = os.path.expanduser(os.fsdecode(os.fspath(self.paths[0] if path is None else path)))
        key = plain_key(key)
        line = _new_line(name, key, hashed)
        deadline = Deadline(timeout)
        all_files = KnownHosts(list(dict.fromkeys((*self.paths, file))))
        verdict = all_files.check(name, key)
        if verdict.state == "unreadable":
            return verdict  # without creating anything, such as the target of a symbolic link
        try:
            with _locked(file, deadline) as fd:
                verdict = all_files.check(name, key)
                if verdict.state == "unknown":
                    _append(fd, line)
                    verdict = Verdict("match", (_written(fd, file, key),), verdict.notes)
                return verdict
        except OSError as error:
            number = error.errno or errno.EIO
            why = error.strerror or os.strerror(number)
            text = f"cannot remember the host key of {name!r} in {file}: {why}"
            raise OSError(number, text) from None

    def _read(self) -> tuple[list[tuple[str, bytes]], tuple[Unreadable, ...]]:
        """Return the path and the contents of each file, and the files that cannot be read."""
        files, unreadable = [], []
        for path in self.paths:
            try:
                data = _read(path)
            except (OSError, ValueError) as error:
                unreadable.append(Unreadable(path, *_files.explain(error)))
            else:
                if data is not None:
                    files.append((path, data))
        return files, tuple(unreadable)


def _find(name: str, files: Iterable[tuple[str, bytes]]) -> _Found:
    """Return the lines for a name; *files* is the result of ``KnownHosts._read()``."""
    encoded = encode(name)
    found = _Found()
    for path, data in files:
        for line in lines_in(path, data):
            if line.names_host(encoded):
                entry = line.entry()
                if entry is not None:
                    found.entries.append(entry)
                else:
                    found.notes.append(f"{path}:{line.number} is invalid and was ignored")
    return found


def _read(path: str) -> bytes | None:
    """Return the contents of a file; None if there is no such file.

    Raises OSError or ValueError if the file exists and cannot be read. Never waits for the
    writer of a FIFO.
    """
    for _ in range(_TRIES):
        try:
            fd = _files.open_file(path)
        except FileNotFoundError:
            if _is_missing(path):
                return None
            continue  # another process has created the file by now
        try:
            return _files.read_descriptor(fd)
        finally:
            os.close(fd)
    raise OSError(errno.EBUSY, "another process creates and removes it again and again")


def _is_missing(path: str) -> bool:
    """Return whether a path, which could not be opened (ENOENT), leads to no file.

    False if the file exists by now. Raises OSError if a symbolic link, of the file or of a
    directory, leads nowhere: the file may be on a disk that is not mounted.
    """
    whole = at = os.path.join(os.getcwd(), path)
    while True:
        try:
            os.lstat(at)
            break
        except FileNotFoundError:
            at = os.path.dirname(at)
    try:
        os.stat(at)
    except FileNotFoundError:
        link = "it" if at == whole else at
        raise OSError(errno.ENOENT, f"{link} is a symbolic link to a missing file") from None
    return at != whole


def _trusted(
    looked: _LookUp, certificate: Certificate, algorithms: tuple[str, ...]
) -> tuple[tuple[Entry, ...], list[str]]:
    """Return the lines that make a certificate trusted, none if it is not, and notes.

    The steps are those of check_host_key() in OpenSSH's sshconnect.c.
    """
    authorities = looked.authorities()
    trusted = tuple(entry for entry in authorities if entry.key == certificate.authority)
    if not trusted:
        others = ", ".join(entry.where for entry in authorities)
        why = "no @cert-authority line for this host has the key of its CA"
        why += f" ({others} has the key of another CA)" if others else ""
        return (), [f"its host certificate was not accepted: {why}; it has {certificate}"]
    objection = certificate.objection(looked.principal, algorithms)
    if objection is not None:
        return (), [f"its host certificate was not accepted: {objection}; it has {certificate}"]
    kind = key_type_or_unknown(certificate.key)
    return trusted, [
        f"{entry.where} has another {kind} key of this host; because of the certificate the line "
        "is no longer needed"
        for entry in looked.found.marked("")
        if entry.key_type == kind and entry.key != certificate.key
    ]


def _notes_on_authorities(looked: _LookUp) -> Iterable[str]:
    """Notes on lines of authorities, which do not count for a plain key."""
    why = "the server presented no host certificate"
    if not _core.OFFERED_HOST_CERTIFICATES:
        why = f"libssh2 {_core.LIBSSH2_VERSION} cannot check host certificates; {PINNED}"
    for entry in looked.authorities():
        yield f"{entry.where} is the key of a certification authority, but {why}"


def _notes_on_port(looked: _LookUp, key: bytes) -> Iterable[str]:
    for entry in looked.of_host.marked(""):
        if entry.key == key:
            yield f"{entry.where} has this key for {looked.bare!r}, which means port {_SSH_PORT}"


def _new_line(name: str, key: bytes, hashed: bool) -> bytes:
    host = _without_port(name) or name
    # sshconnect.c check_host_key(): "Don't ever try to write an invalid name".
    # A comma, "!" or white space would change what the line means.
    if not host or re.search(r"[@?*#\[\]|'\"\\,!\s\0-\x20\x7f]", host):
        text = f"cannot remember the host key of {name!r}: known_hosts cannot hold such a name"
        raise OSError(errno.EINVAL, text)
    try:
        kind = key_type(key)
    except ValueError:
        text = f"cannot remember the host key of {name!r}: it is not an SSH public key"
        raise OSError(errno.EINVAL, text) from None
    names = encode(name)
    if hashed:
        names = hash_of(names, os.urandom(SALT_LENGTH))
    return b"%s %s %s\n" % (names, kind.encode("ascii"), base64.b64encode(key))


@contextlib.contextmanager
def _locked(file: str, deadline: Deadline) -> Iterator[int]:
    """Yield a descriptor of the file, which is locked until the end of the block."""
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
                fcntl.flock(fd, fcntl.LOCK_UN)  # a child of fork() may hold the descriptor too
            os.close(fd)


def _is_still(fd: int, file: str) -> bool:
    """Return False if the name now belongs to another file, as after ssh-keygen -R or -H."""
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
                text = "another process holds its lock"
                raise TimeoutError(errno.ETIMEDOUT, text) from None
        except OSError as error:
            # The file system has no locks. ssh(1) takes none at all.
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                return
            raise
        time.sleep(_LOCK_TRIES_EVERY)


def _append(fd: int, line: bytes) -> None:
    """Append a line with one write(2), after a newline if the last line has none.

    A line that a full disk has truncated stays in the file, because ssh(1) may have written
    after it. Readers ignore an invalid line.
    """
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        line = b"\n" + line
    if os.write(fd, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _written(fd: int, file: str, key: bytes) -> Entry:
    """The entry of the line that was just appended, which is the last one."""
    number = 1
    if stat.S_ISREG(os.fstat(fd).st_mode):
        with open(fd, "rb", closefd=False) as stream:
            stream.seek(0)
            number = stream.read().count(b"\n")
    return Entry(file, number, "", key_type(key), fingerprint(key), key)
