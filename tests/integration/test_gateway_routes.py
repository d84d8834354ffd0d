# SPDX-License-Identifier: BSD-2-Clause
"""Routes to a gateway: through other gateways, a ProxyCommand, or a socket."""

from __future__ import annotations

import json
import shlex
import socket
import ssl
from collections.abc import Iterator

import paramiko
import pytest

from sshgateway import (
    ChannelOpenError,
    Gateway,
    GatewayError,
    GatewayLostError,
    HostKeyError,
    ProxyCommand,
)
from support import fresh, gateways, scripted
from support.gateways import Target, closed_port
from support.sshd import PrivateSshd
from support.streams import digest, payload, recv_exactly
from support.waiting import DEADLINE, Worker, until


@pytest.fixture(scope="module")
def three() -> Iterator[list[PrivateSshd]]:
    with (
        PrivateSshd(name="first") as first,
        PrivateSshd(name="second") as second,
        PrivateSshd(name="third") as third,
    ):
        yield [first, second, third]


def carries(gateway: Gateway, size: int = 300_000) -> None:
    data = payload(size)
    with (
        Target(gateways.echo) as target,
        gateway.open_channel("direct-tcpip", target.address) as channel,
    ):
        channel.settimeout(4 * DEADLINE)
        sender = Worker(channel.sendall, data)
        assert digest(recv_exactly(channel, size)) == digest(data)
        sender.result()


# --- Gateways behind gateways ---------------------------------------------------------------


def chain(servers: list[PrivateSshd]) -> list[Gateway]:
    hops: list[Gateway] = []
    for server in servers:
        hops.append(gateways.to(server, gateway=hops[-1] if hops else None))
    return hops


def test_three_gateways_form_a_chain(three) -> None:
    hops = chain(three)
    hops[-1].open()
    assert all(hop.is_connected for hop in hops), "the last gateway must open those before it"
    carries(hops[-1], 3_000_000)
    for hop in reversed(hops):
        hop.close()
        assert not hop.is_connected


def test_a_chain_may_be_closed_from_the_front(three) -> None:
    hops = chain(three)
    with Target(gateways.echo) as target:
        channel = hops[-1].open_channel("direct-tcpip", target.address)
        channel.settimeout(4 * DEADLINE)
        for hop in hops:
            hop.close()
        with pytest.raises(GatewayLostError):
            channel.recv(1)
        assert channel.recv(1) == b""
        channel.close()


def test_a_chain_opens_again(three) -> None:
    hops = chain(three)
    carries(hops[-1])
    hops[0].close()
    until(lambda: not hops[-1].is_connected, "the last has noticed")
    carries(hops[-1])
    for hop in reversed(hops):
        hop.close()


def test_the_error_names_the_gateway_that_failed(three) -> None:
    """Each error names the gateway that it belongs to."""
    first, second, _ = chain(three)
    with first, pytest.raises(HostKeyError) as caught:
        gateways.to(three[1], gateway=first, known_hosts=[]).open()
    assert caught.value.gateway == str(second)

    with first:
        nowhere = gateways.to(three[1], port=closed_port(), gateway=first)
        with pytest.raises(ChannelOpenError) as refused:
            nowhere.open()
        assert refused.value.gateway == str(first)
        assert f":{nowhere.port}" in str(refused.value)
        assert first.is_connected

    lost = gateways.to(three[0], known_hosts=[])
    with pytest.raises(HostKeyError) as caught:
        gateways.to(three[1], gateway=lost).open()
    assert caught.value.gateway == str(lost)


def test_one_deadline_covers_the_whole_chain(three) -> None:
    with Target(scripted.says()) as silent:
        dead = gateways.to_address(silent.address, timeout=60)
        gateway = gateways.to(three[1], gateway=dead)
        with pytest.raises(TimeoutError) as caught:
            gateway.open(timeout=0.3)
        assert caught.value.errno == 110


def test_the_loss_of_the_first_gateway_is_the_reason_of_the_last(three) -> None:
    hops = chain(three[:2])
    with Target(gateways.echo) as target:
        channel = hops[-1].open_channel("direct-tcpip", target.address)
        channel.settimeout(4 * DEADLINE)
        gateways.kill_sessions(three[0])
        with pytest.raises(GatewayLostError) as caught:
            channel.recv(1)
        assert str(hops[0]) in str(caught.value), (
            "the reason must be that of the stream it went through"
        )
        channel.close()
    for hop in reversed(hops):
        hop.close()


# --- Through a ProxyCommand -----------------------------------------------------------------


def through(command: str | list[str], server: PrivateSshd, **options) -> Gateway:
    return gateways.to(server, sock=ProxyCommand(command), **options)


