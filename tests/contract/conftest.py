# SPDX-License-Identifier: BSD-2-Clause
"""Each test of the contract runs on a plain socket first, then on our streams."""

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
    # make test-fast leaves out the oracle, which is CPython's and does not change, and
    # the channel, which runs the same code behind a whole sshd.
    kinds = [
        pytest.param(kind, marks=[] if kind.startswith("ProxyCommand") else [pytest.mark.slow])
        for kind in KINDS
        if not (is_ours and kind == ORACLE)
    ]
    metafunc.parametrize("stream", kinds, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def shared_gateway(sshd: PrivateSshd) -> Iterator[None]:
    """The gateway whose channels are under test.

    Open before the first test begins, it is part of what the guard finds there.
    """
    with gateways.to(sshd) as gateway:
        gateways.share(gateway)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # They wait for the ends of socat, and one in each class for a whole second.
        if item.path.name == "test_cpython.py":
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def stream(request: pytest.FixtureRequest, leaves_nothing: None) -> Iterator[Stream]:
    """A connected stream: ``.sock`` under test, ``.peer`` on the far side."""
    pair = KINDS[request.param]()
    yield pair
    pair.close()


@pytest.fixture
def oracle(leaves_nothing: None) -> Iterator[Stream]:
    """A plain socketpair to compare with."""
    pair = streams.open_socketpair()
    yield pair
    pair.close()
