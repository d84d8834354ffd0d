# SPDX-License-Identifier: BSD-2-Clause
"""The loan: plain send() and recv() use the program's pipes themselves."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sshgateway import ProxyCommand, ProxyCommandError
from support.waiting import DEADLINE, Worker, until, until_blocked


def waits_of_others() -> int:
    """The number of times that threads other than this one have gone to sleep."""
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


def test_data_on_its_way_stays_in_order_when_the_descriptor_is_seen() -> None:
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


ENDINGS: dict[str, Callable[[ProxyCommand], object]] = {
    "fileno": lambda sock: sock.fileno(),
    "dup": lambda sock: sock.dup().close(),
    "setsockopt": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000),
    "sendmsg": lambda sock: sock.sendmsg([b""]),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_byte_overtakes_another_at_any_moment_of_the_end_of_the_loan(ending: str) -> None:
    dice = random.Random(ending)
    for _ in range(25):
        data = dice.randbytes(dice.choice([100_000, 700_000, 2_000_000]))
        moment = dice.randrange(len(data))
        is_there = threading.Event()

        def receive(size: int, moment: int, is_there: threading.Event) -> bytes:
            received = bytearray()
            while len(received) < size:
                received += sock.recv(dice.choice([1000, 16384, 1_000_000]))
                if len(received) > moment:
                    is_there.set()
            return bytes(received)

        with ProxyCommand("cat") as sock:
            sock.settimeout(DEADLINE)
            receiver = Worker(receive, len(data), moment, is_there)
            sender = Worker(sock.sendall, data)
            assert is_there.wait(DEADLINE)
            ENDINGS[ending](sock)
            sender.result()
            assert receiver.result() == data


def let_the_loop_turn() -> None:
    """All proxies share one loop, so after this the loop has handled all earlier events."""
    with ProxyCommand(["true"]) as other:
        other.settimeout(DEADLINE)
        assert other.recv(1) == b""


def write(sock: ProxyCommand) -> None:
    with sock.makefile("wb", buffering=0) as file:
        file.write(b"x")


SENDERS: dict[str, Callable[[ProxyCommand], object]] = {
    "send": lambda sock: sock.send(b"x"),
    "sendall": lambda sock: sock.sendall(bytes(100_000)),
    "makefile": write,
    "nothing": lambda sock: sock.send(b""),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("status", [0, 3])
def test_sending_to_a_dead_program_fails_at_once(sender: str, status: int) -> None:
    with ProxyCommand(["sh", "-c", f"printf x; echo the reason >&2; exit {status}"]) as sock:
        sock.settimeout(DEADLINE)
        assert sock.recv(1) == b"x"
        until(lambda: sock.returncode == status, "exit")
        let_the_loop_turn()
        with pytest.raises(BrokenPipeError) as caught:
            SENDERS[sender](sock)
        assert isinstance(caught.value, ProxyCommandError) == (status != 0)
        assert status == 0 or "the reason" in caught.value.args[1]
        assert sock.bytes_sent == 0


def test_a_sender_that_waits_for_room_fails_when_another_thread_shuts_down() -> None:
    with ProxyCommand(["sleep", "1000"], linger=0) as sock:
        sender = Worker(sock.sendall, bytes(4_000_000))
        until_blocked(sender)
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            sender.result()


def test_a_sender_that_waits_for_room_finds_some_when_the_descriptor_is_seen() -> None:
    """The relay's socket pair has room, although the program reads nothing."""
    with ProxyCommand(["sleep", "1000"], linger=0) as sock:
        sender = Worker(sock.sendall, bytes(330_000))
        until_blocked(sender)
        sock.fileno()
        sender.result()


def test_a_zombie_is_reaped_although_its_output_is_not_read() -> None:
    with ProxyCommand(["sh", "-c", "echo words"], stderr=None) as sock:
        until(lambda: sock.returncode == 0, "the exit status")
        assert not os.path.exists(f"/proc/{sock.pid}")
        assert sock.recv(100) == b"words\n"
        assert sock.recv(100) == b""
