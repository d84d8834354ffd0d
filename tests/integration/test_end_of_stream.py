# SPDX-License-Identifier: BSD-2-Clause
"""The end of a proxy: recv() returns the data, then raises the reason, then returns b""."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys

import pytest

from sshgateway import ProxyCommand, ProxyCommandError
from support.streams import digest, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker, at_last, exited, readable, until, until_blocked


def shell(script: str, **options) -> ProxyCommand:
    sock = ProxyCommand(["sh", "-c", script], **options)
    sock.settimeout(DEADLINE)
    return sock


RECEIVERS = {
    "recv": lambda s: s.recv(10),
    "recv_into": lambda s: s.recv_into(bytearray(10)),
    "recvfrom": lambda s: s.recvfrom(10),
    "recvfrom_into": lambda s: s.recvfrom_into(bytearray(10)),
    "recvmsg": lambda s: s.recvmsg(10),
    "recvmsg_into": lambda s: s.recvmsg_into([bytearray(10)]),
}


def reason_of_the_end(sock: ProxyCommand) -> ProxyCommandError:
    """The reason that recv() raises once; afterwards recv() returns b""."""
    with pytest.raises(ProxyCommandError) as caught:
        sock.recv(10)
    assert isinstance(caught.value, ConnectionResetError)
    assert caught.value.args == (errno.ECONNRESET, caught.value.strerror)
    for _ in range(3):
        assert sock.recv(10) == b""
    return caught.value


def test_exit_0_is_a_clean_end() -> None:
    with shell("echo hi; exit 0") as sock:
        assert recv_all(sock) == b"hi\n"
        assert sock.recv(10) == b""
        assert sock.returncode == 0


def test_exit_0_with_stderr_is_a_clean_end_too() -> None:
    with shell("echo hi; echo a warning >&2; exit 0") as sock:
        assert recv_all(sock) == b"hi\n"
        assert sock.stderr == "a warning\n"


def test_exit_255_is_reported_after_the_data() -> None:
    with shell("echo hi; echo the reason >&2; exit 255") as sock:
        assert recv_exactly(sock, 3) == b"hi\n"
        error = reason_of_the_end(sock)
        assert error.returncode == 255
        assert error.stderr == "the reason\n"
        assert "the reason" in error.args[1]


EMPTY = {
    "recv": lambda s: s.recv(0),
    "recv_into": lambda s: s.recv_into(bytearray()),
    "recvfrom": lambda s: s.recvfrom(0),
    "recvfrom_into": lambda s: s.recvfrom_into(bytearray()),
    "recvmsg": lambda s: s.recvmsg(0),
    "recvmsg_into, no buffer": lambda s: s.recvmsg_into([]),
    "recvmsg_into, no room": lambda s: s.recvmsg_into([bytearray(), bytearray()]),
}


@pytest.mark.parametrize("call", EMPTY.values(), ids=EMPTY.keys())
def test_a_receive_without_room_is_not_the_end(call) -> None:
    """The reason is still there for the receive that reaches the end, also after the end."""
    with shell("printf abc; read x; echo the reason >&2; exit 3") as sock:
        assert sock.recv(1) == b"a"
        call(sock)
        assert recv_exactly(sock, 2) == b"bc"
        sock.sendall(b"\n")
        assert readable(sock)
        call(sock)
        assert reason_of_the_end(sock).returncode == 3
        call(sock)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_is_reported(number: signal.Signals) -> None:
    with shell(f"echo hi; kill -{int(number)} $$") as sock:
        assert recv_exactly(sock, 3) == b"hi\n"
        error = reason_of_the_end(sock)
        assert error.returncode == -number
        assert number.name in error.args[1]


def test_sigkill_from_outside_wakes_a_reader() -> None:
    with ProxyCommand("cat") as sock:
        reader = Worker(sock.recv, 10)
        until_blocked(reader)
        os.kill(sock.pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError) as caught:
            reader.result()
        assert caught.value.returncode == -signal.SIGKILL
        assert sock.recv(10) == b""


def test_the_constructor_reports_a_program_that_cannot_be_executed() -> None:
    for command, standard in (("/nonexistent", FileNotFoundError), ("/etc", PermissionError)):
        with pytest.raises(standard) as caught:
            ProxyCommand([command])
        assert isinstance(caught.value, ProxyCommandError)


def test_closed_stdout_is_a_clean_end_while_the_child_lives_on() -> None:
    with shell("echo hi; exec >&-; exec cat 0<&0 >/dev/null") as sock:
        assert recv_all(sock) == b"hi\n"
        assert sock.returncode is None
        os.kill(sock.pid, 0)
        sock.sendall(b"it takes what we send")


def test_ncat_losing_its_peer_is_a_clean_end() -> None:
    """ncat closes its stdout and then waits for its stdin without limit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        with ProxyCommand(f"ncat 127.0.0.1 {listener.getsockname()[1]}") as sock:
            sock.settimeout(DEADLINE)
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"last words")
            assert recv_all(sock) == b"last words"


