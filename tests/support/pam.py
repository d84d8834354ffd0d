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
_REST = """
account required pam_unix.so
password required pam_unix.so
session required pam_permit.so
"""


@functools.cache
def why_not() -> str:
    """Why no such server can run here, or ""."""
    if os.getuid() != 0:
        return "a server with PAM needs root"
    namespace = ["unshare", "--mount", "--propagation", "private", "true"]
    if shutil.which("unshare") is None or subprocess.run(namespace, check=False).returncode != 0:
        return "a server with PAM needs a mount namespace of its own (unshare --mount)"
    include = "#include <stddef.h>\n#include <security/pam_modules.h>\n"
    compiled = subprocess.run(
        ["cc", "-x", "c", "-fsyntax-only", "-"], input=include, text=True, check=False,
        capture_output=True,
    )  # fmt: skip
    return "" if compiled.returncode == 0 else "PAM's headers (libpam0g-dev) are not installed"


def skip_without_pam() -> None:
    if why := why_not():
        pytest.skip(why)


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
        module = self.directory / "pam_prompt.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-o", module, _MODULE], check=True)
        copy = self.directory / "etc"
        # An "rm -r" of the copy must not follow a link, and a socket cannot be copied.
        subprocess.run(["cp", "-a", "/etc", copy], check=True)
        (copy / "pam.d" / "sshd").write_text(
            self._stack.replace("MODULE", str(module)) + "\n" + _REST
        )
        shadow = copy / "shadow"
        others = [line for line in shadow.read_text().splitlines() if not line.startswith("root:")]
        shadow.write_text("\n".join([self._shadow_line(), *others, ""]))

    def _shadow_line(self) -> str:
        """shadow(5): a last change on day 0 means that the password has expired."""
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"],
            input=self._password, text=True, check=True, capture_output=True,
        ).stdout.strip()  # fmt: skip
        changed = 0 if self._expired else int(time.time() // 86400)
        return f"root:{hashed}:{changed}:0:99999:7:::"

    def command(self) -> list[str]:
        copy = shlex.quote(str(self.directory / "etc"))
        script = f"mount --bind {copy} /etc && exec {shlex.join(super().command())}"
        return [
            find_program("unshare"), "--mount", "--propagation", "private", "--",
            "sh", "-c", script,
        ]  # fmt: skip
