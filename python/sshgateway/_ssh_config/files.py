# SPDX-License-Identifier: BSD-2-Clause
"""The files of ssh_config(5): read them, find those of an Include, and keep their parsed form.

The bytes of a file are read at each look-up. Only the parsed form is kept, and it is used only
while the bytes are the same, so it cannot be out of date.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
import threading
from functools import lru_cache
from typing import Any, NamedTuple

from sshgateway._ssh_config.lines import Directive, directives
from sshgateway._ssh_config.match import Criterion, criteria_of, has_equals
from sshgateway._ssh_config.values import ALIASES, NEW_VALUES, SINCE, VENDORS, interpret

__all__ = ["ABSENT", "Block", "Item", "Parsed", "find_included", "parsed", "read_file"]

#: The size of the files whose parsed forms are kept, in bytes.
_MOST_BYTES = 2 << 20
#: The errors of open(2) for which OpenSSH goes on without a file, and so does the reader. OpenSSH
#: also goes on without a free descriptor; that would lose a ProxyJump.
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP)
#: The number of letters of a host by which blocks are found.
_LONGEST_START = 12
_WILDCARD = re.compile(r"[*?\[\\]")
#: The bracket expressions that every glob(3) reads alike.
_CLASS = re.compile(r"\[(!?)((?:[A-Za-z0-9](?:-[A-Za-z0-9])?)+)\]")


class Item(NamedTuple):
    """One directive of a block."""

    #: "set", "add", "jump", "include", "variables", "new", "several", "unknown" or "bad".
    kind: str
    line: int
    keyword: str
    #: The value; for "include" the patterns, for "bad" what is not supported.
    value: Any


class Block:
    """The directives after a Host or Match line, or before the first of them."""

    __slots__ = ("criteria", "has_equals", "is_inert", "items", "line", "patterns")

    def __init__(self, line: int) -> None:
        self.line = line
        #: The patterns of Host, or None.
        self.patterns: tuple[str, ...] | None = None
        #: The criteria of Match, or None.
        self.criteria: tuple[Criterion, ...] | None = None
        #: Whether a criterion is written with "=".
        self.has_equals = False
        self.items: list[Item] = []
        #: Whether nothing of the block counts for a host that it does not match.
        self.is_inert = True


class Parsed:
    """The blocks of a file."""

    def __init__(self, content: bytes) -> None:
        self.blocks = _blocks(os.fsdecode(content))
        #: The numbers of blocks by the start of the hosts that they may match.
        self._by_start: dict[str, list[int]] = {}
        #: The numbers of the other blocks.
        self._others: list[int] = []
        for number, block in enumerate(self.blocks):
            starts = _starts(block)
            if starts is None:
                self._others.append(number)
                continue
            for start in starts:
                self._by_start.setdefault(start, []).append(number)
        self._lengths = sorted({len(start) for start in self._by_start})

    def blocks_for(self, host: str) -> list[Block]:
        """The blocks that may count for a host, in the order of the file."""
        numbers = self._others
        for length in self._lengths:
            numbers = numbers + self._by_start.get(host[:length], [])
        return [self.blocks[number] for number in sorted(set(numbers))]


def _starts(block: Block) -> set[str] | None:
    """The starts of the hosts that a block may match; None if it must be read for any host."""
    if block.patterns is None or not block.is_inert:
        return None
    positive = [pattern for pattern in block.patterns if pattern[0] != "!"]
    starts = {re.split(r"[*?]", pattern, maxsplit=1)[0][:_LONGEST_START] for pattern in positive}
    return None if "" in starts else starts


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
            block.has_equals = has_equals(directive)
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
    elif keyword == "revokedhostkeys" and len(value) > 1:
        kind = "several"
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


class Kept:
    """The parsed forms of files, with the bytes that they were parsed from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By path; the file that was parsed last is the last one.
        self._forms: dict[str, tuple[bytes, Parsed]] = {}
        self._size = 0

    def parsed(self, path: str, content: bytes) -> Parsed:
        """Return the parsed form of a file with this content."""
        found = self._forms.get(path)
        if found is not None and found[0] == content:
            return found[1]
        form = Parsed(content)
        if len(content) <= _MOST_BYTES // 4:
            self._keep(path, content, form)
        return form

    def _keep(self, path: str, content: bytes, form: Parsed) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread keeps a form, or did so while this process was forked
        try:
            if (old := self._forms.pop(path, None)) is not None:
                self._size -= _size(old[0])
            self._forms[path] = (content, form)
            self._size += _size(content)
            while self._size > _MOST_BYTES:
                first = next(iter(self._forms))
                self._size -= _size(self._forms.pop(first)[0])
        finally:
            self._lock.release()


def _size(content: bytes) -> int:
    """The size of a file, plus a constant, so that empty files count too."""
    return len(content) + 200


_kept = Kept()


def parsed(path: str, content: bytes) -> Parsed:
    """Return the parsed form of a file with this content, which is kept for the next look-up."""
    return _kept.parsed(path, content)


# ---- Include ----------------------------------------------------------------


def find_included(pattern: str) -> list[str]:
    """Return the files of an absolute Include, or of one that begins with "~", in OpenSSH's order.

    Raises ValueError for a pattern that not every glob(3) reads alike.
    """
    pattern = _from_home(pattern)
    wildcard = _WILDCARD.search(pattern)
    if wildcard is None:
        return [pattern] if os.path.lexists(pattern) else []
    if not pattern.startswith("/") or pattern.endswith("/") or "\\" in pattern:
        raise ValueError("an Include with this pattern")
    start = pattern.rindex("/", 0, wildcard.start()) + 1
    found = [os.fsencode(pattern[:start])]
    *segments, last = pattern[start:].split("/")
    for segment in filter(None, segments):
        found = [path + b"/" for path in _matching(found, segment, must_exist=False)]
    found = _matching(found, last, must_exist=True)
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
        found = os.environ.get("HOME")
        home = pwd.getpwuid(os.getuid()).pw_dir if found is None else found
    if os.getuid() != os.geteuid() or _WILDCARD.search(home):
        raise ValueError("an Include relative to this home directory")
    return home + slash + rest


def _matching(directories: list[bytes], segment: str, *, must_exist: bool) -> list[bytes]:
    """The paths in some directories, which end in "/", that match one segment of a pattern."""
    if _WILDCARD.search(segment) is None:
        name = os.fsencode(segment)
        paths = [directory + name for directory in directories]
        return [path for path in paths if not must_exist or os.path.lexists(path)]
    matches = _compiled(segment).fullmatch
    paths = []
    for directory in directories:
        try:
            names = os.listdir(directory)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
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
    try:
        return re.compile(os.fsencode("".join(words)), re.DOTALL)
    except re.error:  # a range whose end comes before its start
        raise ValueError("an Include with these brackets") from None
