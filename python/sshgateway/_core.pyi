# SPDX-License-Identifier: BSD-2-Clause
"""Types of the C core. ``make check`` compares this file with the module (stubtest)."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Literal, Protocol, TypeAlias, final

from typing_extensions import Buffer, disjoint_base

from sshgateway._channel_args import ChannelKind
from sshgateway.gateway import Gateway

_Argument: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

# For type checkers a stream is a socket.socket, so that a function that takes one takes a
# stream. At run time it is another class, which has the methods of a connected socket but not
# accept(), bind(), connect(), listen() and sendto(). Whatever is not named here is as in socket.
@disjoint_base
class Stream(socket.socket):
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def dup(self) -> socket.socket: ...  # type: ignore[override]
    def settimeout(self, seconds: float | None, /) -> None: ...

@disjoint_base
class ProxyCommand(Stream):
    def __init__(
        self,
        command_line: str | Sequence[_Argument],
        *,
        shell: bool = False,
        stderr: int | _HasFileno | None = -1,
        env: Mapping[Any, Any] | None = None,
        cwd: _Argument | None = None,
        start_new_session: bool = False,
        peername: Any = None,
        linger: float = 1.0,
        fdpass: bool = False,
        timeout: float | None = None,
    ) -> None: ...
    @property
    def cmd(self) -> list[str]: ...
    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stderr(self) -> str: ...

LIBSSH2_VERSION: str
LIBSSH2_NUMBER: int
BUILD_LIBSSH2: Literal["pinned", "system"]
BUILD_PATCHES: str
BUILD_OPENSSL: str | None
BUILD_POLLER: Literal["epoll", "poll"]
OFFERED_KEX: str
OFFERED_HOST_KEYS: str
OFFERED_HOST_CERTIFICATES: str
OFFERED_CIPHERS: str
OFFERED_MACS: str

@final
class Session:
    def __init__(self, fd: int, by_messages: bool = True) -> None: ...
    def handshake(
        self,
        kex: str | None,
        host_keys: str | None,
        ciphers: str | None,
        macs: str | None,
        timeout: float | None,
        /,
    ) -> None: ...
    def userauth_send(self, message: Buffer, timeout: float | None, /) -> None: ...
    def userauth_receive(self, timeout: float | None, /) -> bytes: ...
    def key_public(self, key: Buffer, passphrase: str | None, /) -> bytes: ...
    def key_sign(
        self, algorithm: str, key: Buffer, passphrase: str | None, data: Buffer, /
    ) -> bytes: ...
    def auth_none(self, user: str, timeout: float | None, /) -> str | None: ...
    def auth_password(
        self, user: str, password: Buffer, timeout: float | None, /
    ) -> tuple[int, str] | None: ...
    def auth_key(
        self,
        user: str,
        key: Buffer,
        passphrase: str | None,
        certificate: str | None,
        timeout: float | None,
        /,
    ) -> tuple[int, str] | None: ...
    def auth_signer(
        self,
        user: str,
        blob: Buffer,
        sign: Callable[[str, bytes], bytes],
        timeout: float | None,
        /,
    ) -> tuple[int, str] | None: ...
    def auth_interactive(
        self,
        user: str,
        ask: Callable[[str, str, str, bool], str | None],
        timeout: float | None,
        /,
    ) -> tuple[int, str] | None: ...
    def start(self, alive_interval: float, alive_count_max: int, /) -> None: ...
    def close(self) -> None: ...
    @property
    def by_messages(self) -> bool: ...
    @property
    def hello(self) -> bytes: ...
    @property
    def session_id(self) -> bytes: ...
    @property
    def server_sig_algs(self) -> str | None: ...
    @property
    def host_key(self) -> bytes: ...
    @property
    def methods(self) -> dict[str, str]: ...
    @property
    def counts(self) -> dict[str, int]: ...
    @property
    def failure(self) -> tuple[int, str] | None: ...
    @property
    def is_alive(self) -> bool: ...

@disjoint_base
class DirectTcpipChannel(Stream):
    def __init__(
        self,
        gateway: Gateway,
        dest_addr: tuple[str, int] | str | os.PathLike[str],
        src_addr: tuple[str, int] | None = ("", 0),
        *,
        kind: ChannelKind = "direct-tcpip",
        window_size: int | None = None,
        max_packet_size: int | None = None,
        timeout: float | EllipsisType | None = ...,
        linger: float = 1.0,
    ) -> None: ...
    @property
    def gateway(self) -> Gateway: ...
    @property
    def dest_addr(self) -> tuple[str, int] | str: ...
