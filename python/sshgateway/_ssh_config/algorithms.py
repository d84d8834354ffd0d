# SPDX-License-Identifier: BSD-2-Clause
"""The keyword about algorithms that ssh_config may set, and that a Gateway does not honour.

``ssh -G`` prints it whether ssh_config sets it or not. Its value is therefore compared with the
one that ``ssh -G`` prints without a file, and with that of the system's file, where distributions
put a policy of their own.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

__all__ = ["set_by_user", "warn_once"]

_log = logging.getLogger(__name__)

#: The keywords, as ssh_config(5) writes them.
KEYWORDS = ("PubkeyAcceptedAlgorithms",)

Options = dict[str, list[str]]
#: Returns the options that ``ssh -G`` prints for a file, or None if it fails.
Ask = Callable[[str], Options | None]

#: The answers of ``ssh -G``, by program and file.
_answers: dict[tuple[str, str], Options] = {}

#: The keywords that this process has warned about.
_warned: set[str] = set()


def set_by_user(
    options: Options, program: str | None, ask: Ask, system_file: str | None
) -> tuple[str, ...]:
    """Return the keywords that the user's ssh_config sets to something else than the default.

    - options: the options of a host.
    - program (str or None): the program ssh that is installed; None if there is none, in which
      case every keyword that is set counts.
    - ask: runs that program.
    - system_file (str or None): the system's ssh_config, if it was read.
    """
    named = {keyword.lower(): keyword for keyword in KEYWORDS if keyword.lower() in options}
    if program is None:
        return tuple(named.values())
    for file in ("none", system_file):
        if not named or file is None:
            break
        usual = _answer(program, file, ask)
        named = {low: word for low, word in named.items() if usual.get(low) != options[low]}
        if file == "none" and named:
            _log.debug("not the defaults of ssh: %s", ", ".join(named.values()))
    return tuple(named.values())


def _answer(program: str, file: str, ask: Ask) -> Options:
    """The options of ``ssh -G`` for a file; {} if it fails, which is asked again."""
    found = _answers.get((program, file))
    if found is None:
        found = ask(file)
        if found is None:
            return {}
        _answers[program, file] = found
    return found


def warn_once(keywords: tuple[str, ...], host: str) -> None:
    """Warn about each keyword, unless this process has done so. host (str): where it is set."""
    for keyword in keywords:
        if keyword not in _warned:
            _warned.add(keyword)
            warnings.warn(
                f"{keyword} of ssh_config is set for gateway {host!r}, but sshgateway does not "
                "honour it: the connection uses the algorithms that libssh2 prefers",
                UserWarning,
                stacklevel=2,
            )
