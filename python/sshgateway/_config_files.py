# SPDX-License-Identifier: BSD-2-Clause
"""The files of ssh_config(5): read them, find those of an Include, and keep their parsed form.

The bytes of a file are read at each look-up. Only the parsed form is kept, and it is used only
while the bytes are the same, so it cannot be out of date.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import threading
from functools import lru_cache
from typing import Any, NamedTuple

from sshgateway._config_lines import Directive, directives
from sshgateway._config_match import Criterion, criteria_of, has_wildcard
from sshgateway._config_values import ALIASES, NEW_VALUES, SINCE, VENDORS, interpret

__all__ = ["Block", "Item", "Parsed", "find_included", "parsed", "read_file"]

#: The size of the files whose parsed forms are kept, in bytes.
_MOST_BYTES = 8 << 20
#: The classes of characters of an Include that mean the same in every glob(3).
_CLASS = re.compile(r"\[(!?)((?:[A-Za-z0-9](?:-[A-Za-z0-9])?)+)\]")


class Item(NamedTuple):
    """One directive of a block."""

    #: "set", "add", "jump", "include", "variables", "new", "versioned", "unknown" or "bad".
    kind: str
    line: int
    keyword: str
    #: The value; for "include" the patterns, for "bad" what is not supported.
    value: Any


class Block:
    """The directives after a Host or Match line, or before the first of them."""

    __slots__ = ("criteria", "is_inert", "items", "line", "patterns")

    def __init__(self, line: int) -> None:
        self.line = line
        #: The patterns of Host, or None.
        self.patterns: tuple[str, ...] | None = None
        #: The criteria of Match, or None.
        self.criteria: tuple[Criterion, ...] | None = None
        self.items: list[Item] = []
        #: Whether nothing of the block counts for a host that it does not match.
        self.is_inert = True


class Parsed:
    """The blocks of a file."""

    def __init__(self, content: bytes) -> None:
        self.blocks = _blocks(os.fsdecode(content))
        #: The numbers of the blocks for single hosts, by the host.
        self._by_host: dict[str, list[int]] = {}
        #: The numbers of the other blocks.
        self._others: list[int] = []
        for number, block in enumerate(self.blocks):
            patterns = block.patterns
            if (
                patterns is None
                or not block.is_inert
                or any(has_wildcard(pattern) or pattern[0] == "!" for pattern in patterns)
            ):
                self._others.append(number)
            else:
                for pattern in set(patterns):
                    self._by_host.setdefault(pattern, []).append(number)

    def blocks_for(self, host: str) -> list[Block]:
        """The blocks that may count for a host, in the order of the file."""
        numbers = self._others
        own = self._by_host.get(host)
        if own is not None:
            numbers = sorted(numbers + own)
        return [self.blocks[number] for number in numbers]


def _blocks(text: str) -> list[Block]:
    block = Block(0)
    blocks = [block]
    for directive in directives(text):
        if directive.keyword in ("host", "match"):
            block = Block(directive.line)
            blocks.append(block)
        item = _item(block, directive)
        if item is not None:
            block.items.append(item)
            if item.kind not in ("set", "add", "jump"):
                block.is_inert = False
    return blocks


def _item(block: Block, directive: Directive) -> Item | None:
    """Return the item of a directive; Host and Match set the condition of the block instead."""
    line, keyword = directive.line, ALIASES.get(directive.keyword, directive.keyword)
    if directive.arguments is None:
        return Item("bad", line, keyword, "a line with an unmatched quote or a NUL")
    if not directive.rest:
        return Item("bad", line, keyword, f"{directive.keyword!r} without an argument")
    try:
        if keyword == "host":
            block.patterns = _patterns(directive)
            return None
        if keyword == "match":
            block.is_inert = False
            block.criteria = criteria_of(directive)
            return None
        if keyword == "include":
            return Item("include", line, keyword, _patterns(directive))
        value = interpret(directive)
    except ValueError as error:
        words = f"the value of {directive.keyword!r} ({error})"
        if keyword == "match":
            block.criteria = ()
            words = str(error)
        if keyword not in SINCE and keyword not in VENDORS:
            return Item("bad", line, keyword, words)
        value = Item("bad", line, keyword, words)
    except KeyError:
        return Item("unknown", line, directive.keyword, None)
    return _item_of_value(line, keyword, value)


def _item_of_value(line: int, keyword: str, value: Any) -> Item:
    kind = "set"
    if keyword in ("identityfile", "certificatefile"):
        kind = "add"
    elif keyword == "proxyjump":
        kind = "jump"
    elif keyword in ("identityagent", "forwardagent") and "$" in value:
        kind = "variables"
    elif (keyword, value) in NEW_VALUES:
        kind = "new"
    item = Item(kind, line, keyword, value)
    if keyword in SINCE or keyword in VENDORS:
        inner = value if isinstance(value, Item) else item
        return Item("versioned", line, keyword, inner)
    return item


def _patterns(directive: Directive) -> tuple[str, ...]:
    patterns = tuple(directive.arguments or ())
    if not all(patterns) or "!" in patterns:
        raise ValueError("an empty pattern")
    return patterns


# ---- Reading ----------------------------------------------------------------


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a file and its status. A directory is empty, as it is for OpenSSH.

    Raises OSError, and ValueError for a pipe or device, which cannot be read twice.
    """
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        return b"", status
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            return file.readall(), status
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev:
        return b"", status
    raise ValueError("a file that is not a regular file")


