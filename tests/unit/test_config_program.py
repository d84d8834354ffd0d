# SPDX-License-Identifier: BSD-2-Clause
"""The program ssh on PATH: which one is OpenSSH, and what happens if it is not.

The programs are scripts that record their arguments.
"""

from __future__ import annotations

import errno
import threading
import time
import warnings
from pathlib import Path

import pytest

from sshgateway import ConfigError
from sshgateway._ssh_config import ask as config_ask
from sshgateway._ssh_config import program as ssh_program
from sshgateway.config import lookup, route
from support.server import find_program
from support.waiting import exited

REAL = find_program("ssh")
OPENSSH = "echo OpenSSH_9.2p1 Fake >&2"
OLD = "echo OpenSSH_6.6.1p1 Fake >&2"
#: A file that the reader does not interpret.
EXEC = 'Match exec "true"\nUser u\n'


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has asked and warned about no program."""
    monkeypatch.setattr(ssh_program, "_verdicts", {})
    monkeypatch.setattr(ssh_program, "_warned", set())
    monkeypatch.setattr(config_ask, "_defaults", {})


class Fake:
    """A program named ssh, which is alone on PATH."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "bin" / "ssh"
        self.path.parent.mkdir()
        self._calls = directory / "calls"

    def write(self, on_version: str, on_options: str = "exit 9", shell: str = "/bin/sh") -> None:
        self.path.write_text(
            f"#!{shell}\nPATH=/usr/bin:/bin\necho $1 $$ >> {self._calls}\n"
            f"case $1 in -V) {on_version};; *) {on_options};; esac\n"
        )
        self.path.chmod(0o755)

    def calls(self) -> list[str]:
        return [line.split()[0] for line in self._lines()]

    def pids(self) -> list[int]:
        return [int(line.split()[1]) for line in self._lines()]

    def _lines(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake(tmp_path)
    monkeypatch.setenv("PATH", str(fake.path.parent))
    return fake


def looked_up(path: str, times: int = 2) -> tuple[list[str], list[str]]:
    """The users that look-ups find, and the texts of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        users = [lookup("h", ssh_config=path).user for _ in range(times)]
    assert all(warning.category is UserWarning for warning in caught)
    return users, [str(warning.message) for warning in caught]


UNUSABLE = {
    "dropbear": ("echo Dropbear v2022.83 >&2", "not OpenSSH: its answer to -V is 'Dropbear v"),
    "silent": ("exit 0", "not OpenSSH: its answer to -V is ''"),
    "on stdout": ("echo OpenSSH_9.2p1", "not OpenSSH"),
    "old": (OLD, "too old: it has no option -G"),
    "flooding": ("yes OpenSSL", "not OpenSSH"),
    "flooding stderr": ("yes flood >&2", "not OpenSSH: its answer to -V is 'flood'"),
    "without a number": ("echo OpenSSH_for_Windows_8.6p1 >&2", "not OpenSSH"),
    "killed": ("kill -9 $$", "not OpenSSH"),
}


@pytest.mark.parametrize(("says", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_program_that_is_not_usable_gets_no_g_and_causes_one_warning(
    fake: Fake, file, says: str, reason: str
) -> None:
    fake.write(says)
    users, warned = looked_up(file("User u\n"))
    assert users == ["u", "u"]
    (text,) = warned
    assert str(fake.path) in text and reason in text
    with pytest.raises(ConfigError, match="line 1: Match exec") as caught:
        lookup("h", ssh_config=file(EXEC))
    assert caught.value.errno == errno.EINVAL
    assert fake.calls() == ["-V"], "it was asked once, and never with -G"


def test_a_program_that_hangs_is_killed_after_some_time(fake: Fake, file, monkeypatch) -> None:
    monkeypatch.setattr(ssh_program, "_LONGEST_WAIT", 0.5)
    fake.write("sleep 60 & sleep 60")
    began = time.monotonic()
    users, warned = looked_up(file("User u\n"))
    assert users == ["u", "u"] and time.monotonic() - began < 20
    assert len(warned) == 1 and "did not answer -V within 0.5 s" in warned[0]
    assert all(exited(pid) for pid in fake.pids()) and fake.calls() == ["-V"]


def test_a_program_that_closes_its_output_and_hangs_is_killed(
    fake: Fake, file, monkeypatch
) -> None:
    monkeypatch.setattr(ssh_program, "_LONGEST_WAIT", 0.5)
    fake.write(f"{OPENSSH}; exec >&- 2>&-; sleep 60")
    _, warned = looked_up(file("User u\n"))
    assert len(warned) == 1 and "did not answer" in warned[0]
    assert all(exited(pid) for pid in fake.pids())


def test_a_short_timeout_makes_no_lasting_verdict(fake: Fake, file) -> None:
    fake.write("sleep 60")
    assert lookup("h", ssh_config=file("User u\n"), timeout=0.2).user == "u"
    with pytest.raises(TimeoutError, match="did not print its version"):
        lookup("h", ssh_config=file(EXEC), timeout=0.2)
    assert ssh_program._verdicts == {}


def test_a_program_that_cannot_be_executed(fake: Fake, file) -> None:
    fake.write(OPENSSH, shell="/not/there")
    users, warned = looked_up(file("User u\n"))
    assert users == ["u", "u"]
    assert len(warned) == 1 and "cannot be executed: No such file" in warned[0]


def test_an_openssh_that_prints_no_hostname_gives_no_answer(fake: Fake, file) -> None:
    fake.write(OPENSSH, "exit 0")
    assert looked_up(file("User u\n")) == (["u", "u"], [])
    path = file(EXEC)
    with (
        pytest.warns(UserWarning, match="its answer to -G has no hostname"),
        pytest.raises(ConfigError, match="line 1: Match exec"),
    ):
        lookup("h", ssh_config=path)
    with pytest.raises(ConfigError, match="line 1: Match exec"):
        lookup("h", ssh_config=path)


def test_an_openssh_that_reads_the_files_in_another_way_answers_itself(fake: Fake, file) -> None:
    fake.write("echo OpenSSH_8.6p1 Fake >&2", "echo hostname 10.0.0.9; echo user x")
    host = lookup("h", ssh_config=file("User u\n"))
    assert (host.hostname, host.user) == ("10.0.0.9", "x")
    assert fake.calls() == ["-V", "-G"]


def test_the_reader_answers_for_an_old_openssh_that_does_not(fake: Fake, file) -> None:
    fake.write("echo OpenSSH_8.6p1 Fake >&2", "exit 0")
    users, warned = looked_up(file("User u\n"))
    assert users == ["u", "u"] and len(warned) == 1


def test_a_program_that_is_replaced_is_asked_again(fake: Fake, file) -> None:
    fake.write("echo Dropbear >&2")
    assert len(looked_up(file("User u\n"))[1]) == 1
    fake.path.unlink()
    fake.write(f'exec {REAL} "$@"', f'exec {REAL} "$@"')
    assert lookup("h", ssh_config=file(EXEC)).user == "u"


def test_threads_ask_a_program_once(fake: Fake, file) -> None:
    fake.write("echo Dropbear >&2")
    path = file("User u\n")
    ready = threading.Barrier(8)

    def look_up() -> None:
        ready.wait(20)
        lookup("h", ssh_config=path)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=look_up) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert fake.calls() == ["-V"] and len(caught) == 1


def test_an_empty_entry_of_path_is_not_the_working_directory(
    fake: Fake, file, monkeypatch
) -> None:
    fake.write("echo Dropbear >&2")
    monkeypatch.chdir(fake.path.parent)
    for path in ("", ":", "/not/there:"):
        monkeypatch.setenv("PATH", path)
        assert lookup("h", ssh_config=file("User u\n")).user == "u"
    assert fake.calls() == []


def test_without_a_file_no_program_is_asked(fake: Fake) -> None:
    fake.write("echo Dropbear >&2")
    assert lookup("h", ssh_config=False).hostname == "h"
    assert fake.calls() == []


def test_look_ups_start_no_process(file, monkeypatch) -> None:
    path = file(
        "Host h*\nHostName %h.example\nProxyJump gw\nHost gw\nUser u\n"
        "Match final host gw\nIdentityFile ~/.ssh/%h_%r\n"
    )
    started = []
    run = ssh_program.run

    def counted(command: list[str], seconds: float | None) -> tuple[int, bytes, bytes]:
        started.append(command[1])
        return run(command, seconds)

    monkeypatch.setattr(ssh_program, "run", counted)
    for number in range(50):
        host = lookup(f"h{number}", ssh_config=path)
        assert [hop.name for hop in route(host, ssh_config=path)] == ["gw"]
    assert started == ["-V"], "the program is identified once"


def test_the_meaning_of_batch_mode_is_that_of_the_program(fake: Fake, file) -> None:
    """Debian's ssh sets ServerAliveInterval."""
    fake.write(OPENSSH, "echo hostname h; echo serveraliveinterval 77")
    path = file("BatchMode yes\n")
    assert [lookup("h", ssh_config=path).server_alive_interval for _ in range(3)] == [77] * 3
    assert fake.calls() == ["-V", "-G"], "the program is asked once"
    assert lookup("h", ssh_config=file("BatchMode no\n")).server_alive_interval == 0


def test_the_output_of_a_program_is_read_up_to_a_limit() -> None:
    code, said, complaint = ssh_program.run(["/bin/sh", "-c", "yes"], 20)
    assert code != 0 and len(said) < 1 << 22 and not complaint
    code, said, complaint = ssh_program.run(["/bin/sh", "-c", "echo a; echo b >&2; exit 3"], 20)
    assert (code, said, complaint) == (3, b"a\n", b"b\n")
    with pytest.raises(FileNotFoundError):
        ssh_program.run(["/not/there"], 20)
