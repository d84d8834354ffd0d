# SPDX-License-Identifier: BSD-2-Clause
"""A signal handler forks while one of our calls waits; the child touches nothing.

Descriptors that the child opens in the handler get numbers that were the parent's.
"""

import os
import signal
import sys
import traceback
import warnings

from sshgateway import ProxyCommand

warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: fork with threads


class ForkedError(Exception):
    """The handler raises it in the parent, to end the wait there."""


foreign: list[int] = []
child = 0


def fork(*_) -> None:
    global child
    child = os.fork()
    if child:
        raise ForkedError
    foreign.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(20))


def wait_for_a_socket() -> None:
    ProxyCommand("sleep 1000", fdpass=True, linger=0.1)


def wait_for_data() -> None:
    with ProxyCommand("cat") as sock:
        sock.recv(1)


def check_child(error: OSError) -> None:
    assert "Bad file descriptor" in str(error), repr(error)
    for fd in foreign:
        os.fstat(fd)


signal.signal(signal.SIGALRM, fork)
for wait in (wait_for_a_socket, wait_for_data):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        wait()
    except ForkedError:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, (wait, status)
    except OSError as error:
        code = 1
        try:
            assert child == 0
            check_child(error)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    else:
        raise AssertionError("the wait has ended by itself")
