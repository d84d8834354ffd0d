# SPDX-License-Identifier: BSD-2-Clause
"""Opens many streams at once, far beyond 1 024 descriptors, used by threads."""

import resource
import select
import sys
import threading

from sshgateway import ProxyCommand
from support.footprint import Snapshot, descriptors, native_threads

COUNT = int(sys.argv[1])
THREADS = 8

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16 * COUNT + 100), hard))

before = Snapshot.take()
streams: list[ProxyCommand] = []


def open_some(count: int) -> None:
    for _ in range(count):
        streams.append(ProxyCommand("cat"))


openers = [threading.Thread(target=open_some, args=(COUNT // THREADS,)) for _ in range(THREADS)]
for thread in openers:
    thread.start()
for thread in openers:
    thread.join()
open_some(COUNT - len(streams))
assert len(streams) == COUNT
assert max(descriptors()) > 1024, max(descriptors())
assert len(native_threads()) == 2, "all proxy commands must share one loop"

for number, sock in enumerate(streams):
    sock.sendall(b"%d" % number)
poller = select.poll()
expected = {sock.fileno(): (sock, b"%d" % number) for number, sock in enumerate(streams)}
for fd in expected:
    poller.register(fd, select.POLLIN)
while expected:
    ready = poller.poll(10_000)
    assert ready, f"{len(expected)} streams do not answer"
    for fd, _ in ready:
        sock, data = expected.pop(fd)
        poller.unregister(fd)
        assert sock.recv(100) == data

for sock in streams:
    sock.close()
streams.clear()
left = before.wait_clean(20)
assert not left, left[:10]
