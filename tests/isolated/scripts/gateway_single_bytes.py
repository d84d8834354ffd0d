# SPDX-License-Identifier: BSD-2-Clause
"""A server fills a window with packets of one byte that are not read; prints the memory."""

import sys

from support import gateways
from support.footprint import rss_kib
from support.streams import recv_exactly
from support.waiting import DEADLINE, until

PORT, WINDOW = int(sys.argv[1]), int(sys.argv[2])

gateway = gateways.to_address(("127.0.0.1", PORT), strict_host_key_checking="no", password="x")
with gateway:
    before = rss_kib()
    channel = gateway.open_channel("direct-tcpip", ("any", 1), None, WINDOW)
    with channel:
        enough = gateway.stats.bytes_received + 35 * WINDOW  # a packet has at least 35 bytes
        until(lambda: gateway.stats.bytes_received > enough, "the window is full", 40)
        kib = rss_kib() - before
        channel.settimeout(4 * DEADLINE)
        assert recv_exactly(channel, WINDOW) == b"x" * WINDOW
print("grown by", kib, "KiB")
