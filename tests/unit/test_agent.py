# SPDX-License-Identifier: BSD-2-Clause
"""The agent protocol: real ssh-agents, and agents that misbehave."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import select
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from sshgateway.agent import Agent, AgentError, AgentKey, socket_path
from sshgateway.errors import Error
from sshgateway.known_hosts import fingerprint
from support.footprint import descriptors
from support.server import Server
from support.waiting import DEADLINE, Worker, until, until_blocked

KINDS = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
DATA = b"what is signed" * 20
QUICK = 0.05  # seconds: a deadline that the test reaches


class PrivateAgent(Server):
    """``with PrivateAgent() as agent: agent.add(key_file)``; .path is its socket."""

    ready = "SSH_AUTH_SOCK"

    @property
    def path(self) -> str:
        return str(self.directory / "agent")

    def command(self) -> list[str]:
        return ["ssh-agent", "-D", "-a", self.path]

    def ssh_add(self, *words: str | Path) -> str:
        run = subprocess.run(
            ["ssh-add", *words],
            env={**os.environ, "SSH_AUTH_SOCK": self.path},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        return run.stdout


def keygen(*words: str | Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", *words], check=True, stdin=subprocess.DEVNULL, capture_output=True
    )


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("keys")
    for kind in KINDS:
        keygen("-t", kind, "-N", "", "-C", f"the {kind} key", "-f", directory / kind)
    return {kind: directory / kind for kind in KINDS}


@pytest.fixture(scope="module")
def agent(key_files: dict[str, Path]) -> Iterator[PrivateAgent]:
    """An agent that holds a key of each kind."""
    with PrivateAgent() as server:
        server.ssh_add("-q", *key_files.values())
        yield server


@pytest.fixture
def empty_agent() -> Iterator[PrivateAgent]:
    with PrivateAgent() as server:
        yield server


def public(file: Path) -> bytes:
    return base64.b64decode(file.with_name(file.name + ".pub").read_text().split()[1])


def is_signed(key: bytes, data: bytes, signature: bytes) -> bool:
    kinds = [paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey]
    kind = next(k for k, name in zip(kinds, KINDS.values(), strict=True) if name.encode() in key)
    return kind(data=key).verify_ssh_sig(data, paramiko.Message(signature))


def blobs(client: Agent) -> list[bytes]:
    keys = client.keys()
    return [key.blob for key in keys]


def algorithm_of(signature: bytes) -> str:
    return paramiko.Message(signature).get_text()


def error_of(call: Callable[[], object], number: int) -> AgentError:
    """Check the attributes that every AgentError has."""
    with pytest.raises(AgentError) as caught:
        call()
    error = caught.value
    assert isinstance(error, Error)
    assert type(OSError(number, "")) in type(error).__mro__
    assert len(error.args) == 2
    assert error.args == (number, error.strerror), error
    assert error.args[1].isprintable()
    assert repr(error.path) in error.args[1]
    return error


# ---- A real agent -----------------------------------------------------------


def test_the_keys_are_those_of_ssh_add(agent: PrivateAgent, key_files) -> None:
    with Agent(agent.path) as client:
        keys = client.keys()
    assert [key.type for key in keys] == list(KINDS.values())
    assert [key.comment for key in keys] == [f"the {kind} key" for kind in KINDS]
    assert [key.blob for key in keys] == [public(file) for file in key_files.values()]
    for key, line in zip(keys, agent.ssh_add("-l").splitlines(), strict=True):
        assert key.fingerprint == line.split()[1]


def test_a_key_has_what_paramikos_keys_have(agent: PrivateAgent) -> None:
    with Agent(agent.path) as client:
        key = client.keys()[0]
        theirs = paramiko.Ed25519Key(data=key.blob)
        assert key.get_name() == theirs.get_name()
        assert key.asbytes() == theirs.asbytes()
        assert key.public_blob is None
        assert key.can_sign() is True
        assert key.fingerprint in repr(key)
        assert "the ed25519 key" in key.describe()


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_is_good(kind: str, agent: PrivateAgent, key_files) -> None:
    with Agent(agent.path, timeout=DEADLINE) as client:
        key = client.keys()[list(KINDS).index(kind)]
        algorithm = "rsa-sha2-256" if kind == "rsa" else None
        signature = key.sign_ssh_data(DATA, algorithm)
        assert is_signed(public(key_files[kind]), DATA, signature)
        assert not is_signed(public(key_files[kind]), DATA + b"!", signature)
        assert algorithm_of(signature) == (algorithm or KINDS[kind])


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512", "ssh-rsa", None])
def test_an_rsa_key_signs_as_asked(algorithm: str | None, agent, key_files) -> None:
    with Agent(agent.path) as client:
        signature = client.keys()[2].sign_ssh_data(DATA, algorithm)
    assert algorithm_of(signature) == (algorithm or "ssh-rsa")
    if algorithm is not None and algorithm != "ssh-rsa":  # newer Paramikos do not know SHA-1
        assert is_signed(public(key_files["rsa"]), DATA, signature)


def test_an_algorithm_of_other_keys_is_refused_or_ignored(agent: PrivateAgent) -> None:
    with Agent(agent.path) as client:
        ed25519, _, rsa = client.keys()
        with pytest.raises(ValueError, match="RSA"):
            rsa.sign_ssh_data(DATA, "ssh-ed25519")
        assert algorithm_of(ed25519.sign_ssh_data(DATA, "rsa-sha2-256")) == "ssh-ed25519"


@pytest.mark.parametrize("size", [0, 1, 32700, 200000])
def test_data_of_any_size_is_signed(size: int, agent: PrivateAgent) -> None:
    with Agent(agent.path) as client:
        key = client.keys()[0]
        assert is_signed(key.blob, bytes(size), key.sign_ssh_data(bytes(size)))


def test_data_beyond_the_limit_of_agents_is_an_error_and_breaks_nothing(
    agent: PrivateAgent,
) -> None:
    with Agent(agent.path) as client:
        key = client.keys()[0]
        error_of(lambda: key.sign_ssh_data(bytes(262144)), errno.EMSGSIZE)
        assert key.sign_ssh_data(DATA)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_signs_with_its_key(kind: str, key_files, tmp_path, empty_agent) -> None:
    for suffix in ("", ".pub"):
        copy = tmp_path / (kind + suffix)
        copy.write_bytes(key_files[kind].with_name(kind + suffix).read_bytes())
        copy.chmod(0o600)
    keygen("-s", key_files["ed25519"], "-I", "me", "-n", "me", tmp_path / f"{kind}.pub")
    empty_agent.ssh_add("-q", tmp_path / kind)
    with Agent(empty_agent.path) as client:
        _, key = client.keys()
        asked = "rsa-sha2-512-cert-v01@openssh.com" if kind == "rsa" else key.type
        signature = key.sign_ssh_data(DATA, asked)
    assert key.asbytes() == public(tmp_path / f"{kind}-cert")
    assert algorithm_of(signature) == ("rsa-sha2-512" if kind == "rsa" else KINDS[kind])
    assert is_signed(public(key_files[kind]), DATA, signature)


def test_paramiko_logs_in_with_a_key_of_ours(sshd, empty_agent) -> None:
    empty_agent.ssh_add("-q", sshd.user_key)
    with (
        socket.create_connection((sshd.host, sshd.port)) as sock,
        contextlib.closing(paramiko.Transport(sock)) as transport,
        Agent(empty_agent.path, timeout=DEADLINE) as client,
    ):
        transport.connect()
        transport.auth_publickey(sshd.username, client.keys()[0])
        assert transport.is_authenticated()
        transport.close()
        transport.join(DEADLINE)


def test_an_empty_agent_has_no_keys(empty_agent: PrivateAgent) -> None:
    with Agent(empty_agent.path) as client:
        assert client.keys() == []


def test_a_removed_key_is_refused(empty_agent: PrivateAgent, key_files) -> None:
    empty_agent.ssh_add("-q", key_files["ed25519"])
    with Agent(empty_agent.path) as client:
        (key,) = client.keys()
        empty_agent.ssh_add("-q", "-D")
        error = error_of(lambda: key.sign_ssh_data(DATA), errno.EACCES)
        assert key.fingerprint in error.args[1]
        assert client.keys() == []


def lock(path: str, message: int, secret: bytes) -> None:
    """SSH_AGENTC_LOCK is 22, UNLOCK 23; ssh-add -x asks on a terminal."""
    body = bytes([message]) + len(secret).to_bytes(4) + secret
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(path)
        sock.sendall(len(body).to_bytes(4) + body)
        assert sock.recv(100) == b"\0\0\0\1\6"


def test_a_locked_agent_shows_nothing_and_signs_nothing(empty_agent, key_files) -> None:
    empty_agent.ssh_add("-q", key_files["ed25519"])
    with Agent(empty_agent.path) as client:
        (key,) = client.keys()
        lock(empty_agent.path, 22, b"secret")
        assert client.keys() == []
        error = error_of(lambda: key.sign_ssh_data(DATA), errno.EACCES)
        assert "locked" in error.args[1]
        lock(empty_agent.path, 23, b"secret")
        assert key.sign_ssh_data(DATA)


def test_a_restarted_agent_is_found_again(key_files) -> None:
    with PrivateAgent() as first:
        client = Agent(first.path)
        assert client.keys() == []
        first.stop()
        error_of(client.keys, errno.ENOENT)
    os.mkdir(first.directory)
    try:
        run = subprocess.Popen(
            ["ssh-agent", "-D", "-a", client.path], stdout=subprocess.PIPE, text=True
        )
        with run, client:
            assert run.stdout is not None
            assert "SSH_AUTH_SOCK" in run.stdout.readline()
            assert client.keys() == []
            run.send_signal(signal.SIGTERM)
        assert not os.path.exists(client.path)
    finally:
        os.rmdir(first.directory)


def test_a_test_agent_leaves_no_file() -> None:
    with PrivateAgent() as server:
        assert stat.S_ISSOCK(os.stat(server.path).st_mode)
        with Agent(server.path) as client:
            client.keys()
    assert not os.path.exists(server.path)
    assert not server.directory.exists()
    # The guard of every test checks that no process is left.


def test_a_thousand_uses_leak_no_descriptor(agent: PrivateAgent) -> None:
    before = len(descriptors())
    with Agent(agent.path) as client:
        for _ in range(1000):
            assert len(client.keys()) == 3
        assert len(descriptors()) == before + 1
    for _ in range(1000):
        with Agent(agent.path) as client:
            client.keys()
    for _ in range(1000):
        with Agent("/nonexistent") as client, contextlib.suppress(FileNotFoundError):
            client.keys()
    assert len(descriptors()) == before


def test_threads_take_turns(agent: PrivateAgent) -> None:
    with Agent(agent.path, timeout=DEADLINE) as client:
        keys = client.keys()

        def sign(number: int) -> bool:
            key, data = keys[number % 2], bytes([number]) * 1000
            return all(is_signed(key.blob, data, key.sign_ssh_data(data)) for _ in range(10))

        workers = [Worker(sign, number) for number in range(6)]
        assert all(worker.result() for worker in workers)


def test_a_forked_child_opens_its_own_connection(agent: PrivateAgent) -> None:
    with Agent(agent.path, timeout=DEADLINE) as client:
        key = client.keys()[0]
        assert client._turn.acquire()  # as if another thread were using the connection
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os._exit(0 if is_signed(key.blob, DATA, key.sign_ssh_data(DATA)) else 1)
            os._exit(2)
        client._turn.release()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert is_signed(key.blob, DATA, key.sign_ssh_data(DATA))


# ---- Where the agent is -----------------------------------------------------


def test_the_socket_is_found_as_ssh_config_says(monkeypatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/auth/sock")
    monkeypatch.setenv("OTHER", "/other")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("MISSING", raising=False)
    for given, path in {
        None: "/auth/sock",
        "SSH_AUTH_SOCK": "/auth/sock",
        "$SSH_AUTH_SOCK": "/auth/sock",
        "$OTHER": "/other",
        "$MISSING": None,
        "${OTHER}/x": "/other/x",
        "~/agent": "/home/me/agent",
        "/a/path": "/a/path",
        "none": None,
    }.items():
        assert socket_path(given) == path, given
    assert socket_path(Path("/a/path")) == "/a/path"
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    assert socket_path() is None


def test_the_agent_of_the_environment_is_the_default(agent: PrivateAgent, monkeypatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", agent.path)
    with Agent() as client:
        assert len(client.keys()) == 3
        assert agent.path in repr(client)


def test_without_an_agent_the_error_says_what_to_do(monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with Agent() as client:
        error = error_of(client.keys, errno.ENOENT)
    assert "SSH_AUTH_SOCK is not set" in error.args[1]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("missing", errno.ENOENT),
        ("stale", errno.ECONNREFUSED),
        ("file", errno.ECONNREFUSED),
        ("file/x", errno.ENOTDIR),
        ("x" * 200, errno.ENAMETOOLONG),
        ("nul\0", errno.EINVAL),
    ],
)
def test_a_socket_without_a_listener_is_reported(name: str, number: int, short_path: Path) -> None:
    (short_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(short_path / "stale"))
    with Agent(short_path / name) as client:
        error_of(client.keys, number)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to every socket")
def test_a_socket_of_another_user_is_reported(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "agent"))
        listener.listen()
        os.chmod(short_path / "agent", 0)
        with Agent(short_path / "agent") as client:
            error_of(client.keys, errno.EACCES)


def test_a_closed_agent_is_closed(agent: PrivateAgent) -> None:
    client = Agent(agent.path)
    key = client.keys()[0]
    client.close()
    client.close()
    error_of(client.keys, errno.EBADF)
    error_of(lambda: key.sign_ssh_data(DATA), errno.EBADF)


# ---- Agents that misbehave --------------------------------------------------

ED25519 = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def keys_answer(*keys: bytes, count: int | None = None) -> bytes:
    number = len(keys) if count is None else count
    body = b"".join(string(key) + string(b"a comment") for key in keys)
    return string(b"\x0c" + number.to_bytes(4) + body)


@contextlib.contextmanager
def scripted(directory: Path, *answers: bytes) -> Iterator[Agent]:
    """An agent that sends these answers, one per connection, and hangs up."""

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(BrokenPipeError):
                connection.settimeout(DEADLINE)
                connection.recv(65536)
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "agent"))
        listener.listen()
        worker = Worker(serve)
        with Agent(directory / "agent", timeout=DEADLINE) as client:
            yield client
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        worker.result()


NONSENSE = {
    "a huge length": b"\xff\xff\xff\xff",
    "a length just too large": (256 * 1024 + 1).to_bytes(4) + bytes(300000),
    "an empty message": bytes(4),
    "an HTTP server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another message": string(b"\x0e" + bytes(4)),
    "success": string(b"\6"),
    "no count": string(b"\x0c"),
    "too many keys": keys_answer(*[ED25519] * 2049),
    "fewer keys than said": keys_answer(ED25519, count=2),
    "a key longer than the message": string(b"\x0c\0\0\0\1\0\0\1\0abc"),
    "a length of 4 GiB inside": string(b"\x0c\0\0\0\1\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_malformed_answer_is_an_error_and_the_next_use_reconnects(
    answer: bytes, short_path
) -> None:
    with scripted(short_path, answer, keys_answer(ED25519)) as client:
        error = error_of(client.keys, errno.EPROTO)
        assert "reply is invalid" in error.args[1]
        assert blobs(client) == [ED25519]


@pytest.mark.parametrize("answer", [b"", b"\0", b"\0\0\0\x20", keys_answer(ED25519)[:-1]])
def test_an_agent_that_hangs_up_is_reported(answer: bytes, short_path: Path) -> None:
    with scripted(short_path, answer, keys_answer()) as client:
        error = error_of(client.keys, errno.ECONNRESET)
        assert "closed the connection" in error.args[1]
        assert client.keys() == []


@pytest.mark.parametrize("code", [5, 30, 102])
def test_a_refusal_is_reported(code: int, short_path: Path) -> None:
    with scripted(short_path, string(bytes([code]))) as client:
        error_of(client.keys, errno.EACCES)


def test_malformed_keys_are_skipped(short_path: Path) -> None:
    answer = keys_answer(b"", b"garbage", ED25519[:-1], ED25519, string(b"a\nb") * 2)
    with scripted(short_path, answer) as client:
        assert blobs(client) == [ED25519]


def test_a_comment_is_harmless(short_path: Path) -> None:
    answer = string(b"\x0c\0\0\0\1" + string(ED25519) + string(b"\x1b[31m\n\xff" + b"x" * 9000))
    with scripted(short_path, answer, string(b"\5")) as client:
        (key,) = client.keys()
        assert key.describe().isprintable()
        assert repr(key).isprintable()
        error = error_of(lambda: key.sign_ssh_data(DATA), errno.EACCES)
        assert len(error.args[1]) < 2000


@pytest.mark.parametrize(
    "signature", [b"", b"\0\0\0\7ssh", string(b"ssh-rsa") + string(b"x"), string(b"\x1b[2J")]
)
def test_a_signature_of_another_kind_is_rejected(signature: bytes, short_path: Path) -> None:
    with scripted(short_path, string(b"\x0e" + string(signature))) as client:
        key = AgentKey(client, ED25519, "comment")
        error = error_of(lambda: key.sign_ssh_data(DATA), errno.EPROTO)
        assert fingerprint(ED25519) in error.args[1]


def test_an_agent_that_ignores_the_flags_is_reported(short_path: Path) -> None:
    """Some agents sign with SHA-1 whatever algorithm the flags ask for."""
    rsa = string(b"ssh-rsa") + string(b"\1\0\1") + string(b"\0\xc1" + bytes(127))
    answer = string(b"\x0e" + string(string(b"ssh-rsa") + string(b"x")))
    with scripted(short_path, answer) as client:
        key = AgentKey(client, rsa)
        error = error_of(lambda: key.sign_ssh_data(DATA, "rsa-sha2-512"), errno.EPROTO)
    assert "type 'ssh-rsa', not 'rsa-sha2-512'" in error.args[1]


@pytest.mark.parametrize(
    "made", [b"sk-ssh-ed25519@openssh.com", b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com"]
)
def test_the_signature_of_a_security_key_is_returned_whole(made: bytes, short_path) -> None:
    blob = string(b"sk-ssh-ed25519@openssh.com") + string(bytes(32)) + string(b"ssh:")
    signature = string(made) + string(bytes(64)) + b"\1" + bytes(4)
    with scripted(short_path, string(b"\x0e" + string(signature))) as client:
        assert AgentKey(client, blob).sign_ssh_data(DATA, "any") == signature


def test_unexpected_bytes_are_not_taken_as_the_next_answer(short_path: Path) -> None:
    def serve() -> None:
        first, _ = listener.accept()
        with first:
            first.recv(100)
            first.sendall(keys_answer(ED25519) + keys_answer())
            with contextlib.suppress(ConnectionResetError):  # the client left bytes unread
                # The client asks its next question on another connection.
                assert first.recv(100) == b""
        second, _ = listener.accept()
        with second:
            second.recv(100)
            second.sendall(keys_answer(ED25519))

    with silent(short_path) as (path, listener):
        worker = Worker(serve)
        with Agent(path, timeout=DEADLINE) as client:
            assert len(client.keys()) == 1
            assert len(client.keys()) == 1
        worker.result()


def test_an_agent_that_hangs_up_between_two_uses_is_asked_again(short_path: Path) -> None:
    """The agent was restarted.  Only a connection that worked before is retried like this."""

    def serve() -> None:
        for answers in (1, 1, 0):
            connection, _ = listener.accept()
            with connection:
                for _ in range(answers):
                    connection.recv(100)
                    connection.sendall(keys_answer(ED25519))
                assert connection.recv(100) == string(b"\x0b")

    with silent(short_path) as (path, listener):
        worker = Worker(serve)
        with Agent(path, timeout=DEADLINE) as client:
            assert len(client.keys()) == 1
            assert len(client.keys()) == 1
            error_of(client.keys, errno.ECONNRESET)
        worker.result()


# ---- Time -------------------------------------------------------------------


@contextlib.contextmanager
def silent(directory: Path, backlog: int = 5) -> Iterator[tuple[str, socket.socket]]:
    """An agent that never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "agent"))
        listener.listen(backlog)
        yield str(directory / "agent"), listener


