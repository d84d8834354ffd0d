# SPDX-License-Identifier: BSD-2-Clause
"""ssh_config as people write it: lookup() and ``ssh -G`` agree, with ssh(1) and without.

tests/support/ssh_configs holds the configurations. Without ssh(1), lookup() may raise a
ConfigError only where the configuration is marked with "needs", "doubtful" or "refused". The
marks hold for OpenSSH 9.2 to 10.5.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pwd
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sshgateway import ConfigError
from sshgateway.config import Host, lookup
from support import fresh
from support.pam import why_no_namespace
from support.server import find_program
from support.ssh_configs import CONFIGURATIONS, DEFAULT_FILES, MAIN, Configuration, Question

#: The only constructs that lookup() may refuse without ssh(1).
NEED_SSH = {
    "exec", "canonical", "CanonicalizeHostname", "CanonicalizePermittedCNAMEs", "localnetwork",
    "tagged", "GSSAPIKeyExchange", "GSSAPITrustDns",
}  # fmt: skip
#: The keywords about algorithms that are not honoured.
ALGORITHMS = ("PubkeyAcceptedAlgorithms",)
#: The fields for keywords about algorithms.
LISTS = {
    "kex_algorithms": "kexalgorithms", "ciphers": "ciphers", "macs": "macs",
    "host_key_algorithms": "hostkeyalgorithms",
    "ca_signature_algorithms": "casignaturealgorithms",
}  # fmt: skip
OLD_NAMES = {"PubkeyAcceptedAlgorithms": "pubkeyacceptedkeytypes"}
METHODS = ("publickey", "keyboard-interactive", "password")
SSH = find_program("ssh")
ACCOUNT = pwd.getpwuid(os.getuid())

#: The values of each keyword, in lower case.
Said = dict[str, list[str]]
Fields = dict[str, Any]


class Refused(Exception):  # noqa: N818
    """ssh(1) exits with an error; the text is its message."""


# --- The oracle ------------------------------------------------------------------------------


def ask_ssh(file: str | None, question: Question) -> Said:
    which = ["-F", file] if file is not None else []
    command = [SSH, "-G", "-T", *which, *question.arguments()]
    ran = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
        env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip
    if ran.returncode != 0:
        raise Refused("; ".join(os.fsdecode(ran.stderr).splitlines()))
    said: Said = {}
    for line in os.fsdecode(ran.stdout).split("\n"):
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword.lower(), []).append(value)
    assert "hostname" in said
    return said


@functools.cache
def whole_list(keyword: str, value: str | None) -> str | None:
    """The list that ssh(1) makes of a value with "+", "-" or "^"; None for the default list."""
    usual = ask_ssh("none", Question("host.invalid"))[keyword]
    if value is None:
        return None
    ran = subprocess.run(
        [SSH, "-G", "-F", "none", "-o", f"{keyword}={value}", "host.invalid"],
        capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True, text=True,
    )  # fmt: skip
    found = re.findall(rf"(?m)^{keyword} (.*)$", ran.stdout)
    return None if found == usual else found[0]


@pytest.fixture(scope="module")
def defaults() -> Said:
    """The values that ssh(1) has without a file."""
    return ask_ssh("none", Question("host.invalid"))


def from_home(path: str) -> str:
    """Expand "~" and "~user" as ssh(1) does, which ignores $HOME."""
    if not path.startswith("~"):
        return path
    name, slash, rest = path[1:].partition("/")
    try:
        home = pwd.getpwnam(name).pw_dir if name else ACCOUNT.pw_dir
    except KeyError:
        raise Refused(f"No such user {name}") from None
    return home + slash + rest


def expand(path: str, question: Question, said: Said) -> str:
    """Expand the tokens and variables of a path that ``ssh -G`` prints as it is written."""
    (hostname,), (port,), (user,) = said["hostname"], said["port"], said["user"]
    machine = socket.gethostname()
    tokens = {
        "%": "%", "h": hostname, "p": port, "r": user, "n": question.host, "l": machine,
        "k": said.get("hostkeyalias", [question.host])[0], "L": machine.partition(".")[0],
        "d": ACCOUNT.pw_dir, "u": ACCOUNT.pw_name, "i": str(ACCOUNT.pw_uid),
        "C": hashlib.sha1(os.fsencode(machine + hostname + port + user)).hexdigest(),
    }  # fmt: skip

    def value(found: re.Match[str]) -> str:
        token, variable = found.groups()
        try:
            return tokens[token] if token is not None else os.environ[variable]
        except KeyError:
            raise Refused(f"{path}: {found[0]} has no value") from None

    return re.sub(r"%(.?)|\$\{([^}]*)\}", value, from_home(path))


# --- The fields that the answer of ssh(1) gives ----------------------------------------------


def expected(
    asked: Configuration, question: Question, said: Said, directory: Path, defaults: Said
) -> Fields:
    """The fields of Host for what ``ssh -G`` printed. Raises Refused."""

    def one(keyword: str, default: str = "none") -> str:
        return said.get(keyword, [default])[0]

    jump, command = one("proxyjump"), one("proxycommand")
    alive, timeout = int(one("serveraliveinterval")), one("connecttimeout")
    certificates = [path for path in said.get("certificatefile", []) if path.lower() != "none"]
    return {
        "name": question.host,
        "hostname": one("hostname"),
        "port": int(one("port")),
        "user": one("user"),
        "proxy_jump": hops(jump) if jump != "none" else None,
        "proxy_command": command if command != "none" else None,
        "proxy_use_fdpass": one("proxyusefdpass") == "yes",
        "identity_files": identity_files(question, said, defaults),
        "identities_only": one("identitiesonly") == "yes",
        "identity_agent": said.get("identityagent", [None])[0],
        "known_hosts": known_hosts(asked, said, directory),
        "strict_host_key_checking": strictness(one("stricthostkeychecking")),
        "host_key_alias": said.get("hostkeyalias", [None])[0],
        "connect_timeout": None if timeout in ("none", "0") else int(timeout),
        "server_alive_interval": alive,
        # ssh(1) ends the connection at the first probe for 0; Host has 1 for it.
        "server_alive_count_max": max(1, int(one("serveralivecountmax"))),
        "certificate_files": tuple(expand(path, question, said) for path in certificates),
        "preferred_authentications": methods(said),
        "number_of_password_prompts": int(one("numberofpasswordprompts")),
        "not_honoured": {
            word for word in ALGORITHMS if said[word.lower()] != defaults[word.lower()]
        },
        "revoked_host_keys": () if one("revokedhostkeys") == "none" else (one("revokedhostkeys"),),
        "known_hosts_command": said.get("knownhostscommand", [None])[0],
        "hash_known_hosts": one("hashknownhosts") == "yes",
        **{
            name: said[keyword][0] if said[keyword] != defaults[keyword] else None
            for name, keyword in LISTS.items()
        },
    }


def hops(jump: str) -> list[tuple[str, str, str]]:
    """Split a ProxyJump into (user, host, port), because each hop has several notations."""
    split = []
    for hop in jump.split(","):
        user, _, address = hop.removeprefix("ssh://").rstrip("/").rpartition("@")
        host, colon, port = address.rpartition(":")
        if not colon or "]" in port or (":" in host and "]" not in host):
            host, port = address, ""
        split.append((user, host.strip("[]"), port))
    return split


def identity_files(question: Question, said: Said, defaults: Said) -> tuple[str, ...] | None:
    files = said["identityfile"]
    if files == defaults["identityfile"]:
        if said["identitiesonly"] != ["yes"]:
            return None
        paths = [from_home(path) for path in files]
        return tuple(p for p in paths if os.path.exists(p) or os.path.exists(p + ".pub"))
    return tuple(expand(path, question, said) for path in files if path.lower() != "none")


def known_hosts(asked: Configuration, said: Said, directory: Path) -> tuple[str, ...]:
    """The files of the user and of the system."""
    files = []
    for keyword, key in (("user", "user files"), ("global", "system files")):
        (line,) = said[f"{keyword}knownhostsfile"]
        paths = asked.paths(key, directory)
        if paths is None:
            paths = line.split(" ") if line != "none" else []
        assert " ".join(paths or ["none"]) == line, f'"{key}" is not what ssh read'
        files.append(paths)
    user, system = files
    if not user and said["stricthostkeychecking"] == ["accept-new"]:
        user = [os.devnull]  # new keys are not stored, and never in a file of the system
    return (*user, *system)


def strictness(value: str) -> str:
    return {"true": "yes", "false": "no"}.get(value, value)


def methods(said: Said) -> tuple[str, ...]:
    disabling = ("pubkeyauthentication", "kbdinteractiveauthentication", "passwordauthentication")
    disabled = {
        method
        for keyword, method in zip(disabling, METHODS, strict=True)
        if said[keyword] in (["no"], ["false"])
    }
    preferred = said.get("preferredauthentications", [",".join(METHODS)])[0].split(",")
    usable = [name for name in preferred if name in METHODS and name not in disabled]
    return tuple(dict.fromkeys(usable))


# --- Comparison -------------------------------------------------------------------------------


def differences(ours: Host, theirs: Fields) -> list[str]:
    """The fields that differ, with both values."""
    mine: Fields = {name: getattr(ours, name) for name in theirs}
    if mine["proxy_jump"] is not None:
        mine["proxy_jump"] = hops(mine["proxy_jump"])
    if mine["identity_agent"] is not None:
        mine["identity_agent"] = from_home(mine["identity_agent"])
    if theirs["strict_host_key_checking"] == "ask" and mine["strict_host_key_checking"] == "yes":
        mine["strict_host_key_checking"] = "ask"  # "ask" is "yes" without a prompt
    # "./~" is another way to write a path that begins with "~" and is not expanded.
    mine["known_hosts"] = tuple(re.sub(r"^\./~", "~", path) for path in mine["known_hosts"])
    if "not_honoured" in mine:
        mine["not_honoured"] = set(mine["not_honoured"])
    for name, keyword in LISTS.items():
        mine[name] = whole_list(keyword, mine[name])
    return [
        f"{name}: ours {mine[name]!r}, ssh {theirs[name]!r}"
        for name in theirs
        if mine[name] != theirs[name]
    ]


def named_algorithms(asked: Configuration, directory: Path) -> set[str]:
    """The keywords about algorithms that the files hold, under any of their names."""
    names = {word: (word, OLD_NAMES.get(word, word)) for word in ALGORITHMS}
    return {
        word
        for word, either in names.items()
        if any(list(asked.places(name, directory)) for name in either)
    }


def unclear(error: ConfigError, asked: Configuration, directory: Path, key: str) -> list[str]:
    """Complain if *error* does not name the file, the line and the construct.

    - key: "needs" or "doubtful", whose word is the construct, or "refused", whose word stands in
      the line. The construct is then that word, the keyword, or a quote without an end. Without
      a word, no single line is the reason.
    """
    word = asked.keys[key][0]
    places = list(asked.places(word, directory)) if word else []
    assert places or not word, f"no line holds {word!r}"
    text = str(error)
    for path, number, line in places:
        constructs = [word]
        if key == "refused":
            constructs += re.findall(r"[^\s=\"]+", line)[:1]
            constructs += ["quote"] if line.count('"') % 2 or line.count("'") % 2 else []
        is_named = any(construct.lower() in text.lower() for construct in constructs)
        if is_named and str(path) in text and re.search(rf"(line |:){number}\b", text):
            return []
    return [f"does not name the file, the line and the construct: {text}"] if places else []


def verdict(
    asked: Configuration, question: Question, directory: Path, defaults: Said, *, with_ssh: bool
) -> list[str]:
    """Compare the answer of lookup() to one question; return the complaints."""
    file = None if asked in DEFAULT_FILES else str(directory / MAIN)
    theirs: Fields | Refused
    ours: Host | ConfigError
    with pytest.MonkeyPatch.context() as patch:
        for name, value in asked.environment(directory).items():
            patch.setenv(name, value) if value is not None else patch.delenv(name, raising=False)
        try:
            said = ask_ssh(file, question)
            theirs = expected(asked, question, said, directory, defaults)
        except Refused as refused:
            theirs = refused
        if not with_ssh:
            patch.setenv("PATH", str(directory / "no-programs"))
        try:
            ours = lookup(
                question.host, question.port, question.user, jump=question.jump, ssh_config=file
            )
        except ConfigError as error:
            ours = error
    if isinstance(theirs, Refused):
        return of_refused(ours, theirs, asked, directory, with_ssh=with_ssh)
    if with_ssh:
        return of_answered(ours, theirs, asked)
    return of_answered_without_ssh(ours, theirs, asked, directory)


def of_refused(
    ours: Host | ConfigError, theirs: Refused, asked: Configuration, directory: Path, *,
    with_ssh: bool,
) -> list[str]:  # fmt: skip
    if "refused" not in asked.keys:
        return [f"is not marked with 'refused', but ssh refuses: {theirs}"]
    if isinstance(ours, ConfigError):
        return [] if with_ssh else unclear(ours, asked, directory, "refused")
    if not with_ssh and "names" in asked.keys:
        return []
    return [f"ours is {ours!r}; ssh refuses: {theirs}"]


def of_answered(ours: Host | ConfigError, theirs: Fields, asked: Configuration) -> list[str]:
    if "refused" in asked.keys and "needs" not in asked.keys:
        return ["is marked with 'refused', but ssh answers"]
    if isinstance(ours, ConfigError):
        return [f"ssh answers; ours: {ours}"]
    return differences(ours, theirs)


def of_answered_without_ssh(
    ours: Host | ConfigError, theirs: Fields, asked: Configuration, directory: Path
) -> list[str]:
    if isinstance(ours, ConfigError):
        for key in ("needs", "doubtful"):
            if key in asked.keys:
                return unclear(ours, asked, directory, key)
        return [f"ssh answers, and is not needed; ours: {ours}"]
    # Without ssh(1), its defaults are not known.
    extra = set(ours.not_honoured) - theirs["not_honoured"]
    fields = theirs | {
        "not_honoured": theirs["not_honoured"] | (extra & named_algorithms(asked, directory))
    }
    for name in " ".join(asked.keys.get("distribution", [])).split():
        del fields[name]
    return differences(ours, fields)


# --- Tests ------------------------------------------------------------------------------------

each = pytest.mark.parametrize("asked", CONFIGURATIONS, ids=lambda asked: asked.name)


def complaints(
    asked: Configuration, directory: Path, defaults: Said, *, with_ssh: bool
) -> list[str]:
    return [
        f"{asked.name}, {' '.join(question.arguments())}: {text}"
        for question in asked.questions()
        for text in verdict(asked, question, directory, defaults, with_ssh=with_ssh)
    ]


def check(asked: Configuration, directory: Path, defaults: Said, *, with_ssh: bool) -> None:
    asked.write(directory)
    wrong = complaints(asked, directory, defaults, with_ssh=with_ssh)
    assert not wrong, "\n".join(["", *wrong])


@each
def test_the_answer_is_that_of_ssh(asked: Configuration, tmp_path: Path, defaults: Said) -> None:
    check(asked, tmp_path, defaults, with_ssh=True)


@each
@pytest.mark.filterwarnings("ignore::UserWarning")  # that ssh(1) is missing
def test_without_ssh_the_answer_is_the_same_or_a_clear_error(
    asked: Configuration, tmp_path: Path, defaults: Said
) -> None:
    check(asked, tmp_path, defaults, with_ssh=False)


# /etc/passwd holds the home directory of the account, and /etc/ssh the file of the system. Both
# look-ups therefore run in a mount namespace that has others in their place.
IN_NAMESPACE = """
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/etc" /etc/ssh && exec "$2" -c "$3" "$@"
"""
LOOK_UP = """
import sys
from pathlib import Path
from integration import test_ssh_configs as test
directory, name, with_ssh = Path(sys.argv[1]), sys.argv[4], sys.argv[5] == "True"
(asked,) = (each for each in test.DEFAULT_FILES if each.name == name)
defaults = test.ask_ssh("none", test.Question("host.invalid"))
print(*test.complaints(asked, directory, defaults, with_ssh=with_ssh), sep="\\n", end="")
"""


def passwd_with_home(home: Path) -> str:
    """Return /etc/passwd with another home directory for the account of this process."""
    accounts = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    for account in accounts:
        if account[0] == ACCOUNT.pw_name:
            account[5] = str(home)
    return "".join(":".join(account) + "\n" for account in accounts)


@pytest.mark.parametrize("with_ssh", [True, False], ids=["ssh", "without"])
@pytest.mark.parametrize("asked", DEFAULT_FILES, ids=lambda asked: asked.name)
def test_the_default_files_are_read_as_ssh_does(
    asked: Configuration, with_ssh: bool, tmp_path: Path
) -> None:
    if reason := why_no_namespace():
        pytest.skip(reason)
    asked.write(tmp_path)
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "passwd").write_text(passwd_with_home(tmp_path / "home"))
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IN_NAMESPACE, "sh"]
    command += [str(tmp_path), sys.executable, LOOK_UP, asked.name, str(with_ssh)]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False,
        stdin=subprocess.DEVNULL, env=fresh.environment(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert not ran.stdout, ran.stdout


def test_there_are_300_configurations_and_few_need_ssh() -> None:
    names = [asked.name for asked in CONFIGURATIONS]
    assert len(set(names)) == len(names)
    assert len(names) >= 300
    words = [word for asked in CONFIGURATIONS for word in asked.keys.get("needs", [])]
    assert set(words) <= NEED_SSH
    doubtful = [asked for asked in CONFIGURATIONS if "doubtful" in asked.keys]
    assert len(words) + len(doubtful) < len(names) / 8


def test_every_field_of_a_host_is_compared(tmp_path: Path, defaults: Said) -> None:
    (tmp_path / MAIN).touch()
    question = Question("h")
    said = ask_ssh(str(tmp_path / MAIN), question)
    compared = expected(Configuration("empty"), question, said, tmp_path, defaults)
    assert set(compared) == {field.name for field in dataclasses.fields(Host)}
