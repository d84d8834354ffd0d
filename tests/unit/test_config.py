# SPDX-License-Identifier: BSD-2-Clause
"""ssh_config as sshgateway reads it: with its reader, and from the output of ssh -G."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import warnings
from pathlib import Path

import pytest

from sshgateway import ConfigError, Gateway, config
from sshgateway._ssh_config import algorithms
from sshgateway._ssh_config import ask as config_ask
from sshgateway._ssh_config import lists as config_lists
from sshgateway._ssh_config import program as ssh_program
from sshgateway._ssh_config.ask import Lookup
from sshgateway.config import Host, lookup
from sshgateway.login import METHODS
from sshgateway.proxy import check_host, check_user, expand
from sshgateway.route import find_way
from support.waiting import exited

# --- One host -------------------------------------------------------------------------------


def test_every_documented_directive_is_read(file, backend, tmp_path) -> None:
    path = file(f"""
Host db
    HostName 10.0.0.5
    Port 2222
    User deploy
    IdentityFile {tmp_path}/one
    IdentityFile {tmp_path}/two_%h_%r
    IdentitiesOnly yes
    IdentityAgent {tmp_path}/agent
    UserKnownHostsFile {tmp_path}/users
    GlobalKnownHostsFile {tmp_path}/systems
    StrictHostKeyChecking accept-new
    HostKeyAlias Alias
    ConnectTimeout 7
    ServerAliveInterval 15
    ServerAliveCountMax 4
    CertificateFile {tmp_path}/one-cert.pub
    CertificateFile "{tmp_path}/two certs/%h"
    PreferredAuthentications password,publickey
    NumberOfPasswordPrompts 1
    ProxyCommand nc -X 5 %h %p
    ProxyUseFdpass yes
