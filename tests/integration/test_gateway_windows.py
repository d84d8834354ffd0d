# SPDX-License-Identifier: BSD-2-Clause
"""The window that a channel grants, as its peer sees it, and the counters."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys

import pytest

from support import delay_relay, gateways, scripted
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import digest, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker, at_last, until

KIB, MIB = 1024, 1024 * 1024


class Peer(scripted.ParamikoServer):
    """A server whose channels do nothing by themselves; the test finds them in ``.channels``."""

    def __init__(self, sshd) -> None:
        super().__init__(sshd, password="x")
        self.channels: list = []

    def _echo(self, channel) -> None:
        channel.settimeout(4 * DEADLINE)
        self.channels.append(channel)


@pytest.fixture
def peer(sshd):
    with Peer(sshd) as peer, peer.gateway() as peer.client:
        yield peer


def opened(peer: Peer, **options):
    """Our channel, and the peer's channel object."""
    ours = gateways.connect(peer.client, ("target", 22), **options)
    ours.settimeout(4 * DEADLINE)
    number = peer.client.stats.channels_opened
    until(lambda: len(peer.channels) == number, "the peer has it")
    return ours, peer.channels[-1]


def window(theirs) -> int:
    """The number of bytes that the peer may send now."""
    return theirs.out_window_size


def test_the_window_is_two_mebibytes_at_first(peer) -> None:
    ours, theirs = opened(peer)
    until(lambda: window(theirs) == 2 * MIB, "the window is open")
    ours.close()


@pytest.mark.parametrize("size", [1024, 100_000, 32 * MIB])
def test_window_size_is_obeyed(peer, size: int) -> None:
    ours, theirs = opened(peer, window_size=size)
    until(lambda: window(theirs) == size, "the window is open")
    ours.close()


def test_the_first_kilobytes_need_no_window_adjustment(peer) -> None:
    """An open grants 4 KiB at once, enough for the banner and the first packet of SSH."""
    seen = []
    theirs_on_open = peer._echo
    peer._echo = lambda channel: (seen.append(window(channel)), theirs_on_open(channel))
    ours, _ = opened(peer)
    assert seen[0] >= 4 * KIB
    ours.close()


def flood(ours, theirs, megabytes: int) -> int:
    """The largest window that the peer sees while it sends *megabytes*."""
    largest = 0
    for _ in range(10 * megabytes):
        sender = Worker(theirs.sendall, bytes(100_000))
        recv_exactly(ours, 100_000)
        sender.result()
        largest = max(largest, window(theirs))
    return largest


def test_the_window_does_not_grow_over_a_short_round_trip(sshd) -> None:
    """With a short round trip the window does not limit the sender, and memory would be wasted."""

    def it_stays() -> None:  # true only if the peer, a thread of this process, answers at once
        with Peer(sshd) as peer, peer.gateway() as peer.client:
            ours, theirs = opened(peer)
            largest = flood(ours, theirs, 10)
            ours.close()
        assert largest <= 2 * MIB

    at_last(it_stays)


