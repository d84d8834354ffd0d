# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the tests of ssh_config."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshgateway._ssh_config import ask as config_ask
from sshgateway._ssh_config import program as ssh_program
from sshgateway._ssh_config.reader import Unsupported


@pytest.fixture
def file(tmp_path: Path):
    """Write an ssh_config and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "ssh_config"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    return write


@pytest.fixture
def no_ssh(monkeypatch) -> None:
    """There is no program ssh on PATH."""
    monkeypatch.setattr(ssh_program, "which_ssh", lambda: None)


@pytest.fixture
def no_reader(monkeypatch) -> None:
    """The reader supports nothing, so that ``ssh -G`` answers."""

    def refuse(question):
        raise Unsupported("a file", 1, "everything")

    monkeypatch.setattr(config_ask, "read", refuse)


@pytest.fixture(params=["reader", "ssh", "reader without ssh"])
def backend(request) -> str:
    """The part that answers: the reader, or the program ssh."""
    if request.param == "ssh":
        request.getfixturevalue("no_reader")
    elif request.param == "reader without ssh":
        request.getfixturevalue("no_ssh")
    return request.param
