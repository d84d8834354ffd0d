# SPDX-License-Identifier: BSD-2-Clause
"""netmiko: a device behind a gateway, in two ways."""

from typing import Any

import netmiko

import sshgateway.paramiko


def ask_through_a_gateway(gateway: str, host: str, command: str, **device: Any) -> str:
    """Any route, without a program: hand netmiko a socket."""
    sock = sshgateway.create_connection((host, device.get("port", 22)), 30, gateway=gateway)
    with netmiko.ConnectHandler(host=host, sock=sock, **device) as connection:
        return str(connection.send_command(command))


def ask_by_ssh_config(ssh_config_file: str, host: str, command: str, **device: Any) -> str:
    """Inventories that name an ssh_config_file stay as they are: netmiko runs the
    ProxyCommand or ProxyJump it finds there, and what runs it is ours now."""
    sshgateway.paramiko.install()
    device |= {"host": host, "ssh_config_file": ssh_config_file}
    with netmiko.ConnectHandler(**device) as connection:
        return str(connection.send_command(command))
