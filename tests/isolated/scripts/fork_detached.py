# SPDX-License-Identifier: BSD-2-Clause
"""Detached and duplicated descriptors belong to the program, in a forked child too."""

import os
import socket
import warnings

from sshgateway import ProxyCommand

warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: fork with threads


def in_child(check) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            check()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status == 0, check.__name__


def the_detached_works() -> None:
    plain.sendall(b"detached")
    assert plain.recv(8) == b"detached"


def the_copy_works() -> None:
    copy.sendall(b"copy")
    assert copy.recv(4) == b"copy"


def the_reused_number_is_open() -> None:
    assert os.fstat(number)


first = ProxyCommand("cat")
plain = socket.socket(fileno=first.detach())
second = ProxyCommand("cat")
copy = second.dup()
in_child(the_detached_works)
in_child(the_copy_works)
plain.close()
copy.close()
second.close()


def take_number(give_up) -> list[int]:
    """Open descriptors until one has the number that *give_up* has released.

    The loop may be quicker and use the number for itself; then try again.
    """
    while True:
        sock = ProxyCommand("cat")
        wanted = sock.fileno()
        give_up(sock)
        taken = [os.open(os.devnull, os.O_RDONLY)]
        while taken[-1] < wanted:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        if taken[-1] == wanted:
            return taken
        for fd in taken:
            os.close(fd)


# After detach() or close() the number may belong to any file.
for give_up in (lambda sock: os.close(sock.detach()), lambda sock: sock.close()):
    taken = take_number(give_up)
    number = taken[-1]
    in_child(the_reused_number_is_open)
    for fd in taken:
        os.close(fd)
