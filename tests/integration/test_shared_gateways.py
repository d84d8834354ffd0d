# SPDX-License-Identifier: BSD-2-Clause
"""shared_gateway(): callers that ask for the same gateway get the same object."""

from __future__ import annotations

import gc
import inspect
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from sshgateway import Gateway, GatewayError, GatewayLostError, close_all, shared, shared_gateway
from support import fresh, gateways, scripted
from support.gateways import Target
from support.sshd import PrivateSshd
from support.waiting import DEADLINE, Worker, until


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateSshd]:
    with PrivateSshd() as server:
        yield server


@pytest.fixture(autouse=True)
def closed_after() -> Iterator[None]:
    yield
    close_all()
    gc.collect()


def to(server: PrivateSshd, **options) -> Gateway:
    return shared_gateway(**(gateways.settings(server) | options))


def echoes(channel) -> None:
    channel.settimeout(4 * DEADLINE)
    channel.sendall(b"hello")
    assert channel.recv(5, socket.MSG_WAITALL) == b"hello"


# --- The same, or another -------------------------------------------------------------------


def test_the_same_parameters_give_the_same_gateway(server) -> None:
    first = to(server)
    assert isinstance(first, Gateway)
    assert to(server) is first
    assert to(server, timeout=1, channel_timeout=2) is first, (
        "timeouts must not make another gateway"
    )
    assert shared_gateway("a@B.example") is shared_gateway(hostname="b.example", username="a")
    assert shared_gateway("a@h:22") is shared_gateway("a@h", known_hosts=None, port=22)
    assert shared_gateway("a@h", password="x") is shared_gateway("a@h", password="x")


def test_nothing_is_connected_before_the_first_use() -> None:
    with Target(scripted.says()) as target:
        shared_gateway(hostname=target.address[0], port=target.address[1])
        assert not target._connections


def ask() -> None:
    pass


OTHERS = {
    "user": {"username": "b"},
    "host": {"hostname": "g"},
    "port": {"port": 23},
    "password": {"password": "other"},
    "no password": {"password": None},
    "passphrase": {"passphrase": "x"},
    "key file": {"key_filename": "/k2"},
    "two key files": {"key_filename": ["/k1", "/k2"]},
    "pkey": {"pkey": paramiko.RSAKey.generate(1024)},
    "no agent": {"allow_agent": False},
    "agent": {"identity_agent": "/another/socket"},
    "usual files": {"look_for_keys": False},
    "identities only": {"identities_only": True},
    "prompt": {"prompt": ask},
    "certificate": {"certificate_filename": "/k1-cert.pub"},
    "two certificates": {"certificate_filename": ["/k1-cert.pub", "/k2-cert.pub"]},
    "methods": {"preferred_authentications": ["password", "publickey"]},
    "the same methods in another order": {"preferred_authentications": ["publickey", "password"]},
    "password prompts": {"number_of_password_prompts": 1},
    "banner": {"banner": print},
    "known hosts": {"known_hosts": ["/x"]},
    "no known hosts": {"known_hosts": []},
    "revoked keys": {"revoked_host_keys": "/x"},
    "command": {"known_hosts_command": "/bin/cat x"},
    "alias": {"host_key_alias": "x"},
    "strictness": {"strict_host_key_checking": "no"},
    "hashed names": {"hash_known_hosts": True},
    "signatures of authorities": {"ca_signature_algorithms": ["ssh-ed25519"]},
    "key exchange": {"kex": "ecdh-sha2-nistp256"},
    "ciphers": {"ciphers": ["aes128-ctr"]},
    "macs": {"macs": ["hmac-sha2-256"]},
    "host keys": {"host_key_algorithms": ["ssh-ed25519"]},
    "keepalive": {"server_alive_interval": 5},
    "keepalives without a reply": {"server_alive_count_max": 5},
    "gateway": {"gateway": Gateway("g")},
    "shared gateway": {"gateway": shared_gateway("g")},
}


