# SPDX-License-Identifier: BSD-2-Clause
"""The installed command, and sshgateway.paramiko.install(), which replaces Paramiko's
ProxyCommand by ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import paramiko
import paramiko.proxy
import pytest

import sshgateway
import sshgateway.paramiko as adapter

ORIGINAL = paramiko.proxy.ProxyCommand
COMMAND = Path(sysconfig.get_path("scripts"), "sshgateway")


@pytest.fixture(autouse=True)
def uninstalled():
    assert paramiko.ProxyCommand is ORIGINAL
    yield
    adapter.uninstall()
    assert paramiko.ProxyCommand is ORIGINAL
    assert paramiko.proxy.ProxyCommand is ORIGINAL


@pytest.fixture
def fabric(monkeypatch):
    """A stand-in for a loaded fabric: a module fabric.connection with the name ProxyCommand."""
    package, connection = types.ModuleType("fabric"), types.ModuleType("fabric.connection")
    connection.ProxyCommand = ORIGINAL
    package.connection = connection
    monkeypatch.setitem(sys.modules, "fabric", package)
    monkeypatch.setitem(sys.modules, "fabric.connection", connection)
    return connection


def test_importing_the_adapter_changes_nothing() -> None:
    assert paramiko.ProxyCommand is ORIGINAL
    assert paramiko.proxy.ProxyCommand is ORIGINAL


def test_install_replaces_the_class_in_the_module_that_uses_it() -> None:
    adapter.install()
    assert paramiko.ProxyCommand is not ORIGINAL
    assert paramiko.ProxyCommand is paramiko.proxy.ProxyCommand
    assert issubclass(paramiko.ProxyCommand, sshgateway.ProxyCommand)


def test_a_second_install_changes_nothing() -> None:
    adapter.install()
    first = paramiko.ProxyCommand
    adapter.install()
    assert paramiko.ProxyCommand is first
    adapter.uninstall()
    assert paramiko.ProxyCommand is ORIGINAL


def test_uninstall_without_install_is_harmless() -> None:
    adapter.uninstall()
    adapter.uninstall()
    assert paramiko.ProxyCommand is ORIGINAL


def test_it_can_be_installed_again() -> None:
    for _ in range(3):
        adapter.install()
        assert issubclass(paramiko.ProxyCommand, sshgateway.ProxyCommand)
        adapter.uninstall()
        assert paramiko.ProxyCommand is ORIGINAL


def test_install_replaces_the_class_in_a_loaded_fabric_too(fabric) -> None:
    adapter.install()
    assert fabric.ProxyCommand is paramiko.ProxyCommand
    adapter.uninstall()
    assert fabric.ProxyCommand is ORIGINAL


def test_a_fabric_that_is_not_loaded_is_not_imported(monkeypatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fabric"]:
        monkeypatch.delitem(sys.modules, name)
    adapter.install()
    assert "fabric" not in sys.modules


def test_the_installed_class_is_called_like_paramikos() -> None:
    adapter.install()
    with paramiko.ProxyCommand("cat") as sock:
        assert sock.cmd == ["cat"]
        sock.settimeout(5)
        assert sock.timeout == 5
        assert sock.send(b"hello") == 5
        assert sock.recv(10) == b"hello"
        assert sock.closed is False
    assert sock.closed is True


def test_the_constructor_raises_paramikos_proxycommandfailure() -> None:
    adapter.install()
    with pytest.raises(paramiko.ProxyCommandFailure) as caught:
        paramiko.ProxyCommand("/nonexistent/program")
    check_failure(caught.value, FileNotFoundError)


def test_recv_raises_paramikos_proxycommandfailure() -> None:
    adapter.install()
    with paramiko.ProxyCommand("sh -c 'echo the reason >&2; exit 255'") as sock:
        with pytest.raises(paramiko.ProxyCommandFailure) as caught:
            sock.recv(10)
        check_failure(caught.value, ConnectionResetError)
        assert "the reason" in caught.value.args[1]
        assert sock.recv(10) == b""


def check_failure(error: BaseException, standard: type[OSError]) -> None:
    assert isinstance(error, sshgateway.ProxyCommandError)
    assert isinstance(error, paramiko.SSHException)
    assert isinstance(error, standard)
    assert len(error.args) == 2
    assert error.args[0] == error.errno
    assert error.args[1] in str(error)
    assert isinstance(error.command, list)


def test_only_the_installed_class_raises_paramikos_proxycommandfailure() -> None:
    adapter.install()
    with pytest.raises(sshgateway.ProxyCommandError) as caught:
        sshgateway.ProxyCommand("/nonexistent/program")
    assert not isinstance(caught.value, paramiko.SSHException)
    with sshgateway.ProxyCommand("false") as sock:
        with pytest.raises(sshgateway.ProxyCommandError) as caught:
            sock.recv(1)
        assert not isinstance(caught.value, paramiko.SSHException)


def test_invalid_arguments_raise_the_usual_exceptions() -> None:
    adapter.install()
    with pytest.raises(ValueError):
        paramiko.ProxyCommand("")
    with pytest.raises(ValueError):
        paramiko.ProxyCommand("unbalanced '")


def test_uninstall_leaves_existing_streams_alone() -> None:
    adapter.install()
    with paramiko.ProxyCommand("cat") as sock:
        adapter.uninstall()
        sock.sendall(b"alive")
        assert sock.recv(10) == b"alive"


# --- The command --------------------------------------------------------------------


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user's shell does, without the search path of these tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_command_is_installed_and_runs_in_any_directory(tmp_path) -> None:
    done = run(COMMAND, "--help", cwd=tmp_path)
    module = run(sys.executable, "-m", "sshgateway", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == module.stdout
    assert "sshgateway route HOST" in done.stdout


def test_the_exit_status_of_the_command_is_that_of_its_function(tmp_path) -> None:
    done = run(COMMAND, "route", "--no-such-option", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr
