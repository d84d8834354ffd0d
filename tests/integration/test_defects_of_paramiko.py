# SPDX-License-Identifier: BSD-2-Clause
"""The defects of paramiko.ProxyCommand, each as a test that our class passes.

Verified by hand with ``SUBJECT = paramiko.ProxyCommand`` of Paramiko 5.1.0: every test
fails on it, because of the defect that its docstring names or, in "a shell" and "a
socket", because the argument or method is missing.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator

import pytest

import sshgateway
from support.footprint import Snapshot, children, cpu_seconds, descriptors
from support.streams import digest, payload
from support.waiting import DEADLINE, Worker, exited, until, until_process_state

SUBJECT = sshgateway.ProxyCommand


def pid_of(sock) -> int:
    """Paramiko's class has a Popen object, which ours offers only after install()."""
    return sock.pid if hasattr(sock, "pid") else sock.process.pid


def python(script: str) -> str:
    return shlex.join([sys.executable, "-c", script])


def test_1_waiting_at_the_end_costs_no_cpu() -> None:
    """It polls without a pause: 2.00 s of CPU in a timeout of 2 s (paramiko#1277, #413)."""
    sock = SUBJECT("sh -c 'exec >&-; exec cat >/dev/null'")
    sock.settimeout(0.5)
    before = cpu_seconds()
    try:
        assert sock.recv(10) == b""
        for _ in range(50):
            assert sock.recv(10) == b""
    finally:
        sock.close()
    assert cpu_seconds() - before < 0.25


def test_2_the_child_is_reaped_and_no_descriptor_is_kept() -> None:
    """Paramiko's leaves a zombie (#1713) and three descriptors (#2568, #1715) per object."""
    before = Snapshot.take()
    for _ in range(3):
        sock = SUBJECT("cat")
        sock.close()
    assert before.wait_clean() == []
    assert not any("Z" in state.split()[0] for state in children().values())


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Occupy the numbers below 1100, so that new descriptors are above FD_SETSIZE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip(f"the hard limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    taken = []
    try:
        while not taken or taken[-1] < 1100:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_3_it_works_above_1024_descriptors(many_descriptors: None) -> None:
    """Paramiko's raises ValueError: filedescriptor out of range in select() (#2568)."""
    sock = SUBJECT("cat")
    try:
        assert max(descriptors()) > 1024
        sock.settimeout(DEADLINE)
        sock.send(b"beyond")
        assert sock.recv(6) == b"beyond"
    finally:
        sock.close()


def test_4_stderr_is_read_and_contains_the_reason() -> None:
    """200 kB of stderr block Paramiko's proxy; the reason of a failure is lost (#655, #495)."""
    script = (
        "import sys; sys.stderr.write('x' * 200_000 + '\\nthe reason\\n'); sys.stderr.flush();"
        "sys.stdout.write('alive\\n'); sys.stdout.flush(); sys.exit(255)"
    )
    sock = SUBJECT(python(script))
    try:
        sock.settimeout(DEADLINE)
        assert sock.recv(6) == b"alive\n"
        with pytest.raises(OSError, match="the reason"):
            sock.recv(1)
    finally:
        sock.close()


def test_5_close_can_be_repeated_and_closed_says_so() -> None:
    """Closing Paramiko's twice raises ProcessLookupError; its closed is never True."""
    sock = SUBJECT("cat")
    assert not sock.closed
    pid = pid_of(sock)
    sock.close()
    assert sock.closed
    assert exited(pid)
    for _ in range(2):
        sock.close()
    assert sock.closed
    assert sock._closed


@pytest.mark.usefixtures("alarm")
def test_6_a_signal_during_send_loses_nothing() -> None:
    """Paramiko's send(1_000_000) returned 1 000 000 when the child had got 65 536 bytes."""
    data = payload(1_000_000)
    ticks = []
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
    script = (
        "import sys, hashlib; pipe = sys.stdin.buffer; pipe.readline();"
        "print(hashlib.sha256(pipe.read(1_000_000)).hexdigest(), flush=True); pipe.read()"
    )
    sock = SUBJECT(python(script))
    try:
        sock.settimeout(DEADLINE)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        sent = sock.send(b"\n")
        assert sent == 1
        while sent < 1 + len(data):
            sent += sock.send(memoryview(data)[sent - 1 :])
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert sock.recv(100).decode().strip() == digest(data)
        assert ticks
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sock.close()


def test_7_send_keeps_its_timeout() -> None:
    """Paramiko's send blocks without limit when the child does not read."""
    sock = SUBJECT("sleep 60")
    try:
        sock.settimeout(0.1)
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            while True:
                sock.send(b"x" * 65536)
        assert time.monotonic() - start < DEADLINE
    finally:
        os.kill(pid_of(sock), signal.SIGKILL)
        sock.close()


def test_7_timeouts_do_not_depend_on_the_wall_clock(monkeypatch) -> None:
    """Paramiko uses time.time(); when the clock is set back, it waits longer."""
    ahead = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(ahead)))
    with SUBJECT("cat") as sock:
        sock.settimeout(0.1)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert 0.09 <= time.monotonic() - start < DEADLINE


def test_7_a_shell_can_run_the_command() -> None:
    """OpenSSH runs ProxyCommand in the user's shell (#2551)."""
    with SUBJECT("echo $((6 * 7)) | tr 4 2", shell=True) as sock:
        assert sock.recv(10) == b"22\n"


def test_7_ctrl_c_does_not_kill_it() -> None:
    """SIGINT goes to the whole foreground group, but the proxy has to survive (asyncssh#787)."""
    with SUBJECT("cat") as sock:
        os.kill(pid_of(sock), signal.SIGINT)
        os.kill(pid_of(sock), signal.SIGQUIT)
        sock.send(b"still here")
        sock.settimeout(DEADLINE)
        assert sock.recv(10) == b"still here"


def test_7_it_is_a_socket() -> None:
    """Paramiko's has no fileno, recv_into, makefile, shutdown... (#1676, #2081, #695, #383)."""
    with SUBJECT("cat") as sock:
        buffer = bytearray(4)
        sock.sendall(b"abcd")
        assert sock.recv_into(buffer, 4, socket.MSG_WAITALL) == 4
        assert buffer == b"abcd"
        assert os.fstat(sock.fileno())
        with sock.makefile("rwb") as file:
            file.write(b"line\n")
            file.flush()
            assert file.readline() == b"line\n"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def test_a_stopped_child_causes_a_timeout_and_continues_later() -> None:
    """Calls time out while the proxy is suspended, and work again when it is resumed."""
    with SUBJECT("cat") as sock:
        os.kill(pid_of(sock), signal.SIGSTOP)
        until_process_state(pid_of(sock), "T")
        sock.settimeout(0.1)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += sock.send(b"x" * 65536)
        os.kill(pid_of(sock), signal.SIGCONT)
        sock.settimeout(DEADLINE)
        reader = Worker(_count, sock, sent)
        assert reader.result() == sent
        until(lambda: sock.returncode is None, "alive")


def _count(sock: sshgateway.ProxyCommand, expected: int) -> int:
    got = 0
    while got < expected:
        chunk = sock.recv(65536)
        assert chunk.strip(b"x") == b""
        got += len(chunk)
    return got
