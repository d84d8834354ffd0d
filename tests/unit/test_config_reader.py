# SPDX-License-Identifier: BSD-2-Clause
"""The reader of ssh_config: the same result as ``ssh -G``, or none."""

from __future__ import annotations

import dataclasses
import errno
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sshgateway import ConfigError, config
from sshgateway._ssh_config import files as config_files
from sshgateway._ssh_config.lines import split_arguments, split_criteria
from sshgateway._ssh_config.match import matches_list, matches_pattern
from sshgateway.config import Host, lookup
from support import ssh_answers
from support.ssh_answers import Refused, by_reader, by_ssh

# --- The same as ssh -G -----------------------------------------------------------------------

SAME = [
    # lines
    "User u # a comment\nHostKeyAlias x#y",
    "User = u\nPort=2222\nHostName   =  x.example",
    "\tUser\tu\t\r\nport 22\f\n",
    " = User u",
    '"User" u',
    "Us\"er\" u",
    "USER u\nuser v",
    'User "a b"',
    "User 'a b'",
    r"User a\ b",
    r'User "a\"b\\c"',
    "User a'b c'd",
    "#User u\n  # x\n\n \n\t\nUser v",
    "User u",
    # Host and its patterns
    "Host a b\nUser u\nHost c\nUser v",
    "Host *\nUser u",
    "Host ?\nUser u\nHost ??\nUser v",
    "Host !a *\nUser u\nHost *\nUser v",
    "Host * !a\nUser u\nHost *\nUser v",
    "Host A\nUser u\nHost a\nUser v",
    "Host a,b\nUser u",
    "Host [a]\nUser u",
    "Host = a\nUser u",
    "Host # nobody\nUser u",
    'Host "a"\nUser u',
    # the first value
    "Port 1\nPort 2\nHost a\nPort 3",
    "ConnectTimeout none\nConnectTimeout 5",
    "ServerAliveInterval none\nServerAliveInterval 1m5",
    "IdentityFile /1\nIdentityFile /2\nIdentityFile /1",
    "ProxyJump none\nProxyJump x",
    "ProxyCommand none\nProxyJump x",
    "ProxyJump x\nProxyCommand y",
    "ProxyCommand y # z\nProxyJump x",
    "ProxyCommand = y %h",
    "UserKnownHostsFile /1 /2\nUserKnownHostsFile /3",
    "ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes",
    # HostName
    "HostName %h.example",
    "HostName %%h",
    "HostName X.Example",
    "HostName 127.1",
    "HostName 1.2.3",
    "HostName 0x7f.1",
    "HostName ::FFFF:1.2.3.4",
    "HostName FE80::1",
    "HostName 1.2.3.4\nAddressFamily inet6",
    "HostName fe80::1%%lo",
    # Match
    "Match host a\nUser u",
    "HostName x\nMatch host a\nUser u\nMatch host x\nUser v",
    "HostName %h.x\nMatch host a.x\nUser u",
    "HostName x\nMatch originalhost a\nUser u",
    "Match HOST A\nUser u",
    "Match host A,b\nUser u",
    "Match !host b\nUser u",
    "Match host !b,*\nUser u",
    "Match host !a,*\nUser u",
    "Match all\nUser u",
    "Match !all\nUser u\nMatch host a all\nUser v",
    "User u\nMatch user u\nPort 5",
    "Match user v\nPort 5\nMatch all\nUser v",
    f"Match localuser {pwd.getpwuid(os.getuid()).pw_name}\nUser u",
    "Match host c exec false\nUser u",
    'Match host c exec "test %h = a"\nUser u',
    "Match final all\nUser u",
    "Match canonical all\nUser u",
    "HostName X\nMatch final host x\nUser u",
    "HostName x\nHost x\nUser u\nMatch final all\nPort 5",
    "Match final\nHostName y\nMatch all\nUser u",
    "Match final all # comment\nUser u",
    "Match host b final\nUser u\nHost z\nHost a\nPort 3",
    # tokens and variables
    "HostName x\nUser u\nPort 5\nIdentityFile ~/.ssh/%h_%n_%r_%p_%u_%i_%l_%L_%d_%%",
    "HostKeyAlias Al\nIdentityFile /%k\nCertificateFile /%k-%C",
    "IdentityFile /%C\nProxyJump j",
    "IdentityFile ${HOME}/x\nUserKnownHostsFile ${HOME}/%h",
    "IdentityFile none",
    "IdentityFile ~root/x\nCertificateFile ~",
    "IdentityFile relative\nUserKnownHostsFile r1 r2",
    "IdentityAgent ~/%h/agent",
    "IdentityAgent ${HOME}/agent",
    "IdentityAgent $AGENT",
    "IdentityAgent SSH_AUTH_SOCK",
    "RevokedHostKeys /r\nKnownHostsCommand /bin/k %H\nHashKnownHosts yes",
    "RevokedHostKeys ~/r",
    "GlobalKnownHostsFile ~/g %h",
    # jumps
    "ProxyJump u@h:5",
    "ProxyJump x,y,z",
    "ProxyJump [::1]:5,[fe80::2]",
    "ProxyJump 10.0.0.1",
    "ProxyJump ssh://a%40b@c:9",
    "ProxyJump ssh://x,y",
    "ProxyJump x # comment",
    "ProxyJump a@b@c",
    "ProxyJump x:y%z@b:5",
    "ProxyJump x\nProxyUseFdpass yes",
    # unknown keywords
    "IgnoreUnknown Foo*,bar\nFooBar x y\nBAR z\nUser u",
    "Host a b\nIgnoreUnknown UseKeychain\nHost *\nUseKeychain yes",
    "IgnoreUnknown *\nNothing x",
    "Protocol 2\nCipher x y\nRhostsAuthentication maybe\nUser u",
    "GSSAPIAuthentication yes",
    "RequiredRSASize 2048\nEnableEscapeCommandline yes",
    "IgnoreUnknown tag,obscurekeystroketiming\nTag x\nObscureKeystrokeTiming no",
    # values
    "Port ssh",
    "StrictHostKeyChecking OFF",
    "ConnectTimeout 1h2M3",
    "Ciphers +aes128-cbc\nMACs -*md5*\nKexAlgorithms ^curve25519-sha256",
    "SendEnv LANG LC_*\nSetEnv A=b\nLocalForward 8080 h:80\nDynamicForward 1080",
    "ControlPath %C\nPermitRemoteOpen [::1]:443 h:* x:65535",
    "LocalForward /%h.s /%r.s\nPubkeyAcceptedAlgorithms -nothing*",
    "RekeyLimit 1G 1h\nIPQoS lowdelay throughput\nEscapeChar none\nControlPath ~/%C",
    "AddKeysToAgent confirm 1h\nControlPersist 10m\nControlMaster auto\nLogLevel error",
    "CanonicalizeHostname no\nCanonicalDomains a.example b.example",
    "RemoteForward 9000\nRemoteForward /r.sock h:22\nRemoteCommand ls '%h'",
    "SessionType none\nForkAfterAuthentication yes",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
@pytest.mark.parametrize(("host", "port", "user"), [("a", None, None), ("b", 2222, "v")])
def test_the_result_is_that_of_ssh(file, text: str, host: str, port, user) -> None:
    path = file(text + "\n")
    ours = by_reader(host, path, port, user)
    assert isinstance(ours, Host), ours
    assert ours == by_ssh(host, path, port, user)


@pytest.mark.parametrize("host", ["A", "a.b", "10.0.0.1", "127.1", "::1", "FE80::1", "x/y", "ä"])
def test_the_name_of_the_host_is_treated_as_by_ssh(file, host: str) -> None:
    path = file("Host a x* 10.* ? ??\nUser u\nMatch host a,::1,10.0.0.1,127.0.0.1\nPort 5\n")
    assert by_reader(host, path) == by_ssh(host, path)


@pytest.mark.parametrize(
    "text",
    [
        "Match host=a user=*\nUser u\nMatch !HOST=a\nUser v\nMatch=all\nPort 5",
        'Match originalhost="a"\nUser u',
        "GSSAPIAuthentication yes\nGSSAPIKeyExchange no",
        "User %u${HOME}",
        "RevokedHostKeys ~/r%h",
        "RevokedHostKeys /a '/b c' ~/%h",
        "IdentityFile /%C-%j\nProxyJump j",
        "Match !final all\nUser u",
        "ObscureKeystrokeTiming no\nTag x",
        "PubkeyAuthentication unbound",
        "KexAlgorithms mlkem768x25519-sha256",
    ],
)
def test_versions_of_ssh_may_differ(file, text: str) -> None:
    path = file(text + "\n")
    ours = by_reader("a", path)
    assert isinstance(ours, Refused) or ours == by_ssh("a", path)


# --- Left to ssh ------------------------------------------------------------------------------

UNSUPPORTED = [
    ("User u\nNonsense x", 2, "the keyword 'nonsense'"),
    ("\ufeffUser u", 1, "the keyword '\\ufeffuser'"),
    ("Host b\nNonsense x", 2, "nonsense"),
    ("Host b\nIgnoreUnknown *\nHost *\nNonsense x", 4, "nonsense"),
    ("\f", 1, "'\\x0c' without an argument"),
    ("\u212aexAlgorithms ssh-ed25519", 1, "the keyword '\u212aexalgorithms'"),
    ("ConnectTimeout \u0665", 1, "'connecttimeout'"),
    ("LocalForward 8080 h:\u0665", 1, "'localforward'"),
    ("VerifyHostKeyDNS as\u212a", 1, "'verifyhostkeydns'"),
    ("User", 1, "'user' without an argument"),
    ("User = ", 1, "'user' without an argument"),
    ("Host =", 1, "'host' without an argument"),
    ("Host b\nPort x", 2, "'port' (not a port)"),
    ("Port 0", 1, "port"),
    ("Port 1 2", 1, "port"),
    ("Port # 22", 1, "port"),
    ("User a b", 1, "'user'"),
    ('User ""', 1, "'user'"),
    ('User "u', 1, "quote"),
    ("User u\0v", 1, "NUL"),
    ('Host a ""', 1, "'host'"),
    ("Host b\nProxyCommand nc 'x", 2, "quote"),
    ("ProxyJump @x", 1, "'proxyjump'"),
    ("ProxyJump x y", 1, "'proxyjump'"),
    ("ProxyJump a,none", 1, "'proxyjump'"),
    ("ProxyJump none # x", 1, "'proxyjump'"),
    ("ProxyJump x # y,z", 1, "'proxyjump'"),
    ("ProxyJump none\nProxyCommand x", 2, "ProxyCommand after 'ProxyJump none'"),
    ("Match exec true", 1, "Match exec"),
    ("Match host a exec true", 1, "Match exec"),
    ("Match host b exec %Z", 1, "Match exec"),
    ("Match localnetwork 10.0.0.0/8", 1, "Match localnetwork"),
    ("Match host b tagged x", 1, "Match tagged"),
    ("Match host = a", 1, "Match with quotes or '='"),
    ("Match host=a=b", 1, "Match with quotes or '='"),
    ("ConnectTimeout 99999999999999999999", 1, "'connecttimeout'"),
    ("IdentityFile /%C\nProxyJump j", 1, "%C"),
    ("Match", 1, "without an argument"),
    ("Match host", 1, "Match host without an argument"),
    ("Match all host a", 1, "cannot be combined"),
    ("Match host a user b all", 1, "cannot be combined"),
    ("HostName %x", 1, "HostName: the token %x"),
    ("HostName %x\nMatch host b\nUser u", 2, "HostName: the token %x"),
    ("IdentityFile ~/x\nIdentityFile /%Z", 1, "identityfile: the token %Z"),
    ("IdentityFile ${NOT_THERE}", 1, "${NOT_THERE} is not set"),
    ("IdentityFile /x${", 1, "variable"),
    ("IdentityFile ~nobody-here/x", 1, "no user 'nobody-here'"),
    ("Host b\nIdentityAgent ${NOT_THERE}", 2, "${NOT_THERE} is not set"),
    ("ControlPath /%Z", 1, "controlpath"),
    ("CanonicalizeHostname yes", 1, "CanonicalizeHostname"),
    ("CanonicalizePermittedCNAMEs *.a:*.b", 1, "CanonicalizePermittedCNAMEs"),
    ("Ciphers nonsense", 1, "'ciphers'"),
    ("KexAlgorithms mlkem768x25519-sha256", 1, "'kexalgorithms'"),
    ("StrictHostKeyChecking maybe", 1, "'stricthostkeychecking'"),
    ("ForkAfterAuthentication yes", 1, "ForkAfterAuthentication"),
    ("ConnectionAttempts 0", 1, "ConnectionAttempts"),
    ("Tag x", 1, "'tag'"),
    ("Include %h", 1, "Include"),
    ("Include [!", 1, "Include"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), UNSUPPORTED)
def test_what_is_not_interpreted_is_named(file, no_ssh, text: str, line: int, words: str) -> None:
    path = file(text + "\n")
    with pytest.raises(ConfigError) as caught:
        lookup("a", ssh_config=path)
    assert f"{path}, line {line}: " in str(caught.value) and words in str(caught.value)
    assert caught.value.errno == errno.EINVAL
    assert "install" in str(caught.value)


@pytest.mark.parametrize("text", [text for text, _, _ in UNSUPPORTED if "exec true" not in text])
def test_ssh_answers_what_the_reader_does_not(file, text: str) -> None:
    path = file(text + "\n")
    answer = by_ssh("a", path)
    try:
        assert lookup("a", ssh_config=path).hostname == getattr(answer, "hostname", None)
    except ConfigError as error:
        assert isinstance(answer, Refused) and "ssh -G cannot look up" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "User %u",
        "RevokedHostKeys ~/r",
        "IdentityFile /%C\nProxyJump j",
        "Match !final all",
        "IdentityFile /%j",
    ],
)
def test_what_depends_on_the_version_is_an_error_without_ssh(file, text: str) -> None:
    path = file(text + "\nPort 5\n")
    refused = by_reader("a", path, without_ssh=True)
    assert isinstance(refused, Refused) and path in refused
    host = lookup("a", ssh_config=path) if "%j" not in text else None
    assert host is None or host.port == 5


