# SPDX-License-Identifier: BSD-2-Clause
"""Build of the C extension; everything else is in pyproject.toml.

Environment variables of the build:
  SSHGATEWAY_WERROR=1   compiler warnings are errors (development and CI)
  SG_POLLER=poll        the portable twin: poll(2), no pidfd, no eventfd
  SSHGATEWAY_LIBSSH2    system: the shared library; pinned: ours, which is fetched,
                        patched and built (deps/libssh2); auto, which is the default:
                        ours when it has been built, else the system's
  SSHGATEWAY_PINNED     where ours is, when not in build/libssh2-pinned
  PKG_CONFIG            the pkg-config program to use
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from glob import glob

from setuptools import Extension, setup

LIBSSH2_AT_LEAST = "1.10"
LIMITED_API = "0x030B0000"  # of Python 3.11
PINNED = os.path.abspath(os.environ.get("SSHGATEWAY_PINNED") or "build/libssh2-pinned")

MISSING_LIBSSH2 = """\
error: {reason}

sshgateway is built against libssh2 {version} or newer, found by pkg-config.
Install both, with a C compiler and Python's headers, for example:

  Debian, Ubuntu   apt-get install gcc python3-dev libssh2-1-dev pkg-config
  Fedora, RHEL     dnf install gcc python3-devel libssh2-devel pkgconf-pkg-config
  Alpine           apk add gcc musl-dev python3-dev libssh2-dev pkgconf
  Arch             pacman -S gcc libssh2 pkgconf
  macOS            brew install libssh2 pkg-config

If libssh2 is somewhere else, name the directory that holds libssh2.pc in
PKG_CONFIG_PATH.
"""

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wstrict-prototypes",
    "-Wpointer-arith",
    "-Wwrite-strings",
    "-Wvla",
    "-Wshadow",
    "-Wformat=2",
    "-Wundef",
]


def pkg_config(*arguments: str) -> list[str]:
    """The words pkg-config prints, or an exit that says what to install."""
    program = os.environ.get("PKG_CONFIG", "pkg-config")
    try:
        run = subprocess.run([program, *arguments], capture_output=True, text=True)
    except OSError as error:
        reason = f"cannot run {program}: {error.strerror}"
    else:
        if run.returncode == 0:
            return shlex.split(run.stdout)
        reason = run.stderr.strip() or f"{program} exited with {run.returncode}"
    sys.exit(MISSING_LIBSSH2.format(reason=reason, version=LIBSSH2_AT_LEAST))


def choose_libssh2() -> str:
    """ "system" or "pinned". The latter is built here when it is asked for, and from
    then on the one that pkg-config finds."""
    wanted = os.environ.get("SSHGATEWAY_LIBSSH2") or "auto"
    if wanted not in ("system", "pinned", "auto"):
        sys.exit(f"error: SSHGATEWAY_LIBSSH2={wanted} is none of system, pinned, auto")
    if wanted == "pinned" and subprocess.run(["sh", "deps/libssh2/build"]).returncode != 0:
        sys.exit("error: SSHGATEWAY_LIBSSH2=pinned, and it could not be built")
    if wanted == "system" or not os.path.exists(f"{PINNED}/made-of"):
        return "system"
    path = [f"{PINNED}/lib/pkgconfig", os.environ.get("PKG_CONFIG_PATH", "")]
    os.environ["PKG_CONFIG_PATH"] = os.pathsep.join(filter(None, path))
    return "pinned"


def build_base() -> str:
    """Where this build keeps its objects: builds that differ lie side by side."""
    option = "--build-base"
    return sys.argv[sys.argv.index(option) + 1] if option in sys.argv else "build"


def note(name: str, text: str) -> str:
    """The name of a file beside the objects with that text, new only if the text is."""
    path = os.path.join(build_base(), name)
    try:
        with open(path) as file:
            if file.read() == text:
                return path
    except OSError:
        os.makedirs(build_base(), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def needs_compiler() -> bool:
    """False for the commands that only pack or describe the sources."""
    return any(
        word.startswith(("build", "bdist", "develop", "editable", "install"))
        for word in sys.argv[1:]
    )


def is_limited() -> bool:
    """True if one build works on all later Pythons, which free-threaded ones cannot load."""
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def core() -> Extension:
    """The extension module sshgateway._core."""
    compile_flags = ["-std=c11", "-fvisibility=hidden", "-pthread", "-iquotecsrc", *WARNINGS]
    link_flags = ["-pthread"]
    macros: list[tuple[str, str | None]] = [("_GNU_SOURCE", None)]
    if os.environ.get("SSHGATEWAY_WERROR") == "1":
        compile_flags.append("-Werror")
    if os.environ.get("SG_POLLER") == "poll":
        macros.append(("SG_PORTABLE", "1"))
    if is_limited():
        macros.append(("Py_LIMITED_API", LIMITED_API))
    depends = [*sorted(glob("csrc/*/*.h")), "setup.py"]
    if needs_compiler():
        chosen = choose_libssh2()
        depends.append(note("libssh2-chosen", chosen))
        if chosen == "pinned":
            depends.append(f"{PINNED}/made-of")
        wanted = f"libssh2 >= {LIBSSH2_AT_LEAST}"
        compile_flags += pkg_config("--print-errors", "--cflags", wanted)
        link_flags += pkg_config("--print-errors", "--libs", wanted)
    return Extension(
        "sshgateway._core",
        sources=sorted(glob("csrc/*/*.c")),
        depends=depends,
        define_macros=macros,
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
        py_limited_api=is_limited(),
    )


# The licence is named here because the two spellings that pyproject.toml knows
# exclude each other: setuptools before 77 reads only a table, later ones want
# the SPDX expression.
setup(
    license="BSD-2-Clause",
    ext_modules=[core()],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if is_limited() else {},
)
