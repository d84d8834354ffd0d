# SPDX-License-Identifier: BSD-2-Clause
"""Build of the C extension; everything else is in pyproject.toml.

Environment variables of the build:
  SSHGATEWAY_LIBSSH2    pinned (the default), system or auto; tools/libssh2_for_setup.py
                        explains them
  SSHGATEWAY_PINNED     a directory with a libssh2 that deps/libssh2/build made there
  SSHGATEWAY_WERROR=1   compiler warnings are errors (development and CI)
  SG_POLLER=poll        the portable twin: poll(2), no pidfd, no eventfd
  CC, CFLAGS, CPPFLAGS, LDFLAGS, PKG_CONFIG, PKG_CONFIG_PATH
                        apply to the extension and to the pinned libssh2
"""

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from glob import glob
from typing import Any

import setuptools
from setuptools import Distribution, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1, which needs the package wheel for this
    try:
        from wheel.bdist_wheel import bdist_wheel
    except ImportError:  # nothing here can make a wheel
        from setuptools import Command as bdist_wheel  # noqa: N813

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
from bundled_parts import add_parts
from libssh2_for_setup import choose, choose_compiler

LIMITED_API = "0x030B0000"  # of Python 3.11

# The static libraries in the extension must not show their symbols to others.
EXPORTS = {
    "darwin": ["-Wl,-exported_symbol,_PyInit__core"],
    "linux": ["-Wl,--version-script=csrc/python/exports.map"],
}

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


def elsewhere() -> str:
    """A temporary directory for a build from sources that are read-only."""
    path = tempfile.mkdtemp(prefix="sshgateway-build-")
    atexit.register(shutil.rmtree, path)
    return path


WRITABLE = os.access(".", os.W_OK)
BUILT = "build" if WRITABLE else elsewhere()


def note(path: str, text: str) -> str:
    """Write the text to the file, unless it is there already; return the path."""
    try:
        with open(path) as file:
            if file.read() == text:
                return path
    except OSError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


class Build(build):
    """Builds the extension first, so that a message about what is missing comes at once."""

    sub_commands = sorted(build.sub_commands, key=lambda command: command[0] != "build_ext")


class BuildExt(build_ext):
    """Builds libssh2 first, and everything again if a flag or a library is another."""

    parts = ""  # a directory that describes the libraries in the extension

    def run(self) -> None:
        base = self.get_finalized_command("build").build_base
        os.makedirs(base, exist_ok=True)
        with open(os.path.join(base, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one build at a time in this directory
            choose_compiler()
            self.prepare(base)
            super().run()

    def prepare(self, base: str) -> None:
        libssh2 = choose(os.path.join(BUILT, "libssh2-pinned"))
        self.parts = libssh2.parts
        note(os.path.join(base, "libssh2-chosen"), libssh2.name)
        variables = {
            name: os.environ.get(name) for name in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS")
        }
        for extension in self.extensions:
            extension.extra_compile_args += libssh2.compile_flags
            extension.extra_link_args += libssh2.link_flags
            if os.environ.get("SSHGATEWAY_WERROR") == "1":
                extension.extra_compile_args.append("-Werror")
            facts = (libssh2, variables, extension.define_macros)
            extension.depends.append(note(os.path.join(base, "built-with"), repr(facts)))


class BdistWheel(bdist_wheel):
    """Describes the libraries in the extension.

    pip has the metadata made before the wheel, and the wheel then contains a copy of them. The
    file WHEEL is written into that copy, as into metadata that are made with the wheel.
    """

    def write_wheelfile(self, distinfo_path: str, *arguments: Any) -> None:
        super().write_wheelfile(distinfo_path, *arguments)
        parts = self.get_finalized_command("build_ext").parts
        add_parts(parts, distinfo_path, self.distribution.get_version())


class Sdist(sdist):
    """Adds libssh2's release tarball, so that the source distribution builds without a
    network."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        fetch = subprocess.run(["sh", "deps/libssh2/fetch"], stdout=subprocess.PIPE, text=True)
        if fetch.returncode != 0:
            sys.exit("error: a source distribution contains libssh2's release tarball")
        tarball = fetch.stdout.strip()
        self.copy_file(tarball, os.path.join(base_dir, "deps/libssh2"))


def is_limited() -> bool:
    """True if one build works on all later Pythons, which free-threaded ones cannot load."""
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def core() -> Extension:
    """The extension module sshgateway._core, without the flags of libssh2."""
    macros: list[tuple[str, str | None]] = [("_GNU_SOURCE", None)]
    if os.environ.get("SG_POLLER") == "poll":
        macros.append(("SG_PORTABLE", "1"))
    if is_limited():
        macros.append(("Py_LIMITED_API", LIMITED_API))
    return Extension(
        "sshgateway._core",
        sources=sorted(glob("csrc/*/*.c")),
        depends=[*sorted(glob("csrc/*/*.h")), "csrc/python/exports.map", "setup.py"],
        define_macros=macros,
        extra_compile_args=[
            "-std=c11",
            "-fvisibility=hidden",
            "-pthread",
            "-iquotecsrc",
            *WARNINGS,
        ],
        extra_link_args=["-pthread", *EXPORTS.get(sys.platform, [])],
        py_limited_api=is_limited(),
    )


def options() -> dict[str, dict[str, str]]:
    """Options of setuptools' commands."""
    chosen = {"bdist_wheel": {"py_limited_api": "cp311"}} if is_limited() else {}
    if not WRITABLE:
        chosen |= {"build": {"build_base": BUILT}, "egg_info": {"egg_base": BUILT}}
    return chosen


class Licensed(Distribution):
    """Names the licence as an SPDX expression, where setuptools knows the header for it.

    pyproject.toml cannot name it: setuptools before 77 reads only a table there, and later
    ones want a str.
    """

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        super().parse_config_files(*args, **kwargs)
        if int(setuptools.__version__.split(".")[0]) >= 77:
            self.metadata.license_expression = self.metadata.license
            self.metadata.license = None


setup(
    license="BSD-2-Clause",
    distclass=Licensed,
    ext_modules=[core()],
    cmdclass={"build": Build, "build_ext": BuildExt, "bdist_wheel": BdistWheel, "sdist": Sdist},
    options=options(),
)
