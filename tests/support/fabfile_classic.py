# SPDX-License-Identifier: BSD-2-Clause
"""A fabfile for Fabric 1.

The environment variable WHERE is JSON: the settings for env, and the other values that
the tasks need.  Run as a program this file is ``fab -f`` itself:
``fabfile_classic.py ARGUMENT...``
"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import fabric.main
import fabric.network
import fabric.state
import fabric.tasks
from fabric.api import env, hide, parallel, run, settings, task

import sshgateway.fabric_classic
from support import gateways

WHERE: dict[str, Any] = json.loads(os.environ["WHERE"])


def answer(prompt: str, stream: object) -> str:
    """Answer a prompt with the next of WHERE["answers"]; replaces fab-classic's own prompt."""
    sys.stdout.write(f"asked {prompt}\n")
    return str(WHERE["answers"].pop(0))


if __name__ != "__main__":
    if WHERE["install"]:
        sshgateway.fabric_classic.install()
    if WHERE["answers"]:
        fabric.network._password_prompt = answer
    env.update(WHERE["env"])


def reach() -> str:
    """Run a command, and print the address and port of the server on which it ran."""
    with hide("everything"):
        place = ":".join(run("echo $SSH_CONNECTION", pty=False).split()[2:])
    sys.stdout.write(f"reached {place}\n")
    sys.stdout.flush()
    return place


@task
def serially() -> None:
    reach()


@task
@parallel(pool_size=8)
def at_once() -> None:
    """Use two hosts in each process: the task's host, and one that all processes share."""
    reach()
    with settings(host_string=WHERE["other"]):
        reach()


@task
def disconnected_between() -> None:
    reach()
    gateways = list(sshgateway.fabric_classic._gateways)
    assert gateways and all(gateway.is_connected for gateway in gateways)
    fabric.network.disconnect_all()
    assert not any(gateway.is_connected for gateway in gateways)
    reach()


@task
def after_a_loss() -> None:
    """Kill the sessions of the gateway's sshd between two commands; WHERE["keeper"] is the
    process id of its keeper."""
    reach()
    keeper = SimpleNamespace(pid=WHERE["keeper"])
    gateways.kill_sessions(SimpleNamespace(_keeper=keeper))  # type: ignore[arg-type]
    fabric.state.connections[env.host_string].get_transport().join(20)
    fabric.state.connections.pop(fabric.network.normalize_to_string(env.host_string)).close()
    reach()


@task
def without_us_again() -> None:
    """uninstall() restores the original functions."""
    ours = sshgateway.fabric_classic
    sshgateway.fabric_classic.install()  # a second install() changes nothing
    for module in (fabric.network, fabric.main, fabric.tasks):
        assert module.disconnect_all is ours._disconnect_all
    sshgateway.fabric_classic.uninstall()
    for module in (fabric.network, fabric.main, fabric.tasks):
        assert module.disconnect_all.__module__ == "fabric.network"
    for name in ("connect", "get_gateway"):
        assert getattr(fabric.network, name).__module__ == "fabric.network"
    reach()
    ours._disconnect_all()  # a caller may have kept a reference to it
    assert not fabric.state.connections


@task
def parameters() -> None:
    """Print the parameters of Gateway that env becomes, as JSON."""
    given = sshgateway.fabric_classic._parameters(env.gateway)
    given["pkey"] = given["pkey"] and given["pkey"].get_base64()
    sys.stdout.write(f"parameters {json.dumps(given)}\n")


if __name__ == "__main__":
    sys.argv[:1] = ["fab", "-f", __file__]
    fabric.main.main()
