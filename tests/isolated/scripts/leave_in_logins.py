# SPDX-License-Identifier: BSD-2-Clause
"""Leave the interpreter while daemon threads log in to a gateway again and again.

OpenSSL may free its memory at exit, while a thread without the GIL still uses it.
"""

import contextlib
import json
import sys
import threading
import time

from sshgateway import Gateway

settings, delay = json.loads(sys.argv[1]), float(sys.argv[2])


def log_in() -> None:
    while True:
        with contextlib.suppress(OSError), Gateway(**settings):
            logged_in.set()


logged_in = threading.Event()
for _ in range(3):
    threading.Thread(target=log_in, daemon=True).start()
assert logged_in.wait(60)
time.sleep(delay)  # so that each run leaves at another step of the logins
