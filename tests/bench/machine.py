# SPDX-License-Identifier: BSD-2-Clause
"""Describes the machine and the versions of a run, without host names and paths."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.contestants.base import Contestant
from bench.meter import busy, own

BUILD_INFO = "import json, sshgateway; print(json.dumps(sshgateway.build_info()))"


class Machine:
    """The machine, and how much of it other processes used during the run."""

    def __init__(self) -> None:
        self._busy, self._own, self._wall = busy(), own(), time.monotonic()

    def describe(self, contestants: Iterable[Contestant]) -> dict[str, Any]:
        seconds = time.monotonic() - self._wall
        others = (busy() - self._busy) - (own() - self._own)
        cpus = os.cpu_count() or 1
        return {
            "cpu": _cpu_model(),
            "cpus": cpus,
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
            "kernel": f"{platform.system()} {platform.release()}",
            "tcp": _congestion_control(),
            "libc": " ".join(platform.libc_ver()),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "openssl": ssl.OPENSSL_VERSION,
            "openssh": openssh(),
            "commit": _commit(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "contestants": {each.name: version(each) for each in contestants},
            "seconds": round(seconds, 1),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "others_percent": round(max(0.0, 100 * others / (seconds * cpus)), 1),
        }


def _congestion_control() -> str:
    """The TCP congestion control; bbr paces connections over loopback too."""
    try:
        with open("/proc/sys/net/ipv4/tcp_congestion_control") as name:
            return name.read().strip()
    except OSError:
        return "unknown"


def _cpu_model() -> str:
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def openssh() -> str:
    try:
        run = subprocess.run(["ssh", "-V"], capture_output=True, text=True)
    except FileNotFoundError:
        return "no ssh"
    return run.stderr.split(",")[0].strip()


def version(contestant: Contestant) -> str:
    """The version of the contestant, and of the libraries that it depends on."""
    if contestant.name.startswith("ssh-") or contestant.name == "ssh":
        return openssh()
    if not contestant.package:
        return ""
    if contestant.package == "sshgateway":
        return _ours(contestant.path)
    cryptography = _distribution("cryptography", contestant.path)
    return f"{_distribution(contestant.package, contestant.path)} (cryptography {cryptography})"


def _distribution(package: str, path: Path | None) -> str:
    where = [str(path)] if path else []
    for each in importlib.metadata.distributions(name=package, path=[*where, *sys.path]):
        return each.version
    return "unknown"


def _ours(path: Path | None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else None
    run = subprocess.run(
        [sys.executable, "-c", BUILD_INFO], stdout=subprocess.PIPE, env=environment, check=True
    )
    info = json.loads(run.stdout)
    patches = len(info["libssh2_patches"])
    libssh2 = f"{info['libssh2']} libssh2 {info['libssh2_version']}"
    if patches:
        libssh2 += f" with {patches} patches"
    if info["openssl_version"]:
        libssh2 += f", OpenSSL {info['openssl_version']}"
    return f"{_distribution('sshgateway', None)} ({libssh2}, {info['poller']})"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return run.stdout.strip()
