# SPDX-License-Identifier: BSD-2-Clause
"""The examples of the README do what it says.

Each test runs the code of an example as it stands there, with the hosts and commands of this
machine in place of the README's.
"""

from __future__ import annotations

import functools
import re
import ssl
import textwrap
from pathlib import Path
from typing import Any

import fabric
import paramiko
import pytest

import sshgateway

README = (Path(__file__).parents[2] / "README.rst").read_text()
EXAMPLES = [
    textwrap.dedent(block)
    for block in re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", README, re.M)
]
PARAMIKO, FABRIC, TLS = EXAMPLES
COMMAND = '"ncat --proxy cache:3128 intranet 443"'


def run(example: str, replacements: dict[str, str], **names: Any) -> dict[str, Any]:
    """Run an example and return its variables; each text to replace must be in it."""
    for old, new in replacements.items():
        assert old in example, old
        example = example.replace(old, new)
    exec(compile(example, "README.rst", "exec"), names)
    return names


@pytest.fixture
def ssh_config(sshd, monkeypatch) -> None:
    """create_connection() and Gateway() know the key and the host key of the private sshd."""
    connect = functools.partial(sshgateway.create_connection, ssh_config=sshd.ssh_config)
    monkeypatch.setattr(sshgateway, "create_connection", connect)
    settings = {"key_filename": str(sshd.user_key), "known_hosts": [str(sshd.known_hosts)]}
    gateway = functools.partial(sshgateway.Gateway, allow_agent=False, **settings)
    monkeypatch.setattr(sshgateway, "Gateway", gateway)


def test_paramiko(sshd, ssh_config, monkeypatch) -> None:
    class Client(paramiko.SSHClient):
        def load_system_host_keys(self, filename: str | None = None) -> None:
            super().load_system_host_keys(str(sshd.known_hosts))

        def connect(self, hostname: str, **options: Any) -> None:
            login = {"username": sshd.username, "key_filename": str(sshd.user_key)}
            # Where Paramiko looks up the host key; the socket has the connection.
            super().connect(hostname, sshd.port, **login, **options)

    monkeypatch.setattr(paramiko, "SSHClient", Client)
    names = run(
        PARAMIKO,
        {
            '("db1.internal", 22)': f'("{sshd.host}", {sshd.port})',
            '"deploy@bastion"': '"sshd"',
            '"db1.internal"': f'"{sshd.host}"',
        },
    )
    with names["client"] as client:
        _, output, _ = client.exec_command("echo $((40 + 2))")
        assert output.read() == b"42\n"
    names["sock"].close()
    sshgateway.close_all()


def test_fabric(sshd, ssh_config, monkeypatch, capfd) -> None:
    login = {"key_filename": str(sshd.user_key), "allow_agent": False}
    connection = functools.partial(
        fabric.Connection,
        user=sshd.username,
        port=sshd.port,
        connect_kwargs=login,
        config=fabric.Config(overrides={"load_ssh_configs": False, "run": {"in_stream": False}}),
    )
    monkeypatch.setattr(fabric, "Connection", connection)
    run(
        FABRIC,
        {
            '"deploy@bastion"': f'"{sshd.username}@{sshd.host}:{sshd.port}"',
            '("db1.internal", "db2.internal")': f'("{sshd.host}", "{sshd.host}")',
            "uname -a": "echo $((40 + 2))",
        },
    )
    assert capfd.readouterr().out == "42\n42\n"


def test_plain_python_with_a_program_that_fails(capsys) -> None:
    """ssl raises an error of its own; the reason is in command.stderr."""
    command = ["sh", "-c", "echo 'Ncat: Connection refused.' >&2; exit 1"]
    names = run(TLS, {COMMAND: repr(command)})
    assert "tls" not in names
    assert names["command"].closed
    assert re.fullmatch(r".+ 1 Ncat: Connection refused\.\n\n", capsys.readouterr().out)


def test_plain_python_with_a_program_that_cannot_run() -> None:
    text = "cannot execute proxy command 'nosuchprogram intranet 443'"
    with pytest.raises(sshgateway.ProxyCommandError, match=text):
        run(TLS, {COMMAND: '"nosuchprogram intranet 443"'})


def test_plain_python_with_a_program_that_works(contexts, https_address, monkeypatch) -> None:
    host, port = https_address
    monkeypatch.setattr(ssl, "create_default_context", lambda: contexts[1])
    names = run(
        TLS,
        {
            COMMAND: f'"socat - TCP:{host}:{port}"',
            'server_hostname="intranet"': 'server_hostname="localhost"',
        },
    )
    with names["tls"] as tls:
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert tls.recv(12).endswith(b" 200")
