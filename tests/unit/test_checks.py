# SPDX-License-Identifier: BSD-2-Clause
"""The checkers of "make check" find what they are for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OFFENCES = [
    ("sys/sys.c", '#include "engine/loop.h"'),
    ("engine/loop.h", '#include "proxy/proxy.h"'),
    ("engine/loop.h", '#include "ssh/session.h"'),
    ("proxy/child.c", '#include "ssh/channel.h"'),
    ("ssh/auth.c", '#include "proxy/child.h"'),
    ("ssh/auth.c", '#include "python/error.h"'),
    ("python/error.c", '#include "error.h"'),
    ("python/session.c", '#include "ssh/internal.h"'),
    ("engine/loop.c", "#include <libssh2.h>"),
    ("ssh/auth.c", "#include <Python.h>"),
    ("engine/relay.c", "int f(int fd) { return close(fd); }"),
    ("other/thing.c", "int i;"),
]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    if not (ROOT / "csrc").exists():
        pytest.skip("the sources of the core are not here")
    return Path(shutil.copytree(ROOT / "csrc", tmp_path / "csrc"))


def test_the_layers_are_kept(copy: Path) -> None:
    done = run("sh", "tools/check_layers.sh", copy)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("file", "line"), OFFENCES)
def test_a_breach_of_the_layers_is_found(copy: Path, file: str, line: str) -> None:
    path = copy / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as opened:
        opened.write(line + "\n")
    done = run("sh", "tools/check_layers.sh", copy)
    assert done.returncode != 0
    assert file in done.stderr


PROSE = {
    "riddle.c": "/* Whoever waits is told, for it is none the worse. */\n",
    "riddle.py": '"""What comes is nobody\'s affair any more."""\n',
    "riddle.rst": "So many words, so much to read anew.\n",
    "long.c": f"/* {'x' * 77} */\n",
}
PLAIN = {
    "plain.c": "/* Return the number of bytes. */\n",
    "plain.py": '"""Return the number of bytes."""\n',
    "plain.rst": "The function returns the number of bytes.\n",
}


def check_prose(directory: Path, name: str, text: str) -> int:
    (directory / name).write_text(text)
    run("git", "-C", directory, "init", "-q")
    script = ROOT / "tools" / "check_prose.py"
    done = subprocess.run([sys.executable, script, name], cwd=directory, capture_output=True)
    return done.returncode


@pytest.mark.parametrize("name", PROSE)
def test_riddles_and_long_lines_are_found(tmp_path: Path, name: str) -> None:
    assert check_prose(tmp_path, name, PROSE[name]) == 1


@pytest.mark.parametrize("name", PLAIN)
def test_plain_prose_is_accepted(tmp_path: Path, name: str) -> None:
    assert check_prose(tmp_path, name, PLAIN[name]) == 0
