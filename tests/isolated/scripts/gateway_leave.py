# SPDX-License-Identifier: BSD-2-Clause
"""Leaves the interpreter with a gateway and channels open, in one of several ways.

Its last line is "leaving".
"""

import atexit
import json
import sys
import threading

from sshgateway import Gateway
from support.waiting import until_blocked

way, settings, address = sys.argv[1], json.loads(sys.argv[2]), tuple(json.loads(sys.argv[3]))
gateway = Gateway(**settings)
channels = [gateway.open_channel("direct-tcpip", address) for _ in range(3)]
for channel in channels:
    channel.settimeout(20)
    channel.sendall(b"hello")
    assert channel.recv(5) == b"hello"

if way == "thread":
    for channel in channels:
        thread = threading.Thread(target=channel.recv, args=(1,), daemon=True)
        thread.start()
        until_blocked(thread)
elif way == "opening":
    thread = threading.Thread(
        target=gateway.open_channel, args=("direct-tcpip", tuple(json.loads(sys.argv[4]))),
        daemon=True,
    )  # fmt: skip
    thread.start()
    until_blocked(thread)
elif way == "cycle":
    channels.append(channels)  # type: ignore[arg-type]
    del channels, channel
elif way == "closed":
    for channel in channels:
        channel.close()
    gateway.close()
elif way == "gateway-closed":
    gateway.close()
elif way == "data":
    for channel in channels:
        channel.setblocking(False)
        channel.send(b"x" * 10_000_000)
elif way == "atexit":
    # Functions registered with atexit can use a gateway, and can open one again.
    @atexit.register
    def last_words() -> None:
        channels[0].sendall(b"x")
        assert channels[0].recv(1) == b"x"
        gateway.close()
        with gateway.open_channel("direct-tcpip", address) as late:
            late.settimeout(20)
            late.sendall(b"late")
            assert late.recv(4) == b"late"


print("leaving", flush=True)
if way == "exit":
    sys.exit(0)
