# SPDX-License-Identifier: BSD-2-Clause
"""Expand the tokens and variables of ssh_config(5) as OpenSSH's misc.c does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

__all__ = ["Expander", "expand_both", "expand_tokens", "expand_variables"]

#: Expands a text with the values of some tokens.
Expander = Callable[[str, Mapping[str, str]], str]

_TOKEN = re.compile(r"%(?P<token>.?)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{(?P<name>[^}]*)(?P<end>\}?)", re.DOTALL)
_BOTH = re.compile(f"{_VARIABLE.pattern}|{_TOKEN.pattern}", re.DOTALL)


def expand_tokens(text: str, tokens: Mapping[str, str]) -> str:
    """Expand tokens as OpenSSH's percent_expand() does. Raises ValueError if that fails."""
    return _TOKEN.sub(lambda found: _value(found, tokens), text)


def expand_variables(text: str) -> str:
    """Expand ${VARIABLES} as OpenSSH's dollar_expand() does. Raises ValueError if that fails."""
    return _VARIABLE.sub(lambda found: _value(found, {}), text)


def expand_both(text: str, tokens: Mapping[str, str]) -> str:
    """Expand both in one pass. Raises ValueError if OpenSSH refuses the text."""
    return _BOTH.sub(lambda found: _value(found, tokens), text)


def _value(found: re.Match[str], tokens: Mapping[str, str]) -> str:
    groups = found.groupdict()
    name: str | None = groups.get("name")
    if name is not None:
        if not name or not groups["end"] or name not in os.environ:
            raise ValueError(f"the variable ${{{name}}} is not set")
        return os.environ[name]
    token: str = groups["token"]
    if token == "%":
        return "%"
    if token not in tokens:
        raise ValueError(f"the token %{token}")
    return tokens[token]