""")
    host = lookup("db", ssh_config=path)
    assert dataclasses.replace(host, host_key_alias=(host.host_key_alias or "").lower()) == Host(
        name="db",
        hostname="10.0.0.5",
        port=2222,
        user="deploy",
        proxy_jump=None,
        proxy_command=host.proxy_command,
        proxy_use_fdpass=True,
        identity_files=(f"{tmp_path}/one", f"{tmp_path}/two_10.0.0.5_deploy"),
        identities_only=True,
        identity_agent=f"{tmp_path}/agent",
        known_hosts=(f"{tmp_path}/users", f"{tmp_path}/systems"),
        strict_host_key_checking="accept-new",
        host_key_alias="alias",
        connect_timeout=7,
        server_alive_interval=15,
        server_alive_count_max=4,
        certificate_files=(f"{tmp_path}/one-cert.pub", f"{tmp_path}/two certs/10.0.0.5"),
        preferred_authentications=("password", "publickey"),
        number_of_password_prompts=1,
    )
    proxy = host.proxy()
    assert proxy is not None
    assert (proxy.command, proxy.fdpass) == ("nc -X 5 10.0.0.5 2222", True)
    assert proxy.peername == ("10.0.0.5", 2222)


def test_unset_directives_have_the_defaults_of_openssh(file, backend) -> None:
    host = lookup("h", ssh_config=file(""))
    assert host == lookup("h", ssh_config=False)
    assert (host.name, host.hostname, host.port) == ("h", "h", 22)
    assert host.identity_files is None, "the default files, although ssh -G lists them"
    assert host.strict_host_key_checking == "ask"
    assert host.gateway_parameters()["strict_host_key_checking"] == "ask"
    assert host.proxy_jump is host.proxy_command is host.connect_timeout is None
    assert (host.server_alive_interval, host.server_alive_count_max) == (0, 3)
    assert host.preferred_authentications == METHODS
    assert (host.certificate_files, host.number_of_password_prompts) == ((), 3)
    assert host.not_honoured == ()
    assert [os.path.basename(p) for p in host.known_hosts] == [
        "known_hosts", "known_hosts2", "ssh_known_hosts", "ssh_known_hosts2"
    ]  # fmt: skip


ALL = ("publickey", "keyboard-interactive", "password")


@pytest.mark.parametrize(
    ("text", "methods"),
    [
        ("PasswordAuthentication no", ALL[:2]),
        ("PubkeyAuthentication no", ALL[1:]),
        ("PubkeyAuthentication unbound", ALL),
        ("KbdInteractiveAuthentication no", ("publickey", "password")),
        ("ChallengeResponseAuthentication no", ("publickey", "password")),
        (
            "ChallengeResponseAuthentication yes\nKbdInteractiveAuthentication no",
            ALL,
        ),
        (
            "KbdInteractiveAuthentication no\nChallengeResponseAuthentication yes",
            ("publickey", "password"),
        ),
        ("PreferredAuthentications password,publickey,password", ("password", "publickey")),
        ("PreferredAuthentications gssapi-with-mic,publickey,hostbased", ("publickey",)),
        ('PreferredAuthentications "publickey, password"', ("publickey",)),
        ("PreferredAuthentications password\nPasswordAuthentication no", ()),
        ("PreferredAuthentications gssapi-with-mic", ()),
    ],
)
def test_the_methods_of_authentication(file, backend, text: str, methods) -> None:
    host = lookup("h", ssh_config=file(text + "\n"))
    assert host.preferred_authentications == methods


def test_a_method_that_a_gateway_does_not_know_is_logged_only_if_it_was_named(
    file, backend, caplog
) -> None:
    caplog.set_level("DEBUG", "sshgateway")
    lookup("h", ssh_config=file(""))
    assert "gssapi" not in caplog.text and "hostbased" not in caplog.text
    lookup("h", ssh_config=file("PreferredAuthentications gssapi-with-mic,publickey\n"))
    assert "gssapi-with-mic" in caplog.text


def test_a_gateway_without_a_method_is_an_error_and_a_target_without_one_is_not(
    file, backend
) -> None:
    path = file("Host g\nPreferredAuthentications hostbased\nHost t\nProxyJump g\n")
    assert find_way(("g", 22), ssh_config=path).gateway is None
    with pytest.raises(ConfigError, match="no method to log in to 'g': PreferredAuth") as caught:
        find_way(("t", 22), ssh_config=path)
    assert caught.value.errno == errno.EINVAL


def test_the_parameters_of_a_gateway_are_those_of_ssh_config(file, backend) -> None:
    text = "CertificateFile /c\nPasswordAuthentication no\nNumberOfPasswordPrompts 2\n"
    parameters = lookup("h", ssh_config=file(text)).gateway_parameters()
    assert parameters["certificate_filename"] == ("/c",)
    assert parameters["preferred_authentications"] == ALL[:2]
    assert parameters["number_of_password_prompts"] == 2
    Gateway(**parameters)


def test_the_parameters_about_trust_are_those_of_ssh_config(file, backend) -> None:
    text = (
        "RevokedHostKeys /r\nKnownHostsCommand /bin/x %n %k %h %%n\nHashKnownHosts yes\n"
        "HostKeyAlias k\nStrictHostKeyChecking ask\nKexAlgorithms ^ecdh-sha2-nistp256\n"
        "Ciphers aes128-cbc,aes256-ctr\nMACs -*512*\nHostKeyAlgorithms ssh-ed25519\n"
        "CASignatureAlgorithms ssh-ed25519\n"
    )
    parameters = lookup("h", ssh_config=file(text)).gateway_parameters()
    assert parameters["revoked_host_keys"] == ("/r",)
    command = parameters["known_hosts_command"]
    assert command.template == "/bin/x %n %k %h %%n", "the tokens are expanded after the split"
    assert command.tokens == (("n", "h"), ("k", "k"))
    assert parameters["hash_known_hosts"] is True
    assert parameters["strict_host_key_checking"] == "ask"
    assert parameters["kex"][0] == "ecdh-sha2-nistp256"
    assert parameters["ciphers"] == ("aes256-ctr",)
    assert parameters["macs"] == ("hmac-sha2-256",)
    assert parameters["host_key_algorithms"] == ("ssh-ed25519",)
    assert parameters["ca_signature_algorithms"] == ("ssh-ed25519",)
    policy = Gateway(**parameters)._host_keys
    assert policy.command == command.template
    assert [policy.tokens[letter] for letter in "nkh"] == ["h", "k", "h"]


def test_without_directives_about_trust_the_defaults_of_gateway_apply(file, backend) -> None:
    parameters = lookup("h", ssh_config=file("")).gateway_parameters()
    assert (parameters["revoked_host_keys"], parameters["known_hosts_command"]) == ((), None)
    assert not {"kex", "ciphers", "macs", "host_key_algorithms"}.intersection(parameters)


def test_nothing_is_asked_with_batch_mode(file, backend) -> None:
    host = lookup("h", ssh_config=file("BatchMode yes\nStrictHostKeyChecking ask\n"))
    assert host.strict_host_key_checking == "yes"


def test_algorithms_that_cannot_be_offered_are_an_error(file, backend) -> None:
    host = lookup("h", ssh_config=file("Ciphers aes128-cbc\n"))
    with pytest.raises(ConfigError, match="Ciphers of ssh_config leaves no algorithm for 'h'"):
        host.gateway_parameters()


@pytest.mark.parametrize("text", ["CertificateFile none", "CertificateFile NONE"])
def test_no_certificate_file(file, backend, text: str) -> None:
    assert lookup("h", ssh_config=file(text + "\n")).certificate_files == ()


def test_certificate_files_of_all_blocks_are_used_in_order(file, backend) -> None:
    path = file(
        "Host h\nCertificateFile = /1\nIdentityFile /k\nHost x\nCertificateFile /2\n"
        "Host *\n  certificatefile /3\n"
    )
    host = lookup("h", ssh_config=path)
    assert (host.certificate_files, host.identity_files) == (("/1", "/3"), ("/k",))


# --- Keywords that are not honoured ---------------------------------------------------------

NOT_HONOURED = {"PubkeyAcceptedAlgorithms": "+ssh-rsa"}


@pytest.fixture
def not_warned(monkeypatch) -> None:
    monkeypatch.setattr(algorithms, "_warned", set())


@pytest.mark.parametrize("keyword", NOT_HONOURED)
def test_a_keyword_about_algorithms_is_warned_about_once(
    file, backend, not_warned, keyword: str
) -> None:
    path = file(f"{keyword} {NOT_HONOURED[keyword]}\nHost t\nProxyJump g\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            find_way(("t", 22), ssh_config=path)
    (warning,) = caught
    assert warning.category is UserWarning
    assert f"{keyword} of ssh_config is set for gateway 'g'" in str(warning.message)


def test_the_old_name_of_a_keyword_is_warned_about_under_its_new_name(
    file, backend, not_warned
) -> None:
    path = file("PubkeyAcceptedKeyTypes +ssh-rsa\n")
    assert lookup("h", ssh_config=path).not_honoured == ("PubkeyAcceptedAlgorithms",)


def test_a_value_that_is_the_default_of_ssh_is_not_warned_about(file) -> None:
    ran = subprocess.run(
        ["ssh", "-G", "-F", "none", "h"], capture_output=True, text=True, check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = [line for line in ran.stdout.splitlines() if line.split()[0] in LOW]
    assert len(lines) == len(NOT_HONOURED)
    assert lookup("h", ssh_config=file("\n".join(lines) + "\n")).not_honoured == ()


def test_a_value_of_the_file_of_the_system_is_not_warned_about(
    backend, tmp_path, monkeypatch
) -> None:
    """Distributions put a policy for all programs there."""
    system = tmp_path / "system"
    system.write_text("Ciphers aes128-ctr\nPubkeyAcceptedAlgorithms ssh-ed25519\n")
    monkeypatch.setattr(config, "_SYSTEM_FILE", str(system))
    monkeypatch.setattr(config, "from_home", lambda path: path.replace("~", str(tmp_path)))
    run = Lookup._run

    def as_of_the_system(asked, program, arguments):
        if "-F" not in arguments:  # a look-up in the user's and the system's files
            arguments = ["-F", str(system), *arguments]
        return run(asked, program, arguments)

    monkeypatch.setattr(Lookup, "_run", as_of_the_system)
    assert lookup("h").not_honoured == ()
    assert lookup("h").ciphers is not None, "the policy is in effect nevertheless"
    named = lookup("h", ssh_config=str(system))
    assert named.not_honoured == ("PubkeyAcceptedAlgorithms",)


def test_the_defaults_of_ssh_are_asked_for_once(file, monkeypatch) -> None:
    lookup("h", ssh_config=file(""))  # identifies the program
    monkeypatch.setattr(algorithms, "_answers", {})
    monkeypatch.setattr(config_ask, "_defaults", {})
    asked = []
    run = ssh_program.run

    def counted(command, seconds):
        asked.append(command)
        return run(command, seconds)

    monkeypatch.setattr(ssh_program, "run", counted)
    path = file("PubkeyAcceptedAlgorithms ssh-ed25519\n")
    for _ in range(3):
        lookup("h", ssh_config=path)
    assert ["-F" in command and "none" in command for command in asked] == [True]


LOW = {keyword.lower() for keyword in NOT_HONOURED}


def test_arguments_win_over_the_file(file, backend) -> None:
    path = file("Host *\nPort 1\nUser a\nProxyCommand x\nMatch user c\nHostKeyAlias k\n")
    assert str(lookup("h", 2, "b", ssh_config=path)) == "b@h:2"
    assert lookup("h", user="c", ssh_config=path).host_key_alias == "k", "Match sees the argument"
    assert lookup("h", user="b", ssh_config=path).host_key_alias is None
    jumping = lookup("h", jump="j", ssh_config=path)
    assert (jumping.proxy_jump, jumping.proxy_command) == ("j", None)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("yes", "yes"), ("ask", "ask"), ("no", "no"), ("off", "no"), ("accept-new", "accept-new")],
)
def test_every_value_of_strict_host_key_checking(file, backend, value: str, meaning: str) -> None:
    path = file(f"StrictHostKeyChecking {value}\n")
    assert lookup("h", ssh_config=path).strict_host_key_checking == meaning


@pytest.mark.parametrize(
    ("text", "jump", "command"),
    [
        ("ProxyJump a", "a", None),
        ("ProxyJump a\nProxyCommand b", "a", None),
        ("ProxyCommand b\nProxyJump a", None, "b"),
        ("ProxyJump none\nProxyJump a", None, None),
        ("ProxyCommand none\nProxyJump a", None, None),
        ("ProxyCommand none\nProxyCommand b", None, None),
        ("Host x\nProxyJump none\nHost *\nProxyJump a", None, None),
        ("Host y\nProxyJump none\nHost *\nProxyJump a", "a", None),
        ("Host !x *\nProxyJump a\nHost *\nProxyCommand b", None, "b"),
    ],
)
def test_the_first_of_jump_and_command_wins_and_none_disables_both(
    file, backend, text: str, jump, command
) -> None:
    host = lookup("x", ssh_config=file(text + "\n"))
    assert (host.proxy_jump, host.proxy_command) == (jump, command)


def test_fdpass_does_not_apply_to_a_jump(file, backend) -> None:
    assert not lookup("h", ssh_config=file("ProxyUseFdpass yes\nProxyJump a\n")).proxy_use_fdpass


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("IdentityFile none", ()),
        ("IdentityFile ~/.ssh/id_rsa", ("~/.ssh/id_rsa",)),
        ("IdentityFile ~/a", ("~/a",)),
    ],
)
def test_identity_files_are_expanded(file, backend, monkeypatch, text: str, files) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")  # ssh ignores HOME
    expected = tuple(name.replace("~", pwd.getpwuid(os.getuid()).pw_dir) for name in files)
    assert lookup("h", ssh_config=file(text + "\n")).identity_files == expected


def test_true_means_the_default_files_which_need_not_exist(backend, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(config, "from_home", lambda path: path.replace("~", str(tmp_path)))
    monkeypatch.setattr(config, "_SYSTEM_FILE", str(tmp_path / "ssh_config"))
    assert lookup("h", ssh_config=True) == lookup("h", ssh_config=None)


def test_with_identities_only_the_default_files_that_exist_are_listed(
    file, backend, monkeypatch, tmp_path
) -> None:
    """An agent's keys then count if they are in one of these files, as in OpenSSH."""
    monkeypatch.setattr(config, "from_home", lambda path: path.replace("~", str(tmp_path)))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519.pub").touch()
    host = lookup("h", ssh_config=file("IdentitiesOnly yes\n"))
    assert host.identity_files == (str(tmp_path / ".ssh/id_ed25519"),)


