# SPDX-License-Identifier: BSD-2-Clause
"""Why the extension module cannot be imported; used only if it cannot."""

from __future__ import annotations

import re

__all__ = ["explain"]

_AGAIN = "pip install --force-reinstall --no-cache-dir --no-binary sshgateway sshgateway"

# as glibc and musl say it
_MISSING = r"(?:Error loading shared library )?(lib[^:/ ]+): (?:cannot open|No such file)"

_NO_LIBSSH2 = """\
this build of sshgateway uses the system's libssh2 (SSHGATEWAY_LIBSSH2=system), and {problem}. \
Install libssh2, for example with "apt-get install libssh2-1" or "dnf install libssh2", or build \
sshgateway with its own libssh2: {again}"""

_NO_LIBRARY = """\
{problem}, with which sshgateway was built. Install the library, or build sshgateway again: \
{again}"""

_NOT_BUILT = """\
sshgateway._core, the extension module of sshgateway, is not built for this Python. Install \
sshgateway with pip, or run "make build" in a clone of the repository"""


def explain(error: ImportError) -> ImportError:
    """Return an error to raise instead of one that names only what the linker missed."""
    text = str(error)
    missing = re.match(_MISSING, text)
    symbol = re.search(r"undefined symbol: (libssh2_\w+)", text)
    if missing and not missing[1].startswith("libssh2."):
        text = _NO_LIBRARY.format(problem=f"{missing[1]} is missing", again=_AGAIN)
    elif missing:
        text = _NO_LIBSSH2.format(problem=f"{missing[1]} is missing", again=_AGAIN)
    elif symbol:
        problem = f"the libssh2 here is older than the one of the build: it has no {symbol[1]}"
        text = _NO_LIBSSH2.format(problem=problem, again=_AGAIN)
    elif isinstance(error, ModuleNotFoundError) and error.name == "sshgateway._core":
        text = _NOT_BUILT
    else:
        return error
    return ImportError(text, name=error.name, path=error.path)
