# SPDX-License-Identifier: BSD-2-Clause
"""A gateway under load, and the loss of a gateway under load."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import random
import signal
import socket
import threading
import time

import paramiko
import pytest

from sshgateway import ChannelOpenError, GatewayLostError, build_info
from support import fresh, gateways, scripted
from support.crowd import Crowd
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import digest, payload, recv_exactly
from support.waiting import DEADLINE, Worker, until

TARGETS = 20
MEGABYTE = 1_000_000
# AddressSanitizer's shadow memory and quarantine grow independently of our code.
SANITIZED = fresh.PRELOAD is not None


@pytest.fixture
def server():
    with PrivateSshd() as server:
        yield server


@pytest.fixture
def crowd():
    with Crowd() as crowd:
        yield crowd


def echoes(channel, data: bytes) -> None:
    channel.settimeout(4 * DEADLINE)
    sender = Worker(channel.sendall, data)
    assert digest(recv_exactly(channel, len(data))) == digest(data)
    sender.result()


# --- Twenty targets -------------------------------------------------------------------------


def sftp_both_ways(gateway, server: PrivateSshd, path) -> None:
    """A Paramiko session in a channel: put a file, compare its checksum, get it back."""
    data = random.randbytes(3 * MEGABYTE)
    path.mkdir()
    (path / "here").write_bytes(data)
    with (
        gateway.open_channel("direct-tcpip", (server.host, server.port)) as sock,
        paramiko.SSHClient() as client,
    ):
        client.load_host_keys(str(server.known_hosts))
        client.connect(
            server.host,
            server.port,
            server.username,
            key_filename=str(server.user_key),
            sock=sock,
            timeout=gateways.OPEN,
            banner_timeout=gateways.OPEN,
            auth_timeout=gateways.OPEN,
            allow_agent=False,
            look_for_keys=False,
        )
        with client.open_sftp() as sftp:
            sftp.put(str(path / "here"), str(path / "there"))
            stdin, stdout, stderr = client.exec_command(f"sha256sum {path}/there")
            with stdin, stdout, stderr:
                said = stdout.read().split()[0].decode()
            assert said == hashlib.sha256(data).hexdigest()
            sftp.get(str(path / "there"), str(path / "back"))
        assert (path / "back").read_bytes() == data


def open_use_close(gateway, crowd) -> None:
    with gateway.open_channel("direct-tcpip", crowd.echo) as channel:
        echoes(channel, b"x" * 1000)


def time_out_reading(gateway, crowd) -> None:
    with gateway.open_channel("direct-tcpip", crowd.echo) as channel:
        channel.settimeout(0.01)
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            channel.recv(1)


def time_out_opening(gateway, crowd) -> None:
    with contextlib.suppress(TimeoutError):
        gateway.open_channel("direct-tcpip", crowd.echo, timeout=0.0005).close()


def close_amid_a_flood(gateway, crowd) -> None:
    with gateway.open_channel("direct-tcpip", crowd.flood) as channel:
        channel.settimeout(4 * DEADLINE)
        assert channel.recv(100_000)


def drop_in_a_cycle(gateway, crowd) -> None:
    cycle = [gateway.open_channel("direct-tcpip", crowd.flood)]
    cycle.append(cycle)
    del cycle
    gc.collect()


def be_refused(gateway, crowd) -> None:
    with pytest.raises(ChannelOpenError):
        gateway.open_channel("direct-tcpip", ("127.0.0.1", gateways.closed_port()))


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_twenty_targets_work_at_once_while_channels_come_and_go(server, crowd, tmp_path) -> None:
    over = threading.Event()

    def again_and_again(disturb) -> int:
        times = 0
        while not over.is_set():
            disturb(gateway, crowd)
            times += 1
        return times

    with gateways.to(server) as gateway:
        gateway.open()
        disturbers = [
            Worker(again_and_again, disturb)
            for disturb in (
                open_use_close, time_out_reading, time_out_opening,
                close_amid_a_flood, drop_in_a_cycle, be_refused,
            )
        ]  # fmt: skip
        workers = [
            Worker(sftp_both_ways, gateway, server, tmp_path / str(number))
            for number in range(TARGETS)
        ]
        for worker in workers:
            worker.result(100)
        over.set()
        for disturber in disturbers:
            assert disturber.result() > 0
        gc.collect()
        until(lambda: gateway.stats.channels_open == 0, "all are closed")
        assert gateways.logins(server) == TARGETS + 1, "one gateway must serve all"


# --- A target that does not answer ----------------------------------------------------------


@pytest.mark.skipif(
    build_info()["libssh2"] == "pinned", reason="it costs nothing; see test_gateway_waiting.py"
)
def test_a_black_hole_delays_only_later_opens(server, crowd) -> None:
    """libssh2 1.10 and 1.11 open channels strictly one after the other."""
    with gateways.to(server) as gateway, contextlib.ExitStack() as stack:
        before = stack.enter_context(gateway.open_channel("direct-tcpip", crowd.echo))
        with scripted.black_hole() as (listener, fillers):
            hole = listener.getsockname()
            start = time.monotonic()
            sent = gateway.stats.bytes_sent
            openers = []
            for address, timeout in ((hole, 0.6), (crowd.echo, 0.4), (crowd.echo, 0.8)):
                openers.append(
                    Worker(
                        gateway.open_channel, "direct-tcpip", address, None, None, None, timeout
                    )
                )
                until(lambda: gateway.stats.bytes_sent > sent, "the first is under way")
            for opener, timeout in ((openers[1], 0.4), (openers[0], 0.6), (openers[2], 0.8)):
                echoes(before, payload(100_000))
                with pytest.raises(TimeoutError, match=f"within {timeout:g} s"):
                    opener.result()
                assert time.monotonic() - start > timeout * 0.95
            assert time.monotonic() - start < 0.8 + DEADLINE
            behind = Worker(gateway.open_channel, "direct-tcpip", crowd.echo)
            for _ in range(len(fillers) + 1):
                listener.accept()[0].close()
        with behind.result() as channel:
            echoes(channel, payload(100_000))
        echoes(before, payload(100_000))
        until(lambda: gateway.stats.channels_open == 1, "the abandoned channels are closed")
        assert gateway.stats.channels_opened == 3, (
            "the open that completed too late is counted too"
        )


def test_close_ends_waiting_for_a_black_hole(server, crowd) -> None:
    with gateways.to(server) as gateway, scripted.black_hole() as (listener, _):
        with pytest.raises(TimeoutError):
            gateway.open_channel("direct-tcpip", listener.getsockname(), timeout=0.1)
        gateway.close()
        with gateway.open_channel("direct-tcpip", crowd.echo) as channel:
            echoes(channel, payload(100_000))


# --- A gateway that is lost -----------------------------------------------------------------

# server_alive_interval and server_alive_count_max, long enough for a loaded machine.
INTERVAL, COUNT_MAX = 0.5, 4
WITHIN = INTERVAL * (COUNT_MAX + 1) + DEADLINE


class CutRelay(Target):
    """A relay to *server* until ``cut()`` resets its connections."""

    def __init__(self, server: PrivateSshd) -> None:
        super().__init__(scripted.cut_after((server.host, server.port), 1 << 40))

    def cut(self) -> None:
        for sock, _ in self._connections:
            scripted.resets(sock)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def read(channel) -> None:
    while channel.recv(65536):
        pass


def write(channel) -> None:
    channel.recv(1)  # from the first byte on, send() raises errors too
    while channel.send(b"x" * 65536):
        pass


def ask_and_answer(channel) -> None:
    while True:
        channel.sendall(b"x" * 1000)
        recv_exactly(channel, 1000)


@pytest.mark.parametrize("way", ["killed", "stopped", "cut"])
def test_every_channel_reports_the_loss_in_time(server, crowd, way: str) -> None:
    def die() -> None:
        if way == "killed":
            gateways.kill_sessions(server)
        elif way == "stopped":
            gateways.kill_sessions(server, signal.SIGSTOP)
        else:
            relay.cut()

    with CutRelay(server) as relay, contextlib.ExitStack() as stack:
        gateway = gateways.to(
            server,
            port=relay.address[1] if way == "cut" else server.port,
            host_key_alias=f"[{server.host}]:{server.port}",
            server_alive_interval=INTERVAL,
            server_alive_count_max=COUNT_MAX,
        )
        stack.enter_context(gateway)
        busy = [(crowd.flood, read), (crowd.flood, write), (crowd.echo, ask_and_answer)] * 5
        channels = [
            stack.enter_context(gateway.open_channel("direct-tcpip", address))
            for address, _ in [*busy, *[(crowd.echo, None)] * 5]
        ]
        for channel in channels:
            channel.settimeout(4 * DEADLINE)
        workers = [Worker(use, channel) for (_, use), channel in zip(busy, channels, strict=False)]
        sent = gateway.stats.bytes_sent
        until(lambda: gateway.stats.bytes_sent > sent + 10 * MEGABYTE, "much is under way")
        start = time.monotonic()
        die()
        for (_, use), worker in zip(busy, workers, strict=True):
            with pytest.raises((GatewayLostError, BrokenPipeError), match="lost") as caught:
                worker.result()
            assert use is not read or isinstance(caught.value, GatewayLostError)
            assert str(gateway) in caught.value.args[1]
        for channel in channels[
            len(busy) :
        ]:  # idle channels, used for the first time since the loss
            with pytest.raises(GatewayLostError, match="lost"):
                channel.recv(1)
            assert channel.recv(1) == b""
        assert time.monotonic() - start < WITHIN
        assert not gateway.is_connected
        with gateway.open_channel("direct-tcpip", crowd.echo) as channel:
            echoes(channel, payload(100_000))


def test_a_fault_of_one_gateway_does_not_affect_another(server, crowd) -> None:
    with (
        PrivateSshd() as dying,
        gateways.to(server) as gateway,
        gateways.to(dying) as other,
        gateway.open_channel("direct-tcpip", crowd.echo) as channel,
        other.open_channel("direct-tcpip", crowd.echo) as lost,
    ):
        worker = Worker(echoes, channel, payload(20 * MEGABYTE))
        gateways.kill_sessions(dying)
        lost.settimeout(DEADLINE)
        with pytest.raises(GatewayLostError):
            lost.recv(1)
        worker.result()
        assert gateway.is_connected


# --- A server that sends single bytes -------------------------------------------------------


@pytest.mark.slow
@pytest.mark.limit(60)
def test_single_bytes_to_a_stopped_reader_use_little_memory(sshd) -> None:
    """Each byte is a packet; only the bytes are kept, not the packets."""
    window = 40_000

    def send_single_bytes(server: scripted.ParamikoServer) -> None:
        until(lambda: server.transports and server.transports[0]._channels.get(0), "the channel")
        channel = server.transports[0]._channels.get(0)
        channel.settimeout(4 * DEADLINE)
        for _ in range(window):
            channel.send(b"x")

    with scripted.ParamikoServer(sshd, password="x") as server:
        sender = Worker(send_single_bytes, server)
        port, size = str(server.address[1]), str(window)
        done = fresh.run("gateway_single_bytes", port, size)
        sender.result()
    grown = int(done.stdout.split()[2])
    assert SANITIZED or grown < 1024, "growth in KiB, without the buffer of the reader's socket"