def test_equals_signs_of_match_are_left_to_an_ssh_9_9(file, monkeypatch) -> None:
    """9.9p1 refuses them, 9.9p2 does not."""
    path = file("Match host=a\nUser u\n")
    real = ssh_answers.program()
    for version, is_read in (((9, 8), True), ((9, 9), False), ((10, 0), True)):
        changed = dataclasses.replace(real, version=version)
        monkeypatch.setattr(ssh_answers, "program", lambda changed=changed: changed)
        assert isinstance(by_reader("a", path), Host) == is_read


def test_a_value_that_leaves_the_default_algorithms_is_not_warned_about(file, backend) -> None:
    path = file("PubkeyAcceptedAlgorithms -nothing\nCiphers aes128-ctr\n")
    expected = () if backend != "reader without ssh" else ("PubkeyAcceptedAlgorithms",)
    assert lookup("a", ssh_config=path).not_honoured == expected


def test_batch_mode_is_that_of_the_installed_ssh(file) -> None:
    path = file("BatchMode yes\n")
    assert by_reader("a", path) == by_ssh("a", path)
    assert getattr(by_reader("a", path, without_ssh=True), "server_alive_interval", 1) == 0


def test_an_error_in_a_block_that_does_not_match_counts_as_in_openssh(file) -> None:
    path = file("Host b\nPort x\nHost a\nUser u\n")
    assert isinstance(by_reader("a", path), Refused)
    assert isinstance(by_ssh("a", path), Refused)


