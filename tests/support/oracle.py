# SPDX-License-Identifier: BSD-2-Clause
"""Whether ssh(1) can log in: the oracle of the tests of logins."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.server import peer_environment
from support.sshd import PrivateSshd
from support.waiting import DEADLINE


def _askpass(directory: Path, answers: Mapping[str, str]) -> Path:
    """A program for SSH_ASKPASS; the keys of *answers* are parts of prompts."""
    lines = ["#!/bin/sh", f'echo "$1" >>{shlex.quote(str(directory / "asked"))}', 'case "$1" in']
    lines += [
        f"*{shlex.quote(part)}*) printf '%s\\n' {shlex.quote(answer)} ;;"
        for part, answer in answers.items()
    ]
    lines += ["*) exit 1 ;;", "esac", ""]
    path = directory / "askpass"
    path.write_text("\n".join(lines))
    path.chmod(0o700)
    return path


def ssh_logs_in(
    sshd: PrivateSshd,
    directory: Path,
    answers: Mapping[str, str] | None = None,
    options: Mapping[str, object] | None = None,
    *,
    agent: str | None = None,
    config: Path | None = None,
) -> bool:
    """Log in to *sshd* with ssh(1), and run nothing.

    - directory: where the program that answers prompts is written.
    - answers: the answer to each prompt, found by a part of the prompt. A prompt that is not
      here remains unanswered.
    - options: lines of ssh_config(5) that win over those of the server's file.
    - agent: the socket of an agent.
    - config: an ssh_config file instead of the server's.

    .asked of the directory holds the prompts, a line each.
    """
    given = {"BatchMode": "no", **(options or {})}
    if agent is not None:
        given["IdentityAgent"] = agent
    words = [
        word
        for name, value in given.items()
        for each in (value if isinstance(value, list) else [value])
        for word in ("-o", f"{name}={each}")
    ]
    environment = {
        **peer_environment(),
        "SSH_ASKPASS": str(_askpass(directory, answers or {})),
        "SSH_ASKPASS_REQUIRE": "force",
        "HOME": str(directory),
    }
    run = subprocess.run(
        ["ssh", "-v", *words, "-F", str(config or sshd.ssh_config), sshd.name, "true"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=4 * DEADLINE,
        check=False,
        start_new_session=True,
    )
    # The exit status would tell of the session too, which PAM may refuse.
    return b"\nAuthenticated to " in run.stderr
