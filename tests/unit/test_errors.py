# SPDX-License-Identifier: BSD-2-Clause
"""The exceptions: standard classes, exactly two arguments, attributes, pickles."""

from __future__ import annotations

import copy
import errno
import pickle
import signal
import time

import pytest

import sshgateway
from sshgateway import Error, ProxyCommand, ProxyCommandError, _deadline, _messages, errors
from sshgateway.known_hosts import KnownHosts
from support.waiting import DEADLINE, until


def error_of(call) -> ProxyCommandError:
    with pytest.raises(ProxyCommandError) as caught:
        call()
    return caught.value


def from_recv(script: str) -> ProxyCommandError:
    with ProxyCommand(["sh", "-c", script]) as sock:
        return error_of(lambda: sock.recv(1))


def from_send() -> ProxyCommandError:
    with ProxyCommand(["sh", "-c", "echo x; echo no more >&2; exit 3"]) as sock:
        assert sock.recv(2) == b"x\n"
        until(lambda: sock.returncode == 3, "exit status 3")
        sock.settimeout(DEADLINE)
        end = time.monotonic() + DEADLINE
        with pytest.raises(BrokenPipeError) as caught:
            while time.monotonic() < end:
                sock.send(b"x")
        error = caught.value
        assert isinstance(error, ProxyCommandError)
        return error


def not_there() -> ProxyCommandError:
    return error_of(lambda: ProxyCommand(["/nonexistent/program", "argument"]))


MADE = {
    "exit 255": (lambda: from_recv("echo why >&2; exit 255"), ConnectionResetError, 104),
    "killed": (lambda: from_recv("echo why >&2; kill -KILL $$"), ConnectionResetError, 104),
    "send": (from_send, BrokenPipeError, errno.EPIPE),
    "not there": (not_there, FileNotFoundError, errno.ENOENT),
    "a directory": (lambda: error_of(lambda: ProxyCommand("/")), PermissionError, errno.EACCES),
}


@pytest.fixture(params=MADE.values(), ids=MADE.keys())
def made(request):
    make, standard, number = request.param
    return make(), standard, number


def test_the_base_classes_are_exceptions_of_the_package() -> None:
    assert issubclass(Error, OSError)
    assert issubclass(ProxyCommandError, Error)
    assert Error.__module__.startswith("sshgateway")
    assert sshgateway.ProxyCommandError is ProxyCommandError


def test_it_is_also_the_standard_class_of_its_errno(made) -> None:
    error, standard, number = made
    assert isinstance(error, ProxyCommandError)
    assert isinstance(error, standard)
    assert type(OSError(number, "")) is standard
    assert error.errno == number


def test_it_has_exactly_two_arguments(made) -> None:
    """Paramiko formats e.args[1] and e.args[0], and fails with any other number of arguments."""
    error, _, number = made
    assert len(error.args) == 2
    assert error.args == (number, error.strerror)
    assert type(error.args[1]) is str
    assert "\n" not in error.args[1]
    assert (error.filename, error.filename2) == (None, None)
    assert f"{error.args[1]} [Errno {error.args[0]}]"


