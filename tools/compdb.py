# SPDX-License-Identifier: BSD-2-Clause
"""Print compile_commands.json for clangd and clang-tidy: csrc and the engine's tests."""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

FLAGS = shlex.split(
    "-std=c11 -D_GNU_SOURCE -DSG_FAULTS -pthread -Wall -Wextra -iquotecsrc -iquotetests/engine"
)


def main() -> None:
    if Path("build/libssh2-chosen").read_text() == "pinned":
        os.environ["PKG_CONFIG_PATH"] = "build/libssh2-pinned/lib/pkgconfig"
    libssh2 = subprocess.check_output(["pkg-config", "--cflags", "libssh2"], text=True)
    python = f"-I{sysconfig.get_path('include')}"
    command = ["cc", *FLAGS, *shlex.split(libssh2), python, "-c"]
    sources = sorted([*Path("csrc").glob("*/*.c"), *Path("tests/engine").glob("**/*.c")])
    entries = [
        {"directory": str(Path.cwd()), "file": str(source), "arguments": [*command, str(source)]}
        for source in sources
    ]
    json.dump(entries, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
