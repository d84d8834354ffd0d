# SPDX-License-Identifier: BSD-2-Clause
"""Look up the options of a host: with the reader of this package, else with ``ssh -G``.

The reader answers first, because a look-up with it costs far less than a process. If the files
have a construct that it does not interpret, the program ssh on PATH answers, if it is OpenSSH.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sshgateway._deadline import Deadline
from sshgateway._messages import config_invalid, printable
from sshgateway._ssh_config import algorithms
from sshgateway._ssh_config.expand import expand_both
from sshgateway._ssh_config.finish import JumpLoop, read
from sshgateway._ssh_config.lists import split_lists, tokens_of
from sshgateway._ssh_config.options import ADDED, Options, with_new_names
from sshgateway._ssh_config.program import Program, SshFailed, find_program
from sshgateway._ssh_config.reader import File, Question, Unsupported
from sshgateway._ssh_config.values import SEVERAL_REVOKED
from sshgateway.errors import ConfigError

__all__ = ["Found", "Lookup"]

#: A port that no ProxyJump names; see ``_jumps_to_itself()``. ssh(1) uses the first -p given.
_NO_PORT = "1"
#: A host for ``ssh -G`` that no block of a file is about.
_ANY_HOST = "host.invalid"
#: The options that a program prints without a file, by its identity and the arguments.
_defaults: dict[tuple[object, ...], Options] = {}


@dataclass(slots=True)
class Found:
    """The options of a host."""

    options: Options
    #: The program that printed them; None if the reader found them.
    printed_by: Program | None = None
    #: The program ssh that is installed.
    program: Program | None = None
    #: The keywords that only a file of the system sets; known if the reader found them.
    of_system: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Lookup:
    """One look-up of a host."""

    host: str
    port: int | None
    user: str | None
    jump: str | None
    #: The files, in order.
    files: tuple[File, ...]
    #: The file for the option -F of ssh(1); None for the user's and the system's files.
    named_file: str | None
    deadline: Deadline
    #: Returns the error for a ProxyJump that leads to the host itself.
    circle: Callable[[Sequence[str]], ConfigError]
    #: Splits a ProxyJump: the hosts before the last, then user, host and port of the last.
    last_of: Callable[[str], tuple[str | None, str | None, str, int | None]]

    def answer(self) -> Found:
        """Return the options. Raises ConfigError, and TimeoutError(ETIMEDOUT, text)."""
        try:
            program = find_program(self.deadline)
        except subprocess.TimeoutExpired:
            return self._read_in_haste()
        if program is not None and not program.is_read_alike:
            try:
                return self._printed(program)
            except _NoAnswer:
                program = None
        try:
            return self._read(program)
        except Unsupported as found:
            if program is not None:
                try:
                    return self._printed(program)
                except _NoAnswer:
                    pass
            raise self._not_supported(found) from None

    def _read_in_haste(self) -> Found:
        """Answer although the time ended before the program ssh was identified."""
        try:
            return self._read(None)
        except Unsupported:
            raise self.deadline.error("the program ssh did not print its version") from None

    def _read(self, program: Program | None) -> Found:
        def defaults(arguments: tuple[str, ...]) -> Options:
            return {} if program is None else defaults_of(program, self.deadline, arguments)

        question = Question(
            self.host, self.port, self.user, self.jump, self.files, program, defaults
        )
        try:
            answer = read(question)
        except JumpLoop:
            raise self.circle([self.host, self.host]) from None
        except OSError as error:
            path = error.filename or self.named_file or "the files of ssh_config"
            text = f"cannot read {os.fsdecode(path)!r}: {error.strerror}"
            raise config_invalid(text, error.errno or errno.EINVAL) from None
        return Found(answer.options, None, program, answer.of_system)

    def _not_supported(self, found: Unsupported) -> ConfigError:
        return config_invalid(
            f"cannot look up {self.host!r}: {found}; sshgateway does not interpret this without "
            "OpenSSH's program ssh: install that program, or change the file"
        )

    # ---- ssh -G -------------------------------------------------------------

    def _printed(self, program: Program) -> Found:
        """Return the options that ``ssh -G`` prints. Raises _NoAnswer if it prints none."""
        arguments = self._arguments()
        try:
            options = self._run(program, arguments)
            self._split(program, options)
            tokens = tokens_of(options, self.host)
            for keyword in ADDED:
                for number, path in enumerate(paths := options.get(keyword, [])):
                    paths[number] = self._expand(program, arguments, path, tokens)
        except SshFailed as failure:
            if self._jumps_to_itself(program, arguments):
                raise self.circle([self.host, self.host]) from None
            raise self._error(str(failure)) from None
        return Found(with_new_names(options), program, program)

    def _arguments(self) -> list[str]:
        arguments = ["-T"]
        if self.named_file is not None:
            arguments += ["-F", self.named_file]
        if self.port is not None:
            arguments += ["-p", str(self.port)]
        if self.user is not None:
            arguments += ["-l", self.user]
        if self.jump is not None:
            arguments += ["-J", self.jump]
        return [*arguments, "--", self.host]

    def _run(self, program: Program, arguments: list[str]) -> Options:
        try:
            options = program.options_of(arguments, self.deadline)
        except subprocess.TimeoutExpired:
            raise self.deadline.error(
                f"ssh -G did not print the options of {self.host!r}"
            ) from None
        except OSError as error:
            raise SshFailed(f"it cannot be executed: {error.strerror}") from None
        if "hostname" not in options:
            raise _NoAnswer
        return options

    def _split(self, program: Program, options: Options) -> None:
        """Split the lists of files, which ``ssh -G`` prints with blanks between the files."""
        try:
            several = program.version >= SEVERAL_REVOKED
            split_lists(options, self.host, self.files, several_revoked=several)
        except ValueError as error:
            raise config_invalid(
                f"the answer of ssh -G for {self.host!r} has {error}: some names of files "
                "hold blanks, and their ends cannot be found; rename these files"
            ) from None

    def _expand(
        self, program: Program, arguments: list[str], path: str, tokens: dict[str, str]
    ) -> str:
        """Expand the tokens of a path.

        ``ssh -G`` expands only ControlPath, which has the same tokens. It is not asked again
        unless it must be, because it would run the commands of Match exec again.
        """
        if "%" not in path and "${" not in path:
            return path
        with contextlib.suppress(ValueError):  # %C and %j are missing, and so may be a variable
            return expand_both(path, tokens)
        quoted = path.replace("\\", "\\\\").replace('"', '\\"')
        expand_it = ["-o", f'ControlPath="{quoted}"', *arguments]
        return self._run(program, expand_it)["controlpath"][0]

    def _jumps_to_itself(self, program: Program, arguments: list[str]) -> bool:
        """Whether ssh(1) failed because the ProxyJump of a host names the host itself.

        ssh(1) refuses such a jump before it prints the options, and only its message tells the
        reason. If the host gets another port than the jump, ssh(1) accepts it and prints the
        options, which are compared here.
        """
        try:
            options = self._run(program, ["-p", _NO_PORT, *arguments])
        except (SshFailed, _NoAnswer):
            return False
        jump = options.get("proxyjump", ["none"])[0]
        if jump.lower() == "none":
            return False
        _, user, host, _ = self.last_of(jump)
        return host == options["hostname"][0] and user in (None, options["user"][0])

    def _error(self, stderr: str) -> ConfigError:
        text = printable("; ".join(stderr.splitlines())) or "it wrote nothing to stderr"
        number = errno.EINVAL
        if self.named_file is not None:
            try:
                with open(self.named_file, "rb"):
                    pass
            except OSError as error:
                number = error.errno or number
        return config_invalid(f"ssh -G cannot look up {self.host!r}: {text}", number)

    # ---- Algorithms ---------------------------------------------------------

    def not_honoured(self, found: Found, system_file: str | None) -> tuple[str, ...]:
        """The keywords about algorithms that the user sets; see algorithms.py.

        - system_file (str or None): the system's file, if it was read.
        """
        set_by_user = {
            keyword.lower(): found.options[keyword.lower()]
            for keyword in algorithms.KEYWORDS
            if keyword.lower() in found.options and keyword.lower() not in found.of_system
        }
        program = found.program
        if not set_by_user:
            return ()

        def ask(file: str) -> Options | None:
            assert program is not None
            if file == "none":
                return defaults_of(program, self.deadline)
            try:
                return self._run(program, ["-T", "-F", file, "--", _ANY_HOST])
            except (SshFailed, _NoAnswer):
                return None

        path = None if program is None else program.path
        if found.printed_by is None:
            system_file = None
            if program is not None:
                set_by_user = {
                    keyword: self._whole_list(program, keyword, value)
                    for keyword, (value,) in set_by_user.items()
                }
        return algorithms.set_by_user(set_by_user, path, ask, system_file)

    def _whole_list(self, program: Program, keyword: str, value: str) -> list[str]:
        """The algorithms that a program uses for a value with "+", "-" or "^"."""
        if value[0] not in "+-^":
            return [value]
        arguments = ("-o", f"{keyword}={value}")
        return defaults_of(program, self.deadline, arguments).get(keyword, [value])

    def algorithm(self, found: Found, keyword: str) -> str | None:
        """The value of a keyword about algorithms as ssh_config has it; None if it is not set.

        ``ssh -G`` prints the whole list, which is compared with the program's defaults.
        """
        value = found.options.get(keyword, [None])[0]
        if value is None or found.printed_by is None:
            return value
        usual = defaults_of(found.printed_by, self.deadline).get(keyword, [None])[0]
        return None if value == usual else value


class _NoAnswer(Exception):  # noqa: N818
    """The answer of ``ssh -G`` has no hostname."""


def defaults_of(program: Program, deadline: Deadline, arguments: tuple[str, ...] = ()) -> Options:
    """The options that a program prints without a file; {} if it fails, which is asked again."""
    key = (program.identity, arguments)
    found = _defaults.get(key)
    if found is None:
        try:
            given = ["-T", "-F", "none", *arguments, "--", _ANY_HOST]
            found = program.options_of(given, deadline)
        except (SshFailed, OSError, subprocess.TimeoutExpired):
            return {}
        if len(_defaults) > 100:
            _defaults.clear()
        _defaults[key] = found
    return found