@pytest.mark.parametrize("call", RECEIVERS.values(), ids=RECEIVERS.keys())
def test_every_receive_method_raises_the_reason_once(call) -> None:
    with shell("exit 3") as sock:
        with pytest.raises(ProxyCommandError) as caught:
            call(sock)
        assert caught.value.returncode == 3
        assert sock.recv(10) == b""


def test_a_file_raises_the_reason() -> None:
    with shell("echo line; exit 3") as sock, sock.makefile("rb") as file:
        assert file.readline() == b"line\n"
        with pytest.raises(ProxyCommandError):
            file.readline()
        assert file.readline() == b""


def test_a_peek_leaves_the_reason_for_the_next_recv() -> None:
    with shell("exit 3") as sock:
        assert readable(sock)
        try:
            sock.recv(1, socket.MSG_PEEK)
        except ProxyCommandError:
            pass
        else:
            reason_of_the_end(sock)


def test_receiving_zero_bytes_leaves_the_reason_for_the_next_recv() -> None:
    with shell("exit 3") as sock:
        assert readable(sock)
        assert sock.recv(0) == b""
        assert sock.recv_into(bytearray()) == 0
        assert reason_of_the_end(sock).returncode == 3


def test_the_reason_is_raised_in_non_blocking_mode_too() -> None:
    with shell("exit 3") as sock:
        sock.setblocking(False)
        assert readable(sock)
        assert reason_of_the_end(sock).returncode == 3


def test_after_our_own_shut_rd_the_end_has_no_reason() -> None:
    with ProxyCommand("cat") as sock:
        sock.shutdown(socket.SHUT_RD)
        assert sock.recv(10) == b""


def test_a_reader_waits_for_the_exit_status_after_the_end_of_stdout() -> None:
    """The child closes stdout first and exits 50 ms later; recv() waits for the exit status.

    It waits for 200 ms, which a busy machine may need for the shell alone.
    """

    def is_raised() -> None:
        with shell("exec >&-; sleep 0.05; echo late >&2; exit 9") as sock:
            try:
                assert sock.recv(1), "recv() reported the end without the reason"
            except ProxyCommandError as error:
                assert error.stderr == "late\n"

    at_last(is_raised, 20)


def test_an_open_stderr_does_not_delay_the_end() -> None:
    """The master of ssh's ControlPersist keeps stderr open, as daemons do."""
    script = "sleep 20 >/dev/null 2>&2 </dev/null & echo $!; echo words >&2; exit 4"
    with shell(script) as sock:
        daemon = int(sock.recv(20))
        try:
            error = reason_of_the_end(sock)
            assert (error.returncode, error.stderr) == (4, "words\n")
        finally:
            os.kill(daemon, signal.SIGKILL)


def test_a_grandchild_that_holds_stdout_keeps_the_stream_open() -> None:
    with shell("exec 3<&0; (read x <&3; echo $x) & exit 0") as sock:
        assert exited(sock.pid)
        sock.sendall(b"hello\n")
        assert recv_all(sock) == b"hello\n"
        assert sock.returncode == 0


def test_all_data_comes_before_the_reason() -> None:
    with shell("head -c 1000000 /dev/zero; exit 5") as sock:
        assert len(recv_exactly(sock, 1_000_000)) == 1_000_000
        assert reason_of_the_end(sock).returncode == 5


# --- send --------------------------------------------------------------------------


def test_sends_before_the_first_byte_succeed_until_recv_has_raised_the_reason() -> None:
    """As with TCP.  Paramiko reports the text of an exception from recv(), but not from send()."""
    with shell("echo the reason >&2; exit 255") as sock:
        until(lambda: sock.returncode == 255, "exit")
        assert readable(sock)
        for _ in range(3):
            assert sock.send(b"SSH-2.0-test\r\n") == 14
        sock.sendall(b"more")
        assert reason_of_the_end(sock).stderr == "the reason\n"
        with pytest.raises(BrokenPipeError) as caught:
            sock.send(b"x")
        assert "the reason" in caught.value.args[1]
        assert isinstance(caught.value, ProxyCommandError)


