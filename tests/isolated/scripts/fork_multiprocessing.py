# SPDX-License-Identifier: BSD-2-Clause
"""multiprocessing with the fork method: the same rules, and a normal exit."""

import multiprocessing
import warnings

from sshgateway import ProxyCommand

warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: fork with threads


def work(queue) -> None:
    try:
        sock.recv(1)
        queue.put("recv works in the child")
    except OSError:
        pass
    with ProxyCommand("cat") as own:
        own.sendall(b"child")
        queue.put(own.recv(10).decode())


sock = ProxyCommand("cat")
context = multiprocessing.get_context("fork")
queue = context.Queue()
processes = [context.Process(target=work, args=(queue,)) for _ in range(3)]
for process in processes:
    process.start()
answers = [queue.get(timeout=20) for _ in processes]
for process in processes:
    process.join(20)
    assert process.exitcode == 0, process.exitcode
assert answers == ["child"] * 3, answers
sock.sendall(b"parent")
assert sock.recv(10) == b"parent"
sock.close()
queue.close()
queue.join_thread()
