# SPDX-License-Identifier: BSD-2-Clause
"""Flows of unmodified Fabric, the newest and 2.6, with our gateways.

The functions run in the test's process or, for Fabric 2.6, in another process:
``fabrics.py FLOW SETTINGS``.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fabric
import paramiko

from support import gateways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.sshd import PrivateSshd

#: Seconds to wait for the background threads of Paramiko.
TIMEOUT = 20.0


def settings(gateway: PrivateSshd, targets: Sequence[PrivateSshd]) -> dict[str, Any]:
    """The settings of the flows, as values that JSON can represent."""
    return {
        "gateway": gateways.settings(gateway),
        "hosts": [f"{address}:{sshd.port}" for sshd in targets for address in sshd.addresses],
        "user": targets[0].username,
        "keys": [str(sshd.user_key) for sshd in targets],
    }


def make_gateway(where: dict[str, Any]) -> Any:
    from sshgateway import Gateway

    return Gateway(**where["gateway"])


def config(**overrides: Any) -> fabric.Config:
    """A configuration without the user's own ssh_config."""
    return fabric.Config(overrides={"load_ssh_configs": False, **overrides})


def connect_kwargs(where: dict[str, Any]) -> dict[str, Any]:
    return {
        "key_filename": list(where["keys"]),
        "allow_agent": False,
        "look_for_keys": False,
        "banner_timeout": TIMEOUT,
        "auth_timeout": TIMEOUT,
    }


def connection(where: dict[str, Any], number: int = 0, **options: Any) -> fabric.Connection:
    options.setdefault("config", config())
    return fabric.Connection(
        where["hosts"][number], user=where["user"], connect_kwargs=connect_kwargs(where), **options
    )


def say(connection: Any, word: str) -> str:
    said: str = connection.run(f"echo {word}", hide=True, in_stream=False).stdout
    return said.strip()


def run(where: dict[str, Any]) -> None:
    with make_gateway(where) as gateway, connection(where, gateway=gateway) as one:
        assert say(one, "hello") == "hello"
        result = one.run("echo oops >&2; exit 3", hide=True, warn=True, in_stream=False)
        assert (result.exited, result.stderr) == (3, "oops\n")


def put_and_get(where: dict[str, Any]) -> None:
    data = bytes(range(256)) * 4000
    with (
        tempfile.TemporaryDirectory(prefix="sg-") as directory,
        make_gateway(where) as gateway,
        connection(where, gateway=gateway) as one,
    ):
        remote = str(Path(directory, "remote"))
        one.put(io.BytesIO(data), remote)
        assert Path(remote).read_bytes() == data
        back = io.BytesIO()
        one.get(remote, back)
        assert back.getvalue() == data
        one.sftp().close()  # Fabric 2 leaves it open


def group(where: dict[str, Any], kind: str = "ThreadingGroup") -> None:
    """Connect to all hosts at once through a gateway that is not yet open."""
    gateway = make_gateway(where)
    members = getattr(fabric, kind)(
        *where["hosts"],
        user=where["user"],
        gateway=gateway,
        config=config(),
        connect_kwargs=connect_kwargs(where),
    )
    try:
        results = members.run("echo $SSH_CONNECTION", hide=True, in_stream=False)
    finally:
        members.close()
        gateway.close()
    reached = {":".join(result.stdout.split()[2:]) for result in results.values()}
    assert sorted(reached) == sorted(where["hosts"])


def serial_group(where: dict[str, Any]) -> None:
    group(where | {"hosts": where["hosts"][:2]}, "SerialGroup")


def gateway_in_the_configuration(where: dict[str, Any]) -> None:
    """Invoke copies and clones the configuration; the gateway must stay the same object."""
    with make_gateway(where) as gateway:
        given = config(gateway=gateway)
        cloned = given.clone()
        for number, one in enumerate((given, cloned, cloned.clone())):
            with connection(where, number, config=one) as through:
                assert through.gateway is gateway
                assert say(through, "hello") == "hello"


def refusal(where: dict[str, Any]) -> None:
    """Connect to a closed port; the first exception contains the reason."""
    from sshgateway import ChannelOpenError

    where = where | {"hosts": [f"127.0.0.1:{gateways.closed_port()}"]}
    with make_gateway(where) as gateway, connection(where, gateway=gateway) as one:
        try:
            say(one, "never")
        except ChannelOpenError as error:
            assert "refused" in error.args[1]
        else:
            raise AssertionError("no error")


def default_timeout(where: dict[str, Any]) -> None:
    """Fabric opens channels without a timeout, so the gateway's own applies."""
    from sshgateway import Gateway

    with Gateway(**where["gateway"] | {"channel_timeout": 0.2}) as gateway:
        one = connection(where, gateway=gateway)
        try:
            one.open()
        except TimeoutError as error:
            assert "within 0.2 s" in error.args[1], error
        else:
            raise AssertionError("no error")


def reopened(where: dict[str, Any]) -> None:
    """Close the gateway under a connection; the next use opens it again."""
    gateway = make_gateway(where)
    with connection(where, gateway=gateway) as one:
        assert say(one, "one") == "one"
        transport = one.transport
        gateway.close()
        transport.join(TIMEOUT)
        assert not one.is_connected
        one.client.close()
        assert say(one, "two") == "two"
    gateway.close()


# ---- sshgateway.fabric.Connection: where["ssh_config"] is a path ------------------------


def ours(where: dict[str, Any], host: str, given: Any = None, **options: Any) -> Any:
    from sshgateway.fabric import Connection

    if given is None:
        given = fabric.Config(runtime_ssh_path=where["ssh_config"])
    return Connection(host, config=given, connect_kwargs=connect_kwargs(where), **options)


def by_ssh_config(where: dict[str, Any]) -> None:
    """where["wanted"]: the host to connect to, and its expected address and port."""
    name, place = where["wanted"]
    with ours(where, name) as one:
        said = say(one, "$SSH_CONNECTION")
    assert ":".join(said.split()[2:]) == place, said


def our_group(where: dict[str, Any]) -> None:
    given = fabric.Config(runtime_ssh_path=where["ssh_config"])
    members = fabric.ThreadingGroup.from_connections(
        ours(where, host, given, user=where["user"]) for host in where["hosts"]
    )
    try:
        results = members.run("echo $SSH_CONNECTION", hide=True, in_stream=False)
    finally:
        members.close()
    reached = {":".join(result.stdout.split()[2:]) for result in results.values()}
    assert sorted(reached) == sorted(where["hosts"])


def threads_are_gone() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, paramiko.Transport):
            thread.join(TIMEOUT)


FLOWS = {
    flow.__name__: flow
    for flow in (
        by_ssh_config,
        default_timeout,
        gateway_in_the_configuration,
        group,
        our_group,
        put_and_get,
        refusal,
        reopened,
        run,
        serial_group,
    )
}


if __name__ == "__main__":
    FLOWS[sys.argv[1]](json.loads(sys.argv[2]))
    threads_are_gone()
    print("fabric", fabric.__version__)
