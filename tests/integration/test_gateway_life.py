# SPDX-License-Identifier: BSD-2-Clause
"""The life of a gateway: opened once for many threads, closed, lost, opened again."""

from __future__ import annotations

import copy
import gc
import socket
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from sshgateway import AuthenticationError, Gateway, GatewayError, GatewayLostError
from support import gateways, scripted
from support.footprint import native_threads
from support.gateways import Target
from support.sshd import PrivateSshd
from support.streams import fill, recv_all
from support.waiting import DEADLINE, Worker, at_last, readable, until


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateSshd]:
    """A server of this module's own, because its sessions are killed."""
    with PrivateSshd() as server:
        yield server


def together(count: int, call, *arguments) -> list[Worker]:
    barrier = threading.Barrier(count)

    def one():
        barrier.wait(4 * DEADLINE)
        return call(*arguments)

    return [Worker(one) for _ in range(count)]


def echoes(channel, data: bytes = b"hello") -> None:
    channel.settimeout(DEADLINE)
    channel.sendall(data)
    assert channel.recv(len(data), socket.MSG_WAITALL) == data


# --- Opening --------------------------------------------------------------------------------


def test_its_attributes_and_its_repr(server) -> None:
    gateway = gateways.to(server)
    assert str(gateway) == f"{server.username}@{server.host}:{server.port}"
    assert "closed" in repr(gateway) and "open" not in repr(gateway)
    assert gateway.transport is gateway and gateway.get_transport() is gateway
    assert copy.copy(gateway) is gateway and copy.deepcopy(gateway) is gateway
    assert not gateway.is_connected and not gateway.is_active()
    with gateway as inside:
        assert inside is gateway
        assert "open" in repr(gateway)
        assert gateway.is_connected and gateway.is_active()
        assert gateway.methods["server_version"].startswith("SSH-2.0-OpenSSH")
    assert not gateway.is_connected


def test_nothing_is_connected_before_the_first_use() -> None:
    with Target(scripted.says()) as target:
        gateways.to_address(target.address).close()
        assert not target._connections


def test_open_twice_is_one_login(server) -> None:
    before = gateways.logins(server)
    with gateways.to(server) as gateway:
        gateway.open()
        gateway.open()
    assert gateways.logins(server) == before + 1


def test_twenty_threads_open_one_connection(server) -> None:
    before = gateways.logins(server)
    gateway = gateways.to(server)
    for worker in together(20, gateway.open):
        assert worker.result() is None
    assert gateway.is_connected
    assert gateways.logins(server) == before + 1
    gateway.close()


def test_twenty_threads_that_open_channels_open_one_connection(server) -> None:
    before = gateways.logins(server)
    gateway = gateways.to(server)
    with Target(gateways.echo) as target:
        for worker in together(20, gateway.open_channel, "direct-tcpip", target.address):
            with worker.result() as channel:
                echoes(channel)
    assert gateways.logins(server) == before + 1
    gateway.close()


def test_threads_that_wait_for_one_open_share_its_failure(sshd) -> None:
    """Twenty threads with one wrong password make one attempt, which keeps accounts unlocked."""
    with scripted.ParamikoServer(sshd, password="right") as server:
        gateway = server.gateway(password="wrong")
        server.hold_login.clear()
        workers = together(20, gateway.open)
        until(lambda: server.passwords, "a password has arrived")
        until(lambda: len(gateway._condition._waiters) == 19, "the others wait")
        server.hold_login.set()
        errors = []
        for worker in workers:
            with pytest.raises(AuthenticationError) as caught:
                worker.result()
            errors.append(caught.value)
        assert server.passwords == ["wrong"]
        assert len({str(error) for error in errors}) == 1
        assert len({id(error) for error in errors}) == 20, (
            "each thread has an exception of its own"
        )
        with pytest.raises(AuthenticationError):
            gateway.open()
        assert server.passwords == ["wrong"] * 2, "a later open makes another attempt"


