# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the tests of ssh_config."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshgateway import config


@pytest.fixture
def file(tmp_path: Path):
    """Write an ssh_config and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "ssh_config"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(params=["ssh", "paramiko"])
def backend(request, monkeypatch) -> str:
    if request.param == "paramiko":
        pytest.importorskip("paramiko")
        monkeypatch.setattr(config.shutil, "which", lambda name: None)
    return request.param
