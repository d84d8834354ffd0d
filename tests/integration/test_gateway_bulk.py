# SPDX-License-Identifier: BSD-2-Clause
"""Bulk data in both directions through rekeying, and accepted data that must all arrive."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest

from sshgateway import GatewayLostError
from support import gateways
from support.sshd import PrivateSshd
from support.streams import payload, recv_all
from support.waiting import DEADLINE, Worker

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def rekeying() -> Iterator[PrivateSshd]:
    with PrivateSshd({"RekeyLimit": "1M", "LogLevel": "DEBUG1"}, name="rekeying") as server:
        yield server


def rekeys(sshd: PrivateSshd) -> int:
    return sshd.log.count("rekey out after") + sshd.log.count("rekey in after")


def send_blocks(sock, blocks: int, seed: int) -> str:
    """Send *blocks* different blocks of 1 MiB, then the end; return their digest."""
    body, total = payload(MEGABYTE, seed), hashlib.sha256()
    for number in range(blocks):
        block = number.to_bytes(8, "big") + body[8:]
        total.update(block)
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)
    return total.hexdigest()


def receive_digest(sock) -> tuple[int, str]:
    size, total = 0, hashlib.sha256()
    while data := sock.recv(1 << 18):
        size += len(data)
        total.update(data)
    return size, total.hexdigest()


def both_ways_at_once(gateway, blocks: int) -> None:
    """This end and the target both send *blocks* MiB and receive as much."""
    at_target = []

    def exchange(sock) -> str:
        sender = Worker(send_blocks, sock, blocks, 2)
        at_target.append(receive_digest(sock))
        return sender.result(100)

    with gateways.Target(exchange) as target:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            channel.settimeout(8 * DEADLINE)
            sender = Worker(send_blocks, channel, blocks, 1)
            received = receive_digest(channel)
            sent = sender.result(100)
        (sent_by_target,) = target.results()
    assert at_target == [(blocks * MEGABYTE, sent)]
    assert received == (blocks * MEGABYTE, sent_by_target)


def test_both_ways_at_once_through_an_sshd_that_rekeys(rekeying) -> None:
    before = rekeys(rekeying)
    with gateways.to(rekeying) as gateway:
        both_ways_at_once(gateway, 10)
    assert rekeys(rekeying) >= before + 10


@pytest.mark.slow
@pytest.mark.limit(240)
def test_200_mb_both_ways_at_once_through_an_sshd_that_rekeys(rekeying) -> None:
    with gateways.to(rekeying) as gateway:
        both_ways_at_once(gateway, 200)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_four_channels_both_ways_at_once_through_an_sshd_that_rekeys(rekeying) -> None:
    with gateways.to(rekeying) as gateway:
        workers = [Worker(both_ways_at_once, gateway, 20) for _ in range(4)]
        for worker in workers:
            worker.result(100)


def test_channels_open_and_close_while_keys_change(rekeying) -> None:
    """An open, an EOF or a CLOSE may coincide with a key exchange."""
    done = threading.Event()

    def stream(sock) -> None:
        while not done.is_set():
            sock.sendall(b"x" * 65536)

    with (
        gateways.Target(stream) as busy,
        gateways.Target(gateways.echo) as target,
        gateways.to(rekeying) as gateway,
        gateway.open_channel("direct-tcpip", busy.address) as load,
    ):
        load.settimeout(4 * DEADLINE)
        reader = Worker(receive_digest, load)
        number = 0
        while number < 60 or gateway.stats.rekeys < 20:
            number += 1
            with gateway.open_channel("direct-tcpip", target.address) as channel:
                channel.settimeout(4 * DEADLINE)
                channel.sendall(b"%d" % number)
                channel.shutdown(socket.SHUT_WR)
                assert recv_all(channel) == b"%d" % number
        done.set()
        reader.result()


# --- No accepted data is lost -----------------------------------------------------------


def read_slowly(go: threading.Event):
    """Serve: begin to read when *go* is set, with small buffers."""

    def serve(sock: socket.socket) -> tuple[int, str]:
        assert go.wait(4 * DEADLINE)
        size, total = 0, hashlib.sha256()
        while data := sock.recv(10_000):
            size += len(data)
            total.update(data)
        return size, total.hexdigest()

    return serve


def read_a_little_at_a_time(sock: socket.socket) -> tuple[int, str]:
    """Serve: each pause is much shorter than the linger, but all together are longer."""
    never = threading.Event()
    size, total = 0, hashlib.sha256()
    while data := sock.recv(32768):
        size += len(data)
        total.update(data)
        never.wait(0.02)
    return size, total.hexdigest()


def small_buffered(target: gateways.Target) -> gateways.Target:
    target._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    return target


@pytest.mark.parametrize("how", ["close", "shutdown", "detach", "dup", "makefile", "drop"])
def test_a_megabyte_then_the_end_arrives_whole(how: str, sshd) -> None:
    """The target begins to read only after the end was sent."""
    data, go = payload(1_000_000), threading.Event()
    with small_buffered(gateways.Target(read_slowly(go))) as target, gateways.to(sshd) as gateway:
        channel = gateways.connect(gateway, target.address, linger=DEADLINE)
        channel.settimeout(4 * DEADLINE)
        channel.sendall(data)
        if how == "close":
            channel.close()
        elif how == "shutdown":
            channel.shutdown(socket.SHUT_WR)
            channel.close()
        elif how == "detach":
            socket.close(channel.detach())
        elif how == "dup":
            copy = channel.dup()
            channel.close()
            copy.close()
        elif how == "makefile":
            file = channel.makefile("rb")
            channel.close()
            file.close()
        else:
            with pytest.warns(ResourceWarning, match="unclosed"):
                del channel
        go.set()
        assert target.results() == [(len(data), hashlib.sha256(data).hexdigest())]


@pytest.mark.slow
def test_more_than_a_window_before_close_reaches_a_slow_reader(sshd, short_path) -> None:
    """The target is a Unix socket, because its buffer is small: behind a TCP socket, sshd
    stalls and continues by the megabyte."""
    data = payload(6_000_000)
    with (
        gateways.Target(read_a_little_at_a_time, str(short_path / "slow")) as target,
        gateways.to(sshd) as gateway,
        gateways.connect(
            gateway, target.address, kind="direct-streamlocal@openssh.com", linger=3
        ) as channel,
    ):
        channel.settimeout(4 * DEADLINE)
        channel.sendall(data)
        channel.close()
        assert target.results() == [(len(data), hashlib.sha256(data).hexdigest())]


def test_a_megabyte_then_the_end_of_the_gateway_arrives_whole(sshd) -> None:
    data, go = payload(1_000_000), threading.Event()
    with small_buffered(gateways.Target(read_slowly(go))) as target:
        gateway = gateways.to(sshd)
        channel = gateway.open_channel("direct-tcpip", target.address)
        channel.settimeout(4 * DEADLINE)
        channel.sendall(data)
        gateway.close()
        go.set()
        assert target.results() == [(len(data), hashlib.sha256(data).hexdigest())]
        with pytest.raises(GatewayLostError, match="this program closed") as caught:
            channel.recv(1)
        assert str(gateway) in str(caught.value)
        assert channel.recv(1) == b""
        channel.close()


def test_a_channel_whose_target_never_reads_ends_after_linger(sshd) -> None:
    """Only CLOSE can be sent then; other channels continue."""
    go = threading.Event()
    with small_buffered(gateways.Target(read_slowly(go))) as target, gateways.to(sshd) as gateway:
        channel = gateways.connect(gateway, target.address, linger=0.1)
        channel.setblocking(False)
        channel.send(payload(8_000_000))
        with gateways.Target(gateways.echo) as other:
            beside = gateway.open_channel("direct-tcpip", other.address)
            channel.close()
            beside.settimeout(DEADLINE)
            beside.sendall(b"beside")
            assert beside.recv(10) == b"beside"
            beside.close()
        go.set()
        assert target.results()[0][0] < 8_000_000