def test_several_files_of_revoked_keys_need_a_new_ssh(file, monkeypatch) -> None:
    path = file("RevokedHostKeys /a ~/b '/c %h'\n")
    assert "several files" in str(by_reader("a", path, without_ssh=True))
    real = ssh_answers.program()
    changed = dataclasses.replace(real, version=(10, 3))
    with monkeypatch.context() as patch:
        patch.setattr(ssh_answers, "program", lambda: changed)
        host = by_reader("a", path)
        home = pwd.getpwuid(os.getuid()).pw_dir
        assert isinstance(host, Host) and host.revoked_host_keys == ("/a", f"{home}/b", "/c a")
    if real.version >= (10, 3):
        assert by_ssh("a", path) == host
    else:
        assert "several files" in str(by_reader("a", path))
        assert isinstance(by_ssh("a", path), Refused)


@pytest.mark.parametrize("without_ssh", [False, True])
@pytest.mark.parametrize(
    ("content", "words", "status"),
    [
        (b"HostName \xff.example\nUser \xe9\n", "\\udce9@\\udcff.example", 0),
        (b"Nons\xffense x\n", "STOPPED", 1),
        (b"User u\n  Match exec true\nPort x\n", "STOPPED", 1),
        (b"\xef\xbb\xbfHost a\n", "STOPPED", 1),
    ],
)
def test_the_command_route_never_ends_with_a_traceback(
    tmp_path: Path, content: bytes, words: str, status: int, without_ssh: bool
) -> None:
    (tmp_path / "config").write_bytes(content)
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    if without_ssh:
        environment["PATH"] = "/not/there"
    done = subprocess.run(
        [sys.executable, "-m", "sshgateway", "route", "-F", tmp_path / "config", "a"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (status, "")
    assert words in done.stdout


# --- Include ----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory for Include, which uses $HOME."""
    home = tmp_path / "home"
    (home / ".ssh" / "conf.d").mkdir(parents=True)
    for directory in (home, home / ".ssh", home / ".ssh/conf.d"):
        directory.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    return home


def put(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


INCLUDES = [
    "Include conf.d/*",
    "Include ~/.ssh/conf.d/*",
    "Include conf.d/*.conf conf.d/two",
    "Include conf.d/[0-9]*",
    "Include conf.d/[!0-9]*",
    "Include conf.d/?0.conf",
    "Include */1*",
    "Include nothing/*\nInclude not-there",
    "Include conf.d",
    "Include .ssh/conf.d/*",
    'Include "conf.d/with blank"',
    "Host b\nInclude conf.d/*\nHost *\nUser last",
    "Host a\nInclude conf.d/*\nPort 7",
    "Match host a\nInclude conf.d/10.conf\nUser after\nInclude conf.d/two",
    "Include conf.d/final\nUser u",
    "Include conf.d/dangling\nUser u",
    "Host b\nInclude conf.d/final\nHost *\nUser u",
]


@pytest.mark.parametrize("text", INCLUDES)
@pytest.mark.parametrize("host", ["a", "b"])
def test_include_is_that_of_ssh(file, home: Path, text: str, host: str) -> None:
    conf = home / ".ssh" / "conf.d"
    put(conf / "10.conf", "Host a\nUser ten\n")
    put(conf / "20.conf", "User twenty\nHost z\nPort 20\n")
    put(conf / "two", "Host *\nPort 2\n")
    put(conf / "with blank", "User blank\n")
    put(conf / ".hidden", "User hidden\n")
    (conf / "dangling").symlink_to("/not/there")
    put(conf / "final", "Match final all\nHostName f\n")
    path = file(text + "\n")
    ours = by_reader(host, path)
    assert isinstance(ours, Host), ours
    assert ours == by_ssh(host, path)


def test_nested_includes_have_the_limit_of_ssh(file, home: Path) -> None:
    ssh = home / ".ssh"
    for number in range(20):
        put(ssh / f"c{number}", f"Include c{number + 1}\nUser u{number}\n")
    for first, is_fine in ((4, True), (3, False), (2, False)):
        path = file(f"Include c{first}\n")
        assert isinstance(by_reader("a", path), Host) == is_fine, first
        assert by_reader("a", path) == by_ssh("a", path) or not is_fine
        assert isinstance(by_ssh("a", path), Host) == is_fine


def test_a_file_that_includes_itself_is_an_error(file, home: Path) -> None:
    put(home / ".ssh/self", "Include self\n")
    path = file("Include self\n")
    assert "nested Includes" in str(by_reader("a", path))
    assert isinstance(by_ssh("a", path), Refused)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o620, 0o602])
def test_the_mode_of_an_included_file_is_checked(file, home: Path, mode: int) -> None:
    put(home / ".ssh/inc", "User u\n", mode)
    path = file("Include inc\n")
    ours, theirs = by_reader("a", path), by_ssh("a", path)
    assert ours == theirs or "bad owner or permissions" in str(ours)
    assert isinstance(ours, Host) == (mode & 0o22 == 0)


def test_a_link_to_itself_cannot_be_included(file, home: Path) -> None:
    (home / ".ssh/conf.d/link").symlink_to("link")
    path = file("Include conf.d/*\n")
    assert "cannot read" in str(by_reader("a", path))
    assert isinstance(by_ssh("a", path), Refused)


def test_a_pipe_is_not_read(file, home: Path) -> None:
    os.mkfifo(home / ".ssh/conf.d/pipe", 0o600)
    path = file("Include conf.d/*\n")
    assert "not a regular file" in str(by_reader("a", path))


# --- The user's and the system's files --------------------------------------------------------


@pytest.fixture
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ssh) -> tuple[Path, Path]:
    """The paths of the two default files."""
    (tmp_path / ".ssh").mkdir()
    system = tmp_path / "ssh_config"
    monkeypatch.setattr(config, "from_home", lambda path: path.replace("~", str(tmp_path)))
    monkeypatch.setattr(config, "_SYSTEM_FILE", str(system))
    return tmp_path / ".ssh/config", system


