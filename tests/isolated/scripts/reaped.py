# SPDX-License-Identifier: BSD-2-Clause
"""Other code reaps our children: streams end cleanly, with an unknown exit status."""

import os
import signal
import sys
import threading

from sshgateway import ProxyCommand
from support.footprint import Snapshot
from support.waiting import gone

before = Snapshot.take()
if sys.argv[1] == "ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for script in ("exit 0", "exit 3", "echo x; exit 255", "kill -KILL $$"):
        with ProxyCommand(["sh", "-c", script]) as sock:
            sock.settimeout(10)
            while sock.recv(10):
                pass
            assert sock.recv(10) == b""
            assert sock.returncode is None, sock.returncode
    sock = ProxyCommand("cat")
    sock.close()
    gone(sock.pid)
    assert sock.returncode is None, sock.returncode
else:
    stop = threading.Event()

    def reap() -> None:
        while not stop.is_set():
            try:
                os.wait()
            except ChildProcessError:
                stop.wait(0.001)

    reaper = threading.Thread(target=reap)
    reaper.start()
    codes = set()
    for _ in range(100):
        with ProxyCommand(["sh", "-c", "exit 3"]) as sock:
            sock.settimeout(10)
            try:
                assert sock.recv(10) == b""
                codes.add(sock.returncode)
                assert sock.returncode is None
            except ConnectionResetError as error:
                codes.add(error.returncode)
                assert error.returncode == 3
            assert sock.recv(10) == b""
    stop.set()
    reaper.join()
    assert codes <= {None, 3}, codes
left = before.wait_clean(10)
assert not left, left
