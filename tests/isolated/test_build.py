# SPDX-License-Identifier: BSD-2-Clause
"""Building from source: everything that is missing is named.

The tests run setup.py and deps/libssh2/build with programs, headers and libraries hidden from
them.  They write only to temporary directories.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

if not (ROOT / "setup.py").exists():
    pytest.skip("these tests need the sources of sshgateway", allow_module_level=True)
if find_spec("setuptools") is None:
    pytest.skip("setuptools is not installed", allow_module_level=True)

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

#: what the scripts call before they look for anything
TOOLS = ("cat", "cksum", "cut", "dirname", "env", "mkdir", "mktemp", "rm", "sed", "sh", "tail")
TOOLS = (*TOOLS, "sha256sum", "flock")

#: a setup.py that finds no Python.h
WITHOUT_HEADER = """
import runpy, sys, sysconfig
sysconfig.get_path = lambda *arguments: "/nowhere"
sys.argv[0] = "setup.py"
runpy.run_path("setup.py", run_name="__main__")
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with a few programs, but no compiler, make, patch, pkg-config or curl."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return folder


def add(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def environ(**changes: str | Path) -> dict[str, str]:
    """This environment without the variables of a build, and without a network for urllib."""
    dropped = (
        "CC",
        "CFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "OUT",
        "SAN",
        "SERIES",
        "SOURCE",
        "SG_POLLER",
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(("SSHGATEWAY_", "PKG_CONFIG"))
    }
    changed = {name: str(value) for name, value in changes.items()}
    return kept | {"https_proxy": "http://127.0.0.1:9"} | changed


def build(place: Path, env: Mapping[str, str], *python: str) -> str:
    """The output of a build that fails.  All that it writes is below ``place``."""
    place.mkdir(exist_ok=True)
    words = [*(python or ("setup.py",)), "-q", "egg_info", f"--egg-base={place}", "build"]
    places = [f"--build-base={place}/build", f"--build-lib={place}/lib"]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", *words, *places],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1, run.stdout
    assert "Traceback" not in run.stdout
    return run.stdout


def look(env: Mapping[str, str]) -> list[str]:
    """The lines of deps/libssh2/build --missing, which cannot fetch the tarball."""
    run = ["sh", str(ROOT / "deps/libssh2/build"), "--missing"]
    env = {"SOURCE": "/dev/null/source", **env}
    return subprocess.check_output(run, env=env, text=True, timeout=60).splitlines()


def only(word: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(f"{word}: ")]


# ---- what is missing ---------------------------------------------------------


def test_all_that_is_missing_is_named_at_once(tmp_path: Path, programs: Path) -> None:
    add(programs, "pkg-config", 'case "$*" in *includedir*) echo /nowhere ;; *) exit 1 ;; esac')
    env = environ(PATH=programs, CC="no-compiler -pthread")
    text = build(tmp_path / "out", env, "-c", WITHOUT_HEADER)
    listed = text[text.index("\nerror: ") :]
    for thing in (
        "  - a C compiler (no-compiler -pthread does not compile)\n",
        "  - the headers of OpenSSL 3.0 or newer\n",
        "  - the program make\n",
        "  - the program patch\n",
        "  - the program tar\n",
        "  - /nowhere/Python.h, a header of Python ",
    ):
        assert thing in listed
    version = "python{}.{}-dev".format(*sys.version_info[:2])
    packages = f"apt-get install gcc libc6-dev libssl-dev make patch tar {version}\n"
    assert packages in listed
    assert "SSHGATEWAY_LIBSSH2=system" in text.splitlines()[-2]
    assert "the system's libssh2 1.10 or newer" in text.splitlines()[-1]


def test_the_system_s_libssh2_too_names_all_that_is_missing(
    tmp_path: Path, programs: Path
) -> None:
    env = environ(PATH=programs, CC="no-compiler", SSHGATEWAY_LIBSSH2="system")
    text = build(tmp_path / "out", env, "-c", WITHOUT_HEADER)
    for thing in ("a C compiler", "/nowhere/Python.h", "the program pkg-config"):
        assert f"  - {thing}" in text
    assert "  - the program make" not in text
    assert "PKG_CONFIG_PATH" in text.splitlines()[-1]


def test_a_libssh2_that_is_too_old_is_named_with_the_words_of_pkg_config(
    tmp_path: Path, programs: Path
) -> None:
    add(programs, "pkg-config", "echo the version is 1.8.0 >&2; exit 1")
    env = environ(PATH=programs, CC="no-compiler", SSHGATEWAY_LIBSSH2="system")
    text = build(tmp_path / "out", env)
    assert "  - the headers of libssh2 1.10 or newer (the version is 1.8.0)\n" in text
    assert "apt-get install gcc libc6-dev libssh2-1-dev\n" in text


def test_another_value_of_the_variable_is_an_error_that_lists_the_choices(tmp_path: Path) -> None:
    text = build(tmp_path / "out", environ(SSHGATEWAY_LIBSSH2="bundled"))
    assert "error: SSHGATEWAY_LIBSSH2=bundled: the choices are" in text
    for choice in ("pinned", "system", "auto"):
        assert f"\n  {choice}   " in text


def test_a_directory_without_a_pinned_libssh2_is_named(tmp_path: Path) -> None:
    text = build(tmp_path / "out", environ(SSHGATEWAY_PINNED=tmp_path))
    assert f"SSHGATEWAY_PINNED={tmp_path}: no libssh2 was built there" in text


@needs_compiler
@pytest.mark.parametrize(
    "header",
    ["#error", "#define OPENSSL_VERSION_NUMBER 0x1010117fL"],  # none, and 1.1.1
)
def test_openssl_must_be_there_and_new_enough(tmp_path: Path, header: str) -> None:
    """Headers in CPPFLAGS hide those of the system."""
    (tmp_path / "openssl").mkdir()
    for name in ("evp.h", "ssl.h"):
        (tmp_path / "openssl" / name).write_text(f"{header}\n")
    said = look(environ(OUT=tmp_path / "out", CPPFLAGS=f"-I{tmp_path}"))
    assert "openssl: the headers of OpenSSL 3.0 or newer" in said


@needs_compiler
def test_openssl_must_be_linkable(tmp_path: Path) -> None:
    out = tmp_path / "out"
    if only("openssl", look(environ(OUT=out))):
        pytest.skip("OpenSSL is missing here")
    add(tmp_path, "pkg-config", 'case "$*" in *libs*) echo -lcrypto-of-nobody ;; esac')
    said = look(environ(OUT=out, PKG_CONFIG=tmp_path / "pkg-config"))
    assert only("openssl", said) == [
        "openssl: the library libcrypto of OpenSSL (the headers were found)"
    ]


def test_a_tarball_that_cannot_be_fetched_is_missing_too(tmp_path: Path, programs: Path) -> None:
    env = environ(PATH=programs, OUT=tmp_path / "out", SOURCE=tmp_path / "source", PYTHON="false")
    tarball = look(env)[-1]
    assert tarball.startswith("tarball: libssh2's release tarball, ")
    assert tarball.endswith(f" to {tmp_path}/source")


# ---- the system's libssh2 ------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    ("version", "warned"),
    [("1.10.0", "no RSA keys with current servers"), ("1.11.1", "no ML-KEM")],
)
def test_the_system_s_libssh2_warns_of_what_is_lost(
    tmp_path: Path, programs: Path, version: str, warned: str
) -> None:
    add(
        programs, "pkg-config", f'case "$*" in *modversion*) echo {version} ;; *) echo -lx ;; esac'
    )
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    env = environ(PATH=path, SSHGATEWAY_LIBSSH2="system", PYTHONPATH=ROOT / "tools")
    script = "import libssh2_for_setup as l; l._missing_header = list; print(l.choose('out'))"
    run = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60
    )
    assert f"the system's libssh2 {version} " in run.stderr
    assert warned in run.stderr
    assert run.stdout.startswith(f"Libssh2(name='system', identity='{version}', ")


# ---- rebuilding ------------------------------------------------------------------


@needs_compiler
def test_another_openssl_or_flag_builds_libssh2_again(tmp_path: Path, programs: Path) -> None:
    """Without make the script succeeds only if there is nothing to do."""
    for name in ("cc", "pkg-config", "as", "ld"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    (tmp_path / "openssl").mkdir()
    opensslv = '#include_next <openssl/opensslv.h>\n#define NEWER "4.0.0"\n'
    (tmp_path / "openssl/opensslv.h").write_text(opensslv)
    env = environ(PATH=programs)
    if look(env):
        pytest.skip("build/libssh2-pinned is not up to date")
    for change in ({"CPATH": str(tmp_path)}, {"CFLAGS": "-O1"}):
        assert "make: the program make" in look(env | change)
