# SPDX-License-Identifier: BSD-2-Clause
"""In a terminal: the signals of the keyboard, and prompts of a proxy."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from support import fresh
from support.terminal import Terminal


def in_terminal(*arguments: str) -> Terminal:
    script = fresh.SCRIPTS / "at_the_terminal.py"
    env = {k: v for k, v in fresh.environment().items() if not k.startswith("SSH_")}
    return Terminal(fresh.command(script, *arguments), env)


@pytest.mark.parametrize(("way", "key"), [("ctrl-c", "\x03"), ("quit", "\x1c")])
def test_signals_of_the_keyboard_reach_the_program_and_not_the_proxy(way: str, key: str) -> None:
    with in_terminal(way) as terminal:
        terminal.expect("ready")
        terminal.type(key)
        terminal.expect("interrupted")
        terminal.expect("alive")
        assert terminal.ends() == 0


def test_a_proxy_can_prompt_on_the_terminal() -> None:
    script = "printf 'who? ' >/dev/tty; read name </dev/tty; echo hello $name"
    with in_terminal("prompt", json.dumps(["sh", "-c", script])) as terminal:
        terminal.expect("who? ")
        terminal.type("you\n")
        terminal.expect("received b'hello yo'")
        assert terminal.ends() == 0


def test_ssh_can_ask_for_a_passphrase(sshd, tmp_path) -> None:
    key = tmp_path / "key"
    key.write_bytes(sshd.user_key.read_bytes())
    key.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    config = tmp_path / "config"
    text = sshd.ssh_config.read_text()
    text = text.replace(f"IdentityFile {sshd.user_key}", f"IdentityFile {key}")
    config.write_text(text.replace("BatchMode yes", "BatchMode no"))
    assert str(key) in config.read_text()
    command = ["ssh", "-F", os.fspath(config), "-W", f"{sshd.host}:{sshd.port}", sshd.name]
    with in_terminal("prompt", json.dumps(command)) as terminal:
        terminal.expect("Enter passphrase for")
        terminal.type("open sesame\n")
        terminal.expect("received b'SSH-2.0-'")
        assert terminal.ends() == 0
