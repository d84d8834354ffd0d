# SPDX-License-Identifier: BSD-2-Clause
"""Configurations for ssh(1), written as people write them. Each ``*.conf`` here holds several.

A line ``#### name: description`` starts a configuration. Lines ``#: key: value`` describe it and
are not part of it:

- ask: the hosts to look up. Options -l, -p and -J apply to the host that follows them.
- env: a variable of the environment, as ``NAME=value``. A name alone removes the variable.
- file: the lines that follow belong to this further file, whose path is relative to @DIR@.
- mode: the permissions of a further file, as ``0666 path``.
- link: a symbolic link, as ``path target``.
- write: "crlf" for lines that end in CR LF, "bom" for a byte order mark at the beginning,
  "no newline" for a last line without its end, "latin-1" for that encoding.
- user files, system files: the paths of UserKnownHostsFile and GlobalKnownHostsFile, with " | "
  between them. ``ssh -G`` does not quote them, so that a path with a blank is ambiguous.
- needs: a word in the lines that only ssh(1) can interpret. Every other configuration must be
  interpreted without ssh(1) too.
- doubtful: like "needs", because the versions of OpenSSH give the lines different meanings, or
  because ssh(1) accepts lines that are probably a mistake.
- refused: ssh(1) refuses the configuration because of the lines that hold this word. Without a
  word, no single line is the reason.
- names: ssh(1) refuses names of algorithms that it does not have. Only ssh(1) knows them.
- distribution: fields for which distributions patch OpenSSH. Only ssh(1) knows them.

@DIR@ is the directory of the configuration, @HOME@ the home directory of the account, @USER@ its
name, @HOST@ the name of this machine, @FF@ a form feed, @NBSP@ a non-breaking space.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CONFIGURATIONS", "DEFAULT_FILES", "MAIN", "Configuration", "Question"]

#: The name of the file that ssh(1) reads first.
MAIN = "config"
KEYS = {
    "ask", "env", "file", "mode", "link", "write", "user files", "system files", "needs",
    "doubtful", "refused", "names", "distribution",
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """The arguments of one look-up."""

    host: str
    port: int | None = None
    user: str | None = None
    jump: str | None = None

    def arguments(self) -> list[str]:
        """Return the question as arguments of ssh(1)."""
        given = {"-p": self.port, "-l": self.user, "-J": self.jump}
        options = [word for k, v in given.items() if v is not None for word in (k, str(v))]
        return [*options, "--", self.host]


@dataclass
class Configuration:
    """One configuration; the module describes the keys."""

    name: str
    keys: dict[str, list[str]] = field(default_factory=dict)
    #: The lines of each file, by its path.
    lines: dict[str, list[str]] = field(default_factory=lambda: {MAIN: []})

    def questions(self) -> list[Question]:
        words = iter(" ".join(self.keys["ask"]).split())
        return list(_questions(words))

    def write(self, directory: Path) -> Path:
        """Write all files below *directory*, and return the path of the first one."""
        for name, lines in self.lines.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _fill("".join(f"{line}\n" for line in lines), directory)
            path.write_bytes(self._styled(text) if name == MAIN else text.encode())
            path.chmod(0o600)
        for value in self.keys.get("mode", []):
            mode, name = value.split()
            (directory / name).chmod(int(mode, 8))
        for value in self.keys.get("link", []):
            name, target = value.split()
            (directory / name).symlink_to(target)
        return directory / MAIN

    def _styled(self, text: str) -> bytes:
        style = self.keys.get("write", [])
        if "crlf" in style:
            text = text.replace("\n", "\r\n")
        if "bom" in style:
            text = "\ufeff" + text
        if "no newline" in style:
            text = text.removesuffix("\n")
        return text.encode("latin-1" if "latin-1" in style else "utf-8")

    def environment(self, directory: Path) -> dict[str, str | None]:
        """Return the variables to set, and those to remove with the value None."""
        pairs = (value.partition("=") for value in self.keys.get("env", []))
        return {name: _fill(value, directory) if is_set else None for name, is_set, value in pairs}

    def paths(self, key: str, directory: Path) -> list[str] | None:
        """Return the paths of "user files" or "system files"; None if they are not given."""
        if key not in self.keys:
            return None
        return [_fill(path, directory) for path in self.keys[key][0].split(" | ")]

    def places(self, word: str, directory: Path) -> Iterator[tuple[Path, int, str]]:
        """The file, number and text of each line that holds *word* in any case."""
        for name, lines in self.lines.items():
            for number, line in enumerate(lines, 1):
                if word.lower() in line.lower():
                    is_system = name.startswith("etc/")
                    path = "/etc/ssh/" + name.removeprefix("etc/") if is_system else name
                    yield directory / path, number, line


def _questions(words: Iterator[str]) -> Iterator[Question]:
    given: dict[str, str] = {}
    for word in words:
        if word in ("-l", "-p", "-J"):
            given[word] = next(words)
            continue
        port = int(given["-p"]) if "-p" in given else None
        yield Question(word, port, given.get("-l"), given.get("-J"))
        given = {}


def _fill(text: str, directory: Path) -> str:
    account = pwd.getpwuid(os.getuid())
    values = {
        "DIR": str(directory),
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "HOST": socket.gethostname(),
        "FF": "\f",
        "NBSP": "\u00a0",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _read(path: Path) -> Iterator[Configuration]:
    current: Configuration | None = None
    for line in path.read_text().split("\n"):
        if line.startswith("#### "):
            if current is not None:
                yield current
            current = Configuration(line.removeprefix("#### ").partition(":")[0])
            target = current.lines[MAIN]
        elif current is None:
            continue  # the head of the file
        elif line.startswith("#: "):
            key, _, value = line.removeprefix("#: ").partition(":")
            assert key in KEYS, f"{path}: {line}"
            current.keys.setdefault(key, []).append(value.strip())
            if key == "file":
                target = current.lines.setdefault(value.strip(), [])
        else:
            target.append(line)
    if current is not None:
        yield current


def _without_last_blanks(configuration: Configuration) -> Configuration:
    """Drop the blank lines that separate a configuration from the next one."""
    for lines in configuration.lines.values():
        while lines and not lines[-1]:
            lines.pop()
    return configuration


_ALL = [
    _without_last_blanks(each)
    for path in sorted(Path(__file__).parent.glob("*.conf"))
    for each in _read(path)
]

#: Configurations for -F.
CONFIGURATIONS = [each for each in _ALL if not each.name.startswith("default-")]
#: Configurations without -F: the user's file and the system's.
DEFAULT_FILES = [each for each in _ALL if each.name.startswith("default-")]
