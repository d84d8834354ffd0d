# SPDX-License-Identifier: BSD-2-Clause
"""A private ssh-agent(1)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

from support.server import find_program, peer_environment
from support.waiting import readable


class SshAgent:
    """``with SshAgent(directory) as agent: agent.add(key)``; ``.path`` is its socket."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "agent")

    def _environment(self) -> dict[str, str]:
        return {**peer_environment(), "SSH_AUTH_SOCK": self.path}

    def add(self, key: Path | str, *options: str) -> None:
        subprocess.run(
            ["ssh-add", "-q", *options, str(key)],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            check=True,
            capture_output=True,
        )

    def remove_all(self) -> None:
        subprocess.run(
            ["ssh-add", "-qD"], env=self._environment(), check=True, capture_output=True
        )

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [find_program("ssh-agent"), "-D", "-a", self.path],
            env=peer_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert readable(self._process.stdout)  # it prints its path when it listens
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
        if os.path.exists(self.path):
            os.unlink(self.path)
