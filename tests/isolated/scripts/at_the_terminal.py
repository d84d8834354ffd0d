# SPDX-License-Identifier: BSD-2-Clause
"""Runs in a terminal of its own: Ctrl-C, and a proxy that prompts on /dev/tty."""

import fcntl
import json
import signal
import sys
import termios
import threading

from sshgateway import ProxyCommand
from support.waiting import until_blocked

# Make it the controlling terminal of our session, as a login does.
fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def say_ready_when_blocked() -> None:
    until_blocked(threading.main_thread())
    print("ready", flush=True)


if sys.argv[1] == "ctrl-c":
    with ProxyCommand("cat") as sock:
        try:
            threading.Thread(target=say_ready_when_blocked).start()
            sock.recv(1)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        sock.sendall(b"alive")
        print(sock.recv(10).decode(), flush=True)
        assert sock.returncode is None
elif sys.argv[1] == "quit":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGQUIT})
    with ProxyCommand("cat") as sock:
        print("ready", flush=True)
        assert signal.sigwait({signal.SIGQUIT}) == signal.SIGQUIT
        print("interrupted", flush=True)
        sock.sendall(b"alive")
        print(sock.recv(10).decode(), flush=True)
else:
    with ProxyCommand(json.loads(sys.argv[2])) as sock:
        sock.settimeout(20)
        print("received", sock.recv(8), flush=True)