def test_the_file_of_the_user_comes_before_that_of_the_system(defaults) -> None:
    user, system = defaults
    accepted = "PubkeyAcceptedAlgorithms ssh-ed25519\n"
    put(user, f"User u\nIdentityFile /k\nCiphers aes128-ctr\n{accepted}")
    put(system, "User s\nPort 5\nIdentityFile /k\nIdentityFile /s\nMACs hmac-sha2-256\n")
    host = lookup("a")
    assert (host.user, host.port, host.identity_files) == ("u", 5, ("/k", "/k", "/s"))
    assert host.not_honoured == ("PubkeyAcceptedAlgorithms",)
    user.unlink()
    put(system, accepted)
    assert lookup("a").not_honoured == (), "the system's file is a policy for all programs"
    assert (host.ciphers, host.macs) == ("aes128-ctr", "hmac-sha2-256")


def test_an_unreadable_default_file_is_left_out(defaults) -> None:
    user, system = defaults
    user.mkdir()
    put(system, "User s\n")
    assert lookup("a").user == "s"


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_the_mode_of_the_users_file_is_checked(defaults, mode: int) -> None:
    user, _ = defaults
    put(user, "User u\n", mode)
    with pytest.raises(ConfigError, match="bad owner or permissions"):
        lookup("a")
    assert lookup("a", ssh_config=user).user == "u", "but not that of a file that is named"


