# SPDX-License-Identifier: BSD-2-Clause
"""The exceptions of sshgateway.

Each is an ``OSError`` with exactly two arguments, ``(errno, text)``, because Paramiko formats
``e.args[1], e.args[0]`` and fails on anything else. ``OSError(ENOENT, ...)`` makes a
``FileNotFoundError``, and our classes do the same: an error is always also an instance of the
standard class of its errno.
"""

from __future__ import annotations

from typing import Any, Literal, Self

__all__ = [
    "AuthenticationError",
    "ChannelOpenError",
    "ConfigError",
    "Error",
    "GatewayBusyError",
    "GatewayError",
    "GatewayLostError",
    "HostKeyError",
    "ProxyCommandError",
]

HostKeyState = Literal["unknown", "changed", "unreadable", "revoked", "too short"]


class Error(OSError):
    """Base class of the exceptions of this package; ``args`` is (errno, text)."""

    def __new__(cls, errno: int, text: str, /, **attributes: Any) -> Self:
        standard = type(OSError(errno, text))
        both = cls if issubclass(cls, standard) else _also(cls, standard)
        return super().__new__(both, errno, text)

    def __init__(self, errno: int, text: str, /, **attributes: Any) -> None:
        super().__init__(errno, text)
        self.__dict__.update(attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class that _also() has made cannot be imported by name.
        cls = getattr(type(self), "_plain", type(self))
        return _rebuild, (cls, *self.args), self.__dict__


class ProxyCommandError(Error):
    """A proxy command could not be executed, or failed.

    It is also the standard class of its errno: for example ``FileNotFoundError`` when the
    command cannot be executed, ``ConnectionResetError`` when ``recv`` reports that the command
    has failed, and ``BrokenPipeError`` from a ``send`` after that.
    """

    #: The command, as a list of str.
    command: list[str]
    #: The exit status, or minus the number of the signal that killed the command. None if the
    #: command never ran, is running, or was reaped by other code of this process.
    returncode: int | None = None
    #: The end of its stderr.
    stderr: str = ""


class ConfigError(Error):
    """The way to a host cannot be determined: ssh_config is invalid or leads in a circle, or
    the name of a host or user is refused.

    errno is EINVAL, or ELOOP for a circle, or that of a file that cannot be read. It is also
    the standard class of its errno, for example ``FileNotFoundError``.
    """


class GatewayError(Error):
    """A gateway cannot be used.

    Base class of the more specific exceptions below. It is raised itself, with the errno of
    the failure, if the gateway cannot be reached or the key exchange fails.
    """

    #: The gateway, as "user@host:port".
    gateway: str = ""
    #: The part of the text that says what happened. If it is not empty, the text is
    #: ``f"{facts}; {advice}"``.
    facts: str = ""
    #: The part of the text that says what to do. It names parameters of ``Gateway``.
    advice: str = ""


class HostKeyError(GatewayError):
    """The host key of a gateway is unknown, changed or revoked.

    Raised before authentication, so no secret has been sent. Also a ``PermissionError``
    (EACCES). See StrictHostKeyChecking in ssh_config(5).
    """

    #: The name that was looked up in known_hosts: the host, "[host]:port", or the alias.
    hostname: str = ""
    #: The type of the key that the server presented, as "ssh-ed25519".
    key_type: str = ""
    #: The fingerprint of that key in OpenSSH's form, "SHA256:...".
    fingerprint: str = ""
    #: "unknown", "changed", "unreadable", "revoked" or "too short" (an RSA key).
    state: HostKeyState | Literal[""] = ""
    #: The file that has the other key or revokes this one: a known_hosts file, or one of
    #: revoked_host_keys. "KnownHostsCommand" stands for the output of that command. For an unknown
    #: key the file to which a new key would be added, or None.
    file: str | None = None


class AuthenticationError(GatewayError):
    """A gateway accepted none of the logins that were tried (RFC 4252).

    Also a ``PermissionError`` (EACCES).
    """

    #: The attempts in order, each in words without secrets. If the server named the methods
    #: that it still accepts, a last entry repeats them for people.
    methods: list[str]
    #: The names of the methods that the server still accepts (RFC 4252 section 5.1), as
    #: ``["publickey", "password"]``; empty if the server named none.
    accepted: list[str]
    #: The paths of the key files that were not usable because their passphrase is missing
    #: or may be wrong.
    locked_keys: list[str]
    #: True if the server ended the login after too many attempts (sshd_config's MaxAuthTries).
    too_many_attempts: bool = False

    def __init__(self, errno: int, text: str, /, **attributes: Any) -> None:
        lists: dict[str, Any] = {"methods": [], "accepted": [], "locked_keys": []}
        super().__init__(errno, text, **lists | attributes)


class GatewayBusyError(GatewayError):
    """A gateway has no room for one more login (sshd_config's MaxStartups).

    Raised once trying again within the timeout was of no use. Also a
    ``ConnectionRefusedError`` (ECONNREFUSED).
    """


class GatewayLostError(GatewayError):
    """The connection to a gateway ended while it was in use.

    Also a ``ConnectionResetError`` (ECONNRESET).
    """


class ChannelOpenError(GatewayError):
    """A gateway refused to open a channel (RFC 4254 section 5.1).

    Also a ``ConnectionRefusedError`` (ECONNREFUSED).
    """

    #: The reason code of RFC 4254 section 5.1: 1 administratively prohibited, 2 connect failed,
    #: 3 unknown channel type, 4 resource shortage; 0 if the server gave none.
    reason: int = 0
    #: The target of the channel: (host, port), or the path of a Unix socket.
    dest_addr: tuple[str, int] | str = ""


_made: dict[tuple[type[Error], type[OSError]], type[Error]] = {}


def _also(cls: type[Any], standard: type[OSError]) -> type[Any]:
    """Return a subclass of both classes, with the name of the first."""
    if (cls, standard) not in _made:
        names = {"__module__": cls.__module__, "__doc__": cls.__doc__, "_plain": cls}
        _made[cls, standard] = type(cls.__name__, (cls, standard), names)
    return _made[cls, standard]


def _rebuild(cls: type[Error], errno: int, text: str) -> Error:
    return cls(errno, text)
