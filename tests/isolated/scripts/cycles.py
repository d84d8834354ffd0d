# SPDX-License-Identifier: BSD-2-Clause
"""Opens and closes streams many times: nothing is left, and memory does not grow."""

import contextlib
import gc
import sys

from sshgateway import ProxyCommand
from support.footprint import Snapshot, rss_kib

CYCLES = int(sys.argv[1])
BESIDE = sys.argv[2] == "beside"  # another stream is open, so the loop's thread stays


def one(number: int) -> None:
    with ProxyCommand("cat") as sock:
        if number % 4 == 0:
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
        elif number % 4 == 1:
            with sock.makefile("rb") as file:
                assert file.fileno() == sock.fileno()
        elif number % 4 == 2:
            sock.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                sock.recv(1)


def cycles(count: int) -> None:
    for number in range(count):
        one(number)
        with contextlib.suppress(FileNotFoundError):
            ProxyCommand("/nonexistent/program")


clean = Snapshot.take()
other = ProxyCommand("cat") if BESIDE else None
cycles(CYCLES // 4)  # warm-up for the caches of Python and the arenas of malloc
gc.collect()
before, warm = Snapshot.take(), rss_kib()
cycles(CYCLES)
gc.collect()
if other:
    left = before.wait_clean(10)
    assert not left, left
    other.close()
left = clean.wait_clean(10)
assert not left, left
grown = rss_kib() - warm
print("grown by", grown, "KiB")