def test_each_thread_waits_with_its_own_deadline() -> None:
    with Target(scripted.says()) as target:
        gateway = gateways.to_address(target.address, timeout=60)
        first = Worker(gateway.open)
        until(lambda: target._connections, "the first has connected")
        with pytest.raises(TimeoutError) as caught:
            gateway.open(0.1)
        assert caught.value.errno == 110 and str(gateway) in caught.value.args[1]
        assert first.is_alive(), "the first open must continue"
        for sock, _ in target._connections:
            sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(GatewayError):
            first.result()
        assert len(target._connections) == 1


# --- Closing --------------------------------------------------------------------------------


def test_close_can_be_repeated_and_ends_the_thread(server) -> None:
    before = native_threads()
    gateway = gateways.to(server)
    gateway.close()
    gateway.open()
    assert len(native_threads() - before) == 1
    for _ in range(3):
        gateway.close()
        assert not gateway.is_connected
    until(lambda: native_threads() <= before, "the thread has ended")


def test_close_sends_a_disconnect_message(server) -> None:
    before = len(server.log)
    gateways.to(server).__enter__().close()
    until(lambda: "disconnected by user" in server.log[before:].lower()
          or "received disconnect" in server.log[before:].lower(), "goodbye")  # fmt: skip


def test_close_ends_the_channels_with_the_reason(server) -> None:
    with Target(gateways.echo) as target:
        gateway = gateways.to(server)
        channels = [gateway.open_channel("direct-tcpip", target.address) for _ in range(3)]
        echoes(channels[0])
        reader = Worker(channels[1].recv, 1)
        gateway.close()
        for channel, receive in zip(
            channels, (lambda: channels[0].recv(1), reader.result, lambda: channels[2].recv(1)),
            strict=True,
        ):  # fmt: skip
            channel.settimeout(DEADLINE)
            with pytest.raises(GatewayLostError) as caught:
                receive()
            assert "this program closed" in str(caught.value) and str(gateway) in str(caught.value)
            assert channel.recv(1) == b""
            with pytest.raises(BrokenPipeError):
                channel.sendall(b"x")
            channel.close()


def test_it_opens_again_after_close(server) -> None:
    before = gateways.logins(server)
    gateway = gateways.to(server)
    with Target(gateways.echo) as target:
        for _ in range(3):
            with gateway.open_channel("direct-tcpip", target.address) as channel:
                echoes(channel)
            gateway.close()
    assert gateways.logins(server) == before + 3


def test_twenty_threads_can_close_at_once(server) -> None:
    gateway = gateways.to(server)
    gateway.open()
    for worker in together(20, gateway.close):
        assert worker.result() is None


def test_close_during_the_open_of_a_channel(sshd) -> None:
    with scripted.ParamikoServer(sshd, password="x") as server:
        server.hold.clear()

        def close_meanwhile() -> None:
            gateway, before = server.gateway(), len(server.opened)
            gateway.open()
            opener = Worker(gateway.open_channel, "direct-tcpip", ("target", 22))
            until(lambda: len(server.opened) > before, "the open has arrived")
            start = time.monotonic()
            gateway.close()
            took = time.monotonic() - start
            with pytest.raises(GatewayLostError, match="this program closed"):
                opener.result()
            assert took < 0.5, "close() must not wait for the open"

        at_last(close_meanwhile)


# --- Loss -----------------------------------------------------------------------------------


def test_the_loss_of_the_server_is_reported_once_and_the_gateway_opens_again(server) -> None:
    gateway = gateways.to(server)
    with Target(gateways.echo) as target:
        waiting, idle = (gateway.open_channel("direct-tcpip", target.address) for _ in range(2))
        echoes(waiting)
        reader = Worker(waiting.recv, 1)
        gateways.kill_sessions(server)
        with pytest.raises(GatewayLostError) as caught:
            reader.result()
        assert isinstance(caught.value, ConnectionResetError)
        assert caught.value.gateway == str(gateway)
        for channel in (waiting, idle):
            channel.settimeout(DEADLINE)
            if channel is idle:
                with pytest.raises(GatewayLostError):
                    channel.recv(1)
            assert channel.recv(1) == b""
            assert channel.recv(1) == b""
            channel.close()
        until(lambda: not gateway.is_connected, "the loss is known")
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            echoes(channel)
    gateway.close()


