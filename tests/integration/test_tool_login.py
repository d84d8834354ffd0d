# SPDX-License-Identifier: BSD-2-Clause
"""The questions, banners and advice of the command ``sshgateway``.

ssh(1) at the same kind of terminal is the oracle for what a person sees.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import fresh
from support.scripted import ParamikoServer
from support.sshd import PrivateSshd
from support.terminal import Terminal
from support.waiting import DEADLINE

LONG = 8 * DEADLINE
COMMAND = [sys.executable, "-W", "error", "-m", "sshgateway"]
INTERACTIVE = "keyboard-interactive"


class Bastion(ParamikoServer):
    """A server with a banner, of which the test also decides the name and instruction."""

    banner = ""
    name = ""
    instruction = ""

    def get_banner(self) -> tuple[str, str]:
        return self.banner, "en"

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        query = super().check_auth_interactive(username, submethods)
        query.name, query.instructions = self.name, self.instruction
        return query


@pytest.fixture(scope="module")
def sshd() -> Iterator[PrivateSshd]:
    with PrivateSshd(name="plain") as server:
        yield server


@pytest.fixture
def bastion(sshd) -> Iterator[Bastion]:
    with Bastion(sshd, methods=INTERACTIVE, password="sesame") as server:
        yield server


@pytest.fixture
def config(sshd, bastion, tmp_path):
    """Write an ssh_config for the two servers and return its path."""

    def write(more: str = "", top: str = "") -> str:
        known_hosts = tmp_path / "known_hosts"
        port = bastion.address[1]
        known_hosts.write_text(
            f"[127.0.0.1]:{port} {sshd.host_key}\n{sshd.known_hosts.read_text()}"
        )
        path = tmp_path / "ssh_config"
        path.write_text(
            f"{top}\nHost bastion\nHostName 127.0.0.1\nPort {port}\nUser who\nIdentityAgent none\n"
            f"IdentityFile none\nPubkeyAuthentication no\nUserKnownHostsFile {known_hosts}\n"
            f"GlobalKnownHostsFile none\n{more}\n{sshd.ssh_config.read_text()}"
        )
        return str(path)

    return write


def terminal(*words: str) -> Terminal:
    """Run a command at a terminal; its standard input is elsewhere, as that of -W is."""
    script = f"exec {shlex.join(words)} </dev/null"
    return Terminal(["setsid", "-w", "-c", "sh", "-c", script], fresh.environment())


def conversation(words: list[str], *steps: tuple[str, str], status: int | None = 0) -> str:
    """Type the second half of each step after the first half was said; return the output."""
    with terminal(*words) as there:
        for expected, typed in steps:
            there.expect(expected)
            there.type(typed)
        assert there.ends() == status or status is None, there.seen
        return there.seen.replace("\r", "")


def both(config: str, gateway: str, *steps: tuple[str, str], status: int | None = 0) -> list[str]:
    """The conversations of ssh and of ours."""
    words = ["-F", config, "-W", "x:1", gateway]
    return [
        conversation([*program, *words], *steps, status=status) for program in (["ssh"], COMMAND)
    ]


# --- Questions ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("by_messages")
def test_a_round_of_prompts_looks_as_with_ssh(config, bastion) -> None:
    bastion.name, bastion.instruction = "Second factor", "Look at your token"
    bastion.prompts = [("Name: ", True), ("Code: ", False)]
    bastion.expected = ["me", "123456"]
    ssh, ours = both(
        config(), "bastion", ("(who@127.0.0.1) Name: ", "me\n"), ("Code: ", "123456\n")
    )
    assert ours == ssh
    assert "(who@127.0.0.1) Code: \n" in ours, "the answer is not echoed"
    assert ours.count("Look at your token") == 1
    assert bastion.answers == [["me", "123456"]] * 2


def test_control_characters_are_escaped_as_by_ssh(config, bastion) -> None:
    bastion.prompts = [("\x1b[31mred\x07 \x9b1m \x7f\ttab: ", True)]
    bastion.expected = ["x"]
    ssh, ours = both(config(), "bastion", ("tab: ", "x\n"))
    assert ours == ssh
    assert "(who@127.0.0.1) \\033[31mred\\007" in ours


def test_a_name_and_an_instruction_are_escaped(config, bastion) -> None:
    bastion.name, bastion.instruction = "\x1b]0;title\x07", "two\nlines\x1b[2J"
    bastion.expected = [""]
    said = conversation([*COMMAND, "-F", config(), "-W", "x:1", "bastion"], ("Password: ", "\n"))
    assert "\x1b" not in said and "\x07" not in said
    assert "\\033]0;title\\007\ntwo\nlines\\033[2J\n(who@127.0.0.1) Password: " in said


def test_a_password_is_asked_for_as_by_ssh(config, bastion) -> None:
    bastion._methods = "password"
    steps = [("who@127.0.0.1's password: ", "wrong\n"), ("who@127.0.0.1's password: ", "sesame\n")]
    ssh, ours = both(config(), "bastion", *steps)
    assert ours == ssh.replace("Permission denied, please try again.\n", "")
    assert bastion.passwords == ["wrong", "sesame"] * 2


def test_the_alias_of_the_host_key_is_the_name_of_the_host_as_with_ssh(
    config, bastion, sshd, tmp_path
) -> None:
    path = config("HostKeyAlias door")
    (tmp_path / "known_hosts").write_text(f"door {sshd.host_key}\n")
    bastion._methods = "password"
    ssh, ours = both(path, "bastion", ("who@door's password: ", "sesame\n"))
    assert ours == ssh


def test_a_chain_names_the_hop(config, bastion, sshd, tmp_path) -> None:
    key = tmp_path / "key"
    key.write_bytes(sshd.user_key.read_bytes())
    key.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open", "-f", key],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    path = Path(config(f"ProxyJump plain\nHost plain\nIdentityFile {key}"))
    path.write_text(path.read_text().replace(f"IdentityFile {sshd.user_key}\n", ""))
    bastion.expected = ["x"]
    said = conversation(
        [*COMMAND, "-F", str(path), "-W", "x:1", "bastion"],
        (f"hop 1 of 2: Enter passphrase for key '{key}': ", "open\n"),
        ("hop 2 of 2: (who@127.0.0.1) Password: ", "x\n"),
    )
    assert "open" not in said


def test_the_number_of_password_prompts_is_that_of_ssh_config(config, bastion) -> None:
    bastion._methods = "password"
    wrong = ("who@127.0.0.1's password: ", "wrong\n")
    ssh, ours = both(config("NumberOfPasswordPrompts 2"), "bastion", wrong, wrong, status=255)
    assert ssh.count("password: ") == ours.count("password: ") == 2
    assert len(bastion.passwords) == 4


@pytest.mark.parametrize("methods", ["password", INTERACTIVE])
def test_no_password_prompt_at_all_is_possible_as_with_ssh(config, bastion, methods: str) -> None:
    bastion._methods = methods
    ssh, ours = both(config("NumberOfPasswordPrompts 0"), "bastion", status=255)
    assert "assword:" not in ssh + ours
    assert bastion.passwords == bastion.answers == []


def test_ctrl_c_at_a_prompt_ends_the_command_and_restores_the_terminal(config, bastion) -> None:
    words = [*COMMAND, "-F", config(), "-W", "x:1", "bastion"]
    script = f"{shlex.join(words)} </dev/null; echo status $?; stty -a"
    with Terminal(
        ["setsid", "-w", "-c", "sh", "-c", f"trap : INT; {script}"], fresh.environment()
    ) as t:
        t.expect("(who@127.0.0.1) Password: ")
        t.type("\x03")
        t.expect(f"status {128 + signal.SIGINT}")
        t.ends()
        assert "Traceback" not in t.seen
        assert " echo " in t.seen
        assert "Password: \r\n" in t.seen


def test_ctrl_z_at_a_prompt_restores_the_terminal_until_the_job_continues(config, bastion) -> None:
    words = [*COMMAND, "-F", config(), "-W", "x:1", "bastion"]
    script = f"{shlex.join(words)} </dev/null; echo status $?; stty -a; fg; stty -a"
    with Terminal(["setsid", "-w", "-c", "bash", "-m", "-c", script], fresh.environment()) as t:
        t.expect("(who@127.0.0.1) Password: ")
        t.type("\x1a")
        t.expect(f"status {128 + signal.SIGTSTP}")
        t.expect(" echo ")
        t.expect("(who@127.0.0.1) Password: ")
        t.type("sesame\n")
        t.expect(" echo ")
        t.ends()
        assert "sesame" not in t.seen
        assert bastion.answers == [["sesame"]]


def test_ctrl_d_at_a_prompt_gives_up(config, bastion) -> None:
    words = [*COMMAND, "-F", config(), "-W", "x:1", "bastion"]
    said = conversation(words, ("Password: ", "\x04"), status=255)
    assert said.count("Password: ") == 1
    assert "the prompt 'Password:' was not answered" in " ".join(said.split())


def test_without_a_terminal_the_advice_is_to_use_one(config) -> None:
    done = run("-F", config(), "-W", "x:1", "bastion")
    assert done.returncode == 255
    assert "run the command at a terminal, for keyboard-interactive" in done.stderr


# --- Banners ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("by_messages")
@pytest.mark.parametrize("text", ["one\ntwo\n", "\x1b[31mred\x07\n"])
def test_a_banner_is_shown_as_by_ssh_before_the_prompt(config, bastion, text: str) -> None:
    bastion.banner = text
    bastion.expected = ["x"]
    ssh, ours = both(config(), "bastion", ("Password: ", "x\n"))
    assert ours == ssh
    assert "\x1b" not in ours


@pytest.mark.usefixtures("by_messages")
def test_a_banner_arrives_while_the_login_waits(config, bastion) -> None:
    """Some servers show the address of a page there, and wait."""
    bastion.banner = "open https://login.example/42\n"
    bastion._methods = "password"
    bastion.hold_login.clear()
    with terminal(*COMMAND, "-F", config(), "-W", "x:1", "bastion") as there:
        there.expect("open https://login.example/42")
        there.expect("password: ")
        there.type("sesame\n")
        bastion.hold_login.set()
        assert there.ends() == 0


@pytest.mark.usefixtures("by_messages")
def test_a_round_without_prompts_is_shown(config, bastion) -> None:
    """A server asks for nothing when a person must act elsewhere."""
    bastion.instruction = "A request was sent to your telephone."
    bastion.prompts = []
    bastion.expected = []
    said = conversation([*COMMAND, "-F", config(), "-W", "x:1", "bastion"])
    assert "A request was sent to your telephone.\n" in said


@pytest.mark.usefixtures("by_messages")
def test_route_try_shows_the_login_and_verbose_shows_banners(config, bastion) -> None:
    bastion.banner = "Authorized use only\n"
    bastion.expected = ["x"]
    bastion.refusal = 2  # the report ends at the target
    path = config(top="Host target\nHostName 127.0.0.1\nProxyJump bastion")
    words = [*COMMAND, "route", "-F", path, "--try", "target"]
    said = conversation(words, ("(who@127.0.0.1) Password: ", "x\n"), status=1)
    assert "+ login keyboard-interactive" in " ".join(said.split())
    assert "Authorized use only" not in said
    said = conversation(
        [*words, "-v"], ("Authorized use only", ""), ("Password: ", "x\n"), status=None
    )
    said = conversation([*words, "--json"], ("Password: ", "x\n"), status=1)
    facts = json.loads(said[said.index("{") :])
    assert facts["hops"][0]["tried"]["banner"] == "Authorized use only\n"


# --- Advice -------------------------------------------------------------------------------------

PARAMETERS = ("password=", "key_filename", "pkey", "prompt=", "identities_only", "known_hosts=",
              "strict_host_key_checking", "timeout=")  # fmt: skip


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env=fresh.environment(), capture_output=True, text=True,
        timeout=LONG, check=False, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def refuses_as_busy(sock: Any) -> None:
    sock.sendall(b"Exceeded MaxStartups\r\n")


@pytest.mark.parametrize(
    ("more", "gateway", "words"),
    [
        ("User nobody", "plain", ["User in ssh_config", "IdentityFile", "CertificateFile"]),
        ("UserKnownHostsFile /not/there", "plain", ["StrictHostKeyChecking accept-new"]),
        ("UserKnownHostsFile none", "plain", ["UserKnownHostsFile", "ask the owner"]),
        ("KbdInteractiveAuthentication no", "bastion",
         ["allow keyboard-interactive in ssh_config by KbdInteractiveAuthentication"]),
    ],
)  # fmt: skip
def test_the_advice_is_about_options_and_ssh_config(
    config, more: str, gateway: str, words: list[str]
) -> None:
    path = config(top=f"Host {gateway}\n{more}\nHost target\nProxyJump {gateway}\n")
    for command in (["-W", "x:1", gateway], ["route", "--try", "target"]):
        done = run(*command, "-F", path)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode in (1, 255), said
        for word in words:
            assert word in said
        assert not [name for name in PARAMETERS if name in said], said
        assert ("-i or IdentityFile" in said) <= (command[0] == "-W")


def test_keywords_that_are_not_honoured_are_warned_about_in_one_line(config, sshd) -> None:
    path = config(top="Host plain\nPubkeyAcceptedAlgorithms ssh-ed25519\n")
    done = subprocess.run(
        [sys.executable, "-m", "sshgateway", "-F", path, "-W", f"127.0.0.1:{sshd.port}", "plain"],
        env=fresh.environment(), capture_output=True, text=True, timeout=LONG, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    warning = "sshgateway: warning: PubkeyAcceptedAlgorithms of ssh_config is set for gateway"
    assert done.stderr.startswith(warning)
    assert done.stderr.count("\n") == 1
