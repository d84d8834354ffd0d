# SPDX-License-Identifier: BSD-2-Clause
"""Fuzz known_hosts.py: random bytes for a file, a name and a key.

    fuzz_known_hosts.py -max_total_time=SECONDS CORPUS

The options are those of libFuzzer.  If Atheris is installed it guides the inputs by the
coverage of the code; otherwise the inputs are random mutations.  check_all() states what
must hold for every input.
"""

from __future__ import annotations

import base64
import contextlib

from driver import atheris, run

with atheris.instrument_imports() if atheris else contextlib.nullcontext():
    from sshgateway import errors, known_hosts
    from sshgateway._trust import lines as known_hosts_lines

_ED25519 = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
_RSA = b"\0\0\0\x07ssh-rsa\0\0\0\x03\1\0\1\0\0\0\x05\0\x80\1\1\1"
_STATES = ("match", "unknown", "changed", "revoked")
_NAMES = ("host", "[host]:2222", "10.0.0.1", "::1", "h*st?", "")


def _line(names: bytes, kind: bytes, key: bytes) -> bytes:
    return names + b" " + kind + b" " + base64.b64encode(key) + b"\n"


#: The first inputs: a byte that selects the name, then a file.
SEEDS = (
    b"\0" + _line(b"host,10.0.0.1", b"ssh-ed25519", _ED25519),
    b"\1" + _line(b"[host]:2222", b"ssh-rsa", _RSA),
    b"\2# comment\n\n" + _line(b"@revoked *", b"ssh-ed25519", _ED25519),
    b"\3" + _line(b"@cert-authority *.host,!h?st", b"ssh-rsa", _RSA),
    b"\0" + _line(known_hosts_lines.hash_of(b"host", bytes(20)), b"ssh-ed25519", _ED25519),
    b"\4" + _line(b"|1|AAAA|BBBB", b"ssh-ed25519", _ED25519[:-1]) + b"host\tssh-rsa AAAA= x",
)


#: Bytes that mutations insert.
PIECES = (b"\n", b" ", b"\t", b"\0", b"*", b"?", b"!", b",", b"|1|", b"@revoked ", b"\xff")


class _Files:
    """A file with these bytes that is not on a disk."""

    def __init__(self) -> None:
        self.data = b""

    def read(self, path: str) -> bytes:
        return self.data


def check_all(files: _Files, data: bytes) -> None:
    """Check that nothing is raised, a revoked key is refused, and a match has the key."""
    name, files.data = _NAMES[data[0] % len(_NAMES)] if data else "", data[1:]
    key = _RSA if len(data) % 2 else _ED25519
    hosts = known_hosts.KnownHosts(["/known_hosts"])
    verdict = hosts.check(name, key)
    assert verdict.state in _STATES
    assert all("\n" not in note for note in verdict.notes)
    assert all(known_hosts.key_type(entry.key) for entry in verdict.entries)
    hosts.key_types(name)
    if verdict.state == "match":
        assert verdict.entries
        assert all(entry.key == key for entry in verdict.entries)
    else:
        error = hosts.error("user@host:22", name, key, verdict)
        assert isinstance(error, errors.HostKeyError)
        assert len(error.args) == 2
    check_additions(files, hosts, name, key, verdict.state)


def check_additions(
    files: _Files, hosts: known_hosts.KnownHosts, name: str, key: bytes, state: str
) -> None:
    """Check that an added line is read back, whatever stands before it."""
    before, kind = files.data, known_hosts.key_type(key).encode()
    if name:
        files.data = before + b"\n" + _line(name.replace("h*st?", "host").encode(), kind, key)
        expected = "revoked" if state == "revoked" else "match"
        if name != "h*st?":
            assert hosts.check(name, key).state == expected
    files.data = before + b"\n" + _line(b"@revoked *", kind, key)
    assert hosts.check(name or "x", key).state == "revoked"


if __name__ == "__main__":
    _CONTENTS = _Files()
    known_hosts._read = _CONTENTS.read
    run(lambda data: check_all(_CONTENTS, data), SEEDS, PIECES)