@pytest.mark.parametrize("name", OTHERS)
def test_each_parameter_of_the_connection_makes_another_gateway(name: str, monkeypatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    usual = {"hostname": "h", "username": "a", "password": "secret", "key_filename": "/k1"}
    first = shared_gateway(**usual)
    other = shared_gateway(**(usual | OTHERS[name]))
    assert other is not first
    assert shared_gateway(**(usual | OTHERS[name])) is other
    rest = [shared_gateway(**(usual | options)) for key, options in OTHERS.items() if key != name]
    assert other not in rest


def test_no_parameter_of_the_connection_is_left_out() -> None:
    given = set().union(*OTHERS.values())
    of_the_caller = {"host", "sock", "timeout", "channel_timeout"}
    assert given == set(inspect.signature(Gateway).parameters) - of_the_caller


def test_the_form_in_which_a_parameter_is_given_does_not_matter() -> None:
    forms = {
        "certificate_filename": ("/c", ["/c"], (Path("/c"),)),
        "preferred_authentications": (["password"], ("password",)),
        "ciphers": (["aes128-ctr"], ("aes128-ctr",)),
    }
    for name, values in forms.items():
        (one,) = {shared_gateway("h", **{name: value}) for value in values}
        assert one is not shared_gateway("h")


def test_the_agent_is_that_of_the_current_environment(monkeypatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/one")
    first = shared_gateway("h")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/two")
    assert shared_gateway("h") is not first
    assert shared_gateway("h", identity_agent="/one") is first


def test_a_paramiko_key_loaded_twice_is_one_credential(server) -> None:
    one, two = (paramiko.Ed25519Key.from_private_key_file(server.user_key) for _ in range(2))
    assert shared_gateway("h", pkey=one) is shared_gateway("h", pkey=[two])
    assert shared_gateway("h", pkey=one) is not shared_gateway("h", pkey=[one, one])


def test_the_cache_key_contains_no_readable_secret() -> None:
    key = shared.key_of("h", {"password": "hunter2", "passphrase": "correct horse"})
    for text in (repr(key), str(key)):
        assert "hunter2" not in text and "horse" not in text


@pytest.mark.parametrize("wrong", [{"strict_host_key_checking": "x"}, {"port": 70000}])
def test_parameters_that_gateway_refuses_are_refused(wrong) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match=r"must be"):
            shared_gateway("h", **wrong)
    with pytest.raises(TypeError):
        shared_gateway("h", nonsense=1)


# --- Its life -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_threads_that_use_a_closed_gateway_make_one_login(server) -> None:
    before = gateways.logins(server)
    barrier = threading.Barrier(100)

    def one() -> None:
        barrier.wait(4 * DEADLINE)
        with to(server).open_channel("direct-tcpip", target.address) as channel:
            echoes(channel)

    with Target(gateways.echo) as target:
        for worker in [Worker(one) for _ in range(100)]:
            worker.result()
    assert gateways.logins(server) == before + 1


def test_it_stays_open_while_it_is_unreferenced(server) -> None:
    before = gateways.logins(server)
    for _ in range(3):
        to(server).open()
        gc.collect()
    assert gateways.logins(server) == before + 1


def test_it_is_forgotten_when_it_is_closed_and_unreferenced(server) -> None:
    to(server).open()
    assert len(shared._cache._gateways) >= 1
    close_all()
    gc.collect()
    until(lambda: not [g for g in shared._cache._gateways.values() if g.port == server.port],
          "forgotten")  # fmt: skip


def test_it_is_opened_again_after_a_loss() -> None:
    with PrivateSshd() as server, Target(gateways.echo) as target:
        gateway = to(server)
        channel = gateway.open_channel("direct-tcpip", target.address)
        echoes(channel)
        gateways.kill_sessions(server)
        with pytest.raises(GatewayLostError):
            channel.recv(1)
        channel.close()
        with to(server).open_channel("direct-tcpip", target.address) as again:
            echoes(again)
        assert to(server) is gateway
        settings = gateways.settings(server)
    until(lambda: not gateway.is_connected, "the loss is known")
    start = time.monotonic()
    for _ in range(3):
        with pytest.raises(GatewayError, match="refused"):
            gateway.open_channel("direct-tcpip", target.address)
    assert time.monotonic() - start < DEADLINE, "the failures must be quick"
    assert shared_gateway(**settings) is gateway


def test_close_all_closes_all_gateways_and_they_can_be_opened_again(server) -> None:
    first, second = to(server), to(server, strict_host_key_checking="accept-new")
    behind = to(server, gateway=first)
    for gateway in (first, second, behind):
        gateway.open()
    close_all()
    close_all()
    assert not any(gateway.is_connected for gateway in (first, second, behind))
    assert to(server) is first
    behind.open()
    assert first.is_connected and behind.is_connected and not second.is_connected


def test_an_idle_gateway_is_closed(server, monkeypatch) -> None:
    monkeypatch.setattr(shared, "IDLE_TIMEOUT", 0.2)
    before = gateways.logins(server)
    gateway = to(server)
    with Target(gateways.echo) as target:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            end = time.monotonic() + 1
            until(lambda: time.monotonic() > end, "a second with a channel open")
            assert gateway.is_connected
            echoes(channel)
            with channel.dup() as detached:
                channel.close()
                end = time.monotonic() + 0.5
                until(lambda: time.monotonic() > end, "half a second with only a duplicate open")
                assert gateway.is_connected
                echoes(detached)
        until(lambda: not gateway.is_connected, "closed")
        until(lambda: shared._cache._sweeper is None, "no thread without a gateway")
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            echoes(channel)
    assert gateways.logins(server) == before + 2


def test_a_gateway_that_is_being_opened_is_not_idle(sshd, monkeypatch) -> None:
    monkeypatch.setattr(shared, "IDLE_TIMEOUT", 0.1)
    with scripted.ParamikoServer(sshd, password="x") as server:
        plain = server.gateway()
        gateway = shared_gateway(
            hostname=plain.hostname, port=plain.port, username="u", password="x",
            known_hosts=[], strict_host_key_checking="no", allow_agent=False,
            look_for_keys=False,
        )  # fmt: skip
        server.hold.clear()
        opener = Worker(gateway.open_channel, "direct-tcpip", ("target", 22))
        until(lambda: server.opened, "the open has arrived")
        end = time.monotonic() + 0.5
        until(lambda: time.monotonic() > end, "longer than idle")
        assert gateway.is_connected
        server.hold.set()
        opener.result().close()
        close_all()


# --- Fork and exit --------------------------------------------------------------------------

FORK = """
import json, os, sys, threading, warnings
from support import gateways
from support.gateways import Target
from sshgateway import close_all, shared, shared_gateway
warnings.filterwarnings("ignore", category=DeprecationWarning)
settings = json.loads(sys.argv[1])

def echoes(channel):
    with channel:
        channel.settimeout(20)
        channel.sendall(b"hello")
        assert channel.recv(5) == b"hello"

with Target(gateways.echo) as target:
    gateway = shared_gateway(**settings)
    echoes(gateway.open_channel("direct-tcpip", target.address))
    for held in (False, True):
        if held:
            shared._cache._lock.acquire()
            gateway._usage.lock.acquire()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert not gateway.is_connected
                assert shared_gateway(**settings) is gateway
                echoes(gateway.open_channel("direct-tcpip", target.address))
                close_all()
                assert not gateway.is_connected
                code = 0
            finally:
                os._exit(code)
        if held:
            shared._cache._lock.release()
            gateway._usage.lock.release()
        assert os.waitpid(pid, 0)[1] == 0
        assert gateway.is_connected
        echoes(gateway.open_channel("direct-tcpip", target.address))
print("done")
"""


@pytest.mark.slow
def test_a_forked_child_connects_anew_and_leaves_the_parents_connection_alone(
    server, tmp_path
) -> None:
    before = gateways.logins(server)
    script = tmp_path / "fork.py"
    script.write_text(FORK)
    done = fresh.run(script, json.dumps(gateways.settings(server)))
    assert done.stdout == "done\n"
    assert gateways.logins(server) == before + 3, "the parent and two children must log in"


EXIT = """
import atexit, json, sys
from sshgateway import shared_gateway
atexit.register(lambda: print("open" if gateway.is_connected else "closed"))
settings, address = json.loads(sys.argv[1]), tuple(json.loads(sys.argv[2]))
gateway = shared_gateway(**settings)
channel = gateway.open_channel("direct-tcpip", address)
channel.close()
print("leaving", flush=True)
"""


def test_exit_closes_all_gateways_silently_and_at_once(server, tmp_path) -> None:
    script = tmp_path / "exit.py"
    script.write_text(EXIT)
    before = len(server.log)
    with Target(gateways.echo) as target:
        done = fresh.run(script, json.dumps(gateways.settings(server)),
                         json.dumps(target.address), warnings="default")  # fmt: skip
    assert (done.stdout, done.stderr) == ("leaving\nclosed\n", "")
    until(lambda: "disconnected by user" in server.log[before:].lower()
          or "received disconnect" in server.log[before:].lower(), "goodbye")  # fmt: skip