def test_tokens_and_variables_of_identity_file_are_expanded_as_in_openssh(
    file, monkeypatch
) -> None:
    monkeypatch.setenv("KEYS", "/k e y s")
    path = file('HostName 10.0.0.5\nUser u\nIdentityFile "${KEYS}/%r@%h:%p-%n\\"%%-%L"\n')
    short = socket.gethostname().partition(".")[0]
    assert lookup("h", ssh_config=path).identity_files == (f'/k e y s/u@10.0.0.5:22-h"%-{short}',)
    with pytest.raises(ConfigError, match="NOT_THERE"):
        lookup("h", ssh_config=file("IdentityFile ${NOT_THERE}/x\n"))


@pytest.mark.parametrize("value", ["none", "SSH_AUTH_SOCK", "$AGENT"])
def test_identity_agent_is_passed_on_unexpanded(file, backend, value: str) -> None:
    assert lookup("h", ssh_config=file(f"IdentityAgent {value}\n")).identity_agent == value


def test_known_hosts_files_are_listed(file, backend, tmp_path) -> None:
    path = file("UserKnownHostsFile /a /b\nGlobalKnownHostsFile none\n")
    assert lookup("h", ssh_config=path).known_hosts == ("/a", "/b")
    path = file("UserKnownHostsFile none\nGlobalKnownHostsFile /g\n")
    assert lookup("h", ssh_config=path).known_hosts == ("/g",)
    path = file(Path(path).read_text() + "StrictHostKeyChecking accept-new\n")
    assert lookup("h", ssh_config=path).known_hosts == ("/dev/null", "/g"), (
        "no file to add keys to"
    )


