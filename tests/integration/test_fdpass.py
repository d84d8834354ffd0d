# SPDX-License-Identifier: BSD-2-Clause
"""fdpass=True, OpenSSH's ProxyUseFdpass: the child passes a connected socket to us."""

from __future__ import annotations

import errno
import gc
import socket
import struct
import sys
import time

import pytest

from sshgateway import ProxyCommand, ProxyCommandError, _core
from support.streams import digest, fill, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, IN_CLOSE, Worker, until, until_blocked

# A child that executes SENDS, in which s is its standard output as a socket.
CHILD = """
import array, os, socket, sys, time
s = socket.socket(fileno=1)
a, b = socket.socketpair()
{sends}
os._exit(0)
"""


def child(sends: str) -> list[str]:
    return [sys.executable, "-S", "-c", CHILD.format(sends=sends)]


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        yield listener


@pytest.fixture
def pair(listener):
    """A stream that ``nc -F`` has connected, and the socket it is connected to."""
    host, port = listener.getsockname()
    with ProxyCommand(f"nc -F {host} {port}", fdpass=True, timeout=DEADLINE) as sock:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(DEADLINE)
            sock.settimeout(DEADLINE)
            yield sock, peer


def test_the_passed_socket_moves_the_bytes(pair) -> None:
    sock, peer = pair
    data = payload(1_000_000)
    reader = Worker(recv_exactly, peer, len(data))
    sock.sendall(data)
    assert digest(reader.result()) == digest(data)
    sender = Worker(peer.sendall, data)
    assert digest(recv_exactly(sock, len(data))) == digest(data)
    sender.result()


def test_the_child_has_ended_and_no_relay_is_left(pair) -> None:
    sock, _ = pair
    until(lambda: sock.returncode is not None, "nc ends")
    assert sock.returncode == 0
    assert sock.cmd[0] == "nc"


def test_names_and_options_are_those_of_the_passed_socket(pair) -> None:
    sock, peer = pair
    assert sock.family is socket.AF_INET
    assert sock.type is socket.SOCK_STREAM
    assert sock.getpeername() == peer.getsockname()
    assert sock.getsockname() == peer.getpeername()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_peername_wins_over_the_sockets(listener) -> None:
    command = "nc -F {} {}".format(*listener.getsockname())
    with ProxyCommand(command, fdpass=True, peername=("db1", 22), timeout=DEADLINE) as sock:
        assert sock.getpeername() == ("db1", 22)


def test_the_end_of_the_peer_is_a_clean_end(pair) -> None:
    sock, peer = pair
    peer.sendall(b"last words")
    peer.close()
    assert recv_all(sock) == b"last words"
    assert sock.recv(1) == b""


def test_half_close_dup_and_detach_work(pair) -> None:
    sock, peer = pair
    with sock.dup() as copy:
        assert copy.family is socket.AF_INET
        copy.sendall(b"copy")
    sock.shutdown(socket.SHUT_WR)
    assert recv_all(peer) == b"copy"
    with socket.socket(fileno=sock.detach()) as plain:
        peer.sendall(b"detached")
        assert recv_exactly(plain, 8) == b"detached"


def test_timeouts_work(pair) -> None:
    sock, _ = pair
    sock.settimeout(0.05)
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        sock.recv(1)


def test_a_connection_that_the_kernel_gives_up_is_no_timeout_of_the_caller(pair) -> None:
    """A caller takes a TimeoutError for its own deadline, and tries again."""
    sock, _ = pair
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)
    fill(sock)  # the peer's window is closed: RFC 5482 counts that as no answer
    for call in (lambda: sock.recv(1), lambda: sock.send(b"x")):
        sock.settimeout(DEADLINE)
        with pytest.raises(OSError) as caught:
            call()
        assert not isinstance(caught.value, TimeoutError)
        assert len(caught.value.args) == 2
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            break
    assert caught.value.errno == errno.ECONNRESET


# close(2) of these sockets waits until the peer has read everything, or until the linger time
# has passed. If close(2) held the GIL, this thread could not see the other one in it.

LINGER = struct.pack("ii", 1, int(DEADLINE))


