# SPDX-License-Identifier: BSD-2-Clause
"""Look up a host in ssh_config(5), with the result of OpenSSH's ``ssh -G``.

The reader is conservative. Whatever it does not interpret exactly as OpenSSH does raises
Unsupported, if OpenSSH would look at it: the caller then asks ssh(1) itself, if it is installed.
That includes every error of a file, because the message of ssh(1) is better, and everything that
versions of OpenSSH since 8.7 interpret differently.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sshgateway._ssh_config.expand import expand_tokens, expand_variables
from sshgateway._ssh_config.files import (
    ABSENT,
    Block,
    Item,
    Parsed,
    find_included,
    parsed,
    read_file,
)
from sshgateway._ssh_config.jumps import parse_jump
from sshgateway._ssh_config.lines import ascii_lower
from sshgateway._ssh_config.match import Criterion, matches_host_line, matches_list
from sshgateway._ssh_config.options import Options
from sshgateway._ssh_config.program import Program
from sshgateway._ssh_config.values import NEW_VALUES, SEVERAL_REVOKED, SINCE

__all__ = ["File", "Question", "Reading", "Unsupported"]

#: The depth of Include that OpenSSH allows.
_DEEPEST = 16
#: The number of IdentityFile and of CertificateFile that OpenSSH allows.
_MOST_FILES = 100
#: The version that is taken for granted if no ssh(1) is installed.
_OLDEST_VERSION = (9, 2)
#: A longer list of patterns may hold one that OpenSSH ignores.
_LONGEST_PATTERN = 1000
#: The tokens that Match exec accepts in every version.
_TOKENS_OF_EXEC = "CLdhiklnpru"
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


class Unsupported(Exception):  # noqa: N818
    """A construct that the reader does not interpret.

    - path (str), line (int): where it is; the line is 0 if it is the file as a whole.
    - construct (str): the construct in words.
    """

    def __init__(self, path: str, line: int, construct: str) -> None:
        super().__init__(path, line, construct)
        self.path = path
        self.line = line
        self.construct = construct

    def __str__(self) -> str:
        path = self.path if self.path.isprintable() else repr(self.path)
        where = f"{path}, line {self.line}" if self.line else path
        return f"{where}: {self.construct}"


@dataclass(frozen=True, slots=True)
class File:
    """A file of ssh_config(5)."""

    path: str
    #: It belongs to the user rather than to the system.
    is_users: bool = True
    #: OpenSSH checks its owner and mode.
    is_checked: bool = False
    must_exist: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A host, and the arguments of ssh(1) that override the files."""

    host: str
    port: int | None
    user: str | None
    jump: str | None
    files: tuple[File, ...]
    #: The ssh(1) that is installed, whose version decides where versions differ.
    program: Program | None
    #: Returns the options that this program prints without any file, for some arguments.
    defaults: Callable[[tuple[str, ...]], Options]