def test_the_file_of_the_system_must_not_include_from_a_home(defaults) -> None:
    _, system = defaults
    put(system, "Include ~/x\n")
    with pytest.raises(ConfigError, match="Include"):
        lookup("a")


@pytest.mark.parametrize("name", ["none", "NONE", os.devnull])
def test_the_names_of_an_empty_file(name: str) -> None:
    assert lookup("a", ssh_config=name) == lookup("a", ssh_config=False)


def test_a_directory_is_an_empty_file(tmp_path: Path) -> None:
    assert by_reader("a", tmp_path) == by_ssh("a", tmp_path)


# --- Further attributes -----------------------------------------------------------------------


def test_the_attributes_about_host_keys(file, backend) -> None:
    path = file("RevokedHostKeys /r\nKnownHostsCommand /bin/k %H  x\nHashKnownHosts yes\n")
    host = lookup("a", ssh_config=path)
    assert host.revoked_host_keys == ("/r",)
    assert host.known_hosts_command == "/bin/k %H  x"
    assert host.hash_known_hosts is True
    host = lookup("a", ssh_config=file("RevokedHostKeys none\nKnownHostsCommand none\n"))
    assert (host.revoked_host_keys, host.known_hosts_command) == ((), None)
    assert host.hash_known_hosts is False


