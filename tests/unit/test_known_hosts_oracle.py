# SPDX-License-Identifier: BSD-2-Clause
"""known_hosts compared with ``ssh-keygen -F``: both find the same lines for every name.

``ssh-keygen -l -F name`` reads the keys as ssh(1) does.  For each line that matches, it
prints the line's number, its marker and the fingerprint.
"""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sshgateway.known_hosts import KnownHosts, _find, fingerprint

pytestmark = pytest.mark.limit(60)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("oracle")


@pytest.fixture(scope="module")
def keys(directory: Path) -> list[str]:
    """ "type base64" of real keys, because ssh-keygen checks that their numbers are valid."""
    made = []
    for number, kind in enumerate(["ed25519", "ed25519", "ecdsa", "rsa"]):
        file = directory / f"key{number}"
        run = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(file)]
        subprocess.run(run, check=True, stdin=subprocess.DEVNULL)
        made.append(" ".join(file.with_suffix(".pub").read_text().split()[:2]))
    return made


def found_by_ssh_keygen(name: str, file: Path) -> list[tuple[int, str, str]]:
    """The lines that ssh-keygen finds: number, marker, fingerprint."""
    run = ["ssh-keygen", "-l", "-F", name, "-f", str(file)]
    said = subprocess.run(run, capture_output=True, check=False, errors="surrogateescape")
    assert said.returncode in (0, 1), said.stderr
    markers = {"": "", "CA": "@cert-authority", "REVOKED": "@revoked"}
    heads = re.findall(r"^# Host .* found: line (\d+) ?(CA|REVOKED)?\s*$", said.stdout, re.M)
    prints = re.findall(r"^(?!# Host ).* (SHA256:[\w+/]+)", said.stdout, re.M)
    assert len(heads) == len(prints), said.stdout
    return [
        (int(line), markers[mark], key) for (line, mark), key in zip(heads, prints, strict=True)
    ]


def found(name: str, file: Path) -> list[tuple[int, str, str]]:
    files, unreadable = KnownHosts([file])._read()
    assert not unreadable
    entries = _find(name, files).entries
    return [(entry.line, entry.marker, entry.fingerprint) for entry in entries]


#: Few characters, so that generated names often match generated patterns.
NAMES = st.one_of(
    st.text("ab.", min_size=1, max_size=4),
    st.sampled_from(["[a]:1", "[a]:22", "[a.b]:2222", "a.b", "::1", "[::1]:22", "10.0.0.1"]),
)
PATTERNS = st.one_of(
    NAMES,
    st.text("abAB.*?!", max_size=5),
    st.sampled_from(["[a]:*", "[*]:2222", "[a", "a]:1", "*", "?", "!", "", "#a", "x" * 1024]),
)
LISTS = st.lists(PATTERNS, min_size=1, max_size=4).map(",".join)
SPACES = st.sampled_from([" ", "  ", "\t", " \t "])


@st.composite
def hashed_names(draw: st.DrawFn) -> str:
    import hmac

    salt = draw(st.binary(min_size=19, max_size=21) if draw(st.booleans()) else st.just(b"s" * 20))
    digest = hmac.digest(salt, draw(NAMES).encode(), "sha1")
    names = "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
    damage = draw(st.sampled_from(["", "", "", "|", "=", ",a", "cut", "2"]))
    if damage == "cut":
        return names[:-1]
    return names.replace("1", "2", 1) if damage == "2" else names + damage


@st.composite
def key_fields(draw: st.DrawFn) -> tuple[int, str]:
    """The number of a key, and the way in which it is written."""
    how = draw(
        st.sampled_from(
            ["good"] * 8 + ["cut", "more", "junk", "type", "none", "half", "signature"]
        )
    )
    return draw(st.integers(0, 3)), how


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, str, tuple[int, str], str]:
    """The text before the key, the space within it, the key, and the text after it."""
    marker = draw(
        st.sampled_from(
            [""] * 6
            + ["@revoked ", "@cert-authority ", "@revoked  ", "@revoked \t"]
            + ["@unknown ", "@ ", "@", "@revoked @revoked ", "@revoked", "@REVOKED "]
        )
    )
    names = draw(st.one_of(LISTS, hashed_names()))
    before = draw(st.sampled_from(["", "", "", " ", "\t", "  ", "#", "# "]))
    after = draw(st.sampled_from(["", "", " comment", "\tuser@host x", "  ", "\r", " # x\r"]))
    return before + marker + names + draw(SPACES), draw(SPACES), draw(key_fields()), after


def written(keys: list[str], which: int, how: str, space: str) -> str:
    kind, encoded = keys[which].split()
    forms = {
        "good": (kind, encoded),
        "cut": (kind, encoded[:-6]),
        "more": (kind, encoded + "AAAA"),
        "junk": (kind, encoded[:9] + "-" + encoded[9:]),
        "type": (keys[(which + 2) % 4].split()[0], encoded),
        "none": (kind, ""),
        "half": ("", encoded),
        "signature": ("rsa-sha2-256", encoded),
    }
    return space.join(forms[how])


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    file=st.lists(
        st.one_of(lines(), lines(), st.sampled_from(["", "  ", "# a", "a", "@revoked"]))
    ),
    names=st.lists(NAMES, min_size=1, max_size=3),
    ending=st.sampled_from(["\n", "", "\r\n"]),
)
@example(file=[("*,!a ", " ", (0, "good"), "")], names=["a", "b"], ending="\n")
@example(file=[("@revoked * ", " ", (3, "good"), "")] * 2, names=["a"], ending="")
def test_both_find_the_same_lines(file, names, ending, keys, directory) -> None:
    path = directory / "known_hosts"
    content = []
    for line in file:
        if isinstance(line, str):
            content.append(line)
        else:
            before, space, (which, how), after = line
            content.append(before + written(keys, which, how, space) + after)
    path.write_bytes(("\n".join(content) + ending).encode())
    for name in names:
        assert found(name, path) == found_by_ssh_keygen(name, path), path.read_text()


def test_files_that_ssh_keygen_hashed_are_read(keys, directory) -> None:
    path = directory / "hashed"
    names = ["a", "b.example.com", "[a]:2222", "10.0.0.1", "::1"]
    path.write_text("".join(f"{name} {keys[n % 4]}\n" for n, name in enumerate(names)))
    run = ["ssh-keygen", "-H", "-f", str(path)]
    subprocess.run(run, check=True, capture_output=True)
    assert path.read_text().count("|1|") == len(names)
    known = KnownHosts([path])
    for number, name in enumerate(names):
        key = base64.b64decode(keys[number % 4].split()[1])
        verdict = known.check(name, key)
        assert (verdict.state, verdict.entries[0].line) == ("match", number + 1)
        assert found_by_ssh_keygen(name, path) == [(number + 1, "", fingerprint(key))]
    assert known.check("c", base64.b64decode(keys[0].split()[1])).state == "unknown"
