# SPDX-License-Identifier: BSD-2-Clause
"""Find the hosts on the way to a target, from ssh_config(5).

The result is that of ``ssh -G``. A reader of this package looks a host up without a process. It
interprets the files as OpenSSH since 8.7 does: Include, Match, tokens, and the rule that the first
value counts. ``ssh -G`` answers instead if the reader meets an error, or a construct that it does
not interpret exactly, such as Match exec or CanonicalizeHostname, and if the program ssh on PATH
is OpenSSH 6.8 or newer. An OpenSSH before 8.7 always answers itself.

Without such a program a construct of that kind raises ConfigError, which names the file, the line
and the construct. The same holds for a value to which OpenSSH 9.2 and a later version give
different meanings. Programs named ssh that are not OpenSSH, such as Dropbear's, are not used. One
UserWarning says so.

A ProxyJump is followed as ssh(1) does. To reach the last host of the list, ssh starts a second
ssh, and passes it the other hosts as ``-J``. A host that is reached with ``-J`` does not use the
ProxyJump that the file has for it. Only the first host of a list is reached without ``-J``, so
only that host may have a route of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from sshgateway._deadline import Deadline
from sshgateway._hosts import format_host, parse_host
from sshgateway._messages import config_invalid
from sshgateway._offers import of_config
from sshgateway._parameters import GatewayParameters
from sshgateway._ssh_config import algorithms
from sshgateway._ssh_config.ask import Found, Lookup
from sshgateway._ssh_config.options import SEVERAL, Options, from_home
from sshgateway._ssh_config.reader import File
from sshgateway._trust.command import Command
from sshgateway._trust.policy import Strictness
from sshgateway.errors import ConfigError
from sshgateway.known_hosts import DEFAULT_PATHS
from sshgateway.login import METHODS, Method
from sshgateway.proxy import Proxy, check_host, check_user, check_values, expand, first_word

__all__ = ["Host", "SshConfig", "lookup", "route", "route_by"]

_log = logging.getLogger(__name__)

#: A path; None or True for the user's and the system's files; False for no file.
SshConfig = str | os.PathLike[str] | bool | None

_SYSTEM_FILE = "/etc/ssh/ssh_config"
_MOST_HOPS = 32
#: The defaults of IdentityFile in any version of OpenSSH, and those of Gateway.
_DEFAULT_KEYS = re.compile(r"~/\.ssh/id_[a-z0-9_]+")
_USUAL_KEYS = {"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"}
#: The keywords that disable a method of authentication.
_DISABLING = {
    "pubkeyauthentication": "publickey",
    "kbdinteractiveauthentication": "keyboard-interactive",
    "passwordauthentication": "password",
}
#: The keywords about algorithms, by the names of their attributes.
_ALGORITHMS = {
    "kex_algorithms": "kexalgorithms",
    "ciphers": "ciphers",
    "macs": "macs",
    "host_key_algorithms": "hostkeyalgorithms",
    "ca_signature_algorithms": "casignaturealgorithms",
}
_STRICTNESS: dict[str, Strictness] = {
    "yes": "yes", "true": "yes", "ask": "ask",
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
    #: StrictHostKeyChecking: "yes", "accept-new", "no" or "ask", which is the default.
    strict_host_key_checking: Strictness
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
    preferred_authentications: tuple[Method, ...] = METHODS
    #: NumberOfPasswordPrompts.
    number_of_password_prompts: int = 3
    #: The keywords about algorithms that are set and not honoured: PubkeyAcceptedAlgorithms.
    not_honoured: tuple[str, ...] = ()
    #: RevokedHostKeys.
    revoked_host_keys: tuple[str, ...] = ()
    #: KnownHostsCommand, with its tokens not expanded; None if there is none.
    known_hosts_command: str | None = None
    #: KexAlgorithms, and the other keywords about algorithms, as ssh_config has them, with the
    #: prefixes "+", "-" and "^"; None if they are not set. If ``ssh -G`` answers, the value is the
    #: whole list, or None if it is the default of that program.
    kex_algorithms: str | None = None
    #: Ciphers.
    ciphers: str | None = None
    #: MACs.
    macs: str | None = None
    #: HostKeyAlgorithms.
    host_key_algorithms: str | None = None
    #: CASignatureAlgorithms.
    ca_signature_algorithms: str | None = None
    #: HashKnownHosts.
    hash_known_hosts: bool = False

    def __str__(self) -> str:
        return format_host(self.user, self.hostname, self.port)

    def gateway_parameters(self) -> GatewayParameters:
        """Return the parameters of Gateway for this host, without the way to it.

        Warns, once per process and keyword, about keywords that are set and not honoured.

        Raises ConfigError if ssh_config leaves no method to log in by, or no algorithm.
        """
        if not self.preferred_authentications:
            raise config_invalid(
                f"ssh_config leaves no method to log in to {self.name!r}: "
                "PreferredAuthentications must name publickey, keyboard-interactive or password, "
                "and PubkeyAuthentication, KbdInteractiveAuthentication or PasswordAuthentication "
                "must allow it"
            )
        algorithms.warn_once(self.not_honoured, self.name)
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
            "hash_known_hosts": self.hash_known_hosts,
            "revoked_host_keys": self.revoked_host_keys,
            "known_hosts_command": self._known_hosts_command(),
            **self._algorithms(),
            "timeout": self.connect_timeout,
            "server_alive_interval": self.server_alive_interval,
            "server_alive_count_max": self.server_alive_count_max,
        }

    def _algorithms(self) -> GatewayParameters:
        given = {
            "kex": self.kex_algorithms,
            "ciphers": self.ciphers,
            "macs": self.macs,
            "host_key_algorithms": self.host_key_algorithms,
            "ca_signature_algorithms": self.ca_signature_algorithms,
        }
        chosen = {
            parameter: of_config(parameter, value, self.name)
            for parameter, value in given.items()
            if value is not None
        }
        return cast(GatewayParameters, chosen)

    def _known_hosts_command(self) -> Command | None:
        if self.known_hosts_command is None:
            return None
        names = (("n", self.name), ("k", self.host_key_alias or self.name))
        return Command(self.known_hosts_command, names)

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
            check_host(self.hostname, "HostName", slash=True)
        if "%k" in text and self.host_key_alias:
            check_host(self.host_key_alias, "HostKeyAlias", slash=True)
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
    check_host(host, slash=True)
    if user is not None:
        check_user(user)
    if port is not None and not 0 < port < 65536:
        raise config_invalid(f"port {port} is not from 1 to 65535")
    for text in (host, user, jump, None if isinstance(ssh_config, bool) else ssh_config):
        _check_text(text)
    if ssh_config is False:
        found = _host(host, _without_files(port, user, jump))
    else:
        asked = _asked(host, port, user, jump, ssh_config, Deadline(timeout))
        answer = asked.answer()
        system_file = _SYSTEM_FILE if asked.named_file is None else None
        found = _host(
            host,
            answer,
            algorithms={word: asked.algorithm(answer, key) for word, key in _ALGORITHMS.items()},
            not_honoured=asked.not_honoured(answer, system_file),
        )
    # Not the ProxyCommand itself: it may hold a password.
    way = "a ProxyCommand" if found.proxy_command else f"ProxyJump {found.proxy_jump or 'none'}"
    _log.debug("%s is %s, by %s", host, found, way)
    return found


def _check_text(text: str | os.PathLike[str] | None) -> None:
    """Refuse a text that cannot be an argument of a program or the path of a file."""
    if text is None:
        return
    try:
        if b"\0" not in os.fsencode(text):
            return
        why = "it holds a zero byte"
    except UnicodeEncodeError as error:
        why = f"it cannot be encoded as {error.encoding}"
    raise config_invalid(f"{os.fspath(text)!r} cannot be looked up: {why}")


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


def _asked(
    host: str,
    port: int | None,
    user: str | None,
    jump: str | None,
    ssh_config: SshConfig,
    deadline: Deadline,
) -> Lookup:
    is_named = isinstance(ssh_config, (str, os.PathLike))
    named = os.fsdecode(os.fspath(ssh_config)) if is_named else None  # type: ignore[arg-type]
    files = _files(ssh_config if named is None else named)
    return Lookup(host, port, user, jump, files, named, deadline, _circle, _last_of)


def _files(ssh_config: SshConfig) -> tuple[File, ...]:
    if isinstance(ssh_config, str):
        is_none = ssh_config.lower() == "none"  # as for the option -F of ssh(1)
        return () if is_none else (File(ssh_config, must_exist=True),)
    users = from_home("~/.ssh/config")
    if users.startswith("~"):
        raise config_invalid(f"user {os.getuid()} has no home directory in the password database")
    return (File(users, is_checked=True), File(_SYSTEM_FILE, is_users=False))


def _without_files(port: int | None, user: str | None, jump: str | None) -> Found:
    number = None if port is None else str(port)
    given = {"port": number, "user": user, "proxyjump": jump}
    return Found({keyword: [value] for keyword, value in given.items() if value is not None})


# ---- Interpreting the answer ------------------------------------------------


def _host(
    name: str,
    found: Found,
    *,
    algorithms: Mapping[str, str | None] = MappingProxyType({}),
    not_honoured: tuple[str, ...] = (),
) -> Host:
    options = found.options

    def one(keyword: str, default: str = "") -> str:
        return options.get(keyword, [default])[0]

    jump, command = one("proxyjump", "none"), one("proxycommand", "none")
    known = one("knownhostscommand", "none")
    identities_only = _is_yes(one("identitiesonly"))
    jumps = jump.lower() != "none"
    return Host(
        name=name,
        hostname=one("hostname", name),
        port=_number(one("port", "22"), "Port"),
        user=one("user") or _account(),
        proxy_jump=jump if jumps else None,
        proxy_command=command if not jumps and command.lower() != "none" else None,
        proxy_use_fdpass=_is_yes(one("proxyusefdpass")) and not jumps,
        identity_files=_identity_files(options.get("identityfile"), identities_only),
        identities_only=identities_only,
        identity_agent=one("identityagent") or None,
        known_hosts=_known_hosts(options),
        strict_host_key_checking=_strictness(options),
        host_key_alias=one("hostkeyalias") or None,
        connect_timeout=_seconds(one("connecttimeout")),
        server_alive_interval=_seconds(one("serveraliveinterval")) or 0,
        server_alive_count_max=max(1, _number(one("serveralivecountmax", "3"), "a count")),
        certificate_files=_certificate_files(options),
        preferred_authentications=_methods(options),
        number_of_password_prompts=_number(
            one("numberofpasswordprompts", "3"), "NumberOfPasswordPrompts"
        ),
        not_honoured=not_honoured,
        revoked_host_keys=_revoked_host_keys(options),
        known_hosts_command=None if known.lower() == "none" else known,
        hash_known_hosts=_is_yes(one("hashknownhosts")),
        **algorithms,
    )


def _methods(options: Options) -> tuple[Method, ...]:
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


def _account() -> str:
    """The name of the user who runs this process, as for ssh(1), which ignores $LOGNAME."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        text = f"user {os.getuid()} is not in the password database: give a user name"
        raise config_invalid(text) from None


