# SPDX-License-Identifier: BSD-2-Clause
"""Runs each test of the contract on a plain socket first, then on our streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import gateways, streams
from support.sshd import PrivateSshd
from support.streams import KINDS, ORACLE, Stream


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stream" not in metafunc.fixturenames:
        return
    is_ours = metafunc.definition.get_closest_marker("ours") is not None
    # make test-fast leaves out the oracle, because CPython's socket does not change, and
    # the channel, because it runs the same code but needs an sshd.
    kinds = [
        pytest.param(kind, marks=[] if kind.startswith("ProxyCommand") else [pytest.mark.slow])
        for kind in KINDS
        if not (is_ours and kind == ORACLE)
    ]
    metafunc.parametrize("stream", kinds, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def shared_gateway(sshd: PrivateSshd) -> Iterator[None]:
    """The gateway whose channels are under test.

    It is opened before the first test, so the guard counts it among what was there before.
    """
    with gateways.to(sshd) as gateway:
        gateways.share(gateway)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # These tests wait for socat to end; one in each class waits for a whole second.
        if item.path.name == "test_cpython.py":
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def stream(request: pytest.FixtureRequest, leaves_nothing: None) -> Iterator[Stream]:
    """A connected stream: ``.sock`` is under test, ``.peer`` is at the far end."""
    pair = KINDS[request.param]()
    yield pair
    pair.close()


@pytest.fixture
def oracle(leaves_nothing: None) -> Iterator[Stream]:
    """A plain socketpair, for comparison."""
    pair = streams.open_socketpair()
    yield pair
    pair.close()
