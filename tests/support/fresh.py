# SPDX-License-Identifier: BSD-2-Clause
"""Runs a script in a fresh interpreter and checks its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import sshgateway

#: The preloaded sanitizer of make test-asan.  Only interpreters that load our extension
#: need it.  It is taken out of the environment of all other programs that tests start,
#: because it changes how they handle signals.
PRELOAD = os.environ.pop("LD_PRELOAD", None)

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
SCRIPTS = TESTS / "isolated" / "scripts"


def environment(*first: str, **extra: str) -> dict[str, str]:
    """Our environment, with *first*, the tests and the sshgateway under test on the path."""
    package = Path(sshgateway.__file__).parents[1]
    path = [*first, str(TESTS), str(package)]
    path += filter(None, [os.environ.get("PYTHONPATH")])
    preload = {"LD_PRELOAD": PRELOAD} if PRELOAD else {}
    return {**os.environ, **preload, "PYTHONPATH": os.pathsep.join(path), **extra}


def command(script: str | Path, *arguments: str, warnings: str = "error") -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-W", warnings, str(script), *arguments]


def run(
    script: str | Path,
    *arguments: str,
    timeout: float = 100,
    expected: int = 0,
    warnings: str = "error",
    path: Sequence[str] = (),
    **extra: str,
) -> subprocess.CompletedProcess[str]:
    """Run a script of tests/isolated/scripts; fail unless it exits with *expected*."""
    if isinstance(script, str):
        script = SCRIPTS / f"{script}.py"
    done = subprocess.run(
        command(script, *arguments, warnings=warnings),
        env=environment(*path, **extra),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == expected, (
        f"{script.name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done