def test_a_known_hosts_file_with_a_blank_in_its_name(file, backend, tmp_path) -> None:
    """ssh -G does not quote the name."""
    path = file(
        f'UserKnownHostsFile /x "{tmp_path}/a b" "c d" "~/%h e" /y\n'
        f'GlobalKnownHostsFile "/g h" "%i ~" "~/j k"\n'
    )
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert lookup("h", ssh_config=path).known_hosts == (
        "/x", f"{tmp_path}/a b", "c d", f"{home}/h e", "/y", "/g h", "%i ~", "./~/j k"
    )  # fmt: skip


def test_a_name_with_a_blank_that_cannot_be_found_in_the_files_is_an_error(
    file, no_reader, monkeypatch
) -> None:
    monkeypatch.setattr(config_lists, "read_file", lambda path: (b"", None))
    assert lookup("h", ssh_config=file("UserKnownHostsFile /a /b\n")).known_hosts[:2] == (
        "/a", "/b"
    )  # fmt: skip
    with pytest.raises(ConfigError, match="blanks"):
        lookup("h", ssh_config=file('UserKnownHostsFile "/a b"\n'))
    with pytest.raises(ConfigError, match="blanks"):
        lookup("h", ssh_config=file('GlobalKnownHostsFile "a /b"\n'))