def _strictness(options: Options) -> Strictness:
    """StrictHostKeyChecking; with BatchMode nothing is asked."""
    strict = _STRICTNESS.get(options.get("stricthostkeychecking", ["ask"])[0].lower(), "ask")
    is_batch = _is_yes(options.get("batchmode", ["no"])[0])
    return "yes" if strict == "ask" and is_batch else strict


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


def _revoked_host_keys(options: Options) -> tuple[str, ...]:
    files = options.get("revokedhostkeys", ["none"])
    return () if files[0].lower() == "none" else tuple(map(_literal, files))


def _known_hosts(options: Options) -> tuple[str, ...]:
    """The user's files, then the system's. New keys are added to the first one, which must not
    be a file of the system."""
    files = []
    for keyword, defaults in zip(SEVERAL, (DEFAULT_PATHS[:2], DEFAULT_PATHS[2:]), strict=True):
        paths = options.get(keyword, list(defaults))
        is_none = [path.lower() for path in paths] == ["none"]
        if keyword not in options:
            home = from_home("~/") if paths[0].startswith("~/") else ""
            paths = [home + path.removeprefix("~/") for path in paths]
        files.append([] if is_none else [_literal(path) for path in paths])
    user, system = files
    if not user and options.get("stricthostkeychecking") == ["accept-new"]:
        user = [os.devnull]
    return (*user, *system)


def _literal(path: str) -> str:
    """A path that stays the same where "~" is expanded: OpenSSH has expanded it already, or takes
    it as it is."""
    return f"./{path}" if path.startswith("~") else path
