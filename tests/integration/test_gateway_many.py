# SPDX-License-Identifier: BSD-2-Clause
"""Many channels on one gateway, odd sizes, and messages that a server sends unasked."""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import threading

import pytest

from sshgateway import _messages
from support import gateways, scripted
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import digest, fill, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker, readable

MEGABYTE = 1_000_000


def echoes(channel, data: bytes = b"hello") -> None:
    channel.settimeout(4 * DEADLINE)
    sender = Worker(channel.sendall, data)
    assert digest(recv_exactly(channel, len(data))) == digest(data)
    sender.result()


class SelectingEcho(Target):
    """An echo server with one thread for any number of connections."""

    def __init__(self) -> None:
        super().__init__(gateways.echo)

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        socks: dict[int, socket.socket] = {}
        while True:
            for fd, _ in poller.poll():
                if fd not in socks:
                    try:
                        sock, _ = self._listener.accept()
                    except OSError:
                        for sock in socks.values():
                            sock.close()
                        return
                    socks[sock.fileno()] = sock
                    poller.register(sock, select.POLLIN)
                    continue
                data = b""
                with contextlib.suppress(OSError):
                    data = socks[fd].recv(65536)
                    socks[fd].sendall(data)
                if not data:
                    poller.unregister(fd)
                    socks.pop(fd).close()


@pytest.mark.slow
@pytest.mark.limit(60)
def test_300_channels_work_at_once(sshd) -> None:
    with SelectingEcho() as target, gateways.to(sshd) as gateway:
        channels = [gateway.open_channel("direct-tcpip", target.address) for _ in range(300)]
        for round_ in range(3):
            for number, channel in enumerate(channels):
                channel.settimeout(4 * DEADLINE)
                channel.sendall(b"%4d%4d" % (round_, number) * 64)
            for number, channel in enumerate(channels):
                assert recv_exactly(channel, 512) == b"%4d%4d" % (round_, number) * 64
        for channel in channels:
            channel.close()


def test_a_reader_that_stops_delays_only_its_own_channel(sshd) -> None:
    """10 MB wait unread in its channel, while 20 MB pass in another, in both directions."""

    def flood(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(bytes(10 * MEGABYTE))

    with (
        Target(flood) as flooding,
        Target(gateways.echo) as target,
        gateways.to(sshd) as gateway,
        gateway.open_channel("direct-tcpip", flooding.address) as stopped,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        assert readable(stopped)
        echoes(channel, payload(20 * MEGABYTE))
        stopped.settimeout(4 * DEADLINE)
        assert len(recv_all(stopped)) == 10 * MEGABYTE


def test_a_target_that_does_not_read_delays_only_its_own_channel(sshd) -> None:
    with (
        Target(scripted.never) as deaf,
        Target(gateways.echo) as target,
        gateways.to(sshd) as gateway,
        gateways.connect(gateway, deaf.address, linger=0) as full,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        fill(full)
        echoes(channel, payload(20 * MEGABYTE))


@pytest.mark.parametrize("window", [1024, 100_000, 8 << 20])
@pytest.mark.parametrize("packet", [1024, 32768, 1 << 20])
def test_windows_and_packets_of_any_size_work(sshd, window: int, packet: int) -> None:
    size = 50_000 if window == 1024 else 3 * MEGABYTE
    with Target(gateways.echo) as target, gateways.to(sshd) as gateway:
        channel = gateway.open_channel(
            "direct-tcpip", target.address, ("", 0), window_size=window, max_packet_size=packet
        )
        with channel:
            echoes(channel, payload(size))


def test_single_bytes_pass_in_both_directions(sshd) -> None:
    with (
        Target(gateways.echo) as target,
        gateways.to(sshd) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(DEADLINE)
        data = payload(3000)

        def send() -> None:
            for value in data:
                channel.sendall(bytes([value]))

        sender = Worker(send)
        assert recv_exactly(channel, len(data)) == data
        sender.result()


def test_the_end_of_the_target_comes_after_its_last_byte(sshd) -> None:
    """Data, EOF and CLOSE arrive together, many times."""
    data = payload(100_000)
    expected = hashlib.sha256(data).hexdigest()
    with Target(lambda sock: sock.sendall(data)) as target, gateways.to(sshd) as gateway:
        for _ in range(30):
            with gateway.open_channel("direct-tcpip", target.address) as channel:
                channel.settimeout(DEADLINE)
                assert digest(recv_all(channel)) == expected


def test_a_reset_of_the_target_is_the_end_of_the_stream(sshd) -> None:

    def resets_when_asked(sock: socket.socket) -> None:
        sock.recv(1)
        scripted.resets(sock)

    with Target(resets_when_asked) as target, gateways.to(sshd) as gateway:
        for _ in range(10):
            with gateway.open_channel("direct-tcpip", target.address) as channel:
                channel.settimeout(DEADLINE)
                channel.sendall(b"x")
                assert channel.recv(1) == b""
        assert gateway.is_connected


# --- Messages that the server sends unasked ---------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"ClientAliveInterval": "1", "ClientAliveCountMax": "3"},
        {"RekeyLimit": "default 1s"},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [0, 1])
def test_an_idle_gateway_answers_its_server(options, channels: int) -> None:
    """libssh2 reads only when it is called, and no caller reads from an idle gateway."""
    with (
        PrivateSshd(options) as server,
        Target(gateways.echo) as target,
        gateways.to(server) as gateway,
        contextlib.ExitStack() as stack,
    ):
        idle = [
            stack.enter_context(gateway.open_channel("direct-tcpip", target.address))
            for _ in range(channels)
        ]
        threading.Event().wait(5.5)  # the server sends one message each second
        assert gateway.is_connected
        for channel in idle:
            echoes(channel)
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            echoes(channel, payload(300_000))
        assert gateways.logins(server) == 1


def test_a_banner_before_the_login_is_skipped(tmp_path) -> None:
    banner = tmp_path / "banner"
    banner.write_text("Authorized use only.\n" * 200)
    with PrivateSshd({"Banner": str(banner)}) as server, gateways.to(server) as gateway:
        assert gateway.is_connected


def test_max_sessions_does_not_count_channels() -> None:
    with (
        PrivateSshd({"MaxSessions": "1"}) as server,
        Target(gateways.echo) as target,
        gateways.to(server) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as first,
        gateway.open_channel("direct-tcpip", target.address) as second,
    ):
        echoes(first)
        echoes(second)


@pytest.mark.parametrize("cipher", ["aes128-ctr", "aes256-ctr", "aes128-gcm@openssh.com"])
def test_each_cipher_works(cipher: str) -> None:
    from sshgateway import _core

    if "gcm" in cipher and _core.LIBSSH2_NUMBER < 0x010B00:
        pytest.skip("libssh2 1.10 has no GCM")
    with (
        PrivateSshd({"Ciphers": cipher}) as server,
        Target(gateways.echo) as target,
        gateways.to(server) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        assert gateway.methods["cipher"] == cipher
        echoes(channel, payload(2 * MEGABYTE))


def test_a_tcp_timeout_of_the_connection_is_a_loss_and_not_a_timeouterror() -> None:
    """ETIMEDOUT would be TimeoutError, which Paramiko retries without limit."""
    error = _messages.gateway_lost(110, "who@where:22", "Connection timed out")
    assert isinstance(error, ConnectionResetError)
    assert not isinstance(error, TimeoutError)
