# SPDX-License-Identifier: BSD-2-Clause
"""Find the hosts on the way to a target, from ssh_config(5).

If ssh(1) is installed, ``ssh -G`` interprets the files. Include, Match, tokens, and the rule that
the first value counts, are then OpenSSH's own.

A ProxyJump is followed as ssh(1) does. To reach the last host of the list, ssh starts a second
ssh, and passes it the other hosts as ``-J``. A host that is reached with ``-J`` does not use the
ProxyJump that the file has for it. Only the first host of a list is reached without ``-J``, so
only that host may have a route of its own.

Without ssh(1) Paramiko's SSHConfig reads the files. It has limits:

* Include is ignored; a warning is logged.
* Match supports host, originalhost, user, localuser, exec (with Invoke), final, canonical and
  all. For host and user it may use a HostName or User that is set further down in the file.
* Patterns support ``[a-c]``, and are case-sensitive. Of several ``ProxyCommand none`` in one
  block the last counts.
* The token %C is unknown; %l and %L are the same name.
* A file that other users may write to is not refused.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sshgateway import _algorithms
from sshgateway._deadline import Deadline
from sshgateway._hosts import format_host, parse_host
from sshgateway._messages import config_invalid, printable
from sshgateway._options import ADDED, SEVERAL, Options, from_home, with_new_names
from sshgateway._options_paramiko import ask_paramiko
from sshgateway.errors import ConfigError
from sshgateway.known_hosts import DEFAULT_PATHS
from sshgateway.login import METHODS
from sshgateway.proxy import Proxy, check_host, check_user, check_values, expand, first_word

__all__ = ["Host", "SshConfig", "lookup", "route", "route_by"]

_log = logging.getLogger(__name__)

#: A path; None or True for the user's and the system's files; False for no file.
SshConfig = str | os.PathLike[str] | bool | None

_SYSTEM_FILE = "/etc/ssh/ssh_config"
_MOST_HOPS = 32
#: A port that no SSH server uses; see ``_jumps_to_itself()``. ssh(1) uses the first -p given.
_NO_PORT = "1"
#: A host for ``ssh -G`` that no block of a file is about.
_ANY_HOST = "host.invalid"
#: The defaults of IdentityFile in any version of OpenSSH, and those of Gateway.
_DEFAULT_KEYS = re.compile(r"~/\.ssh/id_[a-z0-9_]+")
_USUAL_KEYS = {"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"}
#: The keywords that disable a method of authentication.
_DISABLING = {
    "pubkeyauthentication": "publickey",
    "kbdinteractiveauthentication": "keyboard-interactive",
    "passwordauthentication": "password",
}
_STRICTNESS = {
    "yes": "yes", "true": "yes", "ask": "yes",
    "accept-new": "accept-new",
    "no": "no", "off": "no", "false": "no",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Host:
    """The configuration of one host. The names are those of ssh_config(5)."""

    #: The name that was looked up.
    name: str
    #: HostName: the name or address to connect to.
    hostname: str
    #: Port.
    port: int
    #: User.
    user: str
    #: ProxyJump: "a,b" leads to a, then to b. None if the host is reached directly or by
    #: proxy_command.
    proxy_jump: str | None
    #: ProxyCommand, with its tokens not expanded.
    proxy_command: str | None
    #: ProxyUseFdpass.
    proxy_use_fdpass: bool
    #: IdentityFile; None for the defaults.
    identity_files: tuple[str, ...] | None
    #: IdentitiesOnly.
    identities_only: bool
    #: IdentityAgent; None for the default.
    identity_agent: str | None
    #: The paths of UserKnownHostsFile and of GlobalKnownHostsFile.
    known_hosts: tuple[str, ...]
    #: StrictHostKeyChecking: "yes", "accept-new" or "no". "ask" becomes "yes", because a library
    #: cannot ask.
    strict_host_key_checking: str
    #: HostKeyAlias.
    host_key_alias: str | None
    #: ConnectTimeout in seconds; None for no limit.
    connect_timeout: float | None
    #: ServerAliveInterval in seconds; 0 for none.
    server_alive_interval: float
    #: ServerAliveCountMax.
    server_alive_count_max: int
    #: CertificateFile.
    certificate_files: tuple[str, ...] = ()
    #: The methods of PreferredAuthentications that a Gateway knows, without those that
    #: PubkeyAuthentication, KbdInteractiveAuthentication and PasswordAuthentication disable.
    preferred_authentications: tuple[str, ...] = METHODS
    #: NumberOfPasswordPrompts.
    number_of_password_prompts: int = 3
    #: The keywords about algorithms, such as Ciphers, that are set and not honoured.
    not_honoured: tuple[str, ...] = ()

    def __str__(self) -> str:
        return format_host(self.user, self.hostname, self.port)

    def gateway_parameters(self) -> dict[str, Any]:
        """Return the parameters of Gateway for this host, without the way to it.

        Warns, once per process and keyword, about keywords that are set and not honoured.

        Raises ConfigError if ssh_config leaves no method to log in by.
        """
        if not self.preferred_authentications:
            raise config_invalid(
                f"ssh_config leaves no method to log in to {self.name!r}: "
                "PreferredAuthentications must name publickey, keyboard-interactive or password, "
                "and PubkeyAuthentication, KbdInteractiveAuthentication or PasswordAuthentication "
                "must allow it"
            )
        _algorithms.warn_once(self.not_honoured, self.name)
        files = self.identity_files
        return {
            "hostname": self.hostname,
            "port": self.port,
            "username": self.user,
            "key_filename": files,
            "certificate_filename": self.certificate_files,
            "look_for_keys": files is None,
            "identities_only": self.identities_only,
            "identity_agent": self.identity_agent,
            "preferred_authentications": self.preferred_authentications,
            "number_of_password_prompts": self.number_of_password_prompts,
            "known_hosts": self.known_hosts,
            "host_key_alias": self.host_key_alias,
            "strict_host_key_checking": self.strict_host_key_checking,
            "timeout": self.connect_timeout,
            "server_alive_interval": self.server_alive_interval,
            "server_alive_count_max": self.server_alive_count_max,
        }

    def proxy(self) -> Proxy | None:
        """Return the ProxyCommand with its tokens expanded, for a shell as in OpenSSH; None if
        there is none. Raises ConfigError."""
        if self.proxy_command is None:
            return None
        tokens = self.tokens(self.proxy_command)
        check_values(self.proxy_command, tokens)
        name = f"the ProxyCommand {first_word(self.proxy_command)!r}"
        command = expand(self.proxy_command, tokens, name=name)
        return Proxy(command, self.proxy_use_fdpass, (self.hostname, self.port))

    def tokens(self, text: str) -> dict[str, str]:
        """Return the values of the tokens that ProxyCommand accepts: %h, %k, %n, %p and %r
        (ssh_config(5), TOKENS).

        Raises ConfigError if *text* holds a token whose value OpenSSH refuses.
        """
        if "%h" in text:
            check_host(self.hostname, "HostName")
        if "%k" in text and self.host_key_alias:
            check_host(self.host_key_alias, "HostKeyAlias")
        if "%r" in text:
            check_user(self.user)
        return {
            "h": self.hostname,
            "k": self.host_key_alias or self.name,
            "n": self.name,
            "p": str(self.port),
            "r": self.user,
        }


# ---- The hosts on the way ---------------------------------------------------


def lookup(
    host: str,
    port: int | None = None,
    user: str | None = None,
    *,
    jump: str | None = None,
    ssh_config: SshConfig = None,
    timeout: float | None = None,
) -> Host:
    """Look up the configuration of a host.

    - host (str): its name, as on the command line of ssh(1).
    - port (int), user (str), jump (str): override the configuration, as ``ssh -p -l -J``.
    - ssh_config: the file; see ``SshConfig``. Default: the user's and the system's files.
    - timeout (float): seconds. Match exec may run commands, and names may be looked up.
      Default: no limit.

    Raises ConfigError, and TimeoutError(ETIMEDOUT, text).
    """
    check_host(host)
    if user is not None:
        check_user(user)
    asked = _Question(host, port, user, jump, ssh_config, timeout)
    found = _host(asked, asked.answer())
    # Not the ProxyCommand itself: it may hold a password.
    way = "a ProxyCommand" if found.proxy_command else f"ProxyJump {found.proxy_jump or 'none'}"
    _log.debug("%s is %s, by %s", host, found, way)
    return found


def route(
    target: Host, *, ssh_config: SshConfig = None, timeout: float | None = None
) -> list[Host]:
    """Return the hosts between us and *target* by its ProxyJump, the first hop first.

    The first one may have a ProxyCommand. The other parameters are those of ``lookup()``.

    Raises ConfigError (ELOOP for a circle), and TimeoutError(ETIMEDOUT, text).
    """
    if target.proxy_jump is None:
        return []
    return route_by(target.proxy_jump, target, ssh_config=ssh_config, timeout=timeout)


def route_by(
    jump: str,
    target: Host | None = None,
    *,
    ssh_config: SshConfig = None,
    timeout: float | None = None,
) -> list[Host]:
    """Return the hosts of a route, as ``route()`` does.

    - jump (str): the route in the syntax of ProxyJump.
    - target (Host): the host at its end, if known, for the text of an error.
    """
    deadline = Deadline(timeout)
    hops: list[Host] = []
    seen = set()
    names = [target.name] if target is not None else []
    spec: str | None = jump
    while spec is not None:
        rest, user, name, port = _last_of(spec)
        names.append(name)
        if (key := (rest, user, name, port)) in seen or len(hops) == _MOST_HOPS:
            raise _circle(names)
        seen.add(key)
        hop = lookup(name, port, user, jump=rest, ssh_config=ssh_config, timeout=deadline.left())
        hops.append(hop)
        spec = hop.proxy_jump
    return hops[::-1]


def _circle(names: Sequence[str]) -> ConfigError:
    """The error for a circle; *names* are the hosts in the order of the look-ups."""
    text = f"the ProxyJump of ssh_config leads in a circle: {' -> '.join(names)}"
    return config_invalid(text, errno.ELOOP)


def _last_of(jump: str) -> tuple[str | None, str | None, str, int | None]:
    """Split a list of ProxyJump: the hosts before the last, then user, host and port of it."""
    rest, comma, last = jump.rpartition(",")
    text = last.strip()
    is_uri = text.startswith("ssh://")
    try:
        user, host, port = parse_host(text.removeprefix("ssh://").rstrip("/") if is_uri else text)
    except ValueError:
        raise config_invalid(f"{last!r} in ProxyJump {jump!r} is not [user@]host[:port]") from None
    if user is not None and is_uri:
        import urllib.parse

        user = urllib.parse.unquote_plus(user.partition(";")[0])
    check_host(host, "ProxyJump's host")
    if user is not None:
        check_user(user)
    if port is not None and not 0 < port < 65536:
        raise config_invalid(f"{last!r} in ProxyJump {jump!r} has no port from 1 to 65535")
    return (rest if comma else None), user, host, port


# ---- Asking -----------------------------------------------------------------


class _SshError(Exception):
    """``ssh -G`` failed; the text is its stderr."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One look-up, which ssh(1) or Paramiko answers."""

    host: str
    port: int | None
    user: str | None
    jump: str | None
    ssh_config: SshConfig
    timeout: float | None

    def answer(self) -> Options:
        if self.ssh_config is False:
            return self._with_arguments({})
        program = shutil.which("ssh")
        if program is not None:
            return self._ask_ssh(program)
        return ask_paramiko(
            self.host,
            self._with_arguments({}),
            _files(self.ssh_config),
            must_exist=isinstance(self.ssh_config, (str, os.PathLike)),
        )

    def _with_arguments(self, options: Options) -> Options:
        """Override the options by those that were asked for, as ssh's command line does."""
        if self.port is not None:
            options["port"] = [str(self.port)]
        if self.user is not None:
            options["user"] = [self.user]
        if self.jump is not None:
            options.pop("proxycommand", None)
            options["proxyjump"] = [self.jump]
        return options

    def _ask_ssh(self, program: str) -> Options:
        arguments = ["-T"]
        if not isinstance(self.ssh_config, bool) and self.ssh_config is not None:
            arguments += ["-F", os.fspath(self.ssh_config)]
        if self.port is not None:
            arguments += ["-p", str(self.port)]
        if self.user is not None:
            arguments += ["-l", self.user]
        if self.jump is not None:
            arguments += ["-J", self.jump]
        deadline = Deadline(self.timeout)
        command = [program, "-G", *arguments, "--", self.host]
        try:
            options = self._run(command, deadline)
            for keyword in ADDED:
                for number, path in enumerate(paths := options.get(keyword, [])):
                    paths[number] = self._expand(command, path, deadline)
        except _SshError as failure:
            if self._jumps_to_itself(command, deadline):
                raise _circle([self.host, self.host]) from None
            raise self._error(str(failure)) from None
        return options

    def _expand(self, command: list[str], path: str, deadline: Deadline) -> str:
        """Expand the tokens of a path. ``ssh -G`` expands only ControlPath, which has the same
        tokens."""
        if "%" not in path and "${" not in path:
            return path
        quoted = re.sub(r'([\\"])', r"\\\1", path)
        expand_it = [*command[:2], "-o", f'ControlPath="{quoted}"', *command[2:]]
        return self._run(expand_it, deadline)["controlpath"][0]

    def not_honoured(self, options: Options) -> tuple[str, ...]:
        """The keywords about algorithms that the options set; see _algorithms.py."""
        program = shutil.which("ssh") if self.ssh_config is not False else None
        deadline = Deadline(self.timeout)

        def ask(file: str) -> Options | None:
            try:
                return self._run([str(program), "-G", "-T", "-F", file, "--", _ANY_HOST], deadline)
            except _SshError as failure:
                _log.debug("ssh -G -F %s: %s", file, failure)
                return None

        is_system_read = self.ssh_config is None or self.ssh_config is True
        system_file = _SYSTEM_FILE if is_system_read else None
        return _algorithms.set_by_user(options, program, ask, system_file)

    def _jumps_to_itself(self, command: list[str], deadline: Deadline) -> bool:
        """Whether *command* failed because the ProxyJump of a host names the host itself.

        ssh(1) refuses such a jump before it prints the options, and only its message tells the
        reason. If the host gets another port than the jump, ssh(1) accepts it and prints the
        options, which are compared here.
        """
        try:
            options = self._run([*command[:2], "-p", _NO_PORT, *command[2:]], deadline)
        except _SshError:
            return False
        jump = options.get("proxyjump", ["none"])[0]
        if jump.lower() == "none":
            return False
        _, user, host, _ = _last_of(jump)
        return host == options["hostname"][0] and user in (None, options["user"][0])

    def _run(self, command: list[str], deadline: Deadline) -> Options:
        """Run ``ssh -G`` and parse the options that it prints. Raises _SshError."""
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that the commands of Match exec end with it
        ) as ssh:
            try:
                said, complaint = ssh.communicate(timeout=deadline.left())
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(ssh.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise deadline.error(
                    f"ssh -G did not print the options of {self.host!r}"
                ) from None
        if ssh.returncode != 0:
            raise _SshError(os.fsdecode(complaint))
        options: Options = {}
        for line in os.fsdecode(said).splitlines():
            keyword, _, value = line.partition(" ")
            options.setdefault(keyword.lower(), []).append(value)
        for keyword in SEVERAL:
            options[keyword] = _split(options.get(keyword, [""])[0])
        return with_new_names(options)

    def _error(self, stderr: str) -> ConfigError:
        text = printable("; ".join(stderr.splitlines())) or "it wrote nothing to stderr"
        number = errno.EINVAL
        if isinstance(self.ssh_config, (str, os.PathLike)):
            try:
                with open(self.ssh_config, "rb"):
                    pass
            except OSError as error:
                number = error.errno or number
        return config_invalid(f"ssh -G cannot look up {self.host!r}: {text}", number)


def _files(ssh_config: SshConfig) -> list[str]:
    if ssh_config is None or ssh_config is True:
        return [from_home("~/.ssh/config"), _SYSTEM_FILE]
    assert ssh_config is not False
    return [os.fspath(ssh_config)]


# ---- Interpreting the answer ------------------------------------------------


def _host(asked: _Question, options: Options) -> Host:
    def one(keyword: str, default: str = "") -> str:
        return options.get(keyword, [default])[0]

    jump, command = one("proxyjump", "none"), one("proxycommand", "none")
    for keyword in ("revokedhostkeys", "knownhostscommand"):
        if one(keyword, "none") != "none":
            _log.warning("%s of ssh_config is ignored for %s", keyword, asked.host)
    identities_only = _is_yes(one("identitiesonly"))
    jumps = jump.lower() != "none"
    return Host(
        name=asked.host,
        hostname=one("hostname", asked.host),
        port=_number(one("port", "22"), "Port"),
        user=one("user") or getpass.getuser(),
        proxy_jump=jump if jumps else None,
        proxy_command=command if not jumps and command.lower() != "none" else None,
        proxy_use_fdpass=_is_yes(one("proxyusefdpass")) and not jumps,
        identity_files=_identity_files(options.get("identityfile"), identities_only),
        identities_only=identities_only,
        identity_agent=one("identityagent") or None,
        known_hosts=_known_hosts(options),
        strict_host_key_checking=_STRICTNESS.get(one("stricthostkeychecking").lower(), "yes"),
        host_key_alias=one("hostkeyalias") or None,
        connect_timeout=_seconds(one("connecttimeout")),
        server_alive_interval=_seconds(one("serveraliveinterval")) or 0,
        server_alive_count_max=max(1, _number(one("serveralivecountmax", "3"), "a count")),
        certificate_files=_certificate_files(options),
        preferred_authentications=_methods(options),
        number_of_password_prompts=_number(
            one("numberofpasswordprompts", "3"), "NumberOfPasswordPrompts"
        ),
        not_honoured=asked.not_honoured(options),
    )


def _methods(options: Options) -> tuple[str, ...]:
    """The methods of authentication that a Gateway may use, in the order of
    PreferredAuthentications."""
    preferred = options.get("preferredauthentications", [",".join(METHODS)])[0].split(",")
    unknown = [name for name in preferred if name not in METHODS]
    if unknown:
        _log.debug("PreferredAuthentications: a Gateway does not use %s", ", ".join(unknown))
    disabled = {
        method
        for keyword, method in _DISABLING.items()
        if options.get(keyword, ["yes"])[0].lower() in ("no", "false")
    }
    usable = [name for name in preferred if name in METHODS and name not in disabled]
    return tuple(dict.fromkeys(usable))


def _is_yes(value: str) -> bool:
    return value.lower() in ("yes", "true")


def _number(value: str, keyword: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise config_invalid(f"ssh_config's {keyword} {value!r} is not a number") from None


def _seconds(value: str) -> float | None:
    """Parse a time of sshd_config(5), TIME FORMATS. Returns seconds, or None for 0 and "none"."""
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    if not value or value.lower() == "none":
        return None
    parts = re.findall(r"(\d+)([a-z]?)", value.lower())
    if "".join(map("".join, parts)) != value.lower() or any(
        unit not in units for _, unit in parts
    ):
        raise config_invalid(f"{value!r} in ssh_config is not a time")
    return float(sum(int(number) * units[unit] for number, unit in parts)) or None


def _identity_files(files: list[str] | None, identities_only: bool) -> tuple[str, ...] | None:
    """The paths of IdentityFile; None for the defaults, which ``ssh -G`` lists too."""
    if files is None:
        files = sorted(_USUAL_KEYS)
    usual = all(_DEFAULT_KEYS.fullmatch(file) for file in files) and _USUAL_KEYS.issubset(files)
    if usual and not identities_only:
        return None
    paths = [from_home(file) for file in files if file.lower() != "none"]
    if usual:  # IdentitiesOnly: only keys of the agent that have one of these files
        paths = [path for path in paths if os.path.exists(path) or os.path.exists(path + ".pub")]
    return tuple(paths)


def _certificate_files(options: Options) -> tuple[str, ...]:
    files = options.get("certificatefile", [])
    return tuple(from_home(file) for file in files if file.lower() != "none")


def _known_hosts(options: Options) -> tuple[str, ...]:
    """The user's files, then the system's. New keys are added to the first one, which must not
    be a file of the system."""
    files = []
    for keyword, defaults in zip(SEVERAL, (DEFAULT_PATHS[:2], DEFAULT_PATHS[2:]), strict=True):
        paths = options.get(keyword, list(defaults))
        is_none = [path.lower() for path in paths] == ["none"]
        files.append([] if is_none else [from_home(path) for path in paths])
    user, system = files
    if not user and options.get("stricthostkeychecking") == ["accept-new"]:
        user = [os.devnull]
    return (*user, *system)


def _split(value: str) -> list[str]:
    """Split the paths that ``ssh -G`` prints on one line. A path may hold blanks itself."""
    words = value.split()
    paths = []
    while words:
        for count in range(len(words), 0, -1):
            path = " ".join(words[:count])
            if count == 1 or os.path.exists(path):
                paths.append(path)
                del words[:count]
                break
    return paths
