# SPDX-License-Identifier: BSD-2-Clause
"""KnownHostsCommand: the arguments are those of ssh(1), and nothing is left behind."""

from __future__ import annotations

import errno
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshgateway._trust.command import run, split
from sshgateway.errors import ConfigError
from support.revocation import blob_of, make_key, sign
from support.server import peer_environment
from support.sshd import PrivateSshd, openssh_version
from support.waiting import DEADLINE


@pytest.fixture(scope="module")
def sshd() -> Iterator[PrivateSshd]:
    with PrivateSshd() as server:
        yield server


class Recorder:
    """A program that appends its arguments to a file."""

    def __init__(self, directory: Path) -> None:
        self.path, self.file = directory / "record", directory / "recorded"
        self.path.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" "" END >>{self.file}\n')
        self.path.chmod(0o700)

    def take(self) -> list[list[bytes]]:
        """The arguments of each run since the last time."""
        data = self.file.read_bytes() if self.file.exists() else b""
        self.file.unlink(missing_ok=True)
        return [part.split(b"\0")[:-1] for part in data.split(b"\0END\0")[:-1]]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def recorded_by_ssh(sshd: PrivateSshd, recorder: Recorder, template: str) -> list[list[bytes]]:
    option = f"KnownHostsCommand={template}"
    subprocess.run(
        ["ssh", "-F", str(sshd.ssh_config), "-o", option, sshd.name, "true"],
        env=peer_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    return recorder.take()


def recorded_by_us(sshd: PrivateSshd, recorder: Recorder, template: str) -> list[list[bytes]]:
    """Run it twice, as ssh(1) does: without the host key, and with it."""
    user = pwd.getpwuid(os.getuid())
    tokens = {
        "L": socket.gethostname().partition(".")[0],
        "i": str(user.pw_uid),
        "k": sshd.name,
        "l": socket.gethostname(),
        "n": sshd.name,
        "p": str(sshd.port),
        "d": user.pw_dir,
        "h": sshd.host,
        "r": sshd.username,
        "u": user.pw_name,
    }
    key, name = blob_of(sshd.directory / "host_key.pub"), f"[{sshd.host}]:{sshd.port}"
    try:
        for invocation, host, presented in [
            ("ORDER", name if openssh_version() >= (9, 6) else sshd.host, None),
            ("HOSTNAME", name, key),
        ]:
            output = run(
                template, invocation=invocation, host=host, tokens=tokens, key=presented,
                timeout=DEADLINE,
            )  # fmt: skip
            assert output == b""
    except (ConfigError, OSError):
        assert recorder.take() == []
    return recorder.take()


PIECES = ["a", "é", " ", "\t", "'x y'", '"x\ty"', "'", '"', "\\", "\\ ", "\\'", "#", "=", "$",
          "%%", "%H", "%I", "%K", "%L", "%d", "%f", "%h", "%i", "%k", "%l", "%n", "%p", "%r",
          "%t", "%u", "${HOME}"]  # fmt: skip

TEMPLATES = {
    "no arguments": "RECORD",
    "every token": "RECORD %% %H %I %K %L %d %f %h %i %k %l %n %p %r %t %u -%h:%p-",
    "quotes": "RECORD 'a b' \"c d\" '' \"\" e'f g'h \"it's\" 'say \"x\"'",
    "a quoted program": "'RECORD' a",
    "escapes": r"RECORD \' \" \\ a\ b '\ ' '\'' '\"' '\\' \n \t \$ \%h",
    "a shell's characters": "RECORD $(id) `id` ; | & > < * ? ~ # $HOME",
    "a variable": "RECORD ${HOME} -${HOME}- '${HOME}'",
    "a variable that is not set": "RECORD ${SSHGATEWAY_NOT_SET}",
    "a variable without a name": "RECORD ${}",
    "a variable without an end": "RECORD ${HOME",
    "a token in a variable": "RECORD ${%h}",
    "an unknown token": "RECORD %Z",
    "a percent sign at the end": "RECORD 100%",
    "a token of another keyword": "RECORD %T",
}


def same_as_ssh(sshd: PrivateSshd, recorder: Recorder, template: str) -> list[list[bytes]]:
    filled = template.replace("RECORD", str(recorder.path))
    recorded = recorded_by_us(sshd, recorder, filled)
    assert recorded == recorded_by_ssh(sshd, recorder, filled)
    return recorded


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_the_arguments_are_those_of_ssh(sshd, recorder: Recorder, template: str) -> None:
    recorded = same_as_ssh(sshd, recorder, template)
    is_invalid = any(part in template for part in ("_NOT_SET", "{}", "{%", "%Z", "%T", "100%"))
    assert len(recorded) == (0 if is_invalid or template.endswith("${HOME") else 2)


@pytest.mark.parametrize("seed", range(4))
def test_the_arguments_of_random_templates(sshd, recorder: Recorder, seed: int) -> None:
    rng = random.Random(seed)
    lengths = []
    for _ in range(8):
        pieces = rng.choices(PIECES, k=rng.randrange(1, 12))
        recorded = same_as_ssh(sshd, recorder, f"RECORD {''.join(pieces)}".rstrip())
        lengths.append(len(recorded))
    assert 2 in lengths


def test_the_tokens_of_a_certificate(tmp_path: Path, recorder: Recorder) -> None:
    key, ca = make_key(tmp_path / "key"), make_key(tmp_path / "ca")
    certificate = sign(key, ca, "host")
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", certificate], check=True, capture_output=True, text=True
    ).stdout
    template = f"{recorder.path} %t %f %K"
    blob = blob_of(certificate)
    run(template, invocation="ADDRESS", host="h", tokens={}, key=blob, timeout=DEADLINE)
    kind, text = certificate.read_text().split()[:2]
    assert recorder.take() == [[kind.encode(), shown.split()[1].encode(), text.encode()]]


