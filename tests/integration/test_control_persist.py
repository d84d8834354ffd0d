# SPDX-License-Identifier: BSD-2-Clause
"""ssh with ControlPersist: a master process keeps running and holds our stderr pipe open."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from sshgateway import ProxyCommand
from support import logins
from support.waiting import DEADLINE, gone, until


@pytest.fixture
def master(sshd, short_path):
    """Options that start a master on demand; the fixture ends it afterwards."""
    control = short_path / "control"
    options = ["-o", "ControlMaster=auto", "-o", f"ControlPath={control}",
               "-o", "ControlPersist=60"]  # fmt: skip
    yield options, control
    if control.exists():
        subprocess.run(
            [
                "ssh",
                "-F",
                sshd.ssh_config,
                "-o",
                f"ControlPath={control}",
                "-O",
                "exit",
                sshd.name,
            ],
            check=True,
            capture_output=True,
            timeout=DEADLINE,
        )
    until(lambda: not control.exists(), "the master's socket is removed")


def test_a_login_that_leaves_a_master_ends_promptly(sshd, master) -> None:
    options, control = master
    where = logins.settings(sshd, logins.through_ssh(sshd, None, *options))
    for _ in range(2):  # the second ssh goes through the master of the first
        sock = ProxyCommand(where["command"])
        with logins.login(where, sock) as client:
            assert logins.run(client, "echo hello") == b"hello\n"
        assert control.exists(), "there is a master"
        gone(sock.pid)


def test_the_end_is_seen_although_stderr_stays_open(sshd, master) -> None:
    """The stream ends with exit status 0, and recv() does not wait for the end of stderr."""
    options, control = master
    command = shlex.join(["ssh", *options, *sshd.ssh("echo over")[1:]])
    with ProxyCommand(command) as sock:
        sock.settimeout(2 * DEADLINE)
        assert sock.recv(100) == b"over\n"
        assert sock.recv(100) == b""
        assert sock.returncode == 0
    assert control.exists(), "there is a master"


def test_a_failure_through_a_master_is_reported(sshd, master) -> None:
    options, control = master
    with ProxyCommand(shlex.join(["ssh", *options, *sshd.ssh("echo over")[1:]])) as sock:
        assert sock.recv(100) == b"over\n"
    assert control.exists()
    program, *rest = sshd.ssh_forward("127.0.0.1", 1)
    with ProxyCommand([program, *options, *rest]) as sock:
        sock.settimeout(2 * DEADLINE)
        with pytest.raises(ConnectionResetError) as caught:
            sock.recv(100)
        assert caught.value.returncode == 255
        assert caught.value.stderr