def test_a_gateway_through_a_proxy_command(three) -> None:
    server = three[0]
    with through(f"socat - TCP:{server.host}:{server.port}", server) as gateway:
        carries(gateway)


def test_a_gateway_through_ssh_as_proxy_command(three) -> None:
    command = shlex.join(three[0].ssh_forward(three[1].host, three[1].port))
    with through(command, three[1]) as gateway:
        carries(gateway)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no route to host >&2; exit 255", ["no route to host", "status 255"]),
        ("read line; echo too late >&2; kill -KILL $$", ["too late", "SIGKILL"]),
        ("echo SSH-2.0-x; read line; echo half way >&2; exit 3", ["half way", "status 3"]),
    ],
)
def test_the_stderr_of_a_failing_proxy_is_in_the_error(three, script: str, words) -> None:
    gateway = through(["sh", "-c", script], three[0])
    with pytest.raises(GatewayError) as caught:
        gateway.open()
    for word in [*words, str(gateway)]:
        assert word in str(caught.value)
    assert len(caught.value.args) == 2


@pytest.mark.parametrize("script", ["exit 0", "echo no entry >&2; exit 9"])
def test_a_proxy_that_has_ended_before_the_first_byte(three, script: str) -> None:
    """Our first send fails, but the reason is the one that recv() raises."""
    sock = ProxyCommand(["sh", "-c", script])
    until(lambda: sock.returncode is not None, "exit")
    gateway = gateways.to(three[0], sock=sock)
    with pytest.raises(GatewayError) as caught:
        gateway.open()
    assert not isinstance(caught.value, BrokenPipeError)
    expected = "no entry" if "entry" in script else "closed the connection"
    assert expected in str(caught.value)


def test_a_proxy_that_ends_later_is_the_reason_of_the_loss(three) -> None:
    server = three[0]
    script = f"socat - TCP:{server.host}:{server.port}; echo the cable broke >&2; exit 4"
    with Target(gateways.echo) as target:
        gateway = through(["sh", "-c", script], server)
        channel = gateway.open_channel("direct-tcpip", target.address)
        channel.settimeout(4 * DEADLINE)
        gateways.kill_sessions(server)
        with pytest.raises(GatewayLostError) as caught:
            channel.recv(1)
        assert "the cable broke" in str(caught.value)
        assert channel.recv(1) == b""
        channel.close()
        gateway.close()


# --- Through a socket -----------------------------------------------------------------------


def test_a_gateway_through_a_plain_socket(three) -> None:
    server = three[0]
    sock = socket.create_connection((server.host, server.port))
    with gateways.to(server, sock=sock) as gateway:
        carries(gateway)
    with pytest.raises(GatewayError, match="sock=") as caught:
        gateway.open()
    assert str(gateway) in str(caught.value)


def test_with_a_socket_the_host_key_of_the_hostname_is_looked_up(three, tmp_path) -> None:
    server = three[0]
    known = tmp_path / "known_hosts"
    known.write_text(f"[bastion.example]:2022 {server.host_key}\n")
    sock = socket.create_connection((server.host, server.port))
    name = {"hostname": "bastion.example", "port": 2022, "known_hosts": [known]}
    with gateways.to(server, sock=sock, **name) as gateway:
        assert gateway.is_connected


def test_an_invalid_sock_argument_is_refused() -> None:
    near, far = socket.socketpair()
    with near, far:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        wrapped = context.wrap_socket(near, do_handshake_on_connect=False)
        with wrapped:
            for sock in (wrapped, far.fileno(), "socket", paramiko.Channel(0)):
                with pytest.raises(TypeError, match="sock must be"):
                    Gateway("h", sock=sock)
        with pytest.raises(ValueError, match="either sock= or gateway="):
            Gateway("h", sock=far, gateway=Gateway("g"))


# --- With nothing installed -----------------------------------------------------------------

BARE = """
import os, sys
sys.addaudithook(lambda event, args: event in FORBIDDEN and os._exit(77))
FORBIDDEN = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"}
import json
from support.footprint import children
from sshgateway import Gateway
settings, host, port = json.loads(sys.argv[1])
with Gateway(**settings) as gateway:
    with gateway.open_channel("direct-tcpip", (host, port)) as channel:
        channel.settimeout(20)
        assert channel.recv(100).startswith(b"SSH-2.0-")
    assert not children()
print("done")
"""


def test_no_program_is_executed(three, tmp_path) -> None:
    """No ssh and no netcat: PATH is empty, and starting a process ends the test."""
    script = tmp_path / "bare.py"
    script.write_text(BARE)
    arguments = json.dumps([gateways.settings(three[0]), three[1].host, three[1].port])
    done = fresh.run(script, arguments, PATH="")
    assert done.stdout == "done\n"
