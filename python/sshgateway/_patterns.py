# SPDX-License-Identifier: BSD-2-Clause
"""The patterns of known_hosts files and of ssh_config(5): PATTERNS."""

from __future__ import annotations

__all__ = ["matches_pattern"]


def matches_pattern(name: bytes, pattern: bytes) -> bool:
    """Match "*" and "?" as match_pattern() of match.c, in O(len(name) * len(pattern)).

    After a mismatch only the last "*" has to match one byte more.
    """
    at = here = 0
    star, tried = -1, 0
    while at < len(name):
        if here < len(pattern) and pattern[here] == 0x2A:
            star, tried = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in (0x3F, name[at]):
            at += 1
            here += 1
        elif star >= 0:
            tried += 1
            at, here = tried, star + 1
        else:
            return False
    return not pattern[here:].strip(b"*")
