# SPDX-License-Identifier: BSD-2-Clause
"""Builds name everything that is missing, and a source distribution is complete.

The tests run setup.py and deps/libssh2/build with programs, headers and libraries hidden from
them.  They write only to temporary directories.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARBALL = ROOT / "build/libssh2-source/libssh2-1.11.1.tar.gz"

if not (ROOT / "setup.py").exists():
    pytest.skip("these tests need the sources of sshgateway", allow_module_level=True)
if find_spec("setuptools") is None:
    pytest.skip("setuptools is not installed", allow_module_level=True)

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

#: the programs that the scripts call before they look for others
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
    assert not (place / "lib").exists(), "files were copied before the message"
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


def fetch_elsewhere(folder: Path, env: Mapping[str, str]) -> str:
    """The standard error of a copy of deps/libssh2/fetch that fails."""
    shutil.copy(ROOT / "deps/libssh2/fetch", folder)
    shutil.copy(ROOT / "deps/release.sh", folder.parent)
    run = ["sh", str(folder / "fetch")]
    fetch = subprocess.run(run, env=env, capture_output=True, text=True, timeout=60)
    assert fetch.returncode == 1
    return fetch.stderr


def test_a_tarball_that_cannot_be_fetched_is_missing_too(tmp_path: Path, programs: Path) -> None:
    place = tmp_path / "deps/libssh2"
    place.mkdir(parents=True)
    source = tmp_path / "source"
    said = fetch_elsewhere(place, environ(PATH=programs, SOURCE=source, PYTHON="false"))
    assert said.startswith("tarball: libssh2's release tarball, ")
    assert said.endswith(f" to {source}\n")


def test_a_damaged_tarball_of_a_source_distribution_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "deps/libssh2"
    place.mkdir(parents=True)
    (place / TARBALL.name).write_bytes(b"not libssh2")
    said = fetch_elsewhere(place, environ())
    assert said.startswith(f"tarball: deps/libssh2/{TARBALL.name} is damaged: ")


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


# ---- the compiler ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "cc", "chosen"),
    [
        ("cc", None, "cc"),  # the compiler that built Python is not here
        ("of-python", None, "of-python -pthread"),
        ("cc of-python", None, None),
        ("cc", "of-user", "of-user"),
    ],
)
def test_both_libraries_are_built_with_a_compiler_that_is_here(
    tmp_path: Path, present: str, cc: str | None, chosen: str | None
) -> None:
    for name in present.split():
        add(tmp_path, name, ":")
    script = (
        "import os, sysconfig, libssh2_for_setup\n"
        "sysconfig.get_config_var = {'CC': 'of-python -pthread'}.get\n"
        "libssh2_for_setup.choose_compiler()\n"
        "print(os.environ.get('CC'))\n"
    )
    env = environ(PATH=tmp_path, PYTHONPATH=ROOT / "tools", **({"CC": cc} if cc else {}))
    said = subprocess.check_output([sys.executable, "-c", script], env=env, text=True, timeout=60)
    assert said == f"{chosen}\n"


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


# ---- the source distribution --------------------------------------------------------


def make_sdist(tree: Path, place: Path) -> Path:
    words = ["-q", "egg_info", f"--egg-base={place}", "sdist", f"--dist-dir={place}"]
    run = [sys.executable, "-W", "ignore", "setup.py", *words]
    subprocess.run(run, cwd=tree, env=environ(), check=True, timeout=60)
    (made,) = place.glob("*.tar.gz")
    return made


def files_of(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not TARBALL.exists() and not (ROOT / "deps/libssh2" / TARBALL.name).exists():
        pytest.skip("libssh2's release tarball has not been fetched")
    return make_sdist(ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.mark.slow
def test_the_sdist_has_every_file_of_the_repository_and_nothing_that_is_built(
    sdist: Path,
) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone of the repository")
    ls_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(ls_files, cwd=ROOT, text=True)
    ours = {name for name in listed.splitlines() if (ROOT / name).exists()}
    packed = files_of(sdist)
    assert ours - packed == set()
    folders = {str(folder) for name in packed for folder in Path(name).parents}
    more = {name for name in packed - ours - folders if "egg-info" not in name}
    assert more == {"PKG-INFO", "setup.cfg", f"deps/libssh2/{TARBALL.name}"}


@needs_compiler
@pytest.mark.slow
@pytest.mark.limit(200)
def test_the_sdist_builds_without_a_network_in_any_directory(sdist: Path, tmp_path: Path) -> None:
    """The path has a blank and a letter that is not ASCII.  The result has the pinned libssh2."""
    if any(not line.startswith("tarball: ") for line in look(environ(OUT=tmp_path / "out"))):
        pytest.skip("something that the build needs is missing here")
    place = tmp_path / "sources in a f\u00f6lder"
    place.mkdir()
    # extractall() of tarfile has its filter since 3.11.4, and 3.12 warns without it.
    subprocess.run(["tar", "-xzf", sdist, "-C", place], check=True)
    (tree,) = place.iterdir()
    assert files_of(make_sdist(tree, tmp_path)) == files_of(sdist)

    isolate = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*isolate, "true"], capture_output=True).returncode != 0:
        isolate = []
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-build-isolation",
        "--no-deps",
    ]
    target = tmp_path / "target"
    run = subprocess.run(
        [*isolate, *pip, "--target", str(target), str(tree)],
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stdout
    script = "import sshgateway; print(sshgateway.__file__, sshgateway.build_info()['libssh2'])"
    shutil.rmtree(place)  # nothing of it is needed any longer
    said = subprocess.check_output(
        [sys.executable, "-c", script], env=environ(PYTHONPATH=target), text=True, timeout=60
    )
    assert said == f"{target}/sshgateway/__init__.py pinned\n"
    (dist_info,) = target.glob("sshgateway-*.dist-info")
    assert (dist_info / "licenses/libssh2/COPYING").exists()
    assert "libssh2" in (dist_info / "sboms/sshgateway.cdx.json").read_text()
