# SPDX-License-Identifier: BSD-2-Clause
"""After a fork the child cannot touch the parent's streams, but can open its own."""

import gc
import io
import os
import socket
import sys
import traceback
import warnings

from sshgateway import ProxyCommand
from support.footprint import children, descriptors

warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: fork with threads

REFUSED = {
    "recv": lambda s: s.recv(1),
    "recv_into": lambda s: s.recv_into(bytearray(1)),
    "recvfrom": lambda s: s.recvfrom(1),
    "recvmsg": lambda s: s.recvmsg(1),
    "send": lambda s: s.send(b"x"),
    "sendall": lambda s: s.sendall(b"x"),
    "sendmsg": lambda s: s.sendmsg([b"x"]),
    "sendfile": lambda s: s.sendfile(io.BytesIO(b"x")),
    "shutdown": lambda s: s.shutdown(socket.SHUT_RDWR),
    "dup": lambda s: s.dup().close(),
    "settimeout": lambda s: s.settimeout(1),
    "getsockopt": lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
}


def in_child(sock: ProxyCommand, numbers: set[int]) -> None:
    open_now = descriptors()
    ours = {fd: what for fd, what in open_now.items() if fd in numbers}
    assert not ours, f"the child holds the parent's descriptors: {ours}"
    for name, call in REFUSED.items():
        try:
            call(sock)
        except OSError:
            continue
        raise AssertionError(f"{name} works in the child")
    repr(sock)
    assert sock.closed in (True, False)
    sock.close()
    sock.close()
    assert sock.closed
    assert sock.fileno() == -1
    with ProxyCommand("cat") as own:
        own.sendall(b"in the child")
        assert own.recv(20) == b"in the child"


def wait_for(pid: int, what: str) -> None:
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{what}: {status}"


def fork_and(function, *arguments) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        function(*arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def leave_it_to_the_finalizer() -> None:
    global sock
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        del sock
        gc.collect()
    assert not said, [str(w.message) for w in said]


def check_alive(sock: ProxyCommand) -> None:
    sock.sendall(b"parent")
    assert sock.recv(10) == b"parent"


before = set(descriptors())
sock = ProxyCommand("cat")
check_alive(sock)
numbers = set(descriptors()) - before
assert len(numbers) >= 4, numbers

wait_for(fork_and(in_child, sock, numbers), "a child that tries everything")
check_alive(sock)
wait_for(fork_and(leave_it_to_the_finalizer), "a child that drops the stream")
check_alive(sock)


def fork_again() -> None:
    in_child(sock, numbers)
    with ProxyCommand("cat") as own:
        check_alive(own)
        wait_for(fork_and(in_child, own, {own.fileno()}), "a grandchild")
        check_alive(own)


wait_for(fork_and(fork_again), "a child that forks")
check_alive(sock)

assert list(children()) == [sock.pid], children()
assert sock.returncode is None
sock.close()
