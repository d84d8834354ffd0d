# SPDX-License-Identifier: BSD-2-Clause
"""Rules for every test: it leaves nothing behind, and it ends in time.

* The guard: after each test the process has the same descriptors, children (zombies
  included) and threads (those of the engine included) as before.
* The time limit, in two stages.  First SIGALRM raises an exception in the main thread: a
  test that hangs fails with a traceback, and the run continues.  If the main thread is in
  code that handles no signals, faulthandler later prints every thread's stack and ends
  the run.
* Warnings are errors (``filterwarnings`` in pyproject.toml), including the
  ResourceWarnings of finalizers, because pytest turns a finalizer's exception into a warning.
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

import pytest

import sshgateway
from support import (
    dispositions,
    fresh,  # noqa: F401  takes LD_PRELOAD out of the environment
)
from support.footprint import Snapshot
from support.http_proxy import HttpProxy
from support.sshd import PrivateSshd

LIMIT = 120.0  # seconds that a test may take; the marker "limit" allows more
GRACE = 30.0  # seconds from the first stage to the second

with warnings.catch_warnings():
    # cryptography warns when older Paramikos are imported; that is not our defect.
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
    # The real stderr, not the captured one, for the second stage.
    _stderr = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else -1


def pytest_report_header() -> str:
    """Name the build under test."""
    info = sshgateway.build_info()
    return (
        f"sshgateway: {info['libssh2']} libssh2 {info['libssh2_version']}, {info['poller']},"
        f" {Path(sshgateway.__file__).parent}"
    )


def pytest_unconfigure() -> None:
    if _stderr >= 0:
        os.close(_stderr)


def pytest_collection_finish() -> None:
    # The guard runs gc.collect() twice per test; exclude the thousands of module objects.
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
    """Lend SIGALRM and its timer to a test; only the second stage limits it then."""
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
    """Fail a test that leaves a descriptor, a child or a thread.

    Fixtures of a wider scope are set up before this one, so their servers belong to
    what was there before.
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
    """An OpenSSH server on loopback, used as gateway and as target."""
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