def test_an_agent_that_hangs_is_abandoned_at_the_deadline(short_path: Path) -> None:
    with silent(short_path) as (path, _):
        for options in ({"timeout": QUICK}, {"deadline": time.monotonic() + QUICK}):
            with Agent(path, **options) as client:
                begin = time.monotonic()
                error = error_of(client.keys, errno.ETIMEDOUT)
                assert isinstance(error, TimeoutError)
                assert time.monotonic() - begin < DEADLINE


def test_a_deadline_in_the_past_expires_at_once(agent: PrivateAgent) -> None:
    with Agent(agent.path, timeout=DEADLINE) as client:
        key = client.keys()[0]
        client.deadline = time.monotonic() - 1
        error_of(lambda: key.sign_ssh_data(DATA), errno.ETIMEDOUT)
        client.deadline = None
        assert key.sign_ssh_data(DATA)


def test_an_agent_that_does_not_accept_is_abandoned(short_path: Path) -> None:
    with silent(short_path, backlog=0) as (path, _), contextlib.ExitStack() as stack:
        with contextlib.suppress(BlockingIOError):
            while True:  # fill the queue of the listener
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                sock.connect(path)
        with Agent(path, timeout=QUICK) as client:
            error_of(client.keys, errno.ETIMEDOUT)