ALGORITHMS = {
    "KexAlgorithms": ("kex_algorithms", "-*sha1"),
    "Ciphers": ("ciphers", "^aes256-ctr"),
    "MACs": ("macs", "hmac-sha2-256,hmac-sha2-512"),
    "HostKeyAlgorithms": ("host_key_algorithms", "+ssh-rsa"),
    "CASignatureAlgorithms": ("ca_signature_algorithms", "ssh-ed25519"),
}


@pytest.mark.parametrize(("keyword", "attribute"), ALGORITHMS.items())
def test_the_attributes_about_algorithms(file, backend, keyword: str, attribute) -> None:
    name, value = attribute
    assert getattr(lookup("a", ssh_config=file("")), name) is None
    found = getattr(lookup("a", ssh_config=file(f"{keyword} {value}\n")), name)
    if backend == "ssh" and value[0] in "+^":
        assert value[1:] in found.split(","), "the whole list"
    elif backend == "ssh" and value[0] == "-":
        assert found is None or "sha1" not in found
    else:
        assert found == value


# --- The parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ('"a b" \'c "d\'', ["a b", 'c "d']),
        (r"a\ b \"c\\ \d", ["a b", '"c\\', r"\d"]),
        (r'"a\ b"', [r"a\ b"]),
        ("a # b", ["a"]),
        ("a#b", ["a#b"]),
        ("'' x", ["", "x"]),
        ("'a", None),
        ("a\\", ["a\\"]),
        ("", []),
    ],
)
def test_arguments_are_split(text: str, arguments) -> None:
    assert split_arguments(text) == arguments


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("host a user=b", ["host", "a", "user", "b"]),
        ('exec "a b" all', ["exec", "a b", "all"]),
        ('exec "a', None),
        ("all # x", ["all"]),
    ],
)
def test_criteria_are_split(text: str, words) -> None:
    assert split_criteria(text) == words


