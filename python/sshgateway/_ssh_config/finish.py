# SPDX-License-Identifier: BSD-2-Clause
"""The end of a look-up in ssh_config(5): check the values and expand them, as ssh(1) does."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from dataclasses import dataclass
from functools import lru_cache

from sshgateway._ssh_config.expand import Expander, expand_both, expand_tokens
from sshgateway._ssh_config.jumps import Jump
from sshgateway._ssh_config.lines import ascii_lower
from sshgateway._ssh_config.options import Options
from sshgateway._ssh_config.reader import Question, Reading

__all__ = ["Answer", "JumpLoop", "read"]

_YES = ("yes", "true")


class JumpLoop(Exception):  # noqa: N818
    """The ProxyJump of the host leads to the host itself."""


@dataclass(slots=True)
class Answer:
    """The options of a host in the form of ``ssh -G``, without those that are not set."""

    options: Options
    #: The keywords that only a file of the system sets.
    of_system: set[str]


def read(question: Question) -> Answer:
    """Look up a host.

    Raises Unsupported, JumpLoop, and OSError for a file that must exist and cannot be read.
    """
    reading = Reading(question)
    host = reading.run()
    return Answer(Finish(reading, host).options(), reading.of_system)


@lru_cache(1)
def _default_port() -> str:
    try:
        return str(socket.getservbyname("ssh", "tcp"))
    except OSError:
        return "22"


class Finish:
    """The last steps of ssh(1): it checks, expands and prints what it has read."""

    def __init__(self, reading: Reading, host: str) -> None:
        self.reading = reading
        self.host = host
        self.values = reading.values
        self.port: str = self.values.get("port") or _default_port()
        self.user: str = self.values.get("user") or reading.account.pw_name
        jump = self.values.get("proxyjump")
        self.jump: Jump | None = jump if isinstance(jump, Jump) else None
        self._tokens: dict[str, str] | None = None

    def options(self) -> Options:
        self._check()
        values = self.values
        options: Options = {
            keyword: [value] for keyword, value in values.items() if isinstance(value, str)
        }
        options |= {"hostname": [self.host], "port": [self.port], "user": [self.user]}
        if values.get("batchmode", "no") in _YES and "serveraliveinterval" not in values:
            options["serveraliveinterval"] = [self._interval_of_batch_mode()]
        options.pop("proxyjump", None)
        if self.jump is not None:
            options["proxyjump"] = [str(self.jump)]
            options["proxyusefdpass"] = ["no"]
            options.pop("proxycommand", None)
        self._expand_paths(options)
        if "hostkeyalias" in values:
            options["hostkeyalias"] = [ascii_lower(values["hostkeyalias"])]
        return options

    def _check(self) -> None:
        """Raise what ssh(1) ends with before it prints the options."""
        values, at = self.values, self.reading.at
        user = values.get("user", "")
        is_literal = self.reading.question.user is not None or self.reading.is_before((10, 0))
        if not is_literal and ("%" in user or "${" in user):
            raise at("user", "User with tokens or variables, which versions treat differently")
        jump = self.jump
        if (
            jump is not None
            and jump.host == self.host
            and str(jump.port or _default_port()) == self.port
            and jump.user in (None, self.user)
        ):
            raise JumpLoop
        is_fdpass = values.get("proxyusefdpass", "no") in _YES
        if values.get("proxycommand") == "-" and is_fdpass:
            raise at("proxyusefdpass", "ProxyUseFdpass with 'ProxyCommand -'")
        if values.get("connectionattempts") == "0":
            raise at("connectionattempts", "ConnectionAttempts 0")
        command = values.get("remotecommand", "none").lower()
        forks = values.get("forkafterauthentication", "no") in _YES
        if forks and command == "none" and values.get("sessiontype") != "none":
            raise at("forkafterauthentication", "ForkAfterAuthentication without a command")
        self._check_other_paths()

    def _interval_of_batch_mode(self) -> str:
        """The ServerAliveInterval of BatchMode. It is 0, but Debian's ssh(1) has another one."""
        if self.reading.version is None:
            return "0"
        printed = self.reading.question.defaults(("-o", "BatchMode=yes"))
        if "serveraliveinterval" not in printed:
            raise self.reading.at("batchmode", "BatchMode, whose effect depends on the program")
        return printed["serveraliveinterval"][0]

    def _check_other_paths(self) -> None:
        """Expand what this package does not use, because ssh(1) refuses what it cannot expand."""
        command = self.values.get("remotecommand", "none")
        if command.lower() != "none":
            self._expand("remotecommand", command, expand_tokens)
        path = self.values.get("controlpath", "none")
        if path.lower() != "none":
            self._path("controlpath", path.replace("%%", "").replace("%C", ""))
        agent = self.values.get("forwardagent", "no")
        if agent not in ("yes", "no", "true", "false"):
            self._path("forwardagent", agent)
            if self.values.get("exitonforwardfailure", "no") in _YES:
                raise self.reading.at("forwardagent", "ForwardAgent with ExitOnForwardFailure")

    def _expand_paths(self, options: Options) -> None:
        for keyword, added in self.reading.added.items():
            if added:
                options[keyword] = [self._path(keyword, file) for file, _ in added]
        if "identityagent" in options:
            options["identityagent"] = [self._path("identityagent", options["identityagent"][0])]
        if "globalknownhostsfile" in self.values:
            options["globalknownhostsfile"] = list(self.values["globalknownhostsfile"])
        files = self.values.get("userknownhostsfile")
        if files is not None:
            if [file.lower() for file in files] != ["none"]:
                files = [self._path("userknownhostsfile", file) for file in files]
            options["userknownhostsfile"] = list(files)
        revoked = self.values.get("revokedhostkeys", ())
        if revoked and [file.lower() for file in revoked] != ["none"]:
            options["revokedhostkeys"] = [self._revoked(file) for file in revoked]

    def _revoked(self, path: str) -> str:
        """Expand a path of RevokedHostKeys, as OpenSSH does since 9.4."""
        if re.search(r"^~|%|\$\{", path) is None or self.reading.is_before((9, 4)):
            return path
        if self.reading.version is None:
            words = "RevokedHostKeys with '~' or tokens, which versions treat differently"
            raise self.reading.at("revokedhostkeys", words)
        return self._path("revokedhostkeys", path)

    def _path(self, keyword: str, path: str) -> str:
        """Expand "~", tokens and variables, in this order."""
        if path.startswith("~"):
            path = self._tilde(keyword, path)
        if "%" in path or "${" in path:
            return self._expand(keyword, path, expand_both)
        return path

    def _tilde(self, keyword: str, path: str) -> str:
        user, _, rest = path[1:].partition("/")
        home = self.reading.account.pw_dir
        if user:
            try:
                home = pwd.getpwnam(user).pw_dir
            except KeyError:
                raise self.reading.at(keyword, f"{keyword}: no user {user!r}") from None
        return f"{home}{'' if home.endswith('/') else '/'}{rest.lstrip('/')}"

    def _expand(self, keyword: str, text: str, expand: Expander) -> str:
        if self._tokens is None:
            self._tokens = self._all_tokens()
        try:
            if "%C" in text.replace("%%", ""):
                self._tokens.setdefault("C", self._hash())
            return expand(text, self._tokens)
        except ValueError as error:
            raise self.reading.at(keyword, f"{keyword}: {error}") from None

    def _all_tokens(self) -> dict[str, str]:
        """The tokens that most keywords accept (ssh_config(5), TOKENS), without %C."""
        account, name = self.reading.account, socket.gethostname()
        alias = self.values.get("hostkeyalias")
        tokens = {
            "L": name.partition(".")[0],
            "d": account.pw_dir,
            "h": self.host,
            "i": str(account.pw_uid),
            "k": self.reading.question.host if alias is None else ascii_lower(alias),
            "l": name,
            "n": self.reading.question.host,
            "p": self.port,
            "r": self.user,
            "u": account.pw_name,
        }
        if self.reading.version is not None and self.reading.version >= (9, 6):
            tokens["j"] = self.jump.host if self.jump is not None else ""
        return tokens

    def _hash(self) -> str:
        """The value of %C."""
        parts = [socket.gethostname(), self.host, self.port, self.user]
        if self.jump is not None:
            if self.reading.version is None:
                raise ValueError("%C, which versions of OpenSSH compute differently for a jump")
            parts += [self.jump.host] if self.reading.version >= (9, 6) else []
        return hashlib.sha1(os.fsencode("".join(parts)), usedforsecurity=False).hexdigest()