def test_an_agent_that_reads_nothing_is_abandoned(short_path: Path) -> None:
    with silent(short_path) as (path, _), Agent(path, timeout=QUICK) as client:
        key = AgentKey(client, ED25519)
        error_of(lambda: key.sign_ssh_data(bytes(250000)), errno.ETIMEDOUT)


def test_an_answer_that_arrives_byte_by_byte_does_not_extend_the_deadline(
    short_path: Path,
) -> None:
    with silent(short_path) as (path, listener), Agent(path, timeout=4 * QUICK) as client:
        end = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall((1000).to_bytes(4))
                while not end.wait(QUICK / 2):
                    connection.sendall(b"\x0c")

        worker = Worker(drip)
        begin = time.monotonic()
        error_of(client.keys, errno.ETIMEDOUT)
        assert time.monotonic() - begin < DEADLINE
        end.set()
        worker.result()


def test_waiting_for_another_threads_turn_counts_towards_the_deadline(short_path: Path) -> None:
    with silent(short_path) as (path, _), Agent(path) as client:
        first = Worker(client.keys)
        until_blocked(first)
        client.timeout = QUICK
        error_of(client.keys, errno.ETIMEDOUT)
        client.close()
        with pytest.raises(ConnectionResetError):
            first.result()


def test_close_wakes_a_waiting_thread(short_path: Path) -> None:
    with silent(short_path) as (path, _):
        client = Agent(path)
        worker = Worker(client.keys)
        until_blocked(worker)
        client.close()
        error_of(worker.result, errno.ECONNRESET)
        until(lambda: client._socket is None, "the socket closed")


def test_ctrl_c_interrupts(short_path: Path, alarm) -> None:
    class Interrupt(Exception):  # noqa: N818
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    with silent(short_path) as (path, listener), Agent(path) as client:
        previous = signal.signal(signal.SIGALRM, interrupt)

        def interrupt_when_blocked() -> None:
            until_blocked(threading.main_thread())
            os.kill(os.getpid(), signal.SIGALRM)

        try:
            worker = Worker(interrupt_when_blocked)
            with pytest.raises(Interrupt):
                client.keys()
            worker.result()
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert client._socket is None  # a late answer must not be taken for the next one
        connection, _ = listener.accept()
        with connection:
            poller = select.poll()
            poller.register(connection, select.POLLIN)
            assert poller.poll(DEADLINE * 1000)
            connection.settimeout(DEADLINE)
            assert connection.recv(100) == string(b"\x0b")
            assert connection.recv(100) == b""
