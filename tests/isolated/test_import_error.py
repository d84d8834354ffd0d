# SPDX-License-Identifier: BSD-2-Clause
"""If the extension module cannot be imported, the error says what to do.

The tests import a package that has only the module under test, and an extension module that
needs a library which is no longer there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sshgateway

PACKAGE = Path(sshgateway.__file__).parent


def without_core(folder: Path) -> Path:
    """A package that imports only its extension module, which is not there yet."""
    package = folder / "sshgateway"
    package.mkdir()
    for source in ("__init__.py", "_import_error.py"):
        shutil.copy(PACKAGE / source, package)
    return package


def last_line_of_import(folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-c", "import sshgateway"],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    return run.stderr.splitlines()[-1]


def compile_library(source: str, *arguments: str | Path) -> None:
    run = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", *arguments]
    subprocess.run(run, input=source, text=True, check=True, timeout=60)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libssh2.so.77", "this build of sshgateway uses the system's libssh2"),
        ("libcrypto.so.77", "libcrypto.so.77 is missing, with which sshgateway was built"),
    ],
)
def test_the_import_says_which_library_is_missing(
    tmp_path: Path, name: str, expected: str
) -> None:
    core = without_core(tmp_path) / "_core.so"
    library = tmp_path / name
    compile_library("int sg_test(void) { return 1; }", "-o", library, f"-Wl,-soname,{name}")
    compile_library(
        "int sg_test(void); int sg_user(void) { return sg_test(); }", "-o", core, library
    )
    library.unlink()
    line = last_line_of_import(tmp_path)
    assert line.startswith(f"ImportError: {expected}")
    assert f"{name} is missing" in line
    assert "pip install" in line


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_import_says_that_libssh2_is_older_than_the_one_of_the_build(tmp_path: Path) -> None:
    core = without_core(tmp_path) / "_core.so"
    compile_library(
        "void libssh2_new(void); void sg(void) { libssh2_new(); }", "-o", core, "-Wl,-z,now"
    )
    line = last_line_of_import(tmp_path)
    assert "older than the one of the build: it has no libssh2_new." in line


def test_the_import_without_an_extension_module_says_how_to_build_it(tmp_path: Path) -> None:
    without_core(tmp_path)
    assert last_line_of_import(tmp_path).startswith("ImportError: sshgateway._core, ")


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_another_failure_of_the_import_keeps_its_own_words(tmp_path: Path) -> None:
    core = without_core(tmp_path) / "_core.so"
    compile_library("int sg_test(void) { return 1; }", "-o", core)
    assert "PyInit__core" in last_line_of_import(tmp_path)
