# SPDX-License-Identifier: BSD-2-Clause
"""Fabric 2 and 3: a group of hosts through one gateway."""

from collections.abc import Sequence
from typing import Any

import fabric

import sshgateway
import sshgateway.fabric


def everywhere(
    gateway: sshgateway.Gateway, hosts: Sequence[str], command: str, **options: Any
) -> list[str]:
    """Run a command on all hosts at once; one login on the gateway serves them all."""
    with fabric.ThreadingGroup(*hosts, gateway=gateway, **options) as group:
        results = group.run(command, hide=True, in_stream=False)
    return [result.stdout for result in results.values()]


def everywhere_by_ssh_config(hosts: Sequence[str], command: str, **options: Any) -> list[str]:
    """The same by the ProxyJump or ProxyCommand of ssh_config; options are Fabric's."""
    members = [sshgateway.fabric.Connection(host, **options) for host in hosts]
    with fabric.ThreadingGroup.from_connections(members) as group:
        results = group.run(command, hide=True, in_stream=False)
    return [result.stdout for result in results.values()]