def test_it_is_never_a_timeout(made) -> None:
    """Paramiko and other callers retry after a timeout without limit."""
    error, _, _ = made
    assert not isinstance(error, TimeoutError)
    assert error.errno not in (errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_survives_pickling(made, protocol: int) -> None:
    error, standard, _ = made
    other = pickle.loads(pickle.dumps(error, protocol))
    assert isinstance(other, standard)
    assert type(other) is type(error)
    assert (other.args, other.errno, str(other)) == (error.args, error.errno, str(error))
    assert other.command == error.command
    assert (other.returncode, other.stderr) == (error.returncode, error.stderr)


def test_it_survives_copying(made) -> None:
    error, standard, _ = made
    for other in (copy.copy(error), copy.deepcopy(error)):
        assert isinstance(other, standard)
        assert (other.args, other.command) == (error.args, error.command)


def test_the_remaining_time_in_a_message_is_rounded() -> None:
    told = {30: "30 s", 0.2: "0.2 s", 9.98234567: "9.982 s", 86400.0: "86400 s"}
    for timeout, words in told.items():
        assert _deadline.in_seconds(timeout) == words


def test_a_failed_command_is_described() -> None:
    error = from_recv("echo line one >&2; echo the reason >&2; exit 255")
    assert error.command[0] == "sh"
    assert error.returncode == 255
    assert error.stderr == "line one\nthe reason\n"
    assert "255" in error.args[1]
    assert "the reason" in error.args[1]
    assert "line one" in error.args[1]


def test_a_killed_command_is_described() -> None:
    error = from_recv("kill -KILL $$")
    assert error.returncode == -signal.SIGKILL
    assert "SIGKILL" in error.args[1]


def test_a_command_that_was_not_executed_is_described() -> None:
    error = not_there()
    assert error.command == ["/nonexistent/program", "argument"]
    assert error.returncode is None
    assert error.stderr == ""
    assert "/nonexistent/program" in error.args[1]
    assert "No such file or directory" in error.args[1]


def test_a_program_that_is_not_in_path_is_named() -> None:
    error = error_of(lambda: ProxyCommand("no-such-program-anywhere x"))
    assert isinstance(error, FileNotFoundError)
    assert "no-such-program-anywhere" in error.args[1]


def test_a_file_that_may_not_be_executed_is_a_permission_error(tmp_path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    error = error_of(lambda: ProxyCommand([program]))
    assert isinstance(error, PermissionError)
    assert str(program) in error.args[1]


def test_a_file_that_is_not_a_program_is_enoexec(tmp_path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\0\1\2\3 no program")
    program.chmod(0o755)
    error = error_of(lambda: ProxyCommand([program]))
    assert error.errno == errno.ENOEXEC
    assert str(program) in error.args[1]


def test_a_missing_interpreter_is_reported(tmp_path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(0o755)
    assert isinstance(error_of(lambda: ProxyCommand([program])), FileNotFoundError)


def test_an_argument_list_that_is_too_long_is_reported() -> None:
    error = error_of(lambda: ProxyCommand(["true", "x" * 4_000_000]))
    assert error.errno == errno.E2BIG
    assert len(error.args[1]) < 10_000


def test_the_message_of_a_command_with_much_stderr_is_bounded() -> None:
    error = from_recv("yes 'a long complaint' | head -n 3000 >&2; echo the end >&2; exit 1")
    assert len(error.args[1]) < 2_000
    assert "the end" in error.args[1]
    assert len(error.stderr) > 50_000


def test_recv_raises_a_new_exception_for_each_stream() -> None:
    assert from_recv("exit 1") is not from_recv("exit 1")


def test_a_connection_error_handler_catches_it() -> None:
    with ProxyCommand("false") as sock, pytest.raises(ConnectionError):
        sock.recv(1)


# ---- Errors of a gateway ----------------------------------------------------

GATEWAY = "deploy@bastion:22"


def unknown_host() -> errors.HostKeyError:
    key = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
    known = KnownHosts([])
    return known.error(GATEWAY, "bastion", key, known.check("bastion", key))


ERRORS = {
    "unknown": (
        lambda: unknown_host(),
        errors.HostKeyError,
        PermissionError,
        errno.EACCES,
    ),
    "authentication": (
        lambda: _messages.authentication_failed(
            GATEWAY, ["publickey with ssh-ed25519 SHA256:x (a\nb): refused"], ["password"]
        ),
        errors.AuthenticationError,
        PermissionError,
        errno.EACCES,
    ),
    "lost": (
        lambda: _messages.gateway_lost(errno.ECONNRESET, GATEWAY, "Connection\r\nreset \x1b[31m"),
        errors.GatewayLostError,
        ConnectionResetError,
        errno.ECONNRESET,
    ),
    "channel": (
        lambda: _messages.channel_refused(GATEWAY, ("db", 22), 2, "Connection\nrefused"),
        errors.ChannelOpenError,
        ConnectionRefusedError,
        errno.ECONNREFUSED,
    ),
}


@pytest.mark.parametrize(("make", "kind", "standard", "number"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_a_gateway_has_the_attributes_of_its_base(
    make, kind, standard, number
) -> None:
    error = make()
    assert isinstance(error, kind)
    assert isinstance(error, sshgateway.GatewayError)
    assert isinstance(error, Error)
    assert isinstance(error, standard)
    assert error.gateway == GATEWAY
    assert GATEWAY in error.args[1]
    assert (len(error.args), error.errno) == (2, number)
    assert error.args[1].isprintable()
    assert error.args[1][0].islower()
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert (other.args, other.__dict__) == (error.args, error.__dict__)


def test_a_failed_login_lists_what_was_tried_and_what_is_left() -> None:
    accepted = ["publickey", "password"]
    error = _messages.authentication_failed(GATEWAY, ["password: refused"], accepted)
    assert error.accepted == ["publickey", "password"]
    assert error.methods == ["password: refused", "the server still accepts: publickey, password"]
    for method in error.methods:
        assert method in error.args[1]
    silent = _messages.authentication_failed(GATEWAY, [])
    assert "tried: nothing" in silent.args[1]
    assert silent.accepted == []


def test_what_the_server_accepts_and_which_keys_are_locked_survive_pickling() -> None:
    error = _messages.authentication_failed(GATEWAY, ["key"], ["password"], ["/k"])
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert other.accepted == ["password"]
        assert other.locked_keys == ["/k"]


def test_the_defaults_of_a_failed_login_are_of_each_error() -> None:
    one, other = (errors.AuthenticationError(errno.EACCES, "no") for _ in range(2))
    assert (one.methods, one.accepted, one.locked_keys) == ([], [], [])
    one.accepted.append("password")
    assert other.accepted == []


@pytest.mark.parametrize("reason", [0, 1, 2, 3, 4, 99])
@pytest.mark.parametrize("to", [("10.0.0.5", 22), "/run/a.sock"])
def test_a_refused_channel_has_a_reason(reason: int, to) -> None:
    error = _messages.channel_refused(GATEWAY, to, reason, "x" * 5000)
    assert (error.reason, error.dest_addr) == (reason, to)
    assert (to if isinstance(to, str) else "10.0.0.5:22") in error.args[1]
    assert len(error.args[1]) < 1000


def test_a_description_that_repeats_the_reason_is_left_out() -> None:
    error = _messages.channel_refused(GATEWAY, ("db", 22), 1, "Administratively prohibited")
    assert error.args[1].lower().count("administratively") == 1
