# SPDX-License-Identifier: BSD-2-Clause
"""Close and open gateways and channels while other threads use them."""

import errno
import sys
import threading

from support import gateways
from support.footprint import Snapshot
from support.gateways import Target
from support.sshd import PrivateSshd

ROUNDS = int(sys.argv[1])
failures: list[str] = []
ENDS = (errno.EBADF, errno.EPIPE, errno.ECONNRESET)


def expect_end(call) -> None:
    """Run *call*: it may return data or the end, or raise EBADF, EPIPE or the loss."""
    try:
        while call():
            pass
    except OSError as error:
        if error.errno not in ENDS or len(error.args) != 2:
            failures.append(repr(error))
    except BaseException as error:
        failures.append(repr(error))


def opens(gateway) -> bool:
    gateway.open_channel("direct-tcpip", target.address).close()
    return False


with PrivateSshd() as server, Target(gateways.echo) as target:
    before = Snapshot.take()
    gateway = gateways.to(server)
    for number in range(ROUNDS):
        channel = gateway.open_channel("direct-tcpip", target.address)
        calls = [
            lambda channel=channel: channel.recv(100),
            lambda channel=channel: channel.send(b"x" * 1000),
            lambda channel=channel: channel.recv_into(bytearray(10)),
            lambda: opens(gateway),
        ]
        threads = [threading.Thread(target=expect_end, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        if number % 3 == 0:
            threads += [threading.Thread(target=channel.close) for _ in range(3)]
        elif number % 3 == 1:
            threads += [threading.Thread(target=gateway.close) for _ in range(3)]
        else:
            gateways.kill_sessions(server)
        for thread in threads[4:]:
            thread.start()
        if number % 3 == 0:
            channel.close()
        for thread in threads:
            thread.join(20)
            if thread.is_alive():
                sys.exit(f"round {number}: a thread hangs")
        channel.close()
        if failures:
            break
    gateway.close()
    assert not failures, failures[:5]
    left = before.wait_clean(20)
    # The target closes its sides of the connections a moment later.
    assert not left, left
