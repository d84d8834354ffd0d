# SPDX-License-Identifier: BSD-2-Clause
"""The adapters without their libraries, and the names of the package."""

import importlib
import subprocess
import sys
import types

import pytest

import sshgateway
from support import fresh


@pytest.mark.parametrize("library", ["paramiko", "fabric"])
def test_an_adapter_without_its_library_says_what_to_install(monkeypatch, library) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"sshgateway.{library}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"pip install sshgateway\[{library}\]") as caught:
        importlib.import_module(f"sshgateway.{library}")
    assert caught.value.name == library
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_module_that_the_library_itself_lacks_is_not_the_library(monkeypatch, tmp_path) -> None:
    (tmp_path / "fabric.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "fabric"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "sshgateway.fabric", raising=False)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("sshgateway.fabric")
    assert str(caught.value) == "No module named 'no_such_module'"


def test_fabric_1_says_what_to_install(monkeypatch) -> None:
    fabric_classic = importlib.import_module("sshgateway.fabric_classic")
    monkeypatch.setitem(sys.modules, "fabric", None)
    with pytest.raises(ImportError, match=r"pip install sshgateway\[fab-classic\]") as caught:
        fabric_classic.install()
    assert caught.value.name == "fabric.network"


def test_a_module_that_fabric_1_itself_lacks_is_not_fabric_1(monkeypatch, tmp_path) -> None:
    fabric_classic = importlib.import_module("sshgateway.fabric_classic")
    (tmp_path / "network.py").write_text("import no_such_module\n")
    fabric = types.ModuleType("fabric")
    fabric.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "fabric", fabric)
    monkeypatch.delitem(sys.modules, "fabric.network", raising=False)
    with pytest.raises(ModuleNotFoundError) as caught:
        fabric_classic.install()
    assert str(caught.value) == "No module named 'no_such_module'"


def test_dir_shows_the_public_names() -> None:
    public = {name for name in dir(sshgateway) if not name.startswith("__")}
    assert public == set(sshgateway.__all__) - {"__version__"}
    assert "__version__" in dir(sshgateway)


def test_the_import_leaves_out_what_a_proxy_command_does_not_need() -> None:
    code = """
import sys
before = set(sys.modules)
import sshgateway
costly = {"dataclasses", "inspect", "sshgateway.gateway", "sshgateway.config"}
assert not costly & (set(sys.modules) - before)
from sshgateway import *
assert Gateway is sshgateway.gateway.Gateway
assert create_connection is sshgateway.route.create_connection
"""
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, env=fresh.environment(), check=True, timeout=60)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sshgateway' has no attribute 'nothing'"):
        sshgateway.nothing  # noqa: B018
