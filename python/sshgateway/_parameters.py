# SPDX-License-Identifier: BSD-2-Clause
"""The types of the parameters of Gateway, for functions that pass them on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from sshgateway._offers import Names
from sshgateway._trust.command import Command
from sshgateway._trust.policy import Strictness
from sshgateway.login import Method, Prompt

if TYPE_CHECKING:
    from sshgateway.gateway import Gateway

__all__ = ["GatewayParameters", "Path"]

Path = str | os.PathLike[str]


class GatewayParameters(TypedDict, total=False):
    """The keyword parameters of ``Gateway``: ``**parameters: Unpack[GatewayParameters]``."""

    hostname: str | None
    port: int | None
    username: str | None
    password: str | None
    pkey: Any
    key_filename: Path | Sequence[Path] | None
    passphrase: str | None
    allow_agent: bool
    identity_agent: Path | None
    look_for_keys: bool
    identities_only: bool
    prompt: Prompt | None
    certificate_filename: Path | Sequence[Path] | None
    preferred_authentications: Sequence[Method]
    number_of_password_prompts: int
    banner: Callable[[str], object] | None
    known_hosts: Sequence[Path] | None
    revoked_host_keys: Path | Sequence[Path]
    known_hosts_command: str | Command | None
    host_key_alias: str | None
    strict_host_key_checking: Strictness
    hash_known_hosts: bool
    kex: Names | None
    ciphers: Names | None
    macs: Names | None
    host_key_algorithms: Names | None
    ca_signature_algorithms: Names | None
    timeout: float | None
    channel_timeout: float | None
    server_alive_interval: float
    server_alive_count_max: int
    sock: socket.socket | None
    gateway: Gateway | None