def test_times_are_converted_to_seconds(file, backend) -> None:
    assert lookup("h", ssh_config=file("ConnectTimeout 1m30s\n")).connect_timeout == 90
    assert lookup("h", ssh_config=file("ConnectTimeout none\n")).connect_timeout is None


def test_include_and_match_exec_work_as_in_openssh(file, tmp_path) -> None:
    (tmp_path / "more").write_text('Match originalhost h exec "true"\nUser included\n')
    path = file(f"Include {tmp_path}/mor*\n")
    assert lookup("h", ssh_config=path).user == "included"


# --- Errors ----------------------------------------------------------------------------------


def test_a_missing_file_is_an_error(backend, tmp_path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        lookup("h", ssh_config=tmp_path / "missing")
    assert isinstance(caught.value, FileNotFoundError)
    assert len(caught.value.args) == 2


def test_a_broken_file_is_reported_with_the_message_of_openssh(file) -> None:
    with pytest.raises(ConfigError, match="nonsense") as caught:
        lookup("h", ssh_config=file("Host *\nNonsense 1\n"))
    assert "line 2" in str(caught.value)
    assert "Pseudo-terminal" not in str(caught.value)


def test_a_match_that_takes_too_long_leaves_no_process(file, tmp_path) -> None:
    pid = tmp_path / "pid"
    path = file(f'Match exec "echo $$ > {pid}; exec sleep 60"\nUser x\n')
    for timeout in (1, 30):  # a busy machine may not reach that line in the first of these times
        with pytest.raises(TimeoutError) as caught:
            lookup("h", ssh_config=path, timeout=timeout)
        if pid.exists() and pid.read_text():
            break
    assert caught.value.errno == 110 and "'h'" in caught.value.args[1]
    assert exited(int(pid.read_text()))


HOSTS = ["-oProxyCommand=x", "a;b", "a b", "a`b`", "$(a)", "a|b", "a'b", 'a"b', "a\\b", "a,b",
         "a\nb", "a\0b", "", "u@h", "ssh://h", "a{b", "a>b"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_that_a_shell_could_misread_are_refused(file, backend, host: str) -> None:
    with pytest.raises(ConfigError, match="refused"):
        lookup(host, ssh_config=file("ProxyCommand touch %h\n"))


def test_a_name_in_ssh_config_may_hold_a_slash(file, backend) -> None:
    path = file("Host db/*\nHostName 10.0.0.5\nHost x/y\nProxyCommand nc %h %n %k\n")
    assert lookup("db/1", ssh_config=path).hostname == "10.0.0.5"
    host = lookup("x/y", ssh_config=path)
    assert host.hostname == "x/y"
    proxy = host.proxy()
    assert proxy is not None and proxy.command == "nc x/y x/y x/y"
    with pytest.raises(ConfigError):
        config.route_by("db/1", ssh_config=path)


@pytest.mark.parametrize("user", ["-l", "a;b", "a`b`", "a'b", "a|b", "a\\", "a -b", "a\nb", ""])
def test_users_that_a_shell_could_misread_are_refused(file, backend, user: str) -> None:
    with pytest.raises(ConfigError, match="refused"):
        lookup("h", user=user, ssh_config=file(""))


@pytest.mark.parametrize("host", ["h", "a-b", "10.0.0.1", "fe80::1%eth0", "a_b.example", "häuser"])
def test_ordinary_hosts_are_accepted(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize(
    "user", ["u", "DOMAIN\\user", "first.last@example.com", "a b", "$x", "a-"]
)
def test_ordinary_users_are_accepted(user: str) -> None:
    assert check_user(user) == user


@pytest.mark.parametrize("text", ["-l", "a;b", "x y", "'", "a\\b", "u-", "a{b}", "%h", "~a", "é"])
def test_everything_that_ssh_refuses_is_refused(text: str) -> None:
    """An ssh before 9.6 (and without the fix of CVE-2023-51385) refuses less."""
    for options, check in ((["--", text], check_host), (["-l", text, "--", "h"], check_user)):
        ran = subprocess.run(
            ["ssh", "-G", "-T", "-F", "none", *options], capture_output=True, check=False
        )
        if ran.returncode:
            with pytest.raises(ConfigError):
                check(text)


def test_values_from_the_file_are_checked_only_where_a_shell_gets_them(file, backend) -> None:
    path = file("HostName $(touch${IFS}x)\nUser a;b\nProxyCommand nc %h\n")
    with pytest.raises(ConfigError, match="HostName"):
        lookup("h", ssh_config=path).proxy()
    path = file("User a;b\nProxyCommand nc %r\n")
    with pytest.raises(ConfigError, match="refused"):
        lookup("h", ssh_config=path).proxy()
    path = file("User a;b\nProxyCommand nc %n\n")
    assert lookup("h", ssh_config=path).proxy() is not None, "the user wrote this file"


# A shell in the directory of the test, whose files match "*" and "?" and "[b-z]".
SHELLS = [shell for shell in ("dash", "bash", "ksh", "zsh", "csh", "fish") if shutil.which(shell)]
PLACES = {
    "bare": "%r",
    "in a word": "x=%r@y",
    "in single quotes": "'%r'",
    "in double quotes": '"%r"',
    "among quotes": "'a b'\"c\"%r'd e'",
}
ODD = [c for c in map(chr, range(32, 127)) if not c.isalnum()] + [
    "\\\\",
    "\u00a0",
    "\u2028",
    "{a,b}",
]
NAMES = ["%s", "%sb", "a%s", "a%sb", "a%s%sb", "%sHOME", "a%sHOME"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_user_that_is_accepted_reaches_the_program_unchanged(
    file, tmp_path, monkeypatch, place: str, shell: str
) -> None:
    """With every character that is not a letter or digit, in every shell that is installed."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "ab", "axb", "x=ab@y"):
        (tmp_path / name).touch()
    target = lookup("h", ssh_config=file(f"ProxyCommand printf %%s {place}\n"))
    users = sorted({pattern.replace("%s", odd) for odd in ODD for pattern in NAMES})
    lines, accepted = [], []
    for user in users:
        with contextlib.suppress(ConfigError):
            proxy = dataclasses.replace(target, user=user).proxy()
            assert proxy is not None
            lines.append(f"{proxy.command}; printf '\\n'")
            accepted.append(user)
    ran = subprocess.run([shell, "-c", "\n".join(lines)], capture_output=True, check=False)
    expected = [shlex.split(place)[0].replace("%r", user) for user in accepted]
    assert ran.stdout.decode().split("\n")[:-1] == expected
    assert {"a.b", "a-b", "a_b", "a@b", "a+b"} <= set(accepted)


@pytest.mark.parametrize(
    "user", ["a b", "a\tb", "$HOME", "a$", "#a", "~root", "a*", "a?", "[a]", "!a", "a^b", "=a",
             "D\\u", "a]", "a%b", "a\u2003b"]
)  # fmt: skip
@pytest.mark.parametrize(
    "command",
    [
        "nc %r %h",
        'nc "-x"%r',
        "nc x%r",
        "sh -c 'nc %r'",
        'sh -c "nc %r"',
        "nc \"$(echo '%r')\"",
        "nc `echo '%r'`",
        "nc $'%r'",
        "nc \\'%r\\'",
        "nc \\%r",
        "nc '%r' %r",
        "nc '%r",
        "nc # '\nnc %r '",
    ],
)
def test_such_users_are_refused_for_a_bare_token(file, user: str, command: str) -> None:
    target = lookup("h", ssh_config=False)
    target = dataclasses.replace(target, user=user, proxy_command=command)
    with pytest.raises(ConfigError, match="refused"):
        target.proxy()


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("D\\u", "nc '%r'"),
        ("D\\u", 'nc "%r"'),
        ("a b", "nc -l '%r' %h"),
        ("host$", "nc --user='%r@%h'"),
        ("a b", "nc %h"),
        ("a b", "nc %%r"),
        ("a.b@c", "nc %r"),
        ("h\u00e4user", "nc %r"),
    ],
)
def test_such_users_are_accepted_in_quotes(user: str, command: str) -> None:
    target = dataclasses.replace(lookup("h", ssh_config=False), user=user, proxy_command=command)
    proxy = target.proxy()
    assert proxy is not None
    assert user in proxy.command or "%r" not in command or "%%r" in command


@pytest.mark.parametrize("host", ["#h", "~root", "h*", "h?", "[h]", "h!", "^h", "=h"])
@pytest.mark.parametrize("token", ["h", "n", "k"])
def test_hosts_that_only_a_shell_misreads_are_refused_for_a_bare_token(
    host: str, token: str
) -> None:
    target = lookup("h", ssh_config=False)
    target = dataclasses.replace(
        target, hostname=host, name=host, host_key_alias=host, proxy_command=f"nc %{token}"
    )
    with pytest.raises(ConfigError, match="refused"):
        target.proxy()


def test_match_exec_without_ssh_is_an_error_that_shows_no_command(file, no_ssh) -> None:
    path = file(f'User $HOME\nMatch exec "check {SECRET}"\nPort 1\n')
    with pytest.raises(ConfigError, match="line 2: Match exec, which runs a command") as caught:
        lookup("h", ssh_config=path)
    assert path in str(caught.value) and "install" in str(caught.value)
    assert SECRET not in str(caught.value)


# --- Secrets in the arguments of a command ----------------------------------------------------

SECRET = "hunter2"


@pytest.mark.parametrize(
    "command",
    [
        f"nc --password {SECRET} %q",
        f"TOKEN={SECRET} nc %q",
        f"nc --password={SECRET} 100%",
        f"nc {SECRET} %r",
    ],
)
def test_errors_have_only_the_first_word_of_a_command(file, caplog, command: str) -> None:
    caplog.set_level(logging.DEBUG)
    path = file(f'User "a b"\nProxyCommand {command}\n')
    target = dataclasses.replace(lookup("h", ssh_config=path), user="a b")
    with pytest.raises(ConfigError) as caught:
        target.proxy()
    assert SECRET not in str(caught.value)
    assert "'nc'" in str(caught.value)
    if "%r" not in command:
        for given in (command, command.split()):
            with pytest.raises(ConfigError) as caught:
                find_way(("h", 22), proxy_command=given, ssh_config=False)
            assert SECRET not in str(caught.value)
            assert "'nc'" in str(caught.value)
    assert SECRET not in caplog.text


def test_tokens_are_expanded_once() -> None:
    tokens = {"h": "%p%%", "p": "22"}
    assert expand("%h:%p %%h 100%%", tokens) == "%p%%:22 %h 100%"
    for text in ("%q", "a%", "%%%"):
        with pytest.raises(ConfigError, match="token"):
            expand(text, tokens)
