# SPDX-License-Identifier: BSD-2-Clause
"""Look-ups in ssh_config at the edges: no descriptors, odd names, programs that hang."""

from __future__ import annotations

import errno
import os
import pwd
import resource
import signal
import socket
import subprocess

import pytest

from sshgateway import ConfigError, create_connection
from sshgateway._ssh_config import program as ssh_program
from sshgateway.config import lookup
from support.waiting import DEADLINE


def printed(path: str, host: str, *words: str) -> dict[str, str]:
    """The options that ``ssh -G`` prints; of several lines of a keyword the last."""
    command = ["ssh", "-G", "-F", path, *words, host]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.partition(" ")[::2] for line in said.splitlines())


@pytest.mark.parametrize("failing", ["the file", "an included file", "a directory"])
def test_no_file_is_left_out_without_a_free_descriptor(
    file, tmp_path, monkeypatch, failing: str
) -> None:
    """The file may hold a ProxyJump."""
    directory = tmp_path / "more"
    directory.mkdir()
    (directory / "a.conf").write_text("ProxyJump bastion\n")
    path = file(f"Include {directory}/*.conf\n")
    assert lookup("h", ssh_config=path).proxy_jump == "bastion"
    without = {
        "the file": path, "an included file": str(directory / "a.conf"), "a directory": directory,
    }[failing]  # fmt: skip
    real_open, real_list = open, os.listdir

    def no_open(name, *args, **options):
        if os.fsdecode(name) == str(without):
            raise OSError(errno.EMFILE, "Too many open files", name)
        return real_open(name, *args, **options)

    def no_list(name):
        if os.fsdecode(name).rstrip("/") == str(without):
            raise OSError(errno.EMFILE, "Too many open files", name)
        return real_list(name)

    monkeypatch.setattr("builtins.open", no_open)
    monkeypatch.setattr(os, "listdir", no_list)
    monkeypatch.setattr("sshgateway._ssh_config.ask.find_program", lambda deadline: None)
    with pytest.raises(ConfigError, match="Too many open files"):
        lookup("h", ssh_config=path)


def test_without_a_descriptor_no_default_file_is_left_out(tmp_path, monkeypatch) -> None:
    users = tmp_path / "config"
    users.write_text("ProxyJump bastion\n")
    monkeypatch.setattr("sshgateway.config.from_home", lambda path: str(users))
    assert lookup("h").proxy_jump == "bastion"
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(ConfigError, match="Too many open files"):
            lookup("h")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_home_directory_that_is_not_known_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr("sshgateway.config.from_home", lambda path: path)
    with pytest.raises(ConfigError, match="has no home directory"):
        lookup("h")


def test_match_exec_runs_as_often_as_for_ssh(file, tmp_path) -> None:
    log = tmp_path / "log"
    text = f'Match exec "echo x >> {log}"\nIdentityFile /k/%h\nIdentityFile /k/%n%%\n'
    text += "CertificateFile /c/%r\nUserKnownHostsFile /u/%k\n"
    path = file(text)
    printed(path, "h")
    once = log.read_text()
    log.unlink()
    host = lookup("h", ssh_config=path)
    assert log.read_text() == once
    me = pwd.getpwuid(os.getuid()).pw_name
    assert (host.identity_files, host.certificate_files) == (("/k/h", "/k/h%"), (f"/c/{me}",))


def test_a_background_child_of_match_exec_does_not_delay_the_answer(file, tmp_path) -> None:
    """It holds stderr open, and would end after the test has failed."""
    log = tmp_path / "pid"
    path = file(f'Match exec "sleep 1000 >&2 & echo $! > {log}"\nUser u\n')
    try:
        assert lookup("h", ssh_config=path).user == "u"
    finally:
        os.kill(int(log.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("pattern", ["[b-a]*", "[z-A]x", "[a-b]*"])
def test_a_range_of_letters_in_an_include(file, backend, tmp_path, pattern: str) -> None:
    (tmp_path / "a.conf").write_text("User included\n")
    path = file(f"Include {tmp_path}/{pattern}\nUser own\n")
    try:
        found = lookup("h", ssh_config=path).user
    except ConfigError as error:
        assert backend == "reader without ssh"
        assert "these brackets" in str(error)
    else:
        assert found == printed(path, "h")["user"]


@pytest.mark.parametrize("home", ["", None, "/none"])
def test_the_home_directory_of_an_include(file, backend, tmp_path, monkeypatch, home) -> None:
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    (tmp_path / "a.conf").write_text("User included\n")
    path = file(f"Include ~{tmp_path}/a.conf\nUser own\n")
    assert lookup("h", ssh_config=path).user == printed(path, "h")["user"]


@pytest.mark.parametrize("port", [-1, 0, 65536, 99999])
def test_a_port_that_cannot_be_is_an_error(port: int) -> None:
    with pytest.raises(ConfigError, match=f"port {port} is not"):
        lookup("h", port, ssh_config=False)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_no_program_can_get_is_an_error(file, text: str) -> None:
    for options in ({"ssh_config": text}, {"jump": text, "ssh_config": file("")}):
        with pytest.raises(ConfigError):
            lookup("h", **options)


@pytest.mark.parametrize("config", [False, "none"])
def test_the_user_is_that_of_the_account(monkeypatch, config) -> None:
    monkeypatch.setenv("LOGNAME", "another")
    assert lookup("h", ssh_config=config).user == printed("none", "h")["user"]


def test_a_user_without_an_account_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(ConfigError, match="4000000 is not in the password database"):
        lookup("h", ssh_config=False)
    assert lookup("h", user="u", ssh_config=False).user == "u"


# --- Programs -----------------------------------------------------------------------------------


@pytest.fixture
def hanging(tmp_path, monkeypatch) -> None:
    """A program ssh that never answers."""
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "ssh").write_text("#!/bin/sh\nexec sleep 60\n")
    (fake / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    for name in ("_verdicts", "_waited"):
        monkeypatch.setattr(ssh_program, name, {})
    monkeypatch.setattr(ssh_program, "_warned", set())


def test_a_program_that_hangs_leaves_time_to_connect(hanging, file) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with create_connection(address, timeout=DEADLINE / 4, ssh_config=file("")) as sock:
            assert sock.getpeername() == address


def test_the_waits_for_a_program_add_up_to_a_verdict(hanging, file, monkeypatch) -> None:
    monkeypatch.setattr(ssh_program, "_LONGEST_WAIT", 0.3)
    path = file("User u\n")
    with pytest.warns(UserWarning, match="did not answer -V"):
        for _ in range(4):
            assert lookup("h", ssh_config=path, timeout=0.2).user == "u"
    assert len(ssh_program._verdicts) == 1


def test_a_failure_that_passes_is_not_kept(file, monkeypatch) -> None:
    monkeypatch.setattr(ssh_program, "_verdicts", {})
    monkeypatch.setattr(ssh_program, "_warned", set())

    def no_descriptors(command, seconds):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="Too many open files"):
        patch.setattr(ssh_program, "run", no_descriptors)
        lookup("h", ssh_config=file(""))
    assert lookup("h", ssh_config=file('Match exec "true"\nUser u\n')).user == "u"


def test_connecting_after_the_deadline_is_a_timeout() -> None:
    from sshgateway.route import connect

    with pytest.raises(TimeoutError) as caught:
        connect(("127.0.0.1", 1), 0.0)
    assert caught.value.errno == errno.ETIMEDOUT
