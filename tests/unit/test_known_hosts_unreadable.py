# SPDX-License-Identifier: BSD-2-Clause
"""A known_hosts file that exists and cannot be read: no key is accepted, nothing is written."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import resource
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshgateway import HostKeyError
from sshgateway.known_hosts import KnownHosts, default_paths, key_type

GATEWAY = "deploy@bastion:22"
LIMIT = 64 * 1024 * 1024  # bytes, that of a file


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def ed25519(seed: int) -> bytes:
    return string(b"ssh-ed25519") + string(hashlib.sha256(bytes([seed])).digest())


A, B = ed25519(1), ed25519(2)


def line(key: bytes, marker: str = "") -> str:
    return f"{marker}host {key_type(key)} {base64.b64encode(key).decode()}\n"


# --- The ways in which a file cannot be read ---------------------------------------------------
# Each is a context manager that makes *path* so; the file has *content* where it has any.


@contextlib.contextmanager
def a_directory(path: Path, _content: str) -> Iterator[None]:
    path.mkdir()
    yield


@contextlib.contextmanager
def a_fifo(path: Path, _content: str) -> Iterator[None]:
    os.mkfifo(path)
    yield


@contextlib.contextmanager
def a_fifo_with_a_writer(path: Path, content: str) -> Iterator[None]:
    """The bytes are there; a second reader would not find them."""
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    os.write(fd, content.encode())
    yield
    os.close(fd)


@contextlib.contextmanager
def a_socket(path: Path, _content: str) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        yield


@contextlib.contextmanager
def a_dangling_link(path: Path, _content: str) -> Iterator[None]:
    path.symlink_to(path.with_name("missing"))
    yield


@contextlib.contextmanager
def a_dangling_link_to_its_directory(path: Path, content: str) -> Iterator[None]:
    if path.exists() or path.is_symlink():
        path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(path.parent.with_name("missing"))
    yield
    path.parent.unlink()
    path.parent.mkdir()


@contextlib.contextmanager
def a_loop(path: Path, _content: str) -> Iterator[None]:
    path.symlink_to(path)
    yield


@contextlib.contextmanager
def a_file_for_a_directory(path: Path, _content: str) -> Iterator[None]:
    path.parent.rmdir()
    path.parent.touch()
    yield
    path.parent.unlink()
    path.parent.mkdir()


@contextlib.contextmanager
def too_large(path: Path, content: str) -> Iterator[None]:
    path.write_text(content)
    os.truncate(path, LIMIT + 1)
    yield


@contextlib.contextmanager
def endless(path: Path, _content: str) -> Iterator[None]:
    path.symlink_to("/dev/zero")
    yield


@contextlib.contextmanager
def an_error_of_the_disk(path: Path, _content: str) -> Iterator[None]:
    """EIO, as read(2) of this file gives it at an address that is not mapped."""
    path.symlink_to("/proc/self/mem")
    yield


@contextlib.contextmanager
def forbidden(path: Path, content: str) -> Iterator[None]:
    path.write_text(content)
    path.chmod(0)
    with without_root(path):
        yield


@contextlib.contextmanager
def in_a_forbidden_directory(path: Path, content: str) -> Iterator[None]:
    path.write_text(content)
    path.parent.chmod(0)
    with without_root(path):
        yield
    path.parent.chmod(0o700)


@contextlib.contextmanager
def without_root(path: Path) -> Iterator[None]:
    """If this is root, go on as the owner of the file: its mode does not stop root."""
    if os.geteuid() != 0:
        yield
        return
    for changed in (path, path.parent):
        os.chown(changed, 65534, 65534)
    for parent in path.parent.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o711)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def no_descriptors(path: Path, content: str) -> Iterator[None]:
    path.write_text(content)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextlib.contextmanager
def no_descriptor_for_it(path: Path, content: str) -> Iterator[None]:
    """EMFILE for this file alone: another thread closes a descriptor between two files."""
    path.write_text(content)
    real = os.open

    def fails(name, *args) -> int:
        if name == os.fspath(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(name, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", fails)
        yield


WAYS: dict[str, tuple[Callable[..., contextlib.AbstractContextManager[None]], str]] = {
    "EMFILE": (no_descriptors, "ulimit -n"),
    "EACCES": (forbidden, "let this user read it"),
    "EACCES of its directory": (in_a_forbidden_directory, "let this user read it"),
    "too large": (too_large, "64 MiB"),
    "endless": (endless, "not a regular file"),
    "FIFO": (a_fifo, "not a regular file"),
    "FIFO with a writer": (a_fifo_with_a_writer, "not a regular file"),
    "socket": (a_socket, "No such device"),
    "directory": (a_directory, "Is a directory"),
    "dangling link": (a_dangling_link, "symbolic link to a missing file"),
    "dangling link to its directory": (
        a_dangling_link_to_its_directory,
        "symbolic link to a missing file",
    ),
    "loop": (a_loop, "symbolic links"),
    "ENOTDIR": (a_file_for_a_directory, "Not a directory"),
    "EIO": (an_error_of_the_disk, "Input/output error"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc" / "known"


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request: pytest.FixtureRequest) -> tuple[Callable[..., object], str]:
    return request.param


CONTENTS = {
    "match": line(A),
    "changed": line(B),
    "revoked": line(A, "@revoked "),
    "unknown": "",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_no_key_is_accepted(path: Path, way, content: str) -> None:
    make, reason = way
    known = KnownHosts([path])
    with make(path, content):
        verdict = known.check("host", A)
        assert known.key_types("host") == []
    assert verdict.state == "unreadable"
    error = known.error(GATEWAY, "host", A, verdict)
    assert isinstance(error, HostKeyError)
    assert error.errno == errno.EACCES
    for words in (str(path), reason, GATEWAY, "'host'", "cannot be read"):
        assert words in str(error)


@pytest.mark.parametrize("unreadable_first", [True, False])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_one_unreadable_file_is_enough(
    tmp_path: Path, path: Path, way, content: str, unreadable_first: bool
) -> None:
    """It may revoke a key that the other one has.  A key that the other revokes stays that."""
    other = tmp_path / "other"
    other.write_text(content)
    known = KnownHosts([path, other] if unreadable_first else [other, path])
    make, _ = way
    if make is no_descriptors:
        make = no_descriptor_for_it
    with make(path, ""):
        verdict = known.check("host", A)
    assert verdict.state == ("revoked" if "@revoked" in content else "unreadable")
    assert [broken.file for broken in verdict.unreadable] == [str(path)]
    assert str(path) in str(known.error(GATEWAY, "host", A, verdict)) or content


@pytest.mark.parametrize("is_other", [False, True])
def test_nothing_is_added(tmp_path: Path, path: Path, way, is_other: bool) -> None:
    """Neither to the file, nor to another one beside it, nor through a link."""
    other = tmp_path / "other"
    other.write_text("")
    before = sorted(tmp_path.rglob("*"))
    known = KnownHosts([other, path] if is_other else [path])
    make, _ = way
    with make(path, line(B)):
        assert known.add("host", A, timeout=0).state == "unreadable"
        if make is not no_descriptors:
            assert known.add("host", A, other, timeout=0).state == "unreadable"
    assert other.read_text() == ""
    if path.is_file() and not path.is_symlink():
        assert path.read_bytes().rstrip(b"\0").decode() in ("", line(B))
    assert sorted(tmp_path.rglob("*")) in (before, sorted([*before, path]))


def test_a_path_given_to_add_is_read_too(tmp_path: Path, path: Path, way) -> None:
    (tmp_path / "other").write_text("")
    make, _ = way
    with make(path, line(B)):
        assert KnownHosts([tmp_path / "other"]).add("host", A, path).state == "unreadable"


# --- No such file --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing", "missing/known_hosts", "a/b/c/known_hosts"])
def test_a_missing_file_or_directory_means_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for given in (name, tmp_path / name):
        verdict = KnownHosts([given]).check("host", A)
        assert verdict.state == "unknown"
        assert verdict.unreadable == ()


def test_the_default_files_and_dev_null_can_be_read(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert KnownHosts([*default_paths(), os.devnull]).check("host", A).state == "unknown"


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(line(A))
    (tmp_path / "link").symlink_to("file")
    assert KnownHosts([tmp_path / "link"]).check("host", A).state == "match"


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_text(line(A))
    os.truncate(path, LIMIT)
    assert KnownHosts([path]).check("host", A).state == "match"


def test_a_file_that_appears_meanwhile_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor may remove the file and write it again."""
    path = tmp_path / "known"
    real = os.open

    def appears(*args, **options) -> int:
        try:
            return real(*args, **options)
        finally:
            path.write_text(line(B))

    monkeypatch.setattr(os, "open", appears)
    assert KnownHosts([path]).check("host", A).state == "changed"


def test_an_empty_path_is_no_missing_file() -> None:
    assert KnownHosts([""]).check("host", A).state == "unreadable"


# --- ssh(1), which is laxer ----------------------------------------------------------------------

OPENSSH_ACCEPTS = ("directory", "dangling link", "loop", "ENOTDIR", "EIO")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPENSSH_ACCEPTS)
def test_openssh_takes_the_file_for_an_empty_one(sshd, path: Path, name: str) -> None:
    """The reason to differ: accept-new accepts a key that the file may revoke."""
    make, _ = WAYS[name]
    with make(path, "".join(f"@revoked * {sshd.host_key}\n")):
        said = subprocess.run(
            [
                *sshd.ssh(
                    "-oStrictHostKeyChecking=accept-new",
                    f"-oUserKnownHostsFile={path}",
                    f"-oGlobalKnownHostsFile={os.devnull}",
                    "true",
                )
            ],
            capture_output=True,
            check=False,
            text=True,
        )
    assert said.returncode == 0, said.stderr
