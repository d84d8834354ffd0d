# SPDX-License-Identifier: BSD-2-Clause
"""Split the text of an ssh_config(5) into directives, as OpenSSH's readconf.c does.

The functions are those of OpenSSH 8.7 and later. They work on the text alone; values.py
knows the keywords.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Directive", "ascii_lower", "directives", "split_arguments", "split_criteria"]

#: The characters that readconf.c names WHITESPACE.
_BLANKS = " \t\r\n"
#: A line whose keyword needs no closer look: the keyword, one "=" or blanks, the rest.
_SIMPLE = re.compile(
    r"[ \t\r]*([A-Za-z0-9]+)(?:[ \t\r]*=[ \t\r]*|[ \t\r]+(?!=))([^ \t\r].*)", re.DOTALL
)
_DELIMITER = re.compile(r"[ \t\r\n\"=]")
_WORD = re.compile(r"[^ \t]+")


class Directive(NamedTuple):
    """One line that is neither blank nor a comment."""

    #: The number of the line.
    line: int
    #: The keyword in lower case.
    keyword: str
    #: The arguments without their quotes; None if a quote is missing.
    arguments: list[str] | None
    #: The text after the keyword, with quotes and comments.
    rest: str


def ascii_lower(text: str) -> str:
    """Convert the letters of ASCII to lower case, as tolower(3) does for single bytes."""
    return text.lower() if text.isascii() else os.fsdecode(os.fsencode(text).lower())


def directives(text: str) -> Iterator[Directive]:
    """Yield the directives of a file. The *rest* of a line without arguments is empty."""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw[:1] + raw[1:].rstrip(_BLANKS + "\f")
        simple = _SIMPLE.fullmatch(line)
        if simple is not None:
            keyword, rest = simple[1], simple[2]
        else:
            found = _keyword_of(line)
            if found is None:
                continue
            keyword, rest = found
        if "\0" in line:  # OpenSSH does not see the rest of such a line
            yield Directive(number, ascii_lower(keyword), None, rest)
        else:
            yield Directive(number, ascii_lower(keyword), split_arguments(rest), rest)


def _keyword_of(line: str) -> tuple[str, str] | None:
    """The keyword of a line and the text after it; None for a blank line or a comment."""
    keyword, rest = _next_token(line)
    if keyword == "" and rest is not None:
        keyword, rest = _next_token(rest)
    if not keyword or keyword[0] == "#":
        return None
    return keyword, (rest or "").lstrip(_BLANKS)


def _next_token(text: str) -> tuple[str | None, str | None]:
    """Return the next token and the text after it, as OpenSSH's strdelim() does.

    The token is None if its closing quote is missing; the text is None at the end of the line.
    """
    found = _DELIMITER.search(text)
    if found is None:
        return text, None
    start = found.start()
    if found[0] == '"':
        end = text.find('"', start + 1)
        if end < 0:
            return None, None
        return text[:start] + text[start + 1 : end], text[end + 1 :].lstrip(_BLANKS)
    rest = text[start + 1 :].lstrip(_BLANKS)
    if found[0] != "=" and rest.startswith("="):
        rest = rest[1:].lstrip(_BLANKS)
    return text[:start], rest


def split_criteria(text: str) -> list[str] | None:
    """Split the arguments of Match as OpenSSH before 9.9 does; None if it cannot.

    The list ends at a comment.
    """
    tokens = []
    rest: str | None = text
    while rest is not None:
        token, rest = _next_token(rest)
        if token is None or (token == "" and rest):
            return None
        if token == "" or token[0] == "#":
            break
        tokens.append(token)
    return tokens


def split_arguments(text: str, *, comments: bool = True) -> list[str] | None:
    """Split a text into arguments as OpenSSH's argv_split() does.

    - comments (bool): a "#" at the start of an argument ends the text.

    Returns None if a closing quote is missing.
    """
    if not ('"' in text or "#" in text or "'" in text or "\\" in text):
        return _WORD.findall(text)
    arguments = []
    position, length = 0, len(text)
    while position < length:
        if text[position] in " \t":
            position += 1
        elif text[position] == "#" and comments:
            break
        else:
            argument, position = _argument(text, position)
            if argument is None:
                return None
            arguments.append(argument)
    return arguments


def _argument(text: str, position: int) -> tuple[str | None, int]:
    """The argument that starts at a position, and the position after it."""
    letters, quote = [], ""
    while position < len(text):
        letter = text[position]
        following = text[position + 1 : position + 2]
        if (
            letter == "\\"
            and following
            and (following in "'\"\\" or (following == " " and not quote))
        ):
            position += 1
            letters.append(following)
        elif letter in " \t" and not quote:
            break
        elif letter in "\"'" and not quote:
            quote = letter
        elif letter == quote:
            quote = ""
        else:
            letters.append(letter)
        position += 1
    return (None if quote else "".join(letters)), position
