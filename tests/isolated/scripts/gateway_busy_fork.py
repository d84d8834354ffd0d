# SPDX-License-Identifier: BSD-2-Clause
"""A fork while all places for logins to a host are taken, and while a login pauses.

The child logs in to that host by itself, with the same Gateway as its parent.
"""

import os
import threading
import warnings

from sshgateway import GatewayError, _logins
from support import gateways, scripted
from support.gateways import Target
from support.sshd import PrivateSshd
from support.waiting import DEADLINE, Worker, until

warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: fork with threads


def in_child(function) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def open_and_close(gateway) -> None:
    with gateway:
        assert gateway.is_connected


def fork_while_places_are_taken(sshd: PrivateSshd) -> None:
    is_over, lock, taken = threading.Event(), threading.Lock(), []

    def hold() -> None:
        with _logins.slot(sshd.host, sshd.port, _logins.Deadline(None), "a gateway"):
            with lock:
                taken.append(True)
            is_over.wait(DEADLINE)

    holders = [Worker(hold) for _ in range(_logins.LOGINS_AT_ONCE)]
    until(lambda: len(taken) == len(holders), "all places are taken")
    gateway = gateways.to(sshd)
    opener = Worker(open_and_close, gateway)  # waits for a place
    in_child(lambda: open_and_close(gateway))
    is_over.set()
    for worker in [*holders, opener]:
        worker.result()


def fork_while_a_login_pauses(sshd: PrivateSshd) -> None:
    connections = []

    def be_busy_once(sock) -> None:
        connections.append(sock)
        if len(connections) == 1:
            scripted.says_and_closes(b"Exceeded MaxStartups\r\n")(sock)
        else:
            scripted.cut_after((sshd.host, sshd.port), 1 << 40)(sock)

    _logins.random.uniform = lambda low, high: DEADLINE
    with Target(be_busy_once) as server:
        alias = f"[{sshd.host}]:{sshd.port}"
        gateway = gateways.to(sshd, port=server.address[1], host_key_alias=alias)
        opener = Worker(open_and_close, gateway)
        until(lambda: connections, "the first try")
        in_child(lambda: open_and_close(gateway))
        gateway.close()
        try:
            opener.result()
        except GatewayError:
            return
        raise AssertionError("close() did not end the pause")


with PrivateSshd() as server:
    fork_while_places_are_taken(server)
    fork_while_a_login_pauses(server)