# ---- The process -----------------------------------------------------------------------------


def run_script(path: Path, script: str, timeout: float | None = DEADLINE) -> bytes:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return run(
        f"{path} secret", invocation="ORDER", host="host", tokens={}, key=None, timeout=timeout
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script"


def test_the_output_is_returned(script: Path) -> None:
    assert run_script(script, "echo a; cat; echo b") == b"a\nb\n"
    assert run_script(script, "true") == b""
    assert run_script(script, "head -c 300000 /dev/zero", None) == bytes(300000)


def test_the_input_is_empty(script: Path) -> None:
    before, (reader, writer) = os.dup(0), os.pipe()
    os.write(writer, b"input\n")
    os.close(writer)
    os.dup2(reader, 0)
    try:
        assert run_script(script, "cat; readlink /proc/self/fd/0") == b"/dev/null\n"
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reader)


def test_the_environment_and_stderr_are_ours(script: Path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("SSHGATEWAY_TEST", "value")
    assert run_script(script, 'echo "$SSHGATEWAY_TEST"; echo words >&2') == b"value\n"
    assert capfd.readouterr().err == "words\n"


@pytest.mark.parametrize(
    ("script_text", "words"),
    [("echo a; exit 3", "failed with exit status 3"), ("kill -9 $$", "killed by signal 9")],
)
def test_a_command_that_fails_is_an_error(script: Path, script_text: str, words: str) -> None:
    with pytest.raises(OSError, match=words) as caught:
        run_script(script, script_text)
    assert caught.value.errno == errno.EIO
    assert str(script) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_program_that_cannot_be_executed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("echo a")
    (tmp_path / "text").chmod(0o700)
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "plain").chmod(0o600)
    for program, kind in [
        ("missing", FileNotFoundError), ("plain", PermissionError), ("text", OSError),
    ]:  # fmt: skip
        with pytest.raises(kind, match=f"{program}' cannot be executed") as caught:
            run(
                f"{tmp_path}/{program} secret", invocation="ORDER", host="h", tokens={},
                key=None, timeout=DEADLINE,
            )  # fmt: skip
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("/bin/echo 'secret", "without an end"),
        ("echo secret", "'echo' is not an absolute path"),
        ("%h/echo secret", "'%h/echo' is not an absolute path"),
        ("/bin/echo secret%Z", "has the token %Z"),
        ("/bin/echo secret${", "without an end"),
        ("/bin/echo secret\0", "zero byte"),
    ],
)
def test_an_invalid_template_is_an_error(template: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        run(template, invocation="ORDER", host="h", tokens={}, key=None, timeout=DEADLINE)
    assert "secret" not in str(caught.value)


def opened_fifo(path: Path) -> int:
    """A descriptor that reads the end of file when the last writer is gone."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def assert_ended(fifo: int) -> None:
    os.set_blocking(fifo, True)
    assert os.read(fifo, 100) == b"started\n"
    assert os.read(fifo, 100) == b""
    os.close(fifo)


ENDLESS = "while true; do echo y; done"


@pytest.mark.parametrize("last", ["wait", "exec >&-; wait", "exit 0", ENDLESS])
def test_the_deadline_ends_it_with_its_children(tmp_path: Path, script: Path, last: str) -> None:
    fifo = opened_fifo(tmp_path / "fifo")
    keep = ">/dev/null" if ">&-" in last else ""
    text = f"exec 9>{tmp_path}/fifo; sleep 300 {keep} & echo started >&9; {last}"
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"did not .* within 0\.5 s") as caught:
        run_script(script, text, 0.5)
    assert time.monotonic() - started < DEADLINE
    assert "secret" not in str(caught.value)
    assert_ended(fifo)


def test_ctrl_c_ends_it_with_its_children(tmp_path: Path, script: Path) -> None:
    fifo = opened_fifo(tmp_path / "fifo")
    text = f"exec 9>{tmp_path}/fifo; echo started >&9; sleep 300 & kill -INT $PPID; wait"
    with pytest.raises(KeyboardInterrupt):
        run_script(script, text, None)
    assert_ended(fifo)


def test_ctrl_c_after_its_output(tmp_path: Path, script: Path) -> None:
    fifo = opened_fifo(tmp_path / "fifo")
    text = f"exec 9>{tmp_path}/fifo; echo started >&9; exec >&-; kill -INT $PPID; sleep 300"
    with pytest.raises(KeyboardInterrupt):
        run_script(script, text, None)
    assert_ended(fifo)


def test_a_signal_does_not_disturb_it(script: Path) -> None:
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        text = "echo a; kill -USR1 $PPID; echo b; exec >&-; kill -USR1 $PPID"
        assert run_script(script, text) == b"a\nb\n"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen


def test_an_exit_status_that_is_not_known_is_an_error(script: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match=r"exit status .* is not known") as caught:
            run_script(script, "exit 1")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert caught.value.errno == errno.ECHILD


def test_endless_output_is_an_error(script: Path) -> None:
    with pytest.raises(OSError, match="more than 64 MiB") as caught:
        run_script(script, "exec cat /dev/zero", 4 * DEADLINE)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("template", ["", "a", " a  b\t", "'a b'c", r"\\ \' a\ b", "''"])
def test_split(template: str) -> None:
    expected = {"": [], "a": ["a"], " a  b\t": ["a", "b"], "'a b'c": ["a bc"], "''": [""]}
    assert split(template) == expected.get(template, ["\\", "'", "a b"])
