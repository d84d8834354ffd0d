# SPDX-License-Identifier: BSD-2-Clause
"""known_hosts: parsing, lookups, adding keys, and the messages of refusals."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import hmac
import multiprocessing
import os
import resource
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from sshgateway import errors
from sshgateway.known_hosts import (
    KnownHosts,
    Verdict,
    default_paths,
    fingerprint,
    key_type,
    lookup_name,
)
from support.footprint import descriptors
from support.waiting import DEADLINE, Worker, until

GATEWAY = "deploy@bastion:22"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def ed25519(seed: int) -> bytes:
    return string(b"ssh-ed25519") + string(hashlib.sha256(bytes([seed])).digest())


def rsa(seed: int, zeros: int = 1) -> bytes:
    number = b"\0" * zeros + b"\xc1" + hashlib.shake_128(bytes([seed])).digest(255)
    return string(b"ssh-rsa") + string(b"\1\0\1") + string(number)


ECDSA = (
    string(b"ecdsa-sha2-nistp256")
    + string(b"nistp256")
    + string(b"\4" + bytes(range(32)) + bytes(range(32, 64)))
)

A, B, C, RSA = ed25519(1), ed25519(2), ed25519(3), rsa(1)


def text(key: bytes) -> str:
    return f"{key_type(key)} {base64.b64encode(key).decode()}"


def hashed(name: str, salt: bytes = bytes(range(20))) -> str:
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.fixture
def write(tmp_path: Path):
    """Call as write(text...): the KnownHosts of one file per text."""

    def writer(*texts: str | bytes) -> KnownHosts:
        paths = []
        for number, content in enumerate(texts):
            paths.append(tmp_path / f"known_hosts{number}")
            data = content if isinstance(content, bytes) else content.encode()
            paths[-1].write_bytes(data)
        return KnownHosts(paths)

    return writer


# ---- Keys and names ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", pytest.param("rsa", marks=pytest.mark.slow)])
def test_type_and_fingerprint_are_those_of_ssh_keygen(kind: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)]
    subprocess.run(run, check=True, stdin=subprocess.DEVNULL)
    named, encoded = key.with_suffix(".pub").read_text().split()[:2]
    said = subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True)
    blob = base64.b64decode(encoded)
    assert key_type(blob) == named
    assert fingerprint(blob) == said.stdout.split()[1]


@pytest.mark.parametrize(
    "blob", [b"", b"\0", b"\0\0\0\1", A[:-1], A + b"x", string(b"ssh-ed25519"), string(b"a b") * 2]
)
def test_a_malformed_key_has_no_type(blob: bytes) -> None:
    with pytest.raises(ValueError, match="public key"):
        key_type(blob)
    assert fingerprint(blob).startswith("SHA256:")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("Bastion.Example.COM",), "bastion.example.com"),
        (("bastion", 22), "bastion"),
        (("Bastion", 2222), "[bastion]:2222"),
        (("bastion", 2222, "The-Alias"), "the-alias"),
        (("bastion", 2222, ""), "[bastion]:2222"),
        (("192.0.2.1", 2222), "[192.0.2.1]:2222"),
        (("2001:DB8:0:0::1",), "2001:db8::1"),
        (("2001:DB8:0:0::1", 2222), "[2001:db8::1]:2222"),
        (("FE80::1%eth0",), "fe80::1%eth0"),
    ],
)
def test_the_name_under_which_a_host_is_looked_up(arguments, name: str) -> None:
    assert lookup_name(*arguments) == name


def test_the_default_files_are_those_of_ssh(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_paths() == [
        f"{tmp_path}/.ssh/known_hosts",
        f"{tmp_path}/.ssh/known_hosts2",
        "/etc/ssh/ssh_known_hosts",
        "/etc/ssh/ssh_known_hosts2",
    ]
    assert list(KnownHosts().paths) == default_paths()
    assert KnownHosts(["~/other"]).paths == (f"{tmp_path}/other",)


def test_a_single_path_is_refused() -> None:
    with pytest.raises(TypeError):
        KnownHosts("/etc/ssh/ssh_known_hosts")


# ---- Which lines count ------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        "host",
        "HOST",
        "other,host",
        "host,",
        "h*",
        "h?st",
        "*",
        "**t",
        "*,!other",
        "!other,host",
        "h*o*s*t*",
        hashed("host"),
    ],
)
def test_a_key_is_known_under_a_matching_name(names: str, write) -> None:
    known = write(f"{names} {text(A)}\n")
    assert known.check("host", A).state == "match"
    assert known.check("Host", A).state == "match"
    assert known.check("host", B).state == "changed"
    assert known.key_types("host") == ["ssh-ed25519"]


@pytest.mark.parametrize(
    "names",
    [
        "hos",
        "hosts",
        "h?",
        "?host",
        "host?",
        "!host,*",
        "*,!host",
        "host,!h*",
        "!other",
        "[host]:22",
        "[host]:2222",
        "#host",
        hashed("other"),
        hashed("host") + "|",
        hashed("host").rstrip("="),
        hashed("host") + ",host",
        hashed("host", b"short"),
        "|1|" + "A" * 2000 + "|x",
        "|2|a|b",
        "x" * 1023 + ",host",
        "host,!" + "*" * 1023,
    ],
)
def test_a_key_is_unknown_under_other_names(names: str, write) -> None:
    known = write(f"{names} {text(A)}\n")
    assert known.check("host", A) == Verdict("unknown")
    assert known.check("host", B).state == "unknown"
    assert known.key_types("host") == []


def test_many_wildcards_do_not_slow_down_the_match(write) -> None:
    known = write(f"{'*a' * 500} {text(A)}\n")
    assert known.check("a" * 5000 + "b", A).state == "unknown"


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "  {}",
        "\t {} a comment",
        "{}\r",
        "{}\n\n# the end",
        "# comment\n\n   \n{}",
        "\r\n{}\r\n",
        "broken\n{}",
        "@unknown {}\n{}",
        "{}\0junk",
    ],
)
def test_odd_neighbouring_lines_do_not_hide_a_key(line: str, write) -> None:
    assert write(line.format(*[f"host {text(A)}"] * 2)).check("host", A).state == "match"


def test_a_last_line_may_end_without_newline(write) -> None:
    assert write(f"host {text(A)}").check("host", A).state == "match"


@pytest.mark.parametrize(
    "line",
    [
        "host",
        "host ",
        f"host {text(A)[:-5]}",
        f"host {text(A)}!",
        f"host {text(A)}A",
        "host ssh-ed25519",
        "host ssh-ed25519 #",
        f"host ssh-rsa {text(A).split()[1]}",
        f"host ssh-ed25519 {base64.b64encode(A[:-1]).decode()}",
        f"@revoked @revoked host {text(A)}",
        f"@revoked  @cert-authority host {text(A)}",
        f"@ host {text(A)}",
        f"@revokedhost {text(A)}",
        "@revoked",
        "@revoked host",
        f"# host {text(A)}",
    ],
)
def test_a_broken_line_is_ignored(line: str, write) -> None:
    verdict = write(f"{line}\n").check("host", A)
    assert (verdict.state, verdict.entries) == ("unknown", ())


def test_base64_with_bits_left_over_is_broken(write) -> None:
    """As in b64_pton() of OpenBSD, whose comment says: "they become a subliminal channel"."""
    assert text(ECDSA).endswith("8=")
    assert write(f"host {text(ECDSA)}\n").check("host", ECDSA).state == "match"
    assert write(f"host {text(ECDSA)[:-2]}9=\n").check("host", ECDSA).state == "unknown"


def test_a_broken_line_for_the_host_is_reported(write) -> None:
    known = write(f"other {text(B)}\nhost ssh-ed25519 AAAA\nelse ssh-ed25519 AAAA\n")
    verdict = known.check("host", A)
    assert verdict.notes == (f"{known.paths[0]}:2 is invalid and was ignored",)
    assert verdict.notes[0] in str(known.error(GATEWAY, "host", A, verdict))


def test_the_name_of_an_rsa_signature_algorithm_stands_for_ssh_rsa(write) -> None:
    """As in OpenSSH; key_types() returns the type of the key."""
    known = write(f"host rsa-sha2-512 {text(RSA).split()[1]}\n")
    assert known.check("host", RSA).state == "match"
    assert known.key_types("host") == ["ssh-rsa"]


# ---- Verdicts ---------------------------------------------------------------


def test_nothing_is_known_without_files(tmp_path: Path) -> None:
    for known in (KnownHosts([]), KnownHosts([tmp_path / "none"])):
        assert known.check("host", A) == Verdict("unknown")
        assert known.key_types("host") == []


def test_the_matching_line_is_named(write) -> None:
    known = write("", f"# one\n\nbroken\nhost {text(B)}\nhost {text(A)} comment\n")
    verdict = known.check("host", A)
    assert verdict.state == "match"
    (entry,) = verdict.entries
    assert (entry.file, entry.line, entry.marker) == (known.paths[1], 5, "")
    assert (entry.key_type, entry.fingerprint) == ("ssh-ed25519", fingerprint(A))
    assert entry.where == f"{known.paths[1]}:5"


def test_any_file_may_have_the_key(write) -> None:
    """sshd(8): accepted if valid information can be found from either file."""
    known = write(f"host {text(B)}\n", f"host {text(A)}\n")
    assert known.check("host", A).state == "match"
    assert known.check("host", B).state == "match"


def test_another_key_is_a_change_and_entries_of_its_own_type_come_first(write) -> None:
    known = write(f"host {text(RSA)}\n", f"host {text(B)}\nh* {text(C)}\n")
    verdict = known.check("host", A)
    assert verdict.state == "changed"
    assert [(e.file, e.line) for e in verdict.entries] == [
        (known.paths[1], 1),
        (known.paths[1], 2),
        (known.paths[0], 1),
    ]


def test_a_key_of_another_type_is_a_change_too(write) -> None:
    """As in hostfile.c, check_hostkeys_by_key_or_type()."""
    assert write(f"host {text(RSA)}\n").check("host", A).state == "changed"


@pytest.mark.parametrize("marker", ["@revoked", "@revoked\t", "  @revoked  "])
@pytest.mark.parametrize("order", [1, -1])
def test_a_revoked_key_is_never_accepted(marker: str, order: int, write) -> None:
    lines = [f"{marker} * {text(A)}\n", f"host {text(A)}\n"]
    known = write("".join(lines[::order]))
    verdict = known.check("host", A)
    assert verdict.state == "revoked"
    assert [entry.marker for entry in verdict.entries] == ["@revoked"]
    assert known.key_types("host") == []
    assert known.check("host", B).state == "changed"


def test_a_revocation_for_other_hosts_has_no_effect(write) -> None:
    known = write(f"@revoked other {text(A)}\n@revoked host {text(B)}\nhost {text(A)}\n")
    assert known.check("host", A).state == "match"


def test_a_revocation_in_a_later_file_counts(write) -> None:
    assert write(f"host {text(A)}\n", f"@revoked * {text(A)}\n").check("host", A).state == (
        "revoked"
    )


def test_a_key_revoked_for_the_host_is_revoked_for_its_other_ports(write) -> None:
    known = write(f"@revoked {hashed('host')} {text(A)}\n[host]:2222 {text(A)}\n")
    assert known.check("[host]:2222", A).state == "revoked"


@pytest.mark.parametrize(
    ("revoked", "presented"),
    [
        (RSA, rsa(1, zeros=2)),
        (RSA, rsa(1, zeros=0)),
        (RSA, RSA + b"more"),
        (A, A + string(b"more")),
        (A, A + b"more"),
        (ECDSA, ECDSA[:-69] + string(b"\2" + ECDSA[-64:-32])),
        (ECDSA, ECDSA[:-69] + string(b"\6" + ECDSA[-64:])),
    ],
)
def test_no_other_encoding_hides_a_revoked_key(revoked, presented, write) -> None:
    known = write(f"@revoked * {text(revoked)}\nhost {text(revoked)}\n")
    assert known.check("host", presented).state == "revoked"
    assert write(f"host {text(revoked)}\n").check("host", presented).state == "changed"


def test_other_keys_of_the_type_are_not_revoked_with_it(write) -> None:
    keys = [A, B, RSA, rsa(2), ECDSA, ECDSA[:-64] + b"!" + ECDSA[-63:]]
    for key in keys:
        others = "".join(f"@revoked * {text(other)}\n" for other in keys if other != key)
        assert write(others).check("host", key).state == "unknown"


def test_a_certificate_authority_does_not_make_a_key_known(write) -> None:
    known = write(f"@cert-authority * {text(A)}\n")
    verdict = known.check("host", A)
    assert verdict.state == "unknown"
    assert "certificate" in verdict.notes[0]
    assert known.check("host", B).state == "unknown"
    assert known.key_types("host") == []


def test_a_port_does_not_fall_back_to_the_host_but_the_error_mentions_it(write) -> None:
    known = write(f"host {text(A)}\nhost {text(B)}\n")
    verdict = known.check("[host]:2222", A)
    assert verdict.state == "unknown"
    assert f"{known.paths[0]}:1" in verdict.notes[0]
    assert len(verdict.notes) == 1
    assert known.check("[host]:2222", C) == Verdict("unknown")
    assert known.key_types("[host]:2222") == []


def test_a_host_does_not_fall_back_to_a_port(write) -> None:
    assert write(f"[host]:2222 {text(A)}\n").check("host", A) == Verdict("unknown")


def test_brackets_in_a_line_are_not_wildcards(write) -> None:
    known = write(f"[host]:* {text(A)}\n")
    assert known.check("[host]:2222", A).state == "match"
    assert known.check("host", A).state == "unknown"


def test_key_types_are_listed_once_each_in_the_order_of_the_files(write) -> None:
    certificate = string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"x") + bytes(8)
    known = write(
        f"other {text(ECDSA)}\nhost {text(RSA)}\nhost {text(certificate)}\n",
        f"host {text(A)}\nhost {text(rsa(2))}\n",
    )
    assert known.key_types("host") == ["ssh-rsa", "ssh-ed25519"]


def test_an_unreadable_file_is_reported(tmp_path: Path, write) -> None:
    known = KnownHosts([tmp_path, *write(f"host {text(A)}\n").paths, "nul\0path"])
    verdict = known.check("other", A)
    assert verdict.state == "unreadable"
    assert str(verdict.unreadable[0]) == f"{tmp_path} cannot be read: Is a directory"
    assert len(verdict.unreadable) == 2
    error = str(known.error(GATEWAY, "other", A, verdict))
    assert str(tmp_path) in error and "null " in error


def test_a_line_written_later_is_seen(write) -> None:
    known = write("")
    assert known.check("host", A).state == "unknown"
    Path(known.paths[0]).write_text(f"host {text(A)}\n")
    assert known.check("host", A).state == "match"


@pytest.mark.parametrize("garbage", [b"", b"x", A[:-1], b"\xff" * 40])
def test_garbage_instead_of_a_key_is_judged_too(garbage: bytes, write) -> None:
    known = write(f"host {text(A)}\n@revoked * {text(B)}\n")
    assert known.check("host", garbage).state == "changed"
    verdict = known.check("other", garbage)
    assert verdict.state == "unknown"
    assert known.error(GATEWAY, "other", garbage, verdict).key_type == "unknown"


def test_a_name_outside_ascii_is_found(write) -> None:
    assert write(f"b\xfccher {text(A)}\n").check("b\xfccher", A).state == "match"


# ---- Adding -----------------------------------------------------------------


def test_an_added_key_is_known_afterwards(tmp_path: Path) -> None:
    known = KnownHosts([tmp_path / "new" / "known_hosts", tmp_path / "other"])
    verdict = known.add("[Host]:2222", A)
    assert verdict.state == "match"
    file = Path(known.paths[0])
    assert file.read_text() == f"[host]:2222 {text(A)}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert known.check("[host]:2222", A) == verdict
    assert verdict.entries[0].where == f"{file}:1"
    assert not Path(known.paths[1]).exists()


def test_a_key_goes_after_a_last_line_without_newline(write) -> None:
    known = write(f"# comment\nother {text(B)}")
    assert known.add("host", A).entries[0].line == 3
    assert Path(known.paths[0]).read_text() == f"# comment\nother {text(B)}\nhost {text(A)}\n"


def test_a_hashed_name_is_found_by_ssh_keygen_too(write) -> None:
    known = write("")
    assert known.add("[Host]:2222", A, hashed=True).state == "match"
    content = Path(known.paths[0]).read_text()
    assert content.startswith("|1|")
    assert "host" not in content
    assert known.check("[host]:2222", A).state == "match"
    run = ["ssh-keygen", "-F", "[host]:2222", "-f", known.paths[0]]
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0


def test_a_key_can_be_added_to_another_file(write, tmp_path: Path) -> None:
    known = write("")
    assert known.add("host", A, tmp_path / "third").state == "match"
    assert Path(known.paths[0]).read_text() == ""
    assert (tmp_path / "third").read_text() == f"host {text(A)}\n"


def test_a_known_key_is_not_added_again(write) -> None:
    known = write("", f"h* {text(A)}\n")
    assert known.add("host", A).state == "match"
    assert Path(known.paths[0]).read_text() == ""


@pytest.mark.parametrize(("line", "state"), [("h*", "changed"), ("@revoked h*", "revoked")])
def test_a_key_that_contradicts_the_files_is_not_added(line: str, state: str, write) -> None:
    known = write("", f"{line} {text(B)}\n")
    assert known.add("host", A if state == "changed" else B).state == state
    assert Path(known.paths[0]).read_text() == ""


def test_the_mode_of_an_existing_file_is_kept(write) -> None:
    known = write("")
    Path(known.paths[0]).chmod(0o644)
    known.add("host", A)
    assert stat.S_IMODE(Path(known.paths[0]).stat().st_mode) == 0o644


def test_a_symbolic_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    KnownHosts([tmp_path / "link"]).add("host", A)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == f"host {text(A)}\n"


def test_keys_added_to_dev_null_are_not_kept() -> None:
    known = KnownHosts(["/dev/null"])
    assert known.add("host", A).state == "match"
    assert known.check("host", A).state == "unknown"


@pytest.mark.parametrize(
    "name",
    [
        *["", "a b", "a,b", "a*", "a?", "!a", "|1|x|y", "@revoked", "#a", "a\nb c", "[a]"],
        *["[]:1", "[a,b]:2222", "a\tb", "a\0b", "a\x7fb", "a'b", "a\\b", "a\xa0b"],
    ],
)
def test_a_name_with_a_special_meaning_is_not_written(name: str, write) -> None:
    known = write("")
    with pytest.raises(OSError, match="cannot remember") as caught:
        known.add(name, A)
    assert caught.value.args[0] == errno.EINVAL
    assert len(caught.value.args) == 2
    assert Path(known.paths[0]).read_text() == ""


def test_garbage_is_not_written(write) -> None:
    with pytest.raises(OSError, match="not an SSH public key"):
        write("").add("host", b"garbage")


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "where" / "known_hosts"
    with pytest.raises(OSError, match="cannot remember") as caught:
        KnownHosts([missing]).add("host", A)
    assert caught.value.args[0] == errno.ENOENT
    assert str(missing) in caught.value.args[1]
    with pytest.raises(FileNotFoundError, match="no known_hosts file") as caught:
        KnownHosts([]).add("host", A)
    assert len(caught.value.args) == 2


def test_a_full_disk_is_reported(write) -> None:
    known = write("# a comment\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # a write is cut short
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            known.add("host", A)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.ENOSPC


def test_the_lock_of_another_process_is_waited_for(write) -> None:
    known = write("")
    with open(known.paths[0]) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process") as caught:
            known.add("host", A, timeout=0.05)
        assert len(caught.value.args) == 2
        worker = Worker(known.add, "host", A)
        Path(known.paths[0]).write_text(f"host {text(B)}\n")
        fcntl.flock(other, fcntl.LOCK_UN)
    assert worker.result().state == "changed"
    assert Path(known.paths[0]).read_text() == f"host {text(B)}\n"


def test_a_file_replaced_under_the_lock_is_not_lost(write, tmp_path: Path) -> None:
    """ssh-keygen -R writes a new file and renames it to known_hosts."""
    known = write("")
    with open(known.paths[0]) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        worker = Worker(known.add, "host", A)
        until(lambda: list(descriptors().values()).count(known.paths[0]) == 2, "it waits")
        (tmp_path / "replacement").write_text(f"other {text(B)}\n")
        os.replace(tmp_path / "replacement", known.paths[0])
    assert worker.result().state == "match"
    assert Path(known.paths[0]).read_text() == f"other {text(B)}\nhost {text(A)}\n"


def _add(path: str, keys: list[bytes]) -> None:
    for key in keys:
        KnownHosts([path]).add(f"host-{fingerprint(key)[7:11].lower()}".replace("/", "-"), key)


def test_processes_that_add_the_same_keys_at_once_write_each_once(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    keys = [ed25519(seed) for seed in range(20)]
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_add, args=(str(path), keys[start:] + keys[:start]))
        for start in (0, 5, 10)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(4 * DEADLINE)
        assert worker.exitcode == 0
        worker.close()
    lines = path.read_text().splitlines()
    assert sorted(line.split()[2] for line in lines) == sorted(text(k).split()[1] for k in keys)


def test_threads_that_add_different_keys_at_once_leave_one_line(tmp_path: Path) -> None:
    known = KnownHosts([tmp_path / "known_hosts"])
    ready = threading.Barrier(6)

    def add(seed: int) -> str:
        ready.wait(DEADLINE)
        return known.add("host", ed25519(seed)).state

    workers = [Worker(add, seed) for seed in range(6)]
    assert sorted(w.result() for w in workers) == ["changed"] * 5 + ["match"]
    assert Path(known.paths[0]).read_text().count("\n") == 1


# ---- The messages -----------------------------------------------------------


def refusal(known: KnownHosts, name: str, key: bytes, **options) -> errors.HostKeyError:
    return known.error(GATEWAY, name, key, known.check(name, key), **options)


def test_the_message_for_an_unknown_key_says_what_to_do(write) -> None:
    known = write("")
    error = refusal(known, "[bastion]:2222", A)
    assert (error.hostname, error.key_type) == ("[bastion]:2222", "ssh-ed25519")
    assert (error.gateway, error.fingerprint) == (GATEWAY, fingerprint(A))
    for words in (
        "[bastion]:2222",
        GATEWAY,
        fingerprint(A),
        known.paths[0],
        "ssh-keyscan -p 2222 bastion",
        "accept-new",
    ):
        assert words in error.args[1]


def test_the_advice_for_an_alias_names_the_real_host(write) -> None:
    error = refusal(write(""), "the-alias", A, address=("10.0.0.1", 2222))
    assert "ssh-keyscan -p 2222 10.0.0.1" in error.args[1]
    assert "put 'the-alias' for the name" in error.args[1]
    error = refusal(write(""), "[bastion]:2222", A, address=("Bastion", 2222))
    assert "for the name" not in error.args[1]


def test_without_files_the_advice_is_to_name_one() -> None:
    for paths in ([], [os.devnull]):
        assert "known_hosts=" in refusal(KnownHosts(paths), "bastion", A).args[1]


def test_the_message_for_a_changed_key_has_both_fingerprints_and_the_line(write) -> None:
    known = write(f"# one\n[bastion]:2222 {text(B)}\n")
    error = refusal(known, "[bastion]:2222", A)
    for words in (
        fingerprint(A),
        fingerprint(B),
        f"{known.paths[0]}:2",
        f"ssh-keygen -f {known.paths[0]} -R '[bastion]:2222'",
    ):
        assert words in error.args[1]
    assert error.fingerprint == fingerprint(A)


def test_the_advice_for_a_changed_key_works(write) -> None:
    known = write(f"other {text(A)}\n[bastion]:2222 {text(B)}\n")
    command = refusal(known, "[bastion]:2222", A).args[1].rpartition(": ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert known.check("[bastion]:2222", A).state == "unknown"
    assert known.check("other", A).state == "match"


def test_the_message_for_a_revoked_key_names_the_line(write) -> None:
    known = write(f"\n\n@revoked * {text(A)}\n")
    error = refusal(known, "bastion", A)
    assert f"{known.paths[0]}:3" in error.args[1]
    assert "revoked" in error.args[1]
    assert "accept-new" not in error.args[1]


def test_a_matching_key_is_not_an_error(write) -> None:
    with pytest.raises(ValueError, match="not an error"):
        refusal(write(f"bastion {text(A)}\n"), "bastion", A)
