# SPDX-License-Identifier: BSD-2-Clause
"""The works of ssh_config: look-ups of hosts that were not looked up before."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.contestants.base import Contestant
from bench.contestants.lookups import LookupContestant
from bench.meter import Stopwatch
from bench.works.base import Figures, Metric, Work, require

#: The last lines of each file.
COMMON = """Host *
    User me
    ServerAliveInterval 15
    UserKnownHostsFile ~/.ssh/known_hosts.d/%k
Match host gw-* user me
    IdentityFile ~/.ssh/gateway
"""


def few_lines(_hosts: int) -> str:
    """One block for all hosts."""
    return "Host h*\n    HostName %h.example\n" + COMMON


def a_block_each(hosts: int) -> str:
    """A block for each host, as programs write them."""
    blocks = (f"Host h{n} h{n}.*\n    HostName h{n}.example\n    Port 22\n" for n in range(hosts))
    return "".join(blocks) + COMMON


@dataclass
class ColdHosts:
    """Look up each of some hosts once."""

    title: str
    text: Callable[[int], str]
    hosts: int
    metrics: list[Metric] = field(
        default_factory=lambda: [
            Metric("all look-ups", "ms"),
            Metric("a look-up", "us"),
            Metric("CPU of a look-up, with children", "us"),
        ]
    )
    fresh: bool = True

    def run(self, contestant: Contestant) -> Figures:
        looking = cast(LookupContestant, contestant)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(self.text(self.hosts))
            file.flush()
            children = _cpu_of_children()
            watch = Stopwatch()
            found = [looking.look_up(f"h{n}", file.name) for n in range(self.hosts)]
            watch.stop()
        cpu = watch.cpu + _cpu_of_children() - children
        require(found[-1] == f"h{self.hosts - 1}.example", contestant, f"found {found[-1]!r}")
        return {
            "all look-ups": watch.seconds * 1000,
            "a look-up": watch.seconds / self.hosts * 1e6,
            "CPU of a look-up, with children": cpu / self.hosts * 1e6,
        }


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def lookup_works(quick: bool) -> list[tuple[Work, int]]:
    hosts, rounds = (100, 2) if quick else (1000, 5)
    return [
        (ColdHosts(f"ssh_config: {hosts} cold hosts, few lines", few_lines, hosts), rounds),
        (ColdHosts(f"ssh_config: {hosts} cold hosts, a block each", a_block_each, hosts), rounds),
    ]
