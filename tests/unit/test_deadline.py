# SPDX-License-Identifier: BSD-2-Clause
"""The deadline that the steps of one operation share."""

from __future__ import annotations

import errno
import time

import pytest

from sshgateway._deadline import Deadline
from sshgateway._hosts import format_host, parse_host


def test_no_timeout_is_no_limit() -> None:
    deadline = Deadline(None)
    assert deadline.left() is None
    assert deadline.left(5) == 5
    assert not deadline.is_over()


def test_what_is_left_is_bounded_by_both() -> None:
    deadline = Deadline(1000)
    assert 900 < (deadline.left() or 0) <= 1000
    assert deadline.left(5) == 5
    assert Deadline(0).left(5) == 0


def test_the_earlier_of_a_timeout_and_a_moment_counts() -> None:
    past = time.monotonic() - 1
    assert Deadline(1000, at=past).is_over()
    assert Deadline(0, at=past + 1000).is_over()
    assert not Deadline(None, at=past + 1000).is_over()


def test_a_negative_timeout_is_refused_as_by_a_socket() -> None:
    with pytest.raises(ValueError, match="Timeout value out of range"):
        Deadline(-1)


def test_the_error_names_the_limit() -> None:
    error = Deadline(0.25).error("the gateway did not answer")
    assert error.args == (errno.ETIMEDOUT, "the gateway did not answer within 0.25 s")


@pytest.mark.parametrize("text", ["a@b:22", "a@[::1]:2222"])
def test_a_host_is_written_as_it_is_read(text: str) -> None:
    user, host, port = parse_host(text)
    assert user is not None
    assert port is not None
    assert format_host(user, host, port) == text
