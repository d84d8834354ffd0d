# SPDX-License-Identifier: BSD-2-Clause
"""netmiko: a device behind a gateway, by a socket or by an ssh_config file."""

from typing import Any

import netmiko

import sshgateway.paramiko


def ask_through_a_gateway(gateway: str, host: str, command: str, **device: Any) -> str:
    """Give netmiko a socket: it works for any route, and without a program."""
    sock = sshgateway.create_connection((host, device.get("port", 22)), 30, gateway=gateway)
    with netmiko.ConnectHandler(host=host, sock=sock, **device) as connection:
        return str(connection.send_command(command))


def ask_by_ssh_config(ssh_config_file: str, host: str, command: str, **device: Any) -> str:
    """Keep an inventory that names an ssh_config_file: netmiko runs the ProxyCommand or
    ProxyJump that it finds there, now by our ProxyCommand."""
    sshgateway.paramiko.install()
    device |= {"host": host, "ssh_config_file": ssh_config_file}
    with netmiko.ConnectHandler(**device) as connection:
        return str(connection.send_command(command))