@pytest.mark.parametrize(
    ("text", "pattern", "matches"),
    [
        ("abc", "a*c", True),
        ("abc", "a?c", True),
        ("abc", "a*b", False),
        ("a", "[a]", False),
        ("[a]", "[a]", True),
        ("a.b", "a?b", True),
        ("ä", "?", False),
        ("ä", "??", True),
        ("", "*", True),
        ("", "?", False),
        ("a" * 50, "*a" * 30 + "b", False),
        ("a\nb", "a*b", True),
    ],
)
def test_patterns(text: str, pattern: str, matches: bool) -> None:
    assert matches_pattern(text, pattern) == matches


@pytest.mark.parametrize(
    ("patterns", "matches"),
    [("a,b", True), ("b,c", False), ("!a,*", False), ("*,!a", False), ("!b,*", True),
     ("!b", False), ("a,", True), (",a", True), ("A", False), ("", False)],
)  # fmt: skip
def test_lists_of_patterns(patterns: str, matches: bool) -> None:
    assert matches_list("a", patterns) == matches
    assert matches_list("a", "A", lower=True)


def test_the_parsed_forms_are_kept_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_files, "_MOST_BYTES", 10_000)
    kept = config_files.Kept()
    content = b"User u\n" * 100
    for number in range(100):
        form = kept.parsed(f"/{number}", content)
        assert kept.parsed(f"/{number}", content) is form
    assert 0 < len(kept._forms) <= 10_000 // len(content)
    assert kept.parsed("/99", content) is form
    assert kept.parsed("/99", content[1:]) is not form
    assert kept._size == sum(config_files._size(bytes_) for bytes_, _ in kept._forms.values())
    large = b"#" * 9_000
    assert kept.parsed("/l", large) is not kept.parsed("/l", large)


def test_the_name_of_this_host_is_read_for_its_tokens(file, monkeypatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "this.example")
    host = lookup("a", ssh_config=file("IdentityFile /%l/%L\n"))
    assert host.identity_files == ("/this.example/this",)
