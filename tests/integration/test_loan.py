# SPDX-License-Identifier: BSD-2-Clause
"""The shorter way: plain send and recv use the program's pipes themselves."""

from __future__ import annotations

import os
import select
import socket
import threading
from pathlib import Path

from sshgateway import ProxyCommand

DEADLINE = 10


def waits_of_others() -> int:
    """How often the threads that are not this one have gone to sleep."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != threading.get_native_id():
            text = (task / "status").read_text()
            total += int(text.split("voluntary_ctxt_switches:")[1].split()[0])
    return total


def echo(sock: ProxyCommand, data: bytes) -> None:
    sock.sendall(data)
    answer = b""
    while len(answer) < len(data):
        answer += sock.recv(len(data) - len(answer))
    assert answer == data


def test_an_echo_wakes_no_thread_of_ours_until_the_descriptor_is_seen() -> None:
    with ProxyCommand("cat") as sock:
        sock.settimeout(DEADLINE)
        echo(sock, b"first")
        assert sock.send(b"") == 0
        before = waits_of_others()
        for _ in range(100):
            echo(sock, b"ping")
        assert waits_of_others() - before < 50
        sock.fileno()
        before = waits_of_others()
        for _ in range(100):
            echo(sock, b"ping")
        assert waits_of_others() - before >= 50


def test_what_is_on_its_way_stays_in_order_when_the_descriptor_is_seen() -> None:
    data = os.urandom(50_000)
    with ProxyCommand("cat") as sock:
        sock.settimeout(DEADLINE)
        sock.sendall(data[:20_000])
        assert sock.recv(1) == data[:1]
        assert select.select([sock], [], [], DEADLINE)[0] == [sock]
        assert sock.recv(1, socket.MSG_PEEK) == data[1:2]
        sock.sendall(data[20_000:])
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == data[1:]


def test_the_descriptor_may_be_seen_while_another_thread_waits_for_data() -> None:
    answers: list[bytes] = []
    with ProxyCommand("cat") as sock:
        sock.settimeout(DEADLINE)
        echo(sock, b"first")
        reader = threading.Thread(target=lambda: answers.append(sock.recv(10)))
        reader.start()
        with sock.dup() as copy:
            copy.sendall(b"by the copy")
            reader.join(DEADLINE)
        assert answers == [b"by the cop"]
