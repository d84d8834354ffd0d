# SPDX-License-Identifier: BSD-2-Clause
"""The names of the C core's statuses."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from sshgateway import _messages
from sshgateway._status import Status

HEADER = Path(__file__).parents[2] / "csrc" / "sys" / "status.h"


@pytest.mark.skipif(not HEADER.exists(), reason="the sources of the core are not here")
def test_python_knows_every_status_of_the_core() -> None:
    names = re.findall(r"\bX\(SG_ERR_(\w+), ", HEADER.read_text())
    assert names == [status.value for status in Status]


def opened(status: str, text: str = "no") -> OSError:
    return _messages.channel_not_opened("u@g:22", ("db", 1), status, errno.ETIMEDOUT, 2, text, 3)


def test_the_name_decides_and_not_the_words() -> None:
    assert isinstance(opened("TIMEOUT"), TimeoutError)
    assert isinstance(opened("OPEN_FAILURE", "timed out"), ConnectionRefusedError)
    assert isinstance(opened("LOST", "timed out"), ConnectionResetError)


def test_a_status_that_is_not_known_is_an_error_here() -> None:
    with pytest.raises(ValueError, match="NONSENSE"):
        _messages.SessionFailed("NONSENSE", 0, 0, "")
