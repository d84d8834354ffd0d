# SPDX-License-Identifier: BSD-2-Clause
"""Fabric's and fab-classic's own tests, after our install hooks.

Their sources, and the tools that their tests need, come from the package index while the
test runs, into a directory that pytest removes.  Without an index the tests are skipped.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from support import fresh

pytestmark = [pytest.mark.slow, pytest.mark.limit(400)]

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
TIMEOUT = 100  # seconds, for each program


def call_pip(*arguments: object, path: Sequence[Path] = ()) -> None:
    command = [*PIP, *map(str, arguments), "--retries", "0", "--timeout", "20"]
    try:
        done = subprocess.run(
            command,
            env=fresh.environment(*map(str, path)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip did not finish in {TIMEOUT} s: {arguments}")
    if done.returncode:
        pytest.skip(f"pip cannot get them here: {arguments}: {done.stderr.strip()[-300:]}")


def get_source(requirement: str, folder: Path) -> Path:
    """Download the sdist and unpack it; return its directory."""
    call_pip(
        "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation",
        "-d", folder, requirement,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    # extractall() of tarfile has its filter since 3.11.4, and 3.12 warns without it.
    subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    return source


def run(command: Sequence[object], where: Path, path: Sequence[Path]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *map(str, command)],
        cwd=where,
        env=fresh.environment(*map(str, path), HOME=str(where)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    )


def finish(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=TIMEOUT)[0]
    finally:
        process.kill()
        process.communicate()


# --- Fabric ---------------------------------------------------------------------------

FABRIC_HOOKS = """
import fabric.connection
import sshgateway.fabric
import sshgateway.paramiko
sshgateway.paramiko.install()
assert fabric.connection.ProxyCommand is sshgateway.paramiko.ProxyCommand
print("our hooks are installed")
"""


def test_fabrics_own_tests_of_connections(tmp_path) -> None:
    source = get_source(f"fabric=={version('fabric')}", tmp_path)
    tools = tmp_path / "tools"
    call_pip("install", "--target", tools, "pytest<8", "pytest-relaxed", "icecream")
    (tools / "our_hooks.py").write_text(FABRIC_HOOKS)
    options = ["-q", "-v", "-s", "-p", "no:cacheprovider", "-p", "our_hooks"]
    said = finish(run(["-m", "pytest", *options, "tests/connection.py"], source, [tools]))
    assert "our hooks are installed" in said
    (passed,) = re.findall(r"(\d+) passed", said)
    assert int(passed) > 100, said
    assert not re.search(r"\d+ (failed|error)", said), said


# --- fab-classic ------------------------------------------------------------------------

CLASSIC_HOOKS = """
import sys
import sshgateway.fabric_classic
if "--ours" in sys.argv:
    sys.argv.remove("--ours")
    sshgateway.fabric_classic.install()
    import fabric.network
    assert fabric.network.get_gateway.__module__ == "sshgateway.fabric_classic"
import nose
nose.main()
"""


def lasting_port() -> int:
    """A free port outside of the kernel's range, because each test binds it again."""
    while True:
        port = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def prepare_classic(source: Path, name: str) -> Path:
    """Copy the tests, with a port and a log file of their own; return the directory."""
    port = str(lasting_port())
    tests = source.with_name(name)
    for path in (source / "tests").rglob("*"):
        if path.is_file():
            data = path.read_bytes().replace(b"/tmp/fab.log", bytes(tests / "fab.log"))
            if path.name in ("server.py", "test_network.py", "testserver_ssh_config"):
                data = re.sub(rb"\b2200\b", port.encode(), data)
            copy = tests / path.relative_to(source / "tests")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
    (tests / "our_hooks.py").write_text(CLASSIC_HOOKS)
    return tests


def outcomes(said: str) -> dict[str, str]:
    lines = re.findall(r"^(.*) \.\.\. (ok|ERROR|FAIL)$", said, re.MULTILINE)
    return {str(name): str(outcome) for name, outcome in lines}


def test_fab_classics_own_tests_of_its_network(tmp_path) -> None:
    """Some fail with current Paramiko anyway; those that pass without us must pass with us."""
    folders = [Path(sys.prefix, "fab-classic"), Path(sys.prefix, "paramiko-ng")]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("tools/bootstrap.sh could not install fab-classic")
    source = get_source("fab-classic==1.20.1", tmp_path / "source")
    tools, old = tmp_path / "tools", tmp_path / "old"
    call_pip("install", "--target", tools, "pynose")
    call_pip("install", "--target", old, "setuptools<58", "wheel")
    # fudge is written for Python 2, and setuptools < 58 translates it.
    call_pip("install", "--no-build-isolation", "--target", tools, "fudge", path=[old])
    path = [tools, *folders]
    command = ["our_hooks.py", "-v", "test_network.py"]
    without = run(command, prepare_classic(source, "without"), path)
    with_us = run([*command, "--ours"], prepare_classic(source, "with"), path)
    expected, found = outcomes(finish(without)), outcomes(finish(with_us))
    passed = {name for name, outcome in expected.items() if outcome == "ok"}
    assert len(passed) > 40, expected
    worse = {name for name in passed if found.get(name) != "ok"}
    if worse:  # the server of these tests has short timeouts, and both runs were at once
        again = outcomes(finish(run([*command, "--ours"], prepare_classic(source, "again"), path)))
        worse = {name for name in worse if again.get(name) != "ok"}
    assert not worse, (worse, found)
