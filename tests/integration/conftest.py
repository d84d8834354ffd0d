# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures that several files share: a web server, and two versions of Paramiko."""

from __future__ import annotations

import functools
import json
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from sshgateway import _core, build_info
from support import certificate, fresh, logins, web

# --- A web server -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS contexts of the server and of a client that trusts it."""
    return certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def http_address() -> Iterator[tuple[str, int]]:
    with web.serve() as address:
        yield address


@pytest.fixture(scope="module")
def https_address(contexts) -> Iterator[tuple[str, int]]:
    with web.serve(contexts[0]) as address:
        yield address


# --- Paramiko, the newest and 2.12 ------------------------------------------------------

OLD = Path(sys.prefix) / "paramiko-2.12"


def is_old(version: str) -> bool:
    return version.startswith("2.12.")


def in_this_process(flow: str, where: dict[str, Any]) -> None:
    logins.FLOWS[flow](where)


def in_another_process(flow: str, where: dict[str, Any]) -> None:
    """Run with Paramiko 2.12: the one beside the newest, or the installed one."""
    path = []
    if not is_old(paramiko.__version__):
        if not OLD.is_dir():
            pytest.skip(f"no {OLD}: tools/bootstrap.sh could not install paramiko 2.12")
        path = [str(OLD)]
    script = Path(logins.__file__)
    done = fresh.run(script, flow, json.dumps(where), path=path, timeout=100, warnings="default")
    assert is_old(done.stdout.split()[-1])
    # cryptography warns about Paramiko 2.12; no warning may be about an unclosed resource.
    assert "ResourceWarning" not in done.stderr


@pytest.fixture(params=[in_this_process, in_another_process], ids=["newest", "2.12"])
def perform(request) -> Callable[[str, dict[str, Any]], None]:
    """Call with the name of a flow of support/logins.py and the settings of the login."""
    chosen: Callable[[str, dict[str, Any]], None] = request.param
    return chosen


# --- Both ways to authenticate ----------------------------------------------------------

IS_PINNED = build_info()["libssh2"] == "pinned"


def authenticate_by_libssh2(monkeypatch) -> None:
    """Authenticate as with the system's libssh2 (see _exchange.py)."""
    by_libssh2 = functools.partial(_core.Session, by_messages=False)
    monkeypatch.setattr(_core, "Session", by_libssh2)


@pytest.fixture(params=["messages", "libssh2"])
def exchange(request, monkeypatch) -> str:
    """Run the test with either exchange of _exchange.py."""
    name: str = request.param
    if name == "libssh2":
        authenticate_by_libssh2(monkeypatch)
    elif not IS_PINNED:
        pytest.skip("the system's libssh2 cannot authenticate by messages")
    return name


@pytest.fixture
def by_messages() -> None:
    """Skip a test of something that the system's libssh2 cannot do."""
    if not IS_PINNED:
        pytest.skip("the system's libssh2 cannot authenticate by messages")
