# SPDX-License-Identifier: BSD-2-Clause
"""The list of buffers of sendmsg() and recvmsg_into()."""

from __future__ import annotations

import sys

import pytest

from sshgateway import ProxyCommand


class Clearing:
    """A buffer that empties a list when it is acquired (PEP 688)."""

    def __init__(self, buffers: list[object]) -> None:
        self.buffers = buffers

    def __buffer__(self, flags: int) -> memoryview:
        self.buffers.clear()
        return memoryview(bytearray(4))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 added __buffer__()")
@pytest.mark.parametrize("name", ["sendmsg", "recvmsg_into"])
def test_a_buffer_may_change_the_list_that_it_is_in(name: str) -> None:
    buffers: list[object] = []
    buffers += [Clearing(buffers), *(bytearray(i + 1) for i in range(100))]
    with ProxyCommand(["echo", "text"] if name == "recvmsg_into" else "cat") as sock:
        sock.settimeout(10)
        result = getattr(sock, name)(buffers)
    assert result == 4 + 5050 if name == "sendmsg" else result[0] == 5
    assert buffers == []
