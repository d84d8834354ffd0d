# SPDX-License-Identifier: BSD-2-Clause
"""known_hosts_command=: a program that prints known host keys, run as ssh(1) runs it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sshgateway import ConfigError, GatewayError, HostKeyError
from support import gateways
from support.host_certificates import is_accepted_by_ssh, is_accepted_by_us
from support.sshd import PrivateSshd, openssh_version

HOST = "localhost"
TOKENS = "%I %H %t %f %K %C %h %i %k %L %l %n %p %r %u %d %%"


@pytest.fixture
def known(tmp_path) -> Path:
    """A file that holds no keys."""
    path = tmp_path / "known_hosts"
    path.write_text("")
    return path


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def program(tmp_path, log) -> Path:
    """A program that writes its arguments to a log, and prints those after "print"."""
    path = tmp_path / "a program"
    path.write_text(
        f"#!/bin/sh\necho \"$@\" >> '{log}'\n"
        'while [ $# -gt 0 ] && [ "$1" != print ]; do shift; done\n'
        '[ $# -eq 0 ] || shift; echo "$@"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def name_of(sshd: PrivateSshd) -> str:
    return f"[{HOST}]:{sshd.port}"


def test_a_printed_key_is_known(sshd, known, program) -> None:
    for name, is_known in (("%H", True), ("*", True), ("other", False), ("%h", False)):
        command = f"'{program}' print {name} {sshd.host_key}"
        theirs = is_accepted_by_ssh(sshd, known, HOST, f"KnownHostsCommand={command}")
        assert is_accepted_by_us(sshd, known, HOST, known_hosts_command=command) is theirs
        # ssh(1) also accepts keys of the host without its port, if a file has them.
        assert theirs is is_known


def test_a_printed_key_can_be_revoked(sshd, known, program) -> None:
    known.write_text(f"{name_of(sshd)} {sshd.host_key}\n")
    command = f"'{program}' print @revoked * {sshd.host_key}"
    assert not is_accepted_by_ssh(sshd, known, HOST, f"KnownHostsCommand={command}")
    with pytest.raises(HostKeyError) as caught:
        gateways.to(sshd, hostname=HOST, known_hosts_command=command).open()
    assert caught.value.state == "revoked"
    assert "KnownHostsCommand:1" in caught.value.facts


def test_the_arguments_are_those_of_ssh(sshd, known, program, log) -> None:
    known.write_text(f"{name_of(sshd)} {sshd.host_key}\n")
    command = f"'{program}' {TOKENS}"
    assert is_accepted_by_us(sshd, known, HOST, known_hosts_command=command)
    ours = log.read_text().splitlines()
    log.unlink()
    assert is_accepted_by_ssh(sshd, known, HOST, f"KnownHostsCommand={command}")
    theirs = log.read_text().splitlines()
    assert [line.split()[0] for line in theirs] == ["ORDER", "HOSTNAME"]
    for line, expected in zip(ours, theirs, strict=True):
        words, wanted = line.split(), expected.split()
        # %n, and %k without an alias, are the name on the command line, which a Gateway does not
        # have. Before 9.6 %H was the name without the port for ORDER.
        wanted[8] = wanted[11] = HOST
        if wanted[0] == "ORDER" and openssh_version() < (9, 6):
            wanted[1] = name_of(sshd)
        assert words == wanted


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/bin/false", "'/bin/false' failed with exit status 1"),
        ("/none/program", "'/none/program' cannot be executed"),
    ],
)
@pytest.mark.parametrize("strict", ["yes", "accept-new", "no"])
def test_a_command_that_fails_accepts_no_key(sshd, command: str, words: str, strict: str) -> None:
    gateway = gateways.to(sshd, known_hosts_command=command, strict_host_key_checking=strict)
    with pytest.raises(GatewayError, match=words) as caught:
        gateway.open()
    assert "host key cannot be checked" in str(caught.value)


@pytest.mark.parametrize("command", ["program", "", "/bin/cat 'x", "/bin/cat %x"])
def test_an_invalid_command_is_an_error(sshd, command: str) -> None:
    with pytest.raises(ConfigError, match="KnownHostsCommand"):
        gateways.to(sshd, known_hosts_command=command).open()


def test_a_command_that_hangs_ends_with_the_timeout(sshd) -> None:
    gateway = gateways.to(sshd, known_hosts_command="/bin/sleep 1000", timeout=0.5)
    with pytest.raises(TimeoutError) as caught:
        gateway.open()
    assert caught.value.errno
    assert "/bin/sleep" in str(caught.value)
