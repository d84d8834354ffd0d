# SPDX-License-Identifier: BSD-2-Clause
"""asyncssh for a caller that waits for one thing at a time.

Its event loop runs in the caller's thread while recv() or send() has to wait, so no data
has to pass from one thread to another.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib

import asyncssh

from bench.servers import Address, Login


class Stream(asyncssh.SSHTCPSession[bytes]):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: collections.deque[bytes] = collections.deque()
        self._has_ended = False
        self._is_waited_for = False
        self._must_wait_to_send = False

    # ---- called by asyncssh ----

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._pieces.append(data)
        self._wake()

    def eof_received(self) -> bool:
        self._has_ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        self._must_wait_to_send = False
        self._wake()

    def pause_writing(self) -> None:
        self._must_wait_to_send = True

    def resume_writing(self) -> None:
        self._must_wait_to_send = False
        self._wake()

    def _wake(self) -> None:
        if self._is_waited_for:
            self._loop.stop()

    # ---- called by the bench ----

    def _wait(self) -> None:
        self._is_waited_for = True
        self._loop.run_forever()
        self._is_waited_for = False

    def send(self, data: memoryview | bytes) -> int:
        self._channel.write(data)
        while self._must_wait_to_send:
            self._wait()
        return len(data)

    def recv(self, size: int) -> bytes:
        while not self._pieces and not self._has_ended:
            self._wait()
        if not self._pieces:
            return b""
        data = self._pieces.popleft()
        if len(data) > size:
            self._pieces.appendleft(data[size:])
            data = data[:size]
        return data

    def settimeout(self, timeout: float | None) -> None:
        pass

    def close(self) -> None:
        self._channel.close()


class Connection:
    def __init__(self, sshd: Login, port: int, agent: str | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._asked: list[asyncio.Task[None]] = []
        self._connection = self._loop.run_until_complete(
            asyncssh.connect(
                sshd.host,
                port,
                username=sshd.username,
                client_keys=() if agent else [sshd.user_key],
                known_hosts=sshd.known_hosts,
                config=None,
                agent_path=agent,
            )
        )

    def stream(self, address: Address) -> Stream:
        return self._loop.run_until_complete(self._open(address))

    async def _open(self, address: Address) -> Stream:
        _, stream = await self._connection.create_connection(lambda: Stream(self._loop), *address)
        assert isinstance(stream, Stream)
        return stream

    def ask(self, address: Address) -> None:
        async def stream() -> None:
            with contextlib.suppress(asyncssh.Error):
                await self._open(address)

        self._asked.append(self._loop.create_task(stream()))

    def wait(self, seconds: float) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        self._connection.abort()
        self._loop.run_until_complete(self._connection.wait_closed())
        if self._asked:
            self._loop.run_until_complete(asyncio.wait(self._asked))
        self._loop.close()
