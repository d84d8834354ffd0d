# SPDX-License-Identifier: BSD-2-Clause
"""Flows of logins with Paramiko, through a stream.

The functions run in the test's process or, for another version of Paramiko, in a process
of their own: ``python logins.py NAME SETTINGS``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cryptography warns about older Paramikos
    import paramiko

from support import gateways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sshd import PrivateSshd

MEGABYTE = 1_000_000
TIMEOUT = 60.0  # seconds, enough for loaded machines


def settings(
    sshd: PrivateSshd, command: str | None = None, gateway: PrivateSshd | None = None
) -> dict[str, Any]:
    """The settings of a login; *command* or *gateway* provides the stream."""
    return {
        "gateway": gateway and gateways.settings(gateway),
        "host": sshd.host,
        "port": sshd.port,
        "username": sshd.username,
        "key": str(sshd.user_key),
        "known_hosts": str(sshd.known_hosts),
        "command": command or through_ssh(sshd),
    }


def through_ssh(gateway: PrivateSshd, target: PrivateSshd | None = None, *options: str) -> str:
    """The line of a ProxyCommand: ``ssh -W target gateway``."""
    target = target or gateway
    program, *rest = gateway.ssh_forward(target.host, target.port)
    return shlex.join([program, *options, *rest])


@contextmanager
def way(where: dict[str, Any]) -> Iterator[Any]:
    """A stream to the host of the login."""
    from sshgateway import Gateway, ProxyCommand

    if where["gateway"] is None:
        yield ProxyCommand(where["command"])
        return
    with Gateway(**where["gateway"]) as gateway:
        yield gateway.open_channel("direct-tcpip", (where["host"], where["port"]), ("", 0))


@contextmanager
def login(where: dict[str, Any], sock: Any = None) -> Iterator[paramiko.SSHClient]:
    """A client that is logged in through *sock*, or through a stream of ours."""
    with (
        way(where) if sock is None else nullcontext(sock) as stream,
        paramiko.SSHClient() as client,
    ):
        client.load_host_keys(where["known_hosts"])
        client.connect(
            where["host"],
            where["port"],
            where["username"],
            key_filename=where["key"],
            look_for_keys=False,
            allow_agent=False,
            timeout=TIMEOUT,
            banner_timeout=TIMEOUT,
            auth_timeout=TIMEOUT,
            sock=stream,
        )
        yield client


def run(client: paramiko.SSHClient, command: str) -> bytes:
    stdin, stdout, stderr = client.exec_command(command, timeout=TIMEOUT)
    with stdin, stdout, stderr:
        said: bytes = stdout.read()
        assert stdout.channel.recv_exit_status() == 0, stderr.read()
        return said


def connect_and_exec(where: dict[str, Any]) -> None:
    with login(where) as client:
        assert run(client, "echo hello") == b"hello\n"
        assert run(client, "head -c 300000 /dev/zero | wc -c").strip() == b"300000"


def sftp_put_and_get(where: dict[str, Any], megabytes: int = 100) -> None:
    with tempfile.TemporaryDirectory(prefix="sg-") as directory:
        source, remote, back = (os.path.join(directory, name) for name in ("a", "b", "c"))
        with open(source, "wb") as file:
            block = os.urandom(MEGABYTE)
            for number in range(megabytes):
                file.write(number.to_bytes(8, "big") + block[8:])
        with login(where) as client, client.open_sftp() as sftp:
            sftp.put(source, remote)
            assert _sha256(remote) == _sha256(source), "put"
            _get(sftp, remote, back)
            assert _sha256(back) == _sha256(source), "get"


def _get(sftp: paramiko.SFTPClient, remote: str, local: str) -> None:
    """Like sftp.get(), but send all requests before reading the first answer.

    Paramiko 2.12 to 5.1 considers a prefetch finished as soon as no request is unanswered.
    When its sending thread falls behind on a loaded machine, the rest is read one request
    at a time: 1 MB/s instead of 50.
    """
    with open(local, "wb") as target, sftp.open(remote, "rb") as source:
        before = set(threading.enumerate())
        source.prefetch(sftp.stat(remote).st_size)
        for thread in set(threading.enumerate()) - before:
            thread.join(TIMEOUT)
        shutil.copyfileobj(source, target, 32768)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def twenty_at_once(where: dict[str, Any], count: int = 20) -> None:
    results: list[bytes | BaseException] = []
    together = threading.Barrier(count)

    def one(number: int) -> None:
        try:
            together.wait(TIMEOUT)
            with login(where) as client:
                results.append(run(client, f"echo {number}"))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=repr) == sorted((b"%d\n" % n for n in range(count)), key=repr)


def close_from_another_thread(where: dict[str, Any]) -> None:
    """Close the client while a command runs and a thread waits for its output."""
    with login(where) as client:
        transport = client.get_transport()
        stdin, stdout, stderr = client.exec_command("echo started; exec sleep 60")
        with stdin, stdout, stderr:
            assert stdout.readline() == "started\n"
            closer = threading.Thread(target=client.close)
            start = time.monotonic()
            closer.start()
            assert stdout.read() == b""
            closer.join(TIMEOUT)
            assert not closer.is_alive()
            assert time.monotonic() - start < TIMEOUT
        assert transport is not None
        transport.join(TIMEOUT)
        assert not transport.is_alive()
        assert transport.sock._closed


def failure_is_told(where: dict[str, Any]) -> None:
    """The exception of Paramiko contains the stderr and the exit status of the proxy."""
    try:
        with login(where | {"command": "sh -c 'echo the gateway is on fire >&2; exit 255'"}):
            raise AssertionError("connected")
    except paramiko.SSHException as error:
        assert "the gateway is on fire" in str(error), repr(error)
        assert "255" in str(error), repr(error)


FLOWS = {
    flow.__name__: flow
    for flow in (
        connect_and_exec,
        sftp_put_and_get,
        twenty_at_once,
        close_from_another_thread,
        failure_is_told,
    )
}

if __name__ == "__main__":
    FLOWS[sys.argv[1]](json.loads(sys.argv[2]))
    print("paramiko", paramiko.__version__)
