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
    """Fabric as it is.  All at once, and one login on the gateway."""
    with fabric.ThreadingGroup(*hosts, gateway=gateway, **options) as group:
        results = group.run(command, hide=True, in_stream=False)
    return [result.stdout for result in results.values()]


def everywhere_by_ssh_config(hosts: Sequence[str], command: str, **options: Any) -> list[str]:
    """The ways of ssh_config, gone as ssh goes them; options: Fabric's own."""
    members = [sshgateway.fabric.Connection(host, **options) for host in hosts]
    with fabric.ThreadingGroup.from_connections(members) as group:
        results = group.run(command, hide=True, in_stream=False)
    return [result.stdout for result in results.values()]
