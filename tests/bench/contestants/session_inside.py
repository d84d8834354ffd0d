# SPDX-License-Identifier: BSD-2-Clause
"""A Paramiko session in a contestant's stream."""

from __future__ import annotations

import shlex
from typing import Any

from bench.contestants.base import Contestant, Link
from bench.contestants.gateway import Opened, Road, link_to, login


def login_inside(road: Road) -> tuple[Opened, Any]:
    """The way, and a Paramiko client of the inner sshd over a stream of it."""
    way = road.connect()
    try:
        inner = road.site.inner
        return way, login(inner, way.stream((inner.host, inner.port)))
    except BaseException:
        way.close()
        raise


class Inside(Contestant):
    """The same contestant with a Paramiko session in its stream: what is
    measured are the bytes of a program that the inner sshd runs."""

    tells_stderr = False
    holds = 0

    def __init__(self, road: Road) -> None:
        self.name, self.about = road.name, road.about
        self._road = road

    def open(self, program: list[str]) -> Link:
        way, client = login_inside(self._road)
        channel = client.get_transport().open_session()
        channel.exec_command(shlex.join(program))

        def finish() -> None:
            client.close()
            way.close()

        return link_to(channel, channel.close, finish, way.pids)