_lock = threading.Lock()
#: The bytes and the parsed forms by path, the one used last at the end.
_kept: dict[str, tuple[bytes, Parsed]] = {}
_kept_bytes = 0


def parsed(path: str, content: bytes) -> Parsed:
    """Return the parsed form of a file with this content."""
    found = _kept.get(path)
    if found is not None and found[0] == content:
        return found[1]
    form = Parsed(content)
    _keep(path, content, form)
    return form


def _keep(path: str, content: bytes, form: Parsed) -> None:
    global _kept_bytes
    if len(content) > _MOST_BYTES // 4:
        return
    with _lock:
        old = _kept.pop(path, None)
        _kept_bytes += len(content) - (len(old[0]) if old else 0) + (0 if old else 200)
        _kept[path] = (content, form)
        while _kept_bytes > _MOST_BYTES:
            first = next(iter(_kept))
            _kept_bytes -= len(_kept.pop(first)[0]) + 200


# ---- Include ----------------------------------------------------------------


def find_included(pattern: str) -> list[str]:
    """Return the files of an absolute Include, or of one that begins with "~", in OpenSSH's order.

    Raises ValueError for a pattern whose meaning depends on the glob(3) of OpenSSH.
    """
    pattern = _from_home(pattern)
    if not re.search(r"[*?\[\\]", pattern):
        return [pattern] if os.path.lexists(pattern) else []
    found = [b"/"]
    segments = [segment for segment in pattern.split("/") if segment]
    if not pattern.startswith("/") or pattern.endswith("/") or "\\" in pattern:
        raise ValueError("an Include with this pattern")
    for segment in segments[:-1]:
        found = [path + b"/" for path in _matching(found, segment, must_exist=False)]
    found = _matching(found, segments[-1], must_exist=True)
    return [os.fsdecode(path) for path in sorted(found)]


def _from_home(pattern: str) -> str:
    """Expand "~" as OpenSSH's glob does: by $HOME first."""
    if not pattern.startswith("~"):
        return pattern
    user, slash, rest = pattern[1:].partition("/")
    if user:
        try:
            home = pwd.getpwnam(user).pw_dir
        except KeyError:
            return pattern
    else:
        home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    if os.getuid() != os.geteuid() or re.search(r"[*?\[\\]", home):
        raise ValueError("an Include relative to this home directory")
    return home + slash + rest


def _matching(directories: list[bytes], segment: str, *, must_exist: bool) -> list[bytes]:
    """The paths in some directories, which end in "/", that match one segment of a pattern."""
    if not re.search(r"[*?\[]", segment):
        name = os.fsencode(segment)
        paths = [directory + name for directory in directories]
        return [path for path in paths if not must_exist or os.path.lexists(path)]
    matches = _compiled(segment).fullmatch
    paths = []
    for directory in directories:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        paths += [directory + name for name in names if name[0] != 46 and matches(name)]
    return paths


@lru_cache(256)
def _compiled(segment: str) -> re.Pattern[bytes]:
    """Translate a segment with wildcards. No wildcard matches a dot at the start of a name."""
    if segment.startswith("."):
        raise ValueError("an Include with a wildcard after a dot")
    words = []
    position = 0
    while position < len(segment):
        letter = segment[position]
        found = _CLASS.match(segment, position)
        if letter == "[" and found is None:
            raise ValueError("an Include with these brackets")
        if found is not None:
            words.append(f"[{'^' if found[1] else ''}{found[2]}]")
            position = found.end()
            continue
        words.append({"*": ".*", "?": "."}.get(letter, re.escape(letter)))
        position += 1
    return re.compile(os.fsencode("".join(words)), re.DOTALL)
