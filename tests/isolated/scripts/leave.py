# SPDX-License-Identifier: BSD-2-Clause
"""Leaves the interpreter with streams open, in one of several ways.

Prints the process ids of the children, then does what the argument says.
"""

import atexit
import os
import signal
import sys
import threading

from sshgateway import ProxyCommand
from support.waiting import until_blocked, until_process_state

KINDS = {
    "cat": "cat",
    "stubborn": ["sh", "-c", "trap '' HUP TERM; echo; exec sleep 600"],
    "stopped": "cat",
    "own-session": "cat",
}

way, kind = sys.argv[1:]
streams = [ProxyCommand(KINDS[kind], start_new_session=kind == "own-session") for _ in range(3)]
print(*[sock.pid for sock in streams], flush=True)
if kind == "stubborn":
    for sock in streams:
        assert sock.recv(1) == b"\n"
if kind == "stopped":
    for sock in streams:
        os.kill(sock.pid, signal.SIGSTOP)
        until_process_state(sock.pid, "T")


def in_recv() -> None:
    threads = [threading.Thread(target=sock.recv, args=(1,), daemon=True) for sock in streams]
    for thread in threads:
        thread.start()
        until_blocked(thread)


if way == "exit":
    sys.exit(0)
elif way == "cycle":
    streams.append(streams)  # type: ignore[arg-type]
    del streams
elif way == "raise":
    sys.excepthook = lambda *_: None
    raise SystemExit(0)
elif way == "thread":
    in_recv()
elif way == "atexit":
    # Functions registered with atexit can use streams, made before or afterwards.
    @atexit.register
    def last_words() -> None:
        streams[0].sendall(b"x")
        assert streams[0].recv(1) == b"x"
        with ProxyCommand("echo late") as late:
            assert late.recv(10) == b"late\n"
elif way == "closed":
    for sock in streams:
        sock.close()
elif way == "data":
    for sock in streams:
        sock.setblocking(False)
        sock.send(b"x" * 10_000_000)
        sock.close()
