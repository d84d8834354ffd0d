# SPDX-License-Identifier: BSD-2-Clause
"""What holds for every test: it leaves nothing behind, and it ends.

* The guard: after each test the process has the descriptors, children (zombies
  included) and threads (with those of the engine) it had before.
* The time limit, in two stages.  SIGALRM raises in the main thread, so a test
  that hangs fails with a traceback and the run goes on.  If that does not help,
  because the main thread sits in code that handles no signals, faulthandler
  prints every thread's stack and ends the run.
* Warnings are errors, ResourceWarning from finalizers too (pyproject.toml has
  ``-W error``; pytest turns what a finalizer raises into a warning).
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import dispositions
import fresh  # noqa: F401  takes LD_PRELOAD out of the environment
import pytest
from footprint import Snapshot
from http_proxy import HttpProxy
from sshd import PrivateSshd

import sshgateway

LIMIT = 120.0  # seconds a test may take; the marker "limit" gives it more
GRACE = 30.0  # seconds from the first stage to the second

with warnings.catch_warnings():
    # cryptography warns at the import of older Paramikos; not ours to mend.
    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError):
        import paramiko  # noqa: F401

_stderr = -1


def pytest_configure(config: pytest.Config) -> None:
    dispositions.reset()
    global _stderr
    for line in (
        "limit(seconds): the time this test may take, if more than usual",
        "ours: not on the oracle, a plain socket, which differs by design",
        "leaves_nothing(False): do not check for leftovers; the test says why",
    ):
        config.addinivalue_line("markers", line)
    # The real stderr, past the capture, for the second stage.
    _stderr = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else -1


def pytest_report_header() -> str:
    """Which of the builds is tested."""
    info = sshgateway.build_info()
    return (
        f"sshgateway: {info['libssh2']} libssh2 {info['libssh2_version']}, {info['poller']},"
        f" {Path(sshgateway.__file__).parent}"
    )


def pytest_unconfigure() -> None:
    if _stderr >= 0:
        os.close(_stderr)


def pytest_collection_finish() -> None:
    # The guard collects twice a test; spare it the thousands of modules' objects.
    gc.collect()
    gc.freeze()


class TestHangs(Exception):  # noqa: N818
    __test__ = False


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("limit")
    return max(LIMIT, float(marker.args[0])) if marker else LIMIT


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    seconds = _limit(item)

    def hangs(_signum: int, _frame: FrameType | None) -> None:
        raise TestHangs(f"{item.nodeid} hangs: not done after {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if _stderr >= 0:
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=_stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def alarm() -> Iterator[None]:
    """Lend SIGALRM and its timer to a test; only the second stage watches it."""
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    handler = signal.getsignal(signal.SIGALRM)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, remaining)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a descriptor, a child or a thread.

    Fixtures of a wider scope are set up before this one, so their servers are
    part of what was there before.
    """
    marker = request.node.get_closest_marker("leaves_nothing")
    if marker and marker.args == (False,):
        yield
        return
    gc.collect()
    before = Snapshot.take()
    yield
    gc.collect()
    left = before.wait_clean()
    assert not left, "the test leaves behind: " + "; ".join(left)


@pytest.fixture(scope="session")
def sshd() -> Iterator[PrivateSshd]:
    """An OpenSSH server on loopback: gateway and target at once."""
    with PrivateSshd() as server:
        yield server


@pytest.fixture(scope="session")
def http_proxy() -> Iterator[HttpProxy]:
    """A tinyproxy on loopback."""
    with HttpProxy() as server:
        yield server


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory short enough for the paths of Unix sockets (108 bytes)."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sg-") as directory:
        yield Path(directory)
