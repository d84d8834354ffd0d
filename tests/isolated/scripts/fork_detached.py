# SPDX-License-Identifier: BSD-2-Clause
"""What was detached or duplicated is the program's own, in a fork's child too."""

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

# The numbers of what was detached, or closed, may be anybody's afterwards.
for give_up in (lambda sock: os.close(sock.detach()), lambda sock: sock.close()):
    sock = ProxyCommand("cat")
    wanted = sock.fileno()
    give_up(sock)
    number = os.open("/dev/null", os.O_RDONLY)
    if number != wanted:
        os.dup2(number, wanted)
        os.close(number)
        number = wanted
    in_child(the_reused_number_is_open)
    os.close(number)
