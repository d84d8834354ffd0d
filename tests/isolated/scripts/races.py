# SPDX-License-Identifier: BSD-2-Clause
"""Close in a race with recv, send, forks and other closes, many times."""

import errno
import sys
import threading

from sshgateway import ProxyCommand
from support.footprint import Snapshot

ROUNDS = int(sys.argv[1])
failures: list[str] = []


def expect_end(call) -> None:
    """Run *call*: it may return data or the end, or raise EBADF or EPIPE; nothing else."""
    try:
        while call():
            pass
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EPIPE, errno.ECONNRESET):
            failures.append(repr(error))
    except BaseException as error:
        failures.append(repr(error))


before = Snapshot.take()
for number in range(ROUNDS):
    sock = ProxyCommand("cat")
    calls = [
        lambda sock=sock: sock.recv(100),
        lambda sock=sock: sock.send(b"x" * 1000),
        lambda sock=sock: sock.recv_into(bytearray(10)),
    ]
    threads = [threading.Thread(target=expect_end, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    if number % 3 == 0:
        sock.send(b"y")
    closers = [threading.Thread(target=sock.close) for _ in range(number % 3)]
    for thread in closers:
        thread.start()
    sock.close()
    for thread in threads + closers:
        thread.join(20)
        if thread.is_alive():
            sys.exit(f"round {number}: a thread hangs")
assert not failures, failures[:5]
left = before.wait_clean(20)
assert not left, left