def lingers(sock) -> None:
    """Let the close of *sock* wait for a peer that does not read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    fill(sock)


def finish(worker: Worker, peer: socket.socket) -> object:
    """The worker is in close(2); read all at the other end, and it returns its result."""
    until_blocked(worker, calls_of=IN_CLOSE)
    recv_all(peer)
    return worker.result()


def test_close_waits_without_the_gil(pair) -> None:
    sock, peer = pair
    lingers(sock)
    finish(Worker(sock.close), peer)


def test_the_last_call_that_uses_a_closed_stream_waits_without_the_gil(pair) -> None:
    sock, peer = pair
    lingers(sock)
    sock.dup().close()  # close() then leaves the reader waiting
    sock.settimeout(None)
    reader = Worker(sock.recv, 1)
    until_blocked(reader)
    sock.close()
    peer.sendall(b"x")
    assert finish(reader, peer) == b"x"


@pytest.mark.parametrize("in_a_cycle", [False, True])
@pytest.mark.parametrize("forgets", [False, True])
def test_a_stream_that_is_dropped_waits_without_the_gil(
    listener, in_a_cycle: bool, forgets: bool
) -> None:
    class Forgetful(ProxyCommand):
        def __del__(self) -> None:
            if not forgets:
                super().__del__()

    command = "nc -F {} {}".format(*listener.getsockname())
    streams = [Forgetful(command, fdpass=True, timeout=DEADLINE)]
    peer, _ = listener.accept()
    lingers(streams[0])
    if in_a_cycle:
        streams[0].itself = streams[0]

    def drop() -> None:
        with pytest.warns(ResourceWarning, match="unclosed"):
            streams.clear()
            gc.collect()

    with peer:
        finish(Worker(drop), peer)


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_session_waits_without_the_gil(listener, how: str) -> None:
    sock = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    lingers(sock)
    sessions = [_core.Session(sock.detach())]
    with peer:
        finish(Worker(sessions[0].close if how == "close" else sessions.clear), peer)


def test_close_wakes_a_reader(pair) -> None:
    sock, _ = pair
    sock.settimeout(None)
    reader = Worker(sock.recv, 1)
    until_blocked(reader)
    sock.close()
    with pytest.raises(OSError) as caught:
        reader.result()
    assert caught.value.args == (errno.EBADF, "Bad file descriptor")


def test_a_unix_socket_can_be_passed() -> None:
    sends = "a.sendall(b'hello'); socket.send_fds(s, [b'x'], [b.fileno()])"
    with ProxyCommand(child(sends), fdpass=True, timeout=DEADLINE) as sock:
        assert sock.family is socket.AF_UNIX
        assert recv_all(sock) == b"hello"


# --- Children that misbehave --------------------------------------------------------------


def refused(command, **options) -> ProxyCommandError:
    with pytest.raises(ProxyCommandError) as caught:
        ProxyCommand(command, fdpass=True, timeout=4 * DEADLINE, **options).close()
    assert len(caught.value.args) == 2
    assert not isinstance(caught.value, TimeoutError)
    return caught.value


def test_a_child_that_fails_first_is_reported_with_its_stderr() -> None:
    error = refused(["sh", "-c", "echo no route to host >&2; exit 1"])
    assert "no route to host" in error.args[1]
    assert error.stderr == "no route to host\n"
    assert error.returncode == 1


def test_a_child_that_is_killed_first_is_reported() -> None:
    assert "SIGKILL" in refused(["sh", "-c", "kill -KILL $$"]).args[1]


def test_a_child_that_exits_0_without_a_socket_is_reported() -> None:
    refused(["true"])


def test_a_child_that_only_closes_its_output_is_reported() -> None:
    refused(["sh", "-c", "exec <&- >&-; exec sleep 60"], linger=0)


@pytest.mark.parametrize("opened", ["os.open('/dev/null', 2)", "os.pipe()[0]", "os.open('/', 0)"])
def test_a_descriptor_that_is_not_a_socket_is_refused(opened: str) -> None:
    error = refused(child(f"socket.send_fds(s, [b'x'], [{opened}])"))
    assert "socket" in error.args[1]


@pytest.mark.parametrize("then", ["", "; time.sleep(60)"], ids=["and ends", "and waits"])
def test_bytes_without_a_descriptor_are_refused(then: str) -> None:
    refused(child("s.sendall(b'SSH-2.0-no descriptor')" + then), linger=0)


def test_of_several_descriptors_none_is_leaked() -> None:
    """The first is used, or all are refused; the guard of every test counts the rest."""
    sends = "socket.send_fds(s, [b'x'], [b.fileno(), 0, 2, a.fileno()])"
    try:
        with ProxyCommand(child(sends), fdpass=True, timeout=DEADLINE) as sock:
            assert sock.family is socket.AF_UNIX
    except ProxyCommandError as error:
        assert len(error.args) == 2


def test_a_descriptor_in_every_message_is_not_leaked() -> None:
    sends = "[socket.send_fds(s, [b'x'], [b.fileno()]) for _ in range(10)]"
    with ProxyCommand(child(sends), fdpass=True, timeout=DEADLINE) as sock:
        assert sock.fileno() >= 0


def test_a_child_that_sends_nothing_times_out() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        ProxyCommand(child("time.sleep(60)"), fdpass=True, timeout=0.2, linger=0).close()
    assert time.monotonic() - start >= 0.19
    assert caught.value.errno == errno.ETIMEDOUT
    assert len(caught.value.args) == 2
    assert "command" in caught.value.args[1]


@pytest.mark.usefixtures("alarm")
def test_waiting_for_the_socket_can_be_interrupted() -> None:
    """After Ctrl-C during the constructor the child is ended and nothing is left."""
    import signal

    signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        ProxyCommand("sleep 60", fdpass=True, linger=0).close()


def test_a_missing_program_is_reported() -> None:
    with pytest.raises(FileNotFoundError):
        ProxyCommand("/nonexistent", fdpass=True).close()


def test_a_child_that_lives_on_after_passing_the_socket_is_ended() -> None:
    sends = "socket.send_fds(s, [b'x'], [b.fileno()]); time.sleep(60)"
    with ProxyCommand(child(sends), fdpass=True, timeout=DEADLINE, linger=0.05) as sock:
        until(lambda: sock.returncode is not None, "the child ends")
        assert sock.fileno() >= 0


def test_a_datagram_socket_is_refused() -> None:
    sends = "socket.send_fds(s, [b'x'], [(d := socket.socket(type=socket.SOCK_DGRAM)).fileno()])"
    with pytest.raises(ProxyCommandError) as caught:
        ProxyCommand(child(sends), fdpass=True, timeout=DEADLINE)
    assert caught.value.errno == errno.EPROTOTYPE
