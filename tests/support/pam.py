# SPDX-License-Identifier: BSD-2-Clause
"""A private OpenSSH server that authenticates by PAM, with a password that the tests know.

The server runs in a mount namespace of its own, which has a copy of /etc with another
/etc/shadow and /etc/pam.d/sshd. The machine's own files are never written. Root is needed.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support.server import find_program
from support.sshd import PrivateSshd

PASSWORD = "open sesame"
CODE = "123456"
PROMPT = "Verification code: "

#: Lines of /etc/pam.d/sshd: the password, a second factor, or one after the other.
UNIX = "auth required pam_unix.so nodelay"
SECOND_FACTOR = f"auth required MODULE [prompt={PROMPT}] answer={CODE}"
BOTH = f"{UNIX}\n{SECOND_FACTOR}"

_MODULE = Path(__file__).with_name("pam_prompt.c")
#: tools/test_wheel.sh puts it there, for a system without a compiler.
_READY_MODULE = _MODULE.with_suffix(".so")
_REST = """
account required pam_unix.so
password required pam_unix.so
session required pam_permit.so
"""


@functools.cache
def why_no_namespace() -> str:
    """Why no server can run here with another /etc, or ""."""
    if os.getuid() != 0:
        return "a server with another /etc/shadow needs root"
    namespace = ["unshare", "--mount", "--propagation", "private", "true"]
    if shutil.which("unshare") is None or subprocess.run(namespace, check=False).returncode != 0:
        return "a server with another /etc/shadow needs a mount namespace (unshare --mount)"
    return ""


@functools.cache
def why_not() -> str:
    """Why no server with PAM can run here, or ""."""
    return why_no_namespace() or _why_no_module()


def _why_no_module() -> str:
    if _READY_MODULE.exists():
        return ""
    if shutil.which("cc") is None:
        return "there is no C compiler for the PAM module"
    include = "#include <stddef.h>\n#include <security/pam_modules.h>\n"
    command = ["cc", "-x", "c", "-fsyntax-only", "-"]
    compiled = subprocess.run(command, input=include, text=True, check=False, capture_output=True)
    return "" if compiled.returncode == 0 else "PAM's headers (libpam0g-dev) are missing"


def skip_without_pam() -> None:
    if why := why_not():
        pytest.skip(why)


def copy_of_etc(
    directory: Path, password: str, *, expired: bool = False, home: Path | None = None
) -> Path:
    """Copy /etc into *directory* with another password of root, and perhaps another home."""
    etc = directory / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    _replace_line(etc / "shadow", _shadow_line(password, expired))
    if home is not None:
        _replace_line(etc / "passwd", f"root:x:0:0:root:{home}:/bin/sh")
    return etc


def _replace_line(path: Path, line: str) -> None:
    """Put root's line into passwd(5) or shadow(5)."""
    others = [one for one in path.read_text().splitlines() if not one.startswith("root:")]
    path.write_text("\n".join([line, *others, ""]))


def _shadow_line(password: str, expired: bool) -> str:
    """shadow(5): a last change on day 0 means that the password has expired."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=password,
        text=True,
        check=True,
        capture_output=True,
    ).stdout.strip()
    changed = 0 if expired else int(time.time() // 86400)
    return f"root:{hashed}:{changed}:0:99999:7:::"


def with_etc(etc: Path, *commands: list[str]) -> list[str]:
    """A command that runs these, one after the other, with *etc* in the place of /etc."""
    *first, last = map(shlex.join, commands)
    script = " && ".join([f"mount --bind {shlex.quote(str(etc))} /etc", *first, f"exec {last}"])
    unshare = [find_program("unshare"), "--mount", "--propagation", "private", "--"]
    return [*unshare, "sh", "-c", script]


class PamSshd(PrivateSshd):
    """``with PamSshd({"AuthenticationMethods": "publickey,keyboard-interactive"}) as sshd``

    options: sshd_config lines, as for PrivateSshd.
    stack: the "auth" lines of /etc/pam.d/sshd; MODULE stands for pam_prompt.c.
    password: the password of root, the user.
    expired: True if the password has to be changed at the next login.
    """

    def __init__(
        self,
        options: Mapping[str, str | Sequence[str]] | None = None,
        *,
        stack: str = UNIX,
        password: str = PASSWORD,
        expired: bool = False,
        name: str = "sshd",
    ) -> None:
        given = {
            "UsePAM": "yes",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "yes",
            "KbdInteractiveAuthentication": "yes",
        }
        super().__init__(given | dict(options or {}), name=name)
        self._stack = stack
        self._password = password
        self._expired = expired

    def prepare(self) -> None:
        super().prepare()
        module = _READY_MODULE
        if not module.exists():
            module = self.directory / "pam_prompt.so"
            command = ["cc", "-shared", "-fPIC", "-Wall", "-o", str(module), str(_MODULE)]
            subprocess.run(command, check=True)
        self._etc = copy_of_etc(self.directory, self._password, expired=self._expired)
        stack = self._stack.replace("MODULE", str(module)) + "\n" + _REST
        (self._etc / "pam.d" / "sshd").write_text(stack)

    def command(self) -> list[str]:
        return with_etc(self._etc, super().command())