class Reading:
    """The state of one look-up. The names are those of OpenSSH's ssh.c and readconf.c."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.program = question.program
        self.version = question.program.version if question.program is not None else None
        try:
            self.account = pwd.getpwuid(os.getuid())
        except KeyError:
            raise Unsupported("/etc/passwd", 0, "no entry for the user") from None
        #: The host that Host compares: as it was given, in the second pass the HostName.
        self.host = question.host
        self.is_final = False
        self.wants_final = False
        #: Where versions disagree about the second pass.
        self.may_want_final: tuple[str, int] | None = None
        self.values: dict[str, Any] = {}
        #: Where each value is set.
        self.places: dict[str, tuple[str, int]] = {}
        self.of_system: set[str] = set()
        #: IdentityFile and CertificateFile, with whether they are from a file of the user.
        self.added: dict[str, list[tuple[str, bool]]] = {"identityfile": [], "certificatefile": []}
        self._set_arguments()

    def _set_arguments(self) -> None:
        question = self.question
        if question.port is not None:
            self.values["port"] = str(question.port)
        if question.user is not None:
            self.values["user"] = question.user
        if question.jump is not None:
            try:
                jump = parse_jump(question.jump)
            except ValueError as error:
                raise Unsupported("ProxyJump", 0, f"{question.jump!r}: {error}") from None
            self.values["proxyjump"] = jump or "none"
            if jump is not None:
                self.values["proxycommand"] = "none"

    # ---- The files ----------------------------------------------------------

    def run(self) -> str:
        """Read the files, and return the name or address to connect to.

        Raises Unsupported, and OSError for a file that must exist and cannot be read.
        """
        self._read_files()
        if self.values.get("canonicalizehostname", "no") not in ("no", "false"):
            raise self.at("canonicalizehostname", "CanonicalizeHostname other than no")
        if self.values.get("canonicalizepermittedcnames", "none") != "none":
            raise self.at("canonicalizepermittedcnames", "CanonicalizePermittedCNAMEs")
        self.values.setdefault("canonicalizehostname", "no")
        host = self._hostname()
        self.values.setdefault("hostname", host)
        if self.may_want_final and not self.wants_final:
            raise Unsupported(
                *self.may_want_final, "Match !final, which versions treat differently"
            )
        if self.wants_final:
            self.host = self.values["hostname"] = host
            self.is_final = True
            self._read_files()
        return host

    def _read_files(self) -> None:
        for file in self.question.files:
            try:
                content = self._content(file.path, is_checked=file.is_checked)
            except OSError as error:
                if file.must_exist or error.errno not in ABSENT:
                    raise
                continue
            form = parsed(file.path, content)
            self._read_blocks(form, file.path, file.is_users, active=True, depth=0)

    def _content(self, path: str, *, is_checked: bool) -> bytes:
        try:
            content, status = read_file(path)
        except ValueError as error:
            raise Unsupported(path, 0, str(error)) from None
        if is_checked and (status.st_uid not in (0, os.getuid()) or status.st_mode & 0o22):
            raise Unsupported(path, 0, "bad owner or permissions")
        return content

    def _read_blocks(
        self, form: Parsed, path: str, is_users: bool, *, active: bool, depth: int
    ) -> None:
        for block in form.blocks_for(self.host):
            if block.patterns is not None:
                counts = active and matches_host_line(self.host, block.patterns)
            elif block.criteria is not None:
                # A criterion counts as evaluated even if the file is included by a block that
                # does not match.
                counts = self._match(block, path) and active
            else:
                counts = active
            if counts or not block.is_inert:
                self._read_items(block, path, is_users, active=counts, depth=depth)

    def _read_items(
        self, block: Block, path: str, is_users: bool, *, active: bool, depth: int
    ) -> None:
        for item in block.items:
            if item.kind == "versioned":
                self._check_versioned(item, path, active=active)
            elif item.kind == "include":
                self._include(item, path, is_users, active=active, depth=depth)
            elif item.kind == "bad":
                raise Unsupported(path, item.line, item.value)
            elif item.kind == "unknown":
                if not self._is_ignored(item.keyword):
                    raise Unsupported(path, item.line, f"the keyword {item.keyword!r}")
            else:
                if item.kind == "variables":
                    self._check_variables(item, path)
                elif item.kind == "several" and not self._takes_several():
                    words = "RevokedHostKeys with several files, which not every OpenSSH accepts"
                    raise Unsupported(path, item.line, words)
                elif item.kind == "new" and self.is_before(NEW_VALUES[item.keyword, item.value]):
                    raise Unsupported(path, item.line, f"the value of {item.keyword!r}")
                if active:
                    self._set(item, path, is_users)

    def _set(self, item: Item, path: str, is_users: bool) -> None:
        keyword, value = item.keyword, item.value
        if item.kind == "add":
            self._add(item, path, is_users)
            return
        if keyword in self.values or (value is None and item.kind != "jump"):
            return
        if item.kind == "jump":
            if "proxycommand" in self.values:
                return
            value = value or "none"
        elif keyword == "proxycommand" and "proxyjump" in self.values:
            if self.values["proxyjump"] == "none":
                construct = "ProxyCommand after 'ProxyJump none', which versions treat differently"
                raise Unsupported(path, item.line, construct)
            return
        self.values[keyword] = value
        self.places[keyword] = (path, item.line)
        if not is_users:
            self.of_system.add(keyword)

    def _add(self, item: Item, path: str, is_users: bool) -> None:
        files = self.added[item.keyword]
        if len(files) >= _MOST_FILES:
            raise Unsupported(path, item.line, f"more than {_MOST_FILES} {item.keyword}")
        entry = (item.value, is_users)
        if entry not in files:
            files.append(entry)
            self.places.setdefault(item.keyword, (path, item.line))

    def _is_ignored(self, keyword: str) -> bool:
        patterns = self.values.get("ignoreunknown")
        if patterns is not None and len(patterns) > _LONGEST_PATTERN:
            raise self.at("ignoreunknown", "IgnoreUnknown with a long value")
        return patterns is not None and matches_list(keyword, patterns, lower=True)

    def _check_versioned(self, item: Item, path: str, *, active: bool) -> None:
        """Check a keyword that not every OpenSSH knows. None of them sets an option of ours."""
        known = self._is_known(item.keyword)
        is_ignored = self._is_ignored(item.keyword)
        if known is False and is_ignored:
            return
        inner = item.value
        is_fine = inner.kind != "bad" and (known or is_ignored)
        if is_fine and item.keyword == "refuseconnection" and active:
            is_fine = False
        if is_fine and item.keyword == "gssapikexalgorithms":
            is_fine = self._has_gss_names(inner.value)
        if not is_fine:
            words = f"the keyword {item.keyword!r}, which not every OpenSSH knows"
            raise Unsupported(path, item.line, inner.value if inner.kind == "bad" else words)

    def _is_known(self, keyword: str) -> bool | None:
        """Whether the installed ssh(1) knows a keyword; None if no ssh(1) is installed."""
        if (self.version or _OLDEST_VERSION) >= SINCE.get(keyword, (999, 0)):
            return True
        if self.version is None:
            return None
        return keyword in self.question.defaults(())

    def _has_gss_names(self, value: str) -> bool:
        known = self.question.defaults(()).get("gssapikexalgorithms", [""])[0].split(",")
        return set(value.split(",")) <= set(known)

    def _check_variables(self, item: Item, path: str) -> None:
        """OpenSSH refuses a variable that is not set even if the block does not match."""
        value = item.value
        try:
            expand_variables(value)
        except ValueError as error:
            raise Unsupported(path, item.line, f"{item.keyword}: {error}") from None
        if re.match(r"\$(?!\{)", value) and not re.fullmatch(r"\$[A-Za-z0-9_]+", value):
            raise Unsupported(path, item.line, f"the value of {item.keyword!r}")

    def _include(self, item: Item, path: str, is_users: bool, *, active: bool, depth: int) -> None:
        for pattern in item.value:
            if ("%" in pattern or "${" in pattern) and not self.is_before((9, 9)):
                raise Unsupported(path, item.line, "an Include with tokens or variables")
            if pattern[0] == "~" and not is_users:
                raise Unsupported(path, item.line, "an Include of the system with '~'")
            if pattern[0] not in "/~":
                pattern = f"~/.ssh/{pattern}" if is_users else f"/etc/ssh/{pattern}"
            try:
                included = find_included(pattern)
            except ValueError as error:
                raise Unsupported(path, item.line, str(error)) from None
            if included and depth == _DEEPEST:
                raise Unsupported(path, item.line, f"more than {_DEEPEST} nested Includes")
            for name in included:
                try:
                    content = self._content(name, is_checked=True)
                except FileNotFoundError:  # a link that leads nowhere
                    continue
                except OSError as error:
                    words = f"Include cannot read {name!r}: {error.strerror}"
                    raise Unsupported(path, item.line, words) from None
                form = parsed(name, content)
                self._read_blocks(form, name, is_users, active=active, depth=depth + 1)

    def _takes_several(self) -> bool:
        """Whether the installed ssh(1) accepts several files for RevokedHostKeys."""
        return self.version is not None and self.version >= SEVERAL_REVOKED

    def is_before(self, version: tuple[int, int]) -> bool:
        """Whether the installed ssh(1) is known to be older than a version."""
        return self.version is not None and self.version < version

    # ---- Match --------------------------------------------------------------

    def _match(self, block: Block, path: str) -> bool:
        result = True
        if block.has_equals and self.version == (9, 9):
            raise Unsupported(path, block.line, "Match with '=', which 9.9p1 does not accept")
        host = self._host_so_far(path, block.line)
        for criterion in block.criteria or ():
            if criterion.name == "all":
                return result and not criterion.negated
            result = self._criterion(criterion, host, path, block.line, result) and result
        return result

    def _criterion(
        self, criterion: Criterion, host: str, path: str, line: int, result: bool
    ) -> bool:
        """Whether a criterion is fulfilled; *result* is that of the criteria before it."""
        name, argument = criterion.name, criterion.argument
        if name in ("final", "canonical"):
            if name == "final":
                self._want_final(criterion.negated, path, line)
            matches = self.is_final
        elif name == "host":
            matches = matches_list(ascii_lower(host), argument, lower=True)
        elif name == "originalhost":
            matches = matches_list(ascii_lower(self.question.host), argument, lower=True)
        elif name == "user":
            matches = matches_list(self.values.get("user", self.account.pw_name), argument)
        elif name == "localuser":
            matches = matches_list(self.account.pw_name, argument)
        else:
            self._skip_exec(argument, path, line, result)
            return False
        return matches != criterion.negated

    def _want_final(self, is_negated: bool, path: str, line: int) -> None:
        """Note that a criterion asks for the second pass. Since 10.1 "!final" does not."""
        if not is_negated or self.is_before((10, 1)):
            self.wants_final = True
        elif self.version is None:
            self.may_want_final = (path, line)

    def _skip_exec(self, command: str, path: str, line: int, result: bool) -> None:
        """OpenSSH expands the command, but does not run it after a criterion that is false."""
        try:
            expand_tokens(command, dict.fromkeys(_TOKENS_OF_EXEC, ""))
        except ValueError as error:
            raise Unsupported(path, line, f"Match exec with {error}") from None
        if result:
            raise Unsupported(path, line, "Match exec, which runs a command")

    def _host_so_far(self, path: str, line: int) -> str:
        hostname: str | None = self.values.get("hostname")
        if hostname is None or self.is_final:
            return hostname or self.host
        return self._percent_h(hostname, path, line)

    def _percent_h(self, hostname: str, path: str, line: int) -> str:
        try:
            return expand_tokens(hostname, {"h": self.host})
        except ValueError as error:
            raise Unsupported(path, line, f"HostName: {error}") from None

    # ---- HostName -----------------------------------------------------------

    def _hostname(self) -> str:
        """The name or address to connect to, as ssh(1) writes it."""
        host = self.host
        if "hostname" in self.values:
            host = self._percent_h(self.values["hostname"], *self.places["hostname"])
            self.values["hostname"] = host
        if not host:
            raise self.at("hostname", "an empty HostName")
        if _may_be_address(host):
            family = _FAMILIES.get(self.values.get("addressfamily", "any"), socket.AF_UNSPEC)
            is_address, address = _address(host, family)
            if is_address:
                return address
        return ascii_lower(host)

    def at(self, keyword: str, construct: str) -> Unsupported:
        path, line = self.places.get(keyword, (keyword, 0))
        return Unsupported(path, line, construct)


def _may_be_address(host: str) -> bool:
    """Whether getaddrinfo(3) could take a host as an address; false only if it cannot."""
    return host[0] in "0123456789." or ":" in host or "%" in host


def _address(host: str, family: int) -> tuple[bool, str]:
    """Whether a host is an address for ssh(1), and that address in its usual form."""
    looks_like = ":" in host or "%" in host or not host.strip("0123456789.")
    try:
        found = socket.getaddrinfo(
            os.fsencode(host), "22", family, socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )  # fmt: skip
    except (OSError, UnicodeError):
        return looks_like, host
    if len(found) != 1:
        return looks_like, host
    try:
        address: str = socket.getnameinfo(found[0][4], socket.NI_NUMERICHOST)[0]
    except OSError:
        return True, host
    return True, host if host.lower() == address.lower() else address
