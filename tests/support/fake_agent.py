# SPDX-License-Identifier: BSD-2-Clause
"""An agent on a Unix socket whose replies a test decides."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko

from support.gateways import Target

REFUSE = b"\5"  # SSH_AGENT_FAILURE


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class FakeAgent(Target):
    """``with FakeAgent(directory / "agent", [key]) as agent: ...``

    - path: the socket.
    - keys: Paramiko's keys, ed25519 or ECDSA.
    - on_list, on_sign: called before the agent lists its keys, or signs. They may wait. The
      agent replies with the bytes that they return, if any, instead of its own.

    .signed: the number of requests for a signature so far.
    """

    def __init__(
        self,
        path: Path,
        keys: Sequence[paramiko.PKey],
        *,
        on_list: Callable[[], bytes | None] = lambda: None,
        on_sign: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        super().__init__(self._serve_agent, str(path))
        self.path = str(path)
        self._keys = {key.asbytes(): key for key in keys}
        self._on_list = on_list
        self._on_sign = on_sign
        self.signed = 0

    def _serve_agent(self, sock: socket.socket) -> None:
        with sock.makefile("rwb") as stream:
            while head := stream.read(4):
                message = paramiko.Message(stream.read(int.from_bytes(head)))
                reply = self._list() if message.get_byte() == b"\x0b" else self._sign(message)
                stream.write(_string(reply))
                stream.flush()

    def _list(self) -> bytes:
        body = b"".join(_string(blob) + _string(b"fake") for blob in self._keys)
        own = b"\x0c" + struct.pack(">I", len(self._keys)) + body
        return self._on_list() or own

    def _sign(self, message: paramiko.Message) -> bytes:
        self.signed += 1
        if other := self._on_sign():
            return other
        key = self._keys[message.get_binary()]
        return b"\x0e" + _string(key.sign_ssh_data(message.get_binary()).asbytes())
