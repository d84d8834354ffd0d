# SPDX-License-Identifier: BSD-2-Clause
"""A Paramiko session inside the stream of another contestant."""

from __future__ import annotations

import shlex
from typing import Any

from bench.contestants.base import Contestant, Link
from bench.contestants.gateway import GatewayContestant, OpenGateway, link_to, login


def login_inside(via: GatewayContestant) -> tuple[OpenGateway, Any]:
    """An open gateway, and a Paramiko client of the inner sshd over a stream of the gateway."""
    gateway = via.connect()
    try:
        inner = via.site.inner
        return gateway, login(inner, gateway.stream((inner.host, inner.port)))
    except BaseException:
        gateway.close()
        raise


class Inside(Contestant):
    """The given contestant with a Paramiko session in its stream; the bytes measured are
    those of a program that the inner sshd runs."""

    tells_stderr = False
    holds = 0

    def __init__(self, via: GatewayContestant) -> None:
        self.name, self.about = via.name, via.about
        self._via = via

    def open(self, program: list[str]) -> Link:
        gateway, client = login_inside(self._via)
        channel = client.get_transport().open_session()
        channel.exec_command(shlex.join(program))

        def finish() -> None:
            client.close()
            gateway.close()

        return link_to(channel, channel.close, finish, gateway.pids)
