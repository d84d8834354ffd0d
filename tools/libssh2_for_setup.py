# SPDX-License-Identifier: BSD-2-Clause
"""The libssh2 that setup.py links, or an exit that names everything that is missing."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

SYSTEM_AT_LEAST = "1.10"
CHOICES = """\
  pinned   libssh2 with the patches of sshgateway, built here (the default)
  system   the shared library that pkg-config finds
  auto     for the Makefile: pinned if it has been built, else system"""

_VERSION = "{}.{}".format(*sys.version_info[:2])

# How to install what is missing: commands, and the packages for the words that
# "deps/libssh2/build --missing" and the functions here print.
_TOOLS = {"make": "make", "patch": "patch", "tar": "tar"}
_INSTALL: Mapping[str, Mapping[str, str]] = {
    "Debian, Ubuntu   apt-get install": {
        "compiler": "gcc libc6-dev",
        **_TOOLS,
        "python": f"python{_VERSION}-dev",
        "openssl": "libssl-dev",
        "libssh2": "libssh2-1-dev",
        "pkg-config": "pkg-config",
    },
    "Fedora, RHEL     dnf install": {
        "compiler": "gcc",
        **_TOOLS,
        "python": "python3-devel",
        "openssl": "openssl-devel",
        "libssh2": "libssh2-devel",
        "pkg-config": "pkgconf-pkg-config",
    },
    "Alpine           apk add": {
        "compiler": "gcc musl-dev",
        **_TOOLS,
        "python": "python3-dev",
        "openssl": "openssl-dev",
        "libssh2": "libssh2-dev",
        "pkg-config": "pkgconf",
    },
    "Arch             pacman -S": {
        "compiler": "gcc",
        **_TOOLS,
        "python": "python",
        "openssl": "openssl",
        "libssh2": "libssh2",
        "pkg-config": "pkgconf",
    },
    "macOS            xcode-select --install": {
        "compiler": "",
        **dict.fromkeys(_TOOLS, ""),
    },
    "macOS            brew install": {
        "python": f"python@{_VERSION}",
        "openssl": "openssl@3",
        "libssh2": "libssh2",
        "pkg-config": "pkgconf",
    },
}

_NO_PINNED = """\
sshgateway is built with a libssh2 that has patches for its speed and safety. If
this is not possible here, SSHGATEWAY_LIBSSH2=system in the environment selects
the system's libssh2 {version} or newer."""

_NO_SYSTEM = """\
SSHGATEWAY_LIBSSH2=system selects the system's libssh2, version {version} or newer. If
it is somewhere else, name the directory of libssh2.pc in PKG_CONFIG_PATH."""

_WARNING = """\
warning: sshgateway is built with the system's libssh2 {version} (SSHGATEWAY_LIBSSH2).
It lacks the patches of the pinned libssh2, which is the default. This means:
  - It moves as little as a third of the bytes per second, and opens one channel
    after the other.
  - {missing}
  - It has faults by which a gateway, or an attacker on the path, can end the
    program; see "Hostile gateways" in the manual (docs/gateway.rst).
"""

_LACKS_NEW = "It cannot check host certificates, and has no ML-KEM key exchange."
_LACKS_OLD = """It has no AES-GCM, no RSA keys with current servers, no user certificates, no
    security keys, no host certificates and no ML-KEM key exchange."""


class Libssh2(NamedTuple):
    """A library that is ready to be linked."""

    name: str  # pinned or system
    identity: str  # differs if the library does
    compile_flags: list[str]
    link_flags: list[str]
    parts: str = ""  # a directory that describes the libraries in the extension


def choose(out: str) -> Libssh2:
    """Return the library that SSHGATEWAY_LIBSSH2 selects.

    The pinned one is built in the directory ``out`` first, unless SSHGATEWAY_PINNED names a
    directory in which it has been built.
    """
    wanted = os.environ.get("SSHGATEWAY_LIBSSH2") or "pinned"
    ready = os.environ.get("SSHGATEWAY_PINNED")
    if wanted not in ("pinned", "system", "auto"):
        _stop(f"SSHGATEWAY_LIBSSH2={wanted}: the choices are\n\n{CHOICES}")
    if wanted == "auto":
        wanted = "pinned" if os.path.exists(f"{ready or out}/made-of") else "system"
    if wanted == "system":
        return _system()
    if not ready:
        _build_pinned(out)
    return _pinned(ready or out)


def _stop(text: str) -> NoReturn:
    """Exit with a message after all other output."""
    sys.stdout.flush()
    sys.exit(f"\nerror: {text}")


