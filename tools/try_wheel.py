# SPDX-License-Identifier: BSD-2-Clause
"""try_wheel.py OPENSSL: try an installed wheel on a system where our tests do not run.

OPENSSL is the version of deps/openssl.  The script needs no package, and no program but cat.
It checks that the extension loads, that it contains the pinned libssh2 and that OpenSSL, and
that a stream moves bytes.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import sshgateway

SIZE = 1_000_000  # bytes, more than the buffers of a pipe and of a socket


def check_libraries(openssl: str) -> None:
    facts = sshgateway.build_info()
    print(sshgateway.__version__, Path(sshgateway.__file__).parent, facts)
    if facts["libssh2"] != "pinned" or facts["openssl_version"] != openssl:
        sys.exit(f"try_wheel.py: this is not the pinned libssh2 with OpenSSL {openssl}")


def check_stream() -> None:
    data = bytes(range(250)) * (SIZE // 250)
    with sshgateway.ProxyCommand("cat") as sock:
        sock.settimeout(60)
        sender = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
        sender.start()
        received = bytearray()
        while len(received) < SIZE:
            piece = sock.recv(65536)
            if not piece:
                break
            received += piece
        sender.join()
    if received != data:
        sys.exit(f"try_wheel.py: {len(received)} bytes of {SIZE} came back, or they differ")


check_libraries(sys.argv[1])
check_stream()
