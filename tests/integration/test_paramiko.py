# SPDX-License-Identifier: BSD-2-Clause
"""Paramiko, the newest and 2.12, logs in through our ProxyCommand."""

from __future__ import annotations

import os
import shlex
import signal

import paramiko
import pytest

import sshgateway.paramiko
from sshgateway import ProxyCommand
from support import logins


@pytest.fixture(scope="module")
def where(sshd):
    return logins.settings(sshd)


def test_paramiko_connects_and_executes_a_command(perform, where) -> None:
    perform("connect_and_exec", where)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_sftp_moves_100_mb_both_ways(perform, where) -> None:
    perform("sftp_put_and_get", where)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_twenty_connections_at_once(perform, where) -> None:
    perform("twenty_at_once", where)


def test_paramiko_closes_from_another_thread(perform, where) -> None:
    perform("close_from_another_thread", where)


def test_the_failure_of_the_proxy_reaches_the_user(perform, where) -> None:
    perform("failure_is_told", where)


# --- Other ways to the same server ------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["socat - TCP:{host}:{port}", "nc -N {host} {port}", "ncat {host} {port}"],
    ids=lambda command: command.split()[0],
)
def test_a_login_through_other_programs(where, command: str) -> None:
    logins.connect_and_exec(where | {"command": command.format(**where)})


def test_a_login_through_a_shell(where, monkeypatch) -> None:
    line = "socat - TCP:$TARGET 2>/dev/null"
    env = {"TARGET": f"{where['host']}:{where['port']}", "PATH": "/usr/bin:/bin"}
    sock = ProxyCommand(line, shell=True, env=env)
    with logins.login(where, sock) as client:
        assert logins.run(client, "echo hello") == b"hello\n"


def test_a_login_through_an_http_proxy(where, http_proxy) -> None:
    """As in networks that allow only HTTP: CONNECT through a real tinyproxy."""
    command = (
        f"ncat --proxy {http_proxy.host}:{http_proxy.port} --proxy-type http "
        f"{where['host']} {where['port']}"
    )
    logins.connect_and_exec(where | {"command": command})
    assert f"CONNECT {where['host']}:{where['port']}" in http_proxy.log


def test_a_login_through_a_passed_socket(where) -> None:
    sock = ProxyCommand(f"nc -F {where['host']} {where['port']}", fdpass=True, timeout=10)
    with logins.login(where, sock) as client:
        assert logins.run(client, "echo hello") == b"hello\n"


def test_libraries_that_call_paramikos_class_get_ours_after_install(where) -> None:
    sshgateway.paramiko.install()
    try:
        sock = paramiko.ProxyCommand(where["command"])
        assert isinstance(sock, ProxyCommand)
        with logins.login(where, sock) as client:
            assert logins.run(client, "echo hello") == b"hello\n"
    finally:
        sshgateway.paramiko.uninstall()


def test_paramiko_shows_the_names_of_the_stream(where) -> None:
    name = (where["host"], where["port"])
    with logins.login(where, ProxyCommand(where["command"], peername=name)) as client:
        assert client.get_transport().getpeername() == name


# --- The exception that the user sees ------------------------------------------------


def connect_error(where, command: str) -> paramiko.SSHException:
    with (
        pytest.raises(paramiko.SSHException) as caught,
        logins.login(where, ProxyCommand(command)),
    ):
        pass
    return caught.value


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no route to gateway >&2; exit 255", ["no route to gateway", "255"]),
        ("exec >&-; echo no route to gateway >&2; exit 1", ["no route to gateway", "status 1"]),
        ("echo about to die >&2; kill -KILL $$", ["about to die", "SIGKILL"]),
        ("exec cat >/dev/null <&0 & sleep 0.05; echo too late >&2; exit 7", ["too late", "7"]),
    ],
    ids=["exit 255", "stdout closed", "killed", "later"],
)
def test_the_reason_is_in_the_exception(where, script: str, words) -> None:
    error = connect_error(where, shlex.join(["sh", "-c", script]))
    for word in words:
        assert word in str(error)


def test_the_message_of_ssh_is_in_the_exception(where, sshd) -> None:
    """The gateway does not accept the key: the exception has ssh's message, not "EOF"."""
    command = logins.through_ssh(sshd, None, "-o", "PubkeyAuthentication=no")
    assert "Permission denied" in str(connect_error(where, command))


def test_an_unreachable_target_is_in_the_exception(where, sshd) -> None:
    command = shlex.join(sshd.ssh_forward("127.0.0.1", 1))
    assert "refused" in str(connect_error(where, command)).lower()


def test_the_end_of_ssh_ends_the_session(where) -> None:
    """ssh is killed during a session: Paramiko's thread ends, and commands fail."""
    sock = ProxyCommand(where["command"])
    with logins.login(where, sock) as client:
        assert logins.run(client, "echo hello") == b"hello\n"
        os.kill(sock.pid, signal.SIGKILL)
        client.get_transport().join(logins.TIMEOUT)
        assert not client.get_transport().is_active()
        with pytest.raises((paramiko.SSHException, EOFError, OSError)):
            client.exec_command("echo never", timeout=logins.TIMEOUT)
        assert sock.returncode == -9