def _stop_if_missing(missing: list[str], way_out: str) -> None:
    """Exit if there are lines "word: explanation", and say how to install those things."""
    if not missing:
        return
    words, things = zip(*(line.split(": ", 1) for line in missing), strict=True)
    text = "sshgateway cannot be built, because something is missing:\n\n"
    text += "".join(f"  - {thing}\n" for thing in things)
    commands = []
    for command, packages in _INSTALL.items():
        names = [packages[word] for word in dict.fromkeys(words) if word in packages]
        if names:
            commands.append(f"  {command} {' '.join(names)}".rstrip())
    if commands:
        text += "\nTo install it, for example:\n\n" + "\n".join(commands) + "\n"
    _stop(f"{text}\n{way_out.format(version=SYSTEM_AT_LEAST)}")


def choose_compiler() -> None:
    """Set CC if one of the usual compilers is missing: libssh2 is built with cc, and the
    extension with the compiler that built Python."""
    if "CC" in os.environ:
        return
    of_python = sysconfig.get_config_var("CC") or "cc"
    if not shutil.which(shlex.split(of_python)[0]):
        os.environ["CC"] = "cc"
    elif not shutil.which("cc"):
        os.environ["CC"] = of_python


def _missing_header() -> list[str]:
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    return [] if os.path.exists(header) else [f"python: {header}, a header of Python {_VERSION}"]


# ---- the pinned libssh2 ----------------------------------------------------


def _build_pinned(out: str) -> None:
    source = os.path.abspath(os.path.join(os.path.dirname(out), "libssh2-source"))
    environ = os.environ | {"OUT": out, "SOURCE": source, "PYTHON": sys.executable}
    command = ["sh", "deps/libssh2/build"]
    look = subprocess.run([*command, "--missing"], env=environ, stdout=subprocess.PIPE, text=True)
    _stop_if_missing(look.stdout.splitlines() + _missing_header(), _NO_PINNED)
    sys.stdout.flush()
    if subprocess.run(command, env=environ).returncode != 0:
        _stop(f"libssh2 could not be built, see above.\n\n{_NO_PINNED}")


def _pinned(out: str) -> Libssh2:
    """Read libssh2.pc, which names no variable, so that pkg-config is not necessary."""
    try:
        with open(f"{out}/lib/pkgconfig/libssh2.pc") as file:
            lines = dict(line.rstrip("\n").split(": ", 1) for line in file if ": " in line)
        with open(f"{out}/made-of") as file:
            made_of = file.read()
    except OSError as error:
        _stop(f"SSHGATEWAY_PINNED={out}: no libssh2 was built there: {error}")
    cflags, libs = (shlex.split(lines[name]) for name in ("Cflags", "Libs"))
    return Libssh2("pinned", made_of, cflags, libs, parts=f"{out}/parts")


# ---- the system's libssh2 --------------------------------------------------


def _system() -> Libssh2:
    _stop_if_missing([*_missing_compiler(), *_missing_header(), *_missing_libssh2()], _NO_SYSTEM)
    version = _pkg_config("--modversion").strip()
    old = version.split(".")[:2] == ["1", "10"]
    missing = _LACKS_OLD if old else _LACKS_NEW
    sys.stdout.flush()
    sys.stderr.write(_WARNING.format(version=version, missing=missing))
    cflags, libs = (shlex.split(_pkg_config(option)) for option in ("--cflags", "--libs"))
    return Libssh2("system", version, cflags, libs)


def _pkg_config(*arguments: str) -> str:
    program = os.environ.get("PKG_CONFIG", "pkg-config")
    return subprocess.check_output([program, *arguments, "libssh2"], text=True)


def _missing_compiler() -> list[str]:
    compiler = os.environ.get("CC", "cc")
    try:
        subprocess.run(
            [*shlex.split(compiler), "-x", "c", "-E", "-"],
            input=b"#include <stdio.h>\n",
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return [f"compiler: a C compiler ({compiler} does not compile)"]
    return []


def _missing_libssh2() -> list[str]:
    needed = f"libssh2: the headers of libssh2 {SYSTEM_AT_LEAST} or newer"
    program = os.environ.get("PKG_CONFIG", "pkg-config")
    wanted = f"libssh2 >= {SYSTEM_AT_LEAST}"
    try:
        run = subprocess.run([program, "--print-errors", wanted], capture_output=True, text=True)
    except OSError:
        missing = [f"pkg-config: the program {program}"]
        return missing if os.path.exists("/usr/include/libssh2.h") else [*missing, needed]
    reason = " ".join(run.stderr.split())
    return [] if run.returncode == 0 else [f"{needed} ({reason})"]
