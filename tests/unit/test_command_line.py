# SPDX-License-Identifier: BSD-2-Clause
"""ProxyCommand's constructor: the command, its directory and its environment."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from sshgateway import ProxyCommand
from support.streams import recv_all

PYTHON = sys.executable


def output(*args, **kwargs) -> bytes:
    """The bytes that the command writes to its standard output."""
    with ProxyCommand(*args, **kwargs) as sock:
        return recv_all(sock)


SHOW_ARGUMENTS = ["sh", "-c", 'for a; do printf "[%s]" "$a"; done', "sh"]


@pytest.mark.parametrize(
    "line",
    [
        "echo one two",
        "  echo   spaces  are  skipped  ",
        "echo 'single quotes' \"double quotes\" back\\ slash",
        "echo $HOME `id` * ~ | > & ; nothing of the shell is done",
        "echo '' \"\"",
        "echo ünï cödé",
        "echo a#b #c",
    ],
)
def test_a_string_is_split_as_paramiko_splits_it(line: str) -> None:
    with ProxyCommand(line) as sock:
        assert sock.cmd == shlex.split(line)
        assert recv_all(sock).decode() == " ".join(sock.cmd[1:]) + "\n"


def test_arguments_reach_the_program_one_by_one() -> None:
    line = shlex.join([*SHOW_ARGUMENTS, "a b", "", "'", '"', "$x"])
    assert output(line) == b"""[a b][][']["][$x]"""


def test_a_list_is_executed_as_it_is() -> None:
    command = [*SHOW_ARGUMENTS, "a b", "", "'", "\n", "ü"]
    with ProxyCommand(command) as sock:
        assert sock.cmd == command
        assert type(sock.cmd) is list
        assert recv_all(sock).decode() == "[a b][]['][\n][ü]"


def test_any_sequence_of_strings_bytes_and_paths_is_accepted() -> None:
    command = (Path("/bin/echo"), b"bytes\xff", "str")
    with ProxyCommand(command) as sock:
        assert [os.fsencode(word) for word in sock.cmd] == [b"/bin/echo", b"bytes\xff", b"str"]
        assert recv_all(sock) == b"bytes\xff str\n"


def test_the_list_given_is_copied() -> None:
    command = ["echo", "before"]
    with ProxyCommand(command) as sock:
        command[1] = "after"
        assert sock.cmd == ["echo", "before"]


def test_the_attribute_cmd_is_read_only() -> None:
    with ProxyCommand("true") as sock, pytest.raises(AttributeError):
        sock.cmd = ["x"]


# --- shell=True -----------------------------------------------------------------


def test_a_shell_gets_the_line_as_openssh_passes_it(monkeypatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    line = "echo $0 | tr a-z A-Z"
    with ProxyCommand(line, shell=True) as sock:
        assert sock.cmd == ["/bin/bash", "-c", "exec " + line]
        assert recv_all(sock) == b"/BIN/BASH\n"


@pytest.mark.parametrize("value", [None, ""])
def test_bin_sh_is_used_when_shell_is_unset(monkeypatch, value) -> None:
    if value is None:
        monkeypatch.delenv("SHELL", raising=False)
    else:
        monkeypatch.setenv("SHELL", value)
    with ProxyCommand("echo $((1 + 1))", shell=True) as sock:
        assert sock.cmd == ["/bin/sh", "-c", "exec echo $((1 + 1))"]
        assert recv_all(sock) == b"2\n"


def test_exec_replaces_the_shell_by_the_program(monkeypatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    with ProxyCommand("cat", shell=True) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        with open(f"/proc/{sock.pid}/comm") as f:
            assert f.read() == "cat\n"


def test_a_missing_shell_is_named(monkeypatch) -> None:
    monkeypatch.setenv("SHELL", "/nonexistent/shell")
    with pytest.raises(FileNotFoundError, match="/nonexistent/shell"):
        ProxyCommand("true", shell=True)


# --- env, cwd, session ------------------------------------------------------------


def test_the_environment_is_inherited(monkeypatch) -> None:
    monkeypatch.setenv("SSHGATEWAY_TEST", "inherited ü")
    assert output(["printenv", "SSHGATEWAY_TEST"]) == "inherited ü\n".encode()


def test_the_environment_can_be_given() -> None:
    env = {"A": "1", "B": "two words", b"C": b"\xff"}
    assert sorted(output("/usr/bin/env", env=env).splitlines()) == [
        b"A=1",
        b"B=two words",
        b"C=\xff",
    ]
    assert output("/usr/bin/env", env={}) == b""


@pytest.mark.parametrize("make", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
def test_the_working_directory_can_be_given(tmp_path: Path, make) -> None:
    directory = tmp_path.resolve()
    assert output("/bin/pwd -P", cwd=make(directory)) == os.fsencode(directory) + b"\n"
    assert output("/bin/pwd -P") == os.fsencode(Path.cwd().resolve()) + b"\n"


def test_a_relative_program_is_found_from_the_working_directory(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert output("./program", cwd=tmp_path) == b"found\n"


@pytest.mark.parametrize("missing", ["no-such-directory", "a-file"])
def test_an_invalid_working_directory_is_named(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a-file").touch()
    expected = FileNotFoundError if missing.startswith("no") else NotADirectoryError
    with pytest.raises(expected, match=missing) as caught:
        ProxyCommand("true", cwd=tmp_path / missing)
    assert len(caught.value.args) == 2


SESSION = ["sh", "-c", "cut -d' ' -f5,6 /proc/$$/stat; cat"]


def test_the_child_stays_in_our_session_and_group() -> None:
    with ProxyCommand(SESSION) as sock, sock.makefile("r") as lines:
        group, session = map(int, lines.readline().split())
        assert (group, session) == (os.getpgrp(), os.getsid(0))


def test_the_child_can_get_a_session_of_its_own() -> None:
    with ProxyCommand(SESSION, start_new_session=True) as sock, sock.makefile("r") as lines:
        group, session = map(int, lines.readline().split())
        assert (group, session) == (sock.pid, sock.pid)


def test_the_child_gets_only_the_three_standard_descriptors() -> None:
    with open("/dev/null") as ours:
        os.set_inheritable(ours.fileno(), False)
        listing = output(["sh", "-c", "ls /proc/$$/fd"])
    assert listing.split() == [b"0", b"1", b"2"]


def test_stdin_and_stdout_are_pipes_as_in_openssh() -> None:
    links = output(["sh", "-c", "readlink /proc/$$/fd/0 /proc/$$/fd/1"]).splitlines()
    assert [link.partition(b":")[0] for link in links] == [b"pipe", b"pipe"]


def test_only_the_signals_of_the_terminal_are_ignored_and_none_is_blocked() -> None:
    """SIGPIPE has its default action again, although Python ignores it."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        said = output("cat /proc/self/status")
    finally:
        signal.signal(signal.SIGHUP, previous)
    status = dict(line.split(b":\t") for line in said.splitlines() if b"Sig" in line)
    assert int(status[b"SigBlk"], 16) == 0
    bits = int(status[b"SigIgn"], 16)
    # valid_signals() leaves out the C library's own signals, which posix_spawn() ignores.
    ignored = {number for number in signal.valid_signals() if bits & 1 << number - 1}
    # Any other signal that this process ignores, as under nohup, stays ignored.
    assert ignored == {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}
    assert int(status[b"SigCgt"], 16) == 0


# --- Refused arguments ----------------------------------------------------------------

REFUSED = [
    ("", ValueError, "empty"),
    ("   \t ", ValueError, "empty"),
    ([], ValueError, "empty"),
    ((), ValueError, "empty"),
    ([""], (ValueError, FileNotFoundError), None),
    ("echo 'unbalanced", ValueError, "^No closing quotation$"),
    ('echo "unbalanced', ValueError, "^No closing quotation$"),
    ("echo \\", ValueError, "^No escaped character$"),
    ("echo a\0b", ValueError, "embedded null"),
    (["echo", "a\0b"], ValueError, "embedded null"),
    ([b"echo", b"a\0b"], ValueError, "embedded null"),
    (None, TypeError, None),
    (5, TypeError, None),
    (b"bytes", TypeError, None),
    ([5], TypeError, None),
    (["echo", None], TypeError, None),
]


@pytest.mark.parametrize(("command", "error", "text"), REFUSED, ids=lambda p: ascii(p)[:30])
def test_an_invalid_command_is_refused(command, error, text: str | None) -> None:
    with pytest.raises(error, match=text):
        ProxyCommand(command)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"env": {"A": "a\0b"}}, ValueError, "embedded null"),
        ({"env": {"A\0": "b"}}, ValueError, "embedded null"),
        ({"env": {"A=B": "c"}}, ValueError, "environment"),
        ({"env": {"A": 5}}, TypeError, None),
        ({"env": "A=5"}, (TypeError, AttributeError), None),
        ({"cwd": "a\0b"}, ValueError, "embedded null"),
        ({"cwd": 5.5}, TypeError, None),
        ({"linger": -1}, ValueError, "linger must be .* 0 or more, not -1$"),
        ({"linger": -0.001}, ValueError, "linger must be"),
        ({"linger": float("nan")}, ValueError, "linger must be"),
        ({"linger": "x"}, TypeError, "linger must be a number of seconds.*'x'$"),
        ({"linger": None}, TypeError, "linger must be a number of seconds.*None$"),
        ({"linger": 10**30}, OverflowError, None),
        ({"timeout": -1, "fdpass": True}, ValueError, "timeout must be .* or None, not -1$"),
        ({"timeout": float("nan"), "fdpass": True}, ValueError, "timeout must be"),
        ({"timeout": "x", "fdpass": True}, TypeError, "timeout must be"),
        ({"stderr": -7}, ValueError, "stderr"),
        ({"stderr": "x"}, TypeError, None),
        ({"stderr": 1.5}, TypeError, None),
        ({"unknown": 1}, TypeError, "unknown"),
    ],
    ids=lambda p: ascii(p)[:40],
)
def test_an_invalid_option_is_refused(options, error, text: str | None) -> None:
    with pytest.raises(error, match=text):
        ProxyCommand("cat", **options)


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        ProxyCommand("cat", True)
    with pytest.raises(TypeError):
        ProxyCommand()


@pytest.mark.parametrize("command", [["echo", "x"], ("echo",), b"echo", 5, None])
def test_a_shell_accepts_only_a_string(command) -> None:
    with pytest.raises((TypeError, ValueError)):
        ProxyCommand(command, shell=True)


@pytest.mark.parametrize("line", ["", "  ", "echo a\0b"])
def test_an_invalid_shell_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        ProxyCommand(line, shell=True)
