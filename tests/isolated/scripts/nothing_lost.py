# SPDX-License-Identifier: BSD-2-Clause
"""Sends 1 MB, then ends the stream in one of several ways; a slow reader gets all of it.

Each pause of the reader is shorter than `linger`, but all together are longer.  Its last
part fits into its pipe (64 KiB), where progress can no longer be seen.
"""

import os
import socket
import sys

from sshgateway import ProxyCommand
from support.footprint import children
from support.streams import digest, payload
from support.waiting import exited

READER = """
import hashlib, os, sys, time
total = hashlib.sha256()
count = 0
while data := os.read(0, 65536 if count < 900_000 else 4096):
    total.update(data)
    count += len(data)
    time.sleep(float(sys.argv[1]))
os.write(2, f"{count} {total.hexdigest()}".encode())
"""

how, path, pause = sys.argv[1:]
data = payload(1_000_000)
with open(path, "wb") as log:
    sock = ProxyCommand(
        [sys.executable, "-S", "-c", READER, pause], stderr=log, linger=10 * float(pause)
    )
sock.sendall(data)
if how == "close":
    sock.close()
elif how == "shutdown":
    sock.shutdown(socket.SHUT_WR)
    sock.close()
elif how == "detach":
    os.close(sock.detach())
elif how == "dup":
    copy = sock.dup()
    sock.close()
    copy.close()
elif how == "makefile":
    file = sock.makefile("rb")
    sock.close()
    file.close()
for pid in children():  # exit would wait for 1 s at most
    assert exited(pid, 60)
print(len(data), digest(data))
