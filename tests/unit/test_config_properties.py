# SPDX-License-Identifier: BSD-2-Clause
"""Properties of the reader of ssh_config, on generated files.

It finds what ``ssh -G`` prints, or leaves the answer to it; and no result is out of date.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sshgateway._ssh_config import files as config_files
from support.ssh_answers import Refused, by_reader, by_ssh

pytestmark = pytest.mark.limit(120)

HOSTS = ["a", "b", "web1", "Web2", "web2.example.com", "10.0.0.1", "127.1", "::1", "db/x"]
PATTERNS = ["a", "b", "*", "web*", "web?", "!a", "*.example.com", "10.0.0.*", "!web1", "a,b",
            "[ab]", "we*1", "**", "db/x", "1*", "W*"]  # fmt: skip
CRITERIA = ["host a", "host web*", "originalhost a,b", "user root", "user u", "localuser root",
            "all", "final all", "final", "canonical", "!host a", "host a user u", "HOST A",
            "!all", "final host 10.0.0.5", "originalhost *,!a", "host foo.example", "!final",
            "host zz exec false", "final all # x", "host foo.example final", "host=a",
            "exec true"]  # fmt: skip
VALUES = {
    "HostName": ["10.0.0.5", "%h.example.com", "Foo.Example", "h%%x", "FE80::1", "1.2.3", "%x"],
    "User": ["u", "v", "root", "u%%", '"a b"', "a\\ b"],
    "Port": ["22", "2222", "022", "ssh", "0"],
    "IdentityFile": ["~/.ssh/a", "/k/%h_%r", "none", "~root/x", "rel", "${HOME}/y", "/k/%C",
                     '"/a b"', "${NOT_THERE}"],
    "CertificateFile": ["/c/%n-%p", "none", "~//c"],
    "IdentitiesOnly": ["yes", "no", "TRUE"],
    "IdentityAgent": ["none", "SSH_AUTH_SOCK", "$AGENT", "~/agent", "${HOME}/a", "/r/%u"],
    "UserKnownHostsFile": ["/x /y", "/x", "none", "~/kh %d/k2", '"/p q" r', "rel/%h", '"c d"'],
    "GlobalKnownHostsFile": ["/g /h", "none", "~/g", "/%h", '"g h"'],
    "StrictHostKeyChecking": ["yes", "no", "ask", "off", "Accept-New"],
    "HostKeyAlias": ["Al", "%h", '"x y"'],
    "ConnectTimeout": ["7", "1m30s", "none", "0", "5S"],
    "ServerAliveInterval": ["15", "none", "0", "1m"],
    "ServerAliveCountMax": ["3", "0", "5"],
    "PreferredAuthentications": ["publickey", "password,publickey"],
    "PubkeyAuthentication": ["yes", "no", "unbound"],
    "PasswordAuthentication": ["yes", "no"],
    "ChallengeResponseAuthentication": ["yes", "no"],
    "KbdInteractiveAuthentication": ["yes", "no"],
    "NumberOfPasswordPrompts": ["1", "0"],
    "ProxyCommand": ["nc %h %p", "none", "NONE", "ssh -W '%h:%p' x # c"],
    "ProxyJump": ["j", "i,j", "u@j:2222", "none", "ssh://v@j:22", "[::2]:22", "j # c", "10.0.0.9",
                  "i, j"],
    "ProxyUseFdpass": ["yes", "no"],
    "RevokedHostKeys": ["/r", "none", "~/r"],
    "KnownHostsCommand": ["/bin/x %H", "none"],
    "HashKnownHosts": ["yes", "no"],
    "AddressFamily": ["inet", "inet6", "any"],
    "Ciphers": ["aes128-ctr", "-*cbc"],
    "IgnoreUnknown": ["UseKeychain,Foo*", "*"],
    "UseKeychain": ["yes"],
    "Include": ["one", "t*", "o* t*", "nothing*", "[ot]*"],
    "Compression": ["yes", "no"],
    "ForwardAgent": ["yes", "/x", "$X"],
    "ControlPath": ["~/.ssh/%C", "none"],
    "SendEnv": ["LANG LC_*"],
    "LocalForward": ["8080 localhost:80"],
}  # fmt: skip
#: Keywords that many lines have, because their values depend on each other.
FREQUENT = ["HostName", "User", "ProxyJump", "ProxyCommand", "IdentityFile", "Include",
            "UserKnownHostsFile"]  # fmt: skip

setting = st.one_of(st.sampled_from(FREQUENT), st.sampled_from(list(VALUES))).flatmap(
    lambda keyword: st.tuples(
        st.just(keyword),
        st.sampled_from([" ", " ", " ", "=", " = ", "\t"]),
        st.sampled_from(VALUES[keyword]),
        st.sampled_from(["", "", "", "", " # c", " ", "\r"]),
    )
)
line = st.builds(
    lambda indent, parts, case: indent + case(parts[0]) + "".join(parts[1:]),
    st.sampled_from(["", "  ", "\t"]),
    setting,
    st.sampled_from([str, str, str.lower, str.upper]),
)
condition = st.one_of(
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(
        lambda patterns: "Host " + " ".join(patterns)
    ),
    st.sampled_from(CRITERIA).map(lambda criteria: "Match " + criteria),
)
block = st.builds(lambda first, rest: [first, *rest], condition, st.lists(line, max_size=3))
config = st.builds(
    lambda first, blocks: "\n".join([*first, *(word for block in blocks for word in block), ""]),
    st.lists(line, max_size=3),
    st.lists(block, max_size=4),
)
included = config.filter(lambda text: "nclude" not in text and "NCLUDE" not in text)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield home


def write(path: Path, text: str) -> None:
    path.write_text(text, newline="")
    path.chmod(0o600)


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(config, included, included, st.sampled_from(HOSTS), st.sampled_from([None, 2222]),
       st.sampled_from([None, "u"]))  # fmt: skip
def test_the_reader_finds_what_ssh_prints(
    home: Path, text: str, one: str, two: str, host: str, port: int | None, user: str | None
) -> None:
    path = home / "config"
    write(path, text)
    write(home / ".ssh/one", one)
    write(home / ".ssh/two", two)
    ours = by_reader(host, path, port, user)
    theirs = by_ssh(host, path, port, user)
    if not isinstance(ours, Refused):
        assert ours == theirs
    elif isinstance(theirs, Refused):
        return  # an error: ssh explains it
    else:
        allowed = ("Match exec", "Match with", "after 'ProxyJump none'", "proxyjump", "versions")
        assert any(words in ours for words in allowed), ours
    alone = by_reader(host, path, port, user, without_ssh=True)
    assert isinstance(alone, Refused) or alone == theirs


# --- Odd lines -----------------------------------------------------------------------------------

PIECES = ["a", "b", "u", "1", " ", " ", "\t", "=", '"', "'", "\\", "#", "\r", "\f", "\v", ",", "!",
          "*", "?", "[", "]", "%h", "%%", "host", "all", "final", "user", "none", "~", "/", "$",
          "${HOME}", "@", ":", "22", "ä", "\x7f", "\x01", "{", "!all"]  # fmt: skip
odd_line = st.builds(
    lambda before, keyword, separator, pieces: before + keyword + separator + "".join(pieces),
    st.sampled_from(["", "", " ", "\t", "=", "\r", '"', "\f"]),
    st.sampled_from(["User", "HostKeyAlias", "Host", "Match", "IdentityFile", "Port", "HostName",
                     "UserKnownHostsFile", "ProxyCommand", "ProxyJump", "IgnoreUnknown", "Foo",
                     "LocalForward", "IdentityAgent"]),
    st.sampled_from([" ", " ", " ", "=", " = ", "\t", "", "\f", '"']),
    st.lists(st.sampled_from(PIECES), max_size=7),
)  # fmt: skip


@pytest.mark.slow
@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(odd_line, min_size=1, max_size=3), st.sampled_from(["", "\n"]))
@example(["Host = "], "\n")
@example(["HostKeyAlias =", 'User"a b"'], "")
def test_odd_lines_mean_what_they_mean_to_ssh(home: Path, lines: list[str], end: str) -> None:
    path = home / "odd"
    write(path, "\n".join(lines) + end)
    ours = by_reader("a", path)
    theirs = by_ssh("a", path)
    # The output of ssh -G does not show where a name of a file ends. The reader knows.
    if not isinstance(ours, Refused) and "their ends cannot be found" not in str(theirs):
        assert ours == theirs
    alone = by_reader("a", path, without_ssh=True)
    assert isinstance(alone, Refused) or alone == ours


# --- Results that are kept ----------------------------------------------------------------------

EDITS = 10_000
LINES = ["Host a", "Host b c*", "Match host a", "Match final all", "User u{}", "Port {}",
         "HostName h{}", "IdentityFile /k{}", "Include inc*", "Include two", "ProxyJump j{}",
         "# {}", "", "Nonsense {}", "IgnoreUnknown N*"]  # fmt: skip


class Edits:
    """Random changes of some files."""

    def __init__(self, directory: Path) -> None:
        self._random = random.Random(13)
        self.config = directory / "config"
        self._names = [self.config] + [
            directory / ".ssh" / name for name in ("inc1", "inc2", "inc3", "two")
        ]

    def make(self) -> None:
        path = self._random.choice(self._names)
        lines = path.read_text().split("\n") if path.exists() else []
        kind = self._random.randrange(6)
        if kind == 0 and path != self.config:
            path.unlink(missing_ok=True)
            return
        if kind == 1 and path != self.config and path.exists():
            path.chmod(self._random.choice([0o600, 0o600, 0o600, 0o666]))
            return
        new = self._random.choice(LINES).format(self._random.randrange(1, 10))
        if kind == 2 or not lines or len(lines) > 12:
            lines = [new]
        elif kind == 3:
            del lines[self._random.randrange(len(lines))]
        elif kind == 4:
            lines.insert(self._random.randrange(len(lines) + 1), new)
        else:
            lines[self._random.randrange(len(lines))] = new
        write(path, "\n".join(lines))
        os.utime(path, ns=(0, 0))  # an edit within the resolution of the clock


@pytest.mark.slow
def test_a_result_with_kept_files_is_that_of_fresh_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    edits = Edits(tmp_path)
    write(edits.config, "")
    differing = 0
    last = None
    for number in range(EDITS):
        edits.make()
        host = "abc"[number % 3]
        kept = by_reader(host, edits.config, without_ssh=True)
        with monkeypatch.context() as patch:
            patch.setattr(config_files, "_kept", config_files.Kept())
            fresh = by_reader(host, edits.config, without_ssh=True)
        assert kept == fresh, number
        differing += kept != last
        last = kept
    assert differing > EDITS / 4, "the edits change the results"
