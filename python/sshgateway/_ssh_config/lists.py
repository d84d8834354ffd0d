# SPDX-License-Identifier: BSD-2-Clause
"""Split the lists of files that ``ssh -G`` prints on one line without quotes.

A name of a file may hold blanks. The lists that the files of ssh_config have for the keyword are
compared with the line, so that no part of a name is taken for a file of its own.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping, Sequence

from sshgateway._ssh_config.files import find_included, parsed, read_file
from sshgateway._ssh_config.options import Options, from_home
from sshgateway._ssh_config.reader import File
from sshgateway.known_hosts import DEFAULT_PATHS

__all__ = ["split_lists"]

#: The keywords for lists of files, with their defaults.
_DEFAULTS: dict[str, Sequence[str]] = {
    "userknownhostsfile": DEFAULT_PATHS[:2],
    "globalknownhostsfile": DEFAULT_PATHS[2:],
    "revokedhostkeys": ("none",),
}
#: The number of files that are searched for lists.
_MOST_FILES = 1000


def split_lists(
    options: Options, host: str, files: Sequence[File], *, several_revoked: bool
) -> None:
    """Split the values of UserKnownHostsFile and GlobalKnownHostsFile in the answer of ssh(1).

    - options (Options): the answer, which is changed.
    - host (str): the host that was looked up.
    - files (sequence of File): the files that ssh(1) read.
    - several_revoked (bool): RevokedHostKeys may hold several files too.

    Raises ValueError if the ends of the names cannot be found.
    """
    written: dict[str, list[tuple[str, ...]]] | None = None
    for keyword, defaults in _DEFAULTS.items():
        if keyword not in options or (keyword == "revokedhostkeys" and not several_revoked):
            continue
        line = options[keyword][0]
        usual = [from_home(path) for path in defaults]
        if line in (" ".join(usual), "none", ""):
            options[keyword] = usual if line and line != "none" else ["none"]
            continue
        if written is None:
            written = _written(files)
        tokens = tokens_of(options, host) if keyword != "globalknownhostsfile" else None
        options[keyword] = _split(keyword, line, written[keyword], tokens)


def _split(
    keyword: str, line: str, written: list[tuple[str, ...]], tokens: Mapping[str, str] | None
) -> list[str]:
    found = set()
    for names in written:
        pattern = " ".join(f"({_pattern(name, tokens)})" for name in names)
        match = re.fullmatch(pattern, line, re.DOTALL)
        if match is not None:
            found.add(match.groups())
    if len(found) == 1:
        return list(found.pop())
    words = line.split(" ")
    if not found and (len(words) == 1 or all(word.startswith("/") for word in words)):
        return words
    raise ValueError(f"the value {line!r} for {keyword}")


def _pattern(name: str, tokens: Mapping[str, str] | None) -> str:
    """The regular expression for the text that ssh(1) prints for the name of a file."""
    if tokens is None:
        return re.escape(name)
    pattern = ""
    if name.startswith("~"):
        user, slash, name = name[1:].partition("/")
        home = from_home(f"~{user}")
        pattern = re.escape(home.rstrip("/")) + "/" * bool(slash)
    for piece in re.findall(r"\$\{[^}]*\}|%.|.", name, re.DOTALL):
        if len(piece) > 2:
            pattern += re.escape(os.environ.get(piece[2:-1], ""))
        elif piece[0] == "%" and len(piece) == 2:
            value = "%" if piece == "%%" else tokens.get(piece[1])
            pattern += "[^/]*?" if value is None else re.escape(value)  # %C and %j: any text
        else:
            pattern += re.escape(piece)
    return pattern


def tokens_of(options: Options, host: str) -> dict[str, str]:
    """The tokens of UserKnownHostsFile and other paths, without %C and %j."""
    account, name = pwd.getpwuid(os.getuid()), socket.gethostname()
    return {
        "L": name.partition(".")[0],
        "d": account.pw_dir,
        "h": options["hostname"][0],
        "i": str(account.pw_uid),
        "k": options.get("hostkeyalias", [host])[0],
        "l": name,
        "n": host,
        "p": options.get("port", ["22"])[0],
        "r": options.get("user", [""])[0],
        "u": account.pw_name,
    }


def _written(files: Sequence[File]) -> dict[str, list[tuple[str, ...]]]:
    """All values of the keywords in the files and in the files that they include."""
    written: dict[str, list[tuple[str, ...]]] = {keyword: [] for keyword in _DEFAULTS}
    for items in _all_items(files):
        for keyword, value in items:
            written[keyword].append(value)
    return written


def _all_items(files: Sequence[File]) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    waiting = list(files)
    seen: set[str] = set()
    while waiting and len(seen) < _MOST_FILES:
        file = waiting.pop()
        if file.path in seen:
            continue
        seen.add(file.path)
        try:
            content, _ = read_file(file.path)
        except (OSError, ValueError):
            continue
        items = []
        for block in parsed(file.path, content).blocks:
            for item in block.items:
                if item.keyword in _DEFAULTS and item.kind in ("set", "several"):
                    items.append((item.keyword, item.value))
                elif item.kind == "include":
                    waiting += _included(item.value, file)
        yield items


def _included(patterns: Sequence[str], file: File) -> list[File]:
    base = "~/.ssh/" if file.is_users else "/etc/ssh/"
    names: list[str] = []
    for pattern in patterns:
        try:
            names += find_included(pattern if pattern[0] in "/~" else base + pattern)
        except ValueError:
            continue
    return [File(name, file.is_users) for name in names]
