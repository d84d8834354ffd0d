# SPDX-License-Identifier: BSD-2-Clause
"""In no state of a stream does waiting use processor time."""

import contextlib
import os
import select
import signal
import socket
import sys

from sshgateway import ProxyCommand
from support.footprint import cpu_seconds
from support.waiting import readable, until

PERIOD = 0.25  # seconds of waiting
ALLOWED = 0.05  # seconds of CPU in PERIOD; a spinning loop uses all of it


def shell(script: str) -> ProxyCommand:
    return ProxyCommand(["sh", "-c", script])


STATES = []


@STATES.append
def open_and_idle() -> ProxyCommand:
    return ProxyCommand("cat")


@STATES.append
def exited_with_output_unread() -> list[ProxyCommand]:
    """Outputs from small to more than the socket holds; the rest stays in the child's pipe."""
    socks = [shell(f"head -c {size} /dev/zero; exit 0") for size in range(50_000, 400_000, 25_000)]
    for sock in socks:
        assert readable(sock)
    assert any(sock.returncode == 0 for sock in socks)
    return socks


@STATES.append
def blocked_with_output_unread() -> ProxyCommand:
    sock = shell("head -c 10000000 /dev/zero")
    assert readable(sock)
    return sock


@STATES.append
def exited_with_little_unread() -> ProxyCommand:
    sock = shell("echo unread; exit 0")
    until(lambda: sock.returncode == 0, "exit")
    return sock


@STATES.append
def failed_and_not_asked() -> ProxyCommand:
    sock = shell("echo why >&2; exit 255")
    until(lambda: sock.returncode == 255, "exit")
    return sock


@STATES.append
def stdout_closed_but_alive() -> ProxyCommand:
    sock = shell("exec >&-; exec cat >/dev/null")
    assert sock.recv(1) == b""
    return sock


@STATES.append
def stdin_closed_by_the_child() -> ProxyCommand:
    sock = shell("exec <&-; echo; exec sleep 600")
    assert sock.recv(1) == b"\n"
    sock.setblocking(False)
    try:
        while True:
            sock.send(b"x" * 65536)
    except OSError:
        return sock


@STATES.append
def stderr_closed_but_alive() -> ProxyCommand:
    sock = shell("exec 2>&-; echo; exec cat")
    assert sock.recv(1) == b"\n"
    return sock


@STATES.append
def full_towards_a_child_that_does_not_read() -> ProxyCommand:
    sock = ProxyCommand("sleep 600", linger=0)
    sock.settimeout(0.05)
    try:
        while True:
            sock.send(b"x" * 65536)
    except TimeoutError:
        return sock


@STATES.append
def half_closed() -> ProxyCommand:
    sock = shell("cat; exec sleep 600")
    sock.shutdown(socket.SHUT_WR)
    return sock


@STATES.append
def shut_for_reading() -> ProxyCommand:
    sock = shell("echo x; exec cat")
    sock.shutdown(socket.SHUT_RD)
    return sock


@STATES.append
def stderr_held_by_another() -> ProxyCommand:
    sock = shell("sleep 3 </dev/null >/dev/null & exit 0")
    assert sock.recv(1) == b""
    return sock


def used_by(period: float) -> float:
    """Seconds of CPU in the quietest of three periods, because data may still arrive."""
    least = period
    for _ in range(3):
        before = cpu_seconds()
        select.select([], [], [], period)
        least = min(least, cpu_seconds() - before)
        if least <= ALLOWED:
            break
    return least


busy = []
for make in STATES:
    made = make()
    socks = made if isinstance(made, list) else [made]
    select.select([], [], [], 0.02)  # wait for data that is on its way
    if (used := used_by(PERIOD)) > ALLOWED:
        busy.append(f"{make.__name__}: {used:.2f} s in {PERIOD} s")
    for sock in socks:
        if sock.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(sock.pid, signal.SIGKILL)
        sock.close()
sys.exit("\n".join(busy) or 0)
