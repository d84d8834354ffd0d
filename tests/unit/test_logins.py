# SPDX-License-Identifier: BSD-2-Clause
"""Places for logins, and the pauses before the next try at a busy server."""

from __future__ import annotations

import itertools

import pytest

from sshgateway import _deadline, _logins
from sshgateway._deadline import Deadline


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time of the monotonic clock, which the test sets."""
    now = [1000.0]
    monkeypatch.setattr(_deadline.time, "monotonic", lambda: now[0])
    return now


def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logins.random, "uniform", lambda low, high: high)


def test_pauses_grow_up_to_a_bound(monkeypatch) -> None:
    longest(monkeypatch)
    pauses = list(itertools.islice(_logins.pauses(Deadline(10_000)), 8))
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8]


def test_pauses_have_full_jitter(monkeypatch) -> None:
    """A pause has any length from none at all, so that many clients spread out."""
    asked = []

    def uniform(low: float, high: float) -> float:
        asked.append(low)
        return low

    monkeypatch.setattr(_logins.random, "uniform", uniform)
    assert list(itertools.islice(_logins.pauses(Deadline(1)), 100)) == [0] * 100
    assert asked == [0] * 100


@pytest.mark.parametrize("timeout", [0.1, 1, 7, 60, 600])
def test_pauses_use_the_whole_timeout_and_no_more(monkeypatch, clock, timeout: float) -> None:
    longest(monkeypatch)
    unlimited = list(itertools.islice(_logins.pauses(Deadline(10_000)), 100))
    taken = []
    for pause in _logins.pauses(Deadline(timeout)):
        clock[0] += pause
        taken.append(pause)
    assert taken == unlimited[: len(taken)]
    assert sum(taken) < timeout <= sum(unlimited[: len(taken) + 1])


def test_pauses_without_a_timeout_end(monkeypatch, clock) -> None:
    longest(monkeypatch)
    assert 7 < sum(_logins.pauses(Deadline(None))) < 15


def test_a_place_is_free_again_after_an_error() -> None:
    for _ in range(2 * _logins.LOGINS_AT_ONCE):
        with (
            pytest.raises(ZeroDivisionError),
            _logins.slot("host", 22, Deadline(0), "the gateway"),
        ):
            raise ZeroDivisionError
    assert not _logins._slots


def test_the_case_of_a_host_name_does_not_matter(monkeypatch) -> None:
    monkeypatch.setattr(_logins, "LOGINS_AT_ONCE", 1)
    with (
        _logins.slot("Host", 22, Deadline(0), "the gateway"),
        _logins.slot("host", 23, Deadline(0), "the gateway"),
        pytest.raises(TimeoutError, match="the gateway"),
        _logins.slot("host", 22, Deadline(0), "the gateway"),
    ):
        raise AssertionError("two logins at once")