@contextlib.contextmanager
def distant(address, delay: float):
    """A port that leads to *address* with a delay of *delay* seconds each way."""
    command = [sys.executable, delay_relay.__file__, str(address[1]), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relay:
        assert relay.stdin is not None and relay.stdout is not None
        yield "127.0.0.1", int(relay.stdout.readline())
        relay.stdin.close()


def largest_window_over(sshd, delay: float) -> int:
    with (
        Peer(sshd) as peer,
        distant(peer.address, delay) as address,
        gateways.to_address(address, strict_host_key_checking="no", password="x") as peer.client,
    ):
        ours, theirs = opened(peer)
        theirs.settimeout(8 * DEADLINE)
        sender = Worker(theirs.sendall, bytes(40 * MIB))
        left, largest = 40 * MIB, 0
        ours.settimeout(8 * DEADLINE)
        while left:
            left -= len(ours.recv(left))
            largest = max(largest, window(theirs))
        sender.result()
        ours.close()
    assert largest <= 16 * MIB
    return largest


@pytest.mark.slow
def test_the_window_grows_over_a_long_round_trip_while_the_reader_keeps_up(sshd) -> None:
    """A busy machine may not fill two mebibytes in the shorter delay, hence the longer one."""
    assert any(largest_window_over(sshd, delay) >= 4 * MIB for delay in (0.1, 0.5))


def test_the_window_does_not_grow_for_a_reader_that_stops(peer) -> None:
    """The peer can send the granted bytes and no more; all of them arrive when they are read."""
    ours, theirs = opened(peer)
    until(lambda: window(theirs) == 2 * MIB, "the window is open")
    theirs.setblocking(False)
    data = payload(4 * MIB)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += theirs.send(data[sent : sent + 32768])
    # The session has read at least as much as the socket of the stream holds.
    ends = socket.socketpair()
    with ends[0] as probe, ends[1]:
        held = 2 * probe.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert 2 * MIB <= sent <= 3 * MIB + held
    theirs.setblocking(True)
    theirs.settimeout(4 * DEADLINE)
    sender = Worker(theirs.sendall, data[sent:])
    assert digest(recv_exactly(ours, len(data))) == digest(data)
    sender.result()
    ours.close()


def test_many_channels_have_smaller_windows_at_first(peer) -> None:
    pairs = [opened(peer) for _ in range(200)]
    until(lambda: window(pairs[0][1]) == 2 * MIB, "the first window is open")
    until(lambda: window(pairs[-1][1]) > 4 * KIB, "the last window is open")
    assert window(pairs[-1][1]) == 128 * KIB
    for ours, _ in pairs:
        ours.close()


def test_data_that_uses_the_window_to_the_last_byte_arrives(peer) -> None:
    """The peer then sends nothing more."""
    for size in (1024, 5000, 100_000):
        ours, theirs = opened(peer, window_size=size)
        until(lambda: window(theirs) == size, "the window is open")  # noqa: B023
        data = payload(size)
        theirs.sendall(data)
        assert recv_exactly(ours, size) == data
        theirs.sendall(data)
        theirs.close()
        assert recv_all(ours) == data
        ours.close()


# --- Counters -------------------------------------------------------------------------------


def test_the_counters_of_a_gateway_that_was_never_open_are_0(sshd) -> None:
    stats = gateways.to(sshd).stats
    assert stats.bytes_sent == stats.bytes_received == stats.channels_opened == stats.rekeys == 0
    assert stats.round_trip is None
    assert stats.cipher == stats.server_version == ""
    assert stats.libssh2_version[0] == "1"


def test_bytes_and_channels_are_counted(sshd) -> None:
    with Target(gateways.echo) as target, gateways.to(sshd) as gateway:
        fresh = gateway.stats
        assert fresh.bytes_sent > 500 < fresh.bytes_received, "the handshake must be counted"
        assert (fresh.channels_open, fresh.channels_opened, fresh.rekeys) == (0, 0, 0)
        assert fresh.cipher.startswith("aes") and fresh.mac and fresh.kex and fresh.host_key
        assert fresh.server_version.startswith("SSH-2.0-OpenSSH")
        first, second = (gateway.open_channel("direct-tcpip", target.address) for _ in range(2))
        assert (gateway.stats.channels_open, gateway.stats.channels_opened) == (2, 2)
        data = payload(100_000)
        first.settimeout(4 * DEADLINE)
        sender = Worker(first.sendall, data)
        assert recv_exactly(first, len(data)) == data
        sender.result()
        assert (first.bytes_sent, first.bytes_received) == (len(data), len(data))
        assert (second.bytes_sent, second.bytes_received) == (0, 0)
        now = gateway.stats
        for before, after in (
            (fresh.bytes_sent, now.bytes_sent),
            (fresh.bytes_received, now.bytes_received),
        ):
            assert len(data) < after - before < 1.1 * len(data) + 2000
        first.close()
        until(lambda: gateway.stats.channels_open == 1, "the closed channel is no longer counted")
        with contextlib.suppress(OSError):
            gateway.open_channel("direct-tcpip", ("127.0.0.1", gateways.closed_port()))
        assert gateway.stats.channels_opened == 2, "a refused channel must not be counted"
        second.close()
    until(lambda: gateway.stats.channels_open == 0, "no channel is counted")
    assert gateway.stats.bytes_sent >= now.bytes_sent, (
        "the counters of the last connection must be kept"
    )


def test_rekeys_are_counted() -> None:
    with (
        PrivateSshd({"RekeyLimit": "1M"}) as server,
        Target(gateways.echo) as target,
        gateways.to(server) as gateway,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(4 * DEADLINE)
        data = payload(10 * MIB)
        sender = Worker(channel.sendall, data)
        assert digest(recv_exactly(channel, len(data))) == digest(data)
        sender.result()
        assert 4 <= gateway.stats.rekeys <= 40
        assert gateway.is_connected
