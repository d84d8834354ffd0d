# SPDX-License-Identifier: BSD-2-Clause
"""Runs out of descriptors at each step of the constructor in turn."""

import errno
import os
import resource
import socket
import sys
import tempfile

from sshgateway import ProxyCommand
from support.footprint import Snapshot, descriptors

SENDER = (
    "import os, socket; s = socket.socket(fileno=1); a, b = socket.socketpair();"
    "socket.send_fds(s, [b'x'], [a.fileno()]); os._exit(0)"
)
WAYS = {
    "pipes": ("cat", {}),
    "inherited": ("cat", {"stderr": None}),
    "own-session": ("cat", {"start_new_session": True, "cwd": tempfile.gettempdir()}),
    "fdpass": ([sys.executable, "-S", "-c", SENDER], {"fdpass": True, "timeout": 10}),
}
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


def limit_to(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, HARD))


def settle(before: Snapshot, where: object) -> None:
    left = before.wait_clean(10)
    assert not left, (where, left)


def echo(sock: ProxyCommand) -> None:
    sock.settimeout(10)
    sock.sendall(b"works")
    assert sock.recv(5) == b"works"


def every_step(command, options) -> int:
    """Allow one more descriptor each time, until the constructor succeeds."""
    before = Snapshot.take()
    first = max(descriptors()) + 1
    for limit in range(first, first + 40):
        limit_to(limit)
        try:
            sock = ProxyCommand(command, **options)
        except OSError as error:
            limit_to(SOFT)
            assert (error.errno, len(error.args)) == (errno.EMFILE, 2), (limit, error)
            settle(before, limit)
            with ProxyCommand("cat") as other:
                echo(other)
            settle(before, limit)
            continue
        limit_to(SOFT)
        if not options.get("fdpass"):
            echo(sock)
        sock.close()
        settle(before, limit)
        return limit - first
    raise AssertionError("it never works")


def with_none_left() -> None:
    """An open stream can be used and closed without a new descriptor."""
    taken = []
    with ProxyCommand("cat") as sock:
        limit_to(max(descriptors()) + 1)
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE
        echo(sock)
        try:
            sock.dup()
        except OSError as error:
            assert (error.errno, len(error.args)) == (errno.EMFILE, 2), error
        else:
            raise AssertionError("dup works")
        with sock.makefile("rb") as file:
            sock.sendall(b"line\n")
            assert file.readline() == b"line\n"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    limit_to(SOFT)
    for fd in taken:
        os.close(fd)


command, options = WAYS[sys.argv[1]]
clean = Snapshot.take()
# With a stream beside it, the loop's thread already runs.
beside = ProxyCommand("cat") if sys.argv[2] == "beside" else None
# Use everything once, so that Python has imported and opened what it keeps.
quiet = Snapshot.take()
ProxyCommand(command, **options).close()
settle(quiet, "first use")
fillers = []
# Fill the gaps, so that a limit of N allows N descriptors.
while len(descriptors()) - 1 < max(descriptors()):
    fillers.append(os.open("/dev/null", os.O_RDONLY))

before = Snapshot.take()
steps = every_step(command, options)
assert steps >= 2, steps
with_none_left()
settle(before, "none left")
for fd in fillers:
    os.close(fd)
if beside:
    echo(beside)
    beside.close()
settle(clean, "the end")
print("failed at", steps, "steps")
