# SPDX-License-Identifier: BSD-2-Clause
"""The conditions of ssh_config(5): the patterns of Host and the criteria of Match."""

from __future__ import annotations

import os
from typing import NamedTuple

from sshgateway import _patterns
from sshgateway._ssh_config.lines import Directive, ascii_lower, split_criteria

__all__ = [
    "Criterion",
    "criteria_of",
    "has_equals",
    "has_wildcard",
    "matches_host_line",
    "matches_list",
    "matches_pattern",
]

#: match_pattern_list() of OpenSSH ignores a longer pattern.
_LONGEST = 1000
#: The criteria without an argument.
_ALONE = ("all", "canonical", "final")
#: The criteria with an argument that every OpenSSH since 8.7 knows.
_WITH_ARGUMENT = ("host", "originalhost", "user", "localuser", "exec")


class Criterion(NamedTuple):
    """One criterion of a Match line."""

    negated: bool
    #: In lower case.
    name: str
    #: "" if the criterion has none.
    argument: str


def has_wildcard(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def matches_pattern(text: str, pattern: str) -> bool:
    """Whether a text matches a pattern with "*" and "?", of which "?" stands for one byte."""
    if not has_wildcard(pattern):
        return text == pattern
    return _patterns.matches_pattern(os.fsencode(text), os.fsencode(pattern))


def matches_host_line(host: str, patterns: tuple[str, ...]) -> bool:
    """Whether a host matches the patterns of a Host line. A "!" excludes the host."""
    found = False
    for pattern in patterns:
        if pattern[0] == "!":
            if matches_pattern(host, pattern[1:]):
                return False
        elif not found:
            found = matches_pattern(host, pattern)
    return found


def matches_list(text: str, patterns: str, *, lower: bool = False) -> bool:
    """Whether a text matches a list of patterns with commas between them.

    - lower (bool): compare with the patterns in lower case.
    """
    if patterns.endswith(","):  # OpenSSH sees no empty pattern after the last comma
        patterns = patterns[:-1]
    found = False
    for pattern in (ascii_lower(patterns) if lower else patterns).split(","):
        is_negated = pattern.startswith("!")
        if matches_pattern(text, pattern[1:] if is_negated else pattern):
            if is_negated:
                return False
            found = True
    return found


def _without_equals(words: list[str]) -> list[str]:
    """Split words as "host=a", which are two words before OpenSSH 9.9 and one word since."""
    split = []
    for word in words:
        name, equals, argument = word.partition("=")
        is_split = equals and ascii_lower(name.removeprefix("!")) in _WITH_ARGUMENT
        split += [name, argument] if is_split else [word]
    return split


def has_equals(directive: Directive) -> bool:
    """Whether a criterion of a Match line has "=" before its argument."""
    words = directive.arguments or []
    return _without_equals(words) != words


def criteria_of(directive: Directive) -> tuple[Criterion, ...]:
    """Return the criteria of a Match line.

    Raises ValueError for those that OpenSSH refuses or that its versions treat differently.
    """
    words = _without_equals(directive.arguments or [])
    if words != split_criteria(directive.rest):
        raise ValueError("Match with quotes or '=' that the versions of OpenSSH read differently")
    criteria = []
    remaining = iter(words)
    for word in remaining:
        negated = word.startswith("!")
        name = ascii_lower(word[negated:])
        if name in _ALONE:
            criteria.append(Criterion(negated, name, ""))
        elif name in _WITH_ARGUMENT:
            argument = next(remaining, "")
            if not argument or len(argument) > _LONGEST:
                raise ValueError(f"Match {name} without an argument")
            criteria.append(Criterion(negated, name, argument))
        else:
            raise ValueError(f"Match {name}")
    names = [criterion.name for criterion in criteria]
    if not names or ("all" in names[:-1]) or (names[-1] == "all" and len(names) > 2):
        raise ValueError("Match with criteria that cannot be combined")
    return tuple(criteria)
