# SPDX-License-Identifier: BSD-2-Clause
"""The error of an adapter whose library is not installed."""

from __future__ import annotations

__all__ = ["missing"]


def missing(error: ModuleNotFoundError, library: str, extra: str) -> ModuleNotFoundError:
    """Return the error to raise after ``import library`` has raised *error*.

    - extra (str): the extra of sshgateway that installs the library.

    An error about another module, which the library itself needs, is returned as it is.
    """
    if error.name != library:
        return error
    return ModuleNotFoundError(
        f"{library} is not installed; try: pip install sshgateway[{extra}]",
        name=error.name,
        path=error.path,
    )