def test_data_that_arrived_before_the_loss_is_read_first(server) -> None:
    gateway = gateways.to(server)
    with Target(lambda sock: (sock.sendall(b"last words"), scripted.until_eof(sock))) as target:
        channel = gateway.open_channel("direct-tcpip", target.address)
        assert readable(channel)
        gateways.kill_sessions(server)
        until(lambda: not gateway.is_connected, "the loss is known")
        channel.settimeout(DEADLINE)
        assert channel.recv(100) == b"last words"
        with pytest.raises(GatewayLostError):
            channel.recv(100)
        assert channel.recv(100) == b""
        channel.close()
    gateway.close()


def test_sending_after_the_loss_is_a_broken_pipe_with_the_reason(server) -> None:
    gateway = gateways.to(server)
    with Target(gateways.echo) as target:
        channel = gateway.open_channel("direct-tcpip", target.address)
        echoes(channel)
        gateways.kill_sessions(server)
        assert readable(channel)
        with pytest.raises(BrokenPipeError) as caught:
            channel.sendall(b"x")
        assert isinstance(caught.value, GatewayLostError)
        assert str(gateway) in str(caught.value)
        channel.close()
    gateway.close()


def test_the_servers_disconnect_message_is_reported(sshd) -> None:
    """SSH_MSG_DISCONNECT contains a description (RFC 4253 section 11.1)."""
    with scripted.ParamikoServer(sshd, password="x") as server:
        gateway = server.gateway()
        channel = gateway.open_channel("direct-tcpip", ("target", 22))
        server.disconnect("down for maintenance")
        channel.settimeout(DEADLINE)
        with pytest.raises(GatewayLostError, match="down for maintenance"):
            channel.recv(1)
        channel.close()
        gateway.close()


def test_the_end_of_a_target_is_not_a_loss(server) -> None:
    with gateways.to(server) as gateway, Target(lambda sock: sock.sendall(b"bye")) as target:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            channel.settimeout(DEADLINE)
            assert recv_all(channel) == b"bye"
            assert channel.recv(1) == b""
        assert gateway.is_connected


def test_a_loss_after_the_targets_end_does_not_lose_data(server) -> None:
    """Both directions are shut down, which looks like a close, but the channel is open."""
    told = threading.Event()

    def listen_later(sock: socket.socket) -> int:
        sock.shutdown(socket.SHUT_WR)
        assert told.wait(4 * DEADLINE)
        return len(recv_all(sock))

    with (
        Target(listen_later) as target,
        Target(gateways.echo) as other,
        gateways.to(server) as gateway,
        gateways.connect(gateway, target.address, linger=0) as channel,
        gateway.open_channel("direct-tcpip", other.address) as through_the_same_loop,
    ):
        channel.settimeout(DEADLINE)
        assert channel.recv(1) == b""
        sent = fill(channel)
        channel.shutdown(socket.SHUT_WR)
        echoes(through_the_same_loop)
        told.set()
        assert target.results() == [sent]


# --- Dropped --------------------------------------------------------------------------------


def test_a_dropped_channel_warns_and_closes(server) -> None:
    with Target(scripted.until_eof) as target, gateways.to(server) as gateway:
        channel = gateway.open_channel("direct-tcpip", target.address)
        alive = weakref.ref(channel)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del channel
            gc.collect()
        assert alive() is None
        assert target.results() == [None], "the target must see the end"


def test_a_channel_keeps_its_gateway_alive(server) -> None:
    with Target(gateways.echo) as target:
        channel = gateways.to(server).open_channel("direct-tcpip", target.address)
        gc.collect()
        assert isinstance(channel.gateway, Gateway)
        echoes(channel)
        gateway = channel.gateway
        channel.close()
        gateway.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_dropped_gateway_leaves_no_thread_and_no_descriptor(server) -> None:
    gateway = gateways.to(server)
    gateway.open()
    alive = weakref.ref(gateway)
    del gateway
    gc.collect()
    assert alive() is None