def test_a_caller_that_only_sends_gets_the_reason_too() -> None:
    with shell("echo the reason >&2; exit 255") as sock:
        until(lambda: sock.returncode == 255, "exit")
        assert readable(sock)
        with pytest.raises(BrokenPipeError, match="the reason"):
            for _ in range(10):
                sock.sendall(bytes(10_000))
        assert sock.bytes_sent < 80_000


def test_after_the_first_byte_send_raises_the_reason() -> None:
    with shell("echo SSH-2.0-proxy; echo the reason >&2; exit 3") as sock:
        assert recv_exactly(sock, 14) == b"SSH-2.0-proxy\n"
        until(lambda: sock.returncode == 3, "exit")
        assert readable(sock)

        def broken() -> BrokenPipeError | None:
            try:
                sock.send(b"x")
            except BrokenPipeError as error:
                return error
            return None

        error = until(broken, "BrokenPipeError")
        assert isinstance(error, ProxyCommandError)
        assert error.args[0] == errno.EPIPE
        assert "the reason" in error.args[1]
        assert error.returncode == 3


def test_a_blocked_sender_is_woken_by_the_childs_death() -> None:
    with shell("echo started; exec sleep 60") as sock:
        assert recv_exactly(sock, 8) == b"started\n"
        sock.settimeout(None)
        sender = Worker(sock.sendall, b"x" * 4_000_000)
        until_blocked(sender)
        os.kill(sock.pid, signal.SIGKILL)
        with pytest.raises((BrokenPipeError, ConnectionResetError)) as caught:
            sender.result()
        assert isinstance(caught.value, ProxyCommandError)
        assert caught.value.returncode == -signal.SIGKILL


def test_a_child_that_reads_to_the_end_gets_all_data() -> None:
    """The child prints the digest of what it read up to the end of its input."""
    data = payload(500_000)
    script = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    with ProxyCommand([sys.executable, "-c", script]) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert recv_all(sock).decode().strip() == digest(data)


# --- half-close -----------------------------------------------------------------------


def test_half_close_keeps_the_other_direction() -> None:
    with ProxyCommand("sort") as sock:
        sock.sendall(b"c\nb\na\n")
        sock.shutdown(socket.SHUT_WR)
        assert recv_all(sock) == b"a\nb\nc\n"
        assert sock.returncode == 0


def test_a_stdin_closed_by_the_child_does_not_end_the_other_direction() -> None:
    with shell("exec <&-; echo closed; sleep 0.1; echo still here") as sock:
        assert recv_exactly(sock, 7) == b"closed\n"
        assert recv_all(sock) == b"still here\n"


#: Ends both directions and lives on; it reports the end of its input on stderr.
BOTH_SHUT = "exec >&-; cat >/dev/null; echo eof >&2; exec sleep 60"


def shut_both_ways(sock: ProxyCommand) -> None:
    assert recv_all(sock) == b""
    sock.shutdown(socket.SHUT_WR)
    until(lambda: sock.stderr, "the child has seen the end of its input")


def let_the_loop_turn() -> None:
    """All proxies share one loop, so after this the loop has handled all earlier events."""
    with ProxyCommand("cat") as sock:
        sock.settimeout(DEADLINE)
        for _ in range(3):
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"


def test_the_end_of_both_directions_does_not_end_the_child() -> None:
    with shell(BOTH_SHUT, linger=0) as sock:
        shut_both_ways(sock)
        let_the_loop_turn()
        os.kill(sock.pid, signal.SIGTERM)
        until(lambda: sock.returncode, "the child has ended")
        assert sock.returncode == -signal.SIGTERM  # not SIGHUP, which the loop would send


@pytest.mark.parametrize("give_up", ["close", "detach", "finalizer"])
def test_a_close_after_both_directions_ended_is_noticed(give_up: str) -> None:
    sock = shell(BOTH_SHUT, linger=0)
    pid = sock.pid
    shut_both_ways(sock)
    if give_up == "finalizer":
        with pytest.warns(ResourceWarning, match="unclosed"):
            del sock
    elif give_up == "close":
        sock.close()
    else:
        # The loop learns from the kernel that a bare descriptor was closed.
        os.close(sock.detach())
    assert exited(pid)


def test_a_file_object_keeps_the_child_running_after_both_directions_ended() -> None:
    sock = shell(BOTH_SHUT, linger=0)
    file = sock.makefile("rb")
    shut_both_ways(sock)
    sock.close()
    let_the_loop_turn()
    assert sock.returncode is None
    file.close()
    until(lambda: sock.returncode, "the child has ended")
    assert sock.returncode == -signal.SIGHUP
