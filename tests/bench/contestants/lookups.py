# SPDX-License-Identifier: BSD-2-Clause
"""Contestants that look up a host in an ssh_config."""

from __future__ import annotations

import subprocess

from bench.contestants.base import Contestant, Link


class LookupContestant(Contestant):
    """It has no stream."""

    tells_stderr = False
    holds = 0

    def open(self, program: list[str]) -> Link:
        raise NotImplementedError

    def look_up(self, host: str, file: str) -> str:
        """Return the HostName that a file has for a host."""
        raise NotImplementedError


class Ours(LookupContestant):
    name = "sshgateway"
    package = "sshgateway"
    about = "sshgateway.config.lookup()"

    def look_up(self, host: str, file: str) -> str:
        from sshgateway.config import lookup

        return lookup(host, ssh_config=file).hostname


class Ssh(LookupContestant):
    name = "ssh -G"
    about = "the program ssh, which prints the options of a host"

    def look_up(self, host: str, file: str) -> str:
        ran = subprocess.run(
            ["ssh", "-G", "-F", file, host], capture_output=True, check=True, text=True
        )
        return next(line[9:] for line in ran.stdout.splitlines() if line.startswith("hostname "))


LOOKUP_CONTESTANTS: dict[str, LookupContestant] = {each.name: each for each in (Ours(), Ssh())}
