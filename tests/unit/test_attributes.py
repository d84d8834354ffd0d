# SPDX-License-Identifier: BSD-2-Clause
"""ProxyCommand's attributes: the process, its exit status, its stderr, its names."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys

import pytest

import sshgateway
from sshgateway import ProxyCommand
from support.streams import recv_all
from support.waiting import (
    Worker,
    exited,
    gone,
    readable,
    until,
    until_blocked,
    until_process_state,
)


def shell(script: str, **options) -> ProxyCommand:
    return ProxyCommand(["sh", "-c", script], **options)


# --- pid and returncode ---------------------------------------------------------


def test_pid_is_that_of_the_child() -> None:
    with shell("echo $$; cat") as sock:
        assert sock.pid == int(sock.recv(100))
        assert type(sock.pid) is int


def test_returncode_is_none_while_it_runs() -> None:
    with ProxyCommand("cat") as sock:
        assert sock.returncode is None
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        assert sock.returncode is None


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 255", 255),
        ("kill -KILL $$", -9),
        ("kill -TERM $$", -15),
    ],
)
def test_returncode_is_that_of_subprocess(script: str, code: int) -> None:
    with shell(script) as sock:
        assert readable(sock)
        assert until(lambda: sock.returncode is not None, "returncode")
        assert sock.returncode == code


def test_returncode_is_known_as_soon_as_the_end_is_seen() -> None:
    for _ in range(20):
        with shell("exit 0") as sock:
            assert sock.recv(1) == b""
            assert sock.returncode == 0


def test_returncode_is_known_after_close() -> None:
    sock = ProxyCommand("cat")
    sock.close()
    until(lambda: sock.returncode is not None, "returncode after close")
    assert sock.returncode == 0


def test_attributes_are_read_only() -> None:
    with ProxyCommand("cat") as sock:
        for name in ("pid", "returncode", "stderr", "bytes_sent", "bytes_received", "closed"):
            with pytest.raises(AttributeError):
                setattr(sock, name, 1)
        assert not hasattr(sock, "no_such_attribute")


def test_the_attributes_outlive_the_stream() -> None:
    sock = shell("echo words >&2; exec cat")
    pid = sock.pid
    until(lambda: sock.stderr == "words\n", "stderr")
    sock.close()
    until(lambda: sock.returncode == 0, "exit status 0")
    assert (sock.pid, sock.stderr) == (pid, "words\n")
    assert sock.cmd == ["sh", "-c", "echo words >&2; exec cat"]


# --- stderr ---------------------------------------------------------------------


def test_stderr_is_captured_by_default() -> None:
    with shell("echo last words >&2") as sock:
        assert sock.recv(1) == b""
        assert sock.stderr == "last words\n"


def test_stderr_can_be_read_while_it_runs() -> None:
    with shell("echo one >&2; read x; echo two >&2; exec cat", stderr=subprocess.PIPE) as sock:
        until(lambda: sock.stderr == "one\n", "first line")
        sock.sendall(b"\n")
        until(lambda: sock.stderr == "one\ntwo\n", "second line")


def test_stderr_is_empty_when_nothing_was_written() -> None:
    with ProxyCommand("true") as sock:
        assert sock.stderr == ""
        assert sock.recv(1) == b""
        assert sock.stderr == ""


def test_stderr_that_is_not_utf8_is_shown_with_backslashes() -> None:
    with shell(r"printf 'gr\374n \303\274\n' >&2") as sock:
        assert sock.recv(1) == b""
        assert sock.stderr == "gr\\xfcn ü\n"


def test_only_the_last_64_kib_of_stderr_are_kept() -> None:
    script = "import sys; sys.stderr.write(''.join('%07d\\n' % i for i in range(125_000)))"
    with ProxyCommand([sys.executable, "-c", script]) as sock:  # 1 MB
        assert sock.recv(1) == b""
        kept = sock.stderr
    assert len(kept) == 65536
    assert kept.endswith("0124998\n0124999\n")
    assert kept == "".join(f"{i:07d}\n" for i in range(125_000))[-65536:]


def test_stderr_can_be_inherited(capfd) -> None:
    with shell("echo to the terminal >&2", stderr=None) as sock:
        assert sock.recv(1) == b""
        assert sock.stderr == ""
    assert capfd.readouterr().err == "to the terminal\n"


def test_stderr_can_be_discarded(capfd) -> None:
    with shell("echo nobody hears >&2; readlink /proc/$$/fd/2", stderr=subprocess.DEVNULL) as sock:
        assert recv_all(sock) == b"/dev/null\n"
        assert sock.stderr == ""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("by", ["descriptor", "object"])
def test_stderr_can_go_to_a_file(tmp_path, by: str) -> None:
    with open(tmp_path / "log", "w+b") as file:
        target = file if by == "object" else file.fileno()
        with shell("echo to the file >&2", stderr=target) as sock:
            assert sock.recv(1) == b""
            assert sock.stderr == ""
        assert os.get_inheritable(file.fileno()) is False
        file.seek(0)
        assert file.read() == b"to the file\n"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_stderr_can_go_to_a_low_descriptor(number: int) -> None:
    """dup2 of a descriptor onto itself must not leave it close-on-exec."""
    expected = os.readlink(f"/proc/self/fd/{number}")
    with shell("readlink /proc/$$/fd/2", stderr=number) as sock:
        assert recv_all(sock).decode() == expected + "\n"


def test_stderr_to_a_closed_descriptor_is_refused() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError) as caught:
        ProxyCommand("cat", stderr=write).close()
    assert caught.value.errno == 9
    assert len(caught.value.args) == 2


# --- names ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [("db1", 22), ("::1", 2222), "/run/socket"], ids=repr)
def test_getpeername_returns_the_peername_argument(name) -> None:
    with ProxyCommand("cat", peername=name) as sock:
        assert sock.getpeername() == name
        assert sock.getsockname() == ("", 0)


def test_closed_is_false_then_true() -> None:
    sock = ProxyCommand("cat")
    assert (sock.closed, sock._closed) == (False, False)
    sock.close()
    assert (sock.closed, sock._closed) == (True, True)


# --- linger ---------------------------------------------------------------------


def test_a_child_that_ends_with_its_input_is_not_signalled() -> None:
    sock = ProxyCommand("cat")
    sock.close()
    until(lambda: sock.returncode is not None, "end")
    assert sock.returncode == 0


@pytest.mark.parametrize(
    ("ignored", "code"), [("", -1), ("HUP", -15), ("HUP TERM", -9)], ids=["HUP", "TERM", "KILL"]
)
def test_a_child_that_does_not_end_is_signalled_in_steps(ignored: str, code: int) -> None:
    trap = f"trap '' {ignored}; " if ignored else ""
    sock = shell(trap + "echo ready; exec sleep 60", linger=0.05)
    assert sock.recv(10) == b"ready\n"
    sock.close()
    gone(sock.pid)
    until(lambda: sock.returncode is not None, "returncode")
    assert sock.returncode == code


def test_linger_0_signals_at_once_and_a_longer_linger_is_waited_for() -> None:
    patient = shell("echo ready; exec sleep 60", linger=60)
    hasty = shell("echo ready; exec sleep 60", linger=0)
    for sock in (patient, hasty):
        assert sock.recv(10) == b"ready\n"
        sock.close()
    gone(hasty.pid)
    assert not exited(patient.pid, 0.2), "it has not been signalled"
    os.kill(patient.pid, 15)
    until(lambda: patient.returncode is not None, "end")
    assert patient.returncode == -15


def test_a_stopped_child_receives_the_first_signal() -> None:
    sock = ProxyCommand("sleep 60", linger=0)
    os.kill(sock.pid, signal.SIGSTOP)
    until_process_state(sock.pid, "T")
    sock.close()
    gone(sock.pid)
    until(lambda: sock.returncode is not None, "returncode")
    assert sock.returncode == -signal.SIGHUP


def test_a_new_sessions_whole_group_is_signalled_at_close() -> None:
    script = "sleep 61 & echo $!; wait"
    sock = shell(script, start_new_session=True, linger=0.05)
    grandchild = int(sock.recv(100))
    sock.close()
    gone(sock.pid)
    assert exited(grandchild)


# --- the class --------------------------------------------------------------------


def test_it_can_be_subclassed() -> None:
    class Mine(ProxyCommand):
        def __init__(self, host: str) -> None:
            super().__init__(["echo", host])
            self.host = host

        def recv(self, size: int, *flags: int) -> bytes:
            return super().recv(size, *flags).upper()

    with Mine("host") as sock:
        assert sock.host == "host"
        assert sock.recv(100) == b"HOST\n"
        assert "Mine" in repr(sock)


def test_a_subclass_that_does_not_call_its_base_is_closed() -> None:
    class Forgetful(ProxyCommand):
        def __init__(self) -> None:
            pass

    sock = Forgetful()
    with pytest.raises((OSError, ValueError, RuntimeError)):
        sock.recv(1)
    sock.close()


def test_new_without_init_is_harmless() -> None:
    sock = ProxyCommand.__new__(ProxyCommand)
    repr(sock)
    sock.close()
    assert sock.fileno() == -1
    del sock
    gc.collect()


def test_init_twice_does_not_leak_the_first_stream() -> None:
    sock = ProxyCommand("cat")
    first = sock.pid
    try:
        sock.__init__("cat")
    except (RuntimeError, TypeError, ValueError):
        assert sock.pid == first
    sock.close()


def test_a_failed_constructor_leaves_no_object_behind() -> None:
    gc.collect()
    with pytest.raises(FileNotFoundError):
        ProxyCommand("/nonexistent/program")
    assert not [o for o in gc.get_objects() if isinstance(o, ProxyCommand)]


def test_the_public_names_exist() -> None:
    assert "ProxyCommand" in sshgateway.__all__
    for name in sshgateway.__all__:
        assert getattr(sshgateway, name) is not None


def test_construction_does_not_need_the_main_thread() -> None:
    def use() -> bytes:
        with ProxyCommand("echo thread") as sock:
            return recv_all(sock)

    assert Worker(use).result() == b"thread\n"


def test_reading_an_attribute_does_not_wait_for_a_blocked_reader() -> None:
    with ProxyCommand("cat") as sock:
        reader = Worker(sock.recv, 1)
        until_blocked(reader)
        assert sock.returncode is None
        assert sock.stderr == ""
        assert repr(sock)
        sock.sendall(b"x")
        assert reader.result() == b"x"
