# SPDX-License-Identifier: BSD-2-Clause
"""The exceptions of sshgateway.

Every one is an ``OSError`` with exactly two arguments, ``(errno, text)``:
Paramiko formats ``e.args[1], e.args[0]`` and dies of anything else.  And as
``OSError(ENOENT, ...)`` makes a ``FileNotFoundError``, so does ours: an error
is always also an instance of the standard class of its errno.
"""

from __future__ import annotations

from typing import Any, Self

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


class Error(OSError):
    """Base of the exceptions of this package; ``args`` is (errno, text)."""

    def __new__(cls, errno: int, text: str, /, **attributes: Any) -> Self:
        standard = type(OSError(errno, text))
        both = cls if issubclass(cls, standard) else _also(cls, standard)
        return super().__new__(both, errno, text)

    def __init__(self, errno: int, text: str, /, **attributes: Any) -> None:
        super().__init__(errno, text)
        self.__dict__.update(attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        # The class that was combined below has no importable name.
        cls = getattr(type(self), "_plain", type(self))
        return _rebuild, (cls, *self.args), self.__dict__


class ProxyCommandError(Error):
    """A proxy command could not be executed, or ended with a failure.

    It is also the standard class of its errno: ``FileNotFoundError`` and the
    like when the command can't be executed, ``ConnectionResetError`` when
    ``recv`` tells that it failed, ``BrokenPipeError`` from ``send`` after
    that.
    """

    #: The command that was executed, as a list of str.
    command: list[str]
    #: Its exit status, or minus the number of a signal; None when it never
    #: ran, still runs, or was reaped by somebody else.
    returncode: int | None = None
    #: The last of what it wrote to stderr.
    stderr: str = ""


class ConfigError(Error):
    """The way to a host can't be told: ssh_config is broken, or leads in a circle, or
    a host or user is refused.

    EINVAL; ELOOP for a circle; also the standard class of its errno, as
    ``FileNotFoundError`` when a file that was named can't be read.
    """


class GatewayError(Error):
    """A gateway can't be used: not reached, not trusted, no login, lost.

    Base of what the others here tell more exactly; itself raised for what has
    no class of its own, with the errno of the failure.
    """

    #: The gateway, as "user@host:port".
    gateway: str = ""


class HostKeyError(GatewayError):
    """The host key of a gateway is unknown, changed or revoked.

    Raised before anything is authenticated, so no secret went out.  Also a
    ``PermissionError`` (EACCES).  ssh_config(5): StrictHostKeyChecking.
    """

    #: The name that was looked up: host, "[host]:port", or the alias.
    hostname: str = ""
    #: Type of the key the server presented, as "ssh-ed25519".
    key_type: str = ""
    #: Its fingerprint in OpenSSH's form, "SHA256:...".
    fingerprint: str = ""


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

    #: RFC 4254's reason: 1 administratively prohibited, 2 connect failed,
    #: 3 unknown channel type, 4 resource shortage; 0 if the server gave none.
    reason: int = 0
    #: Where the channel was to go: (host, port), or the path of a Unix socket.
    dest_addr: tuple[str, int] | str = ""


_made: dict[tuple[type[Error], type[OSError]], type[Error]] = {}


def _also(cls: type[Any], standard: type[OSError]) -> type[Any]:
    """The class that is both, under the name of the first."""
    if (cls, standard) not in _made:
        names = {"__module__": cls.__module__, "__doc__": cls.__doc__, "_plain": cls}
        _made[cls, standard] = type(cls.__name__, (cls, standard), names)
    return _made[cls, standard]


def _rebuild(cls: type[Error], errno: int, text: str) -> Error:
    return cls(errno, text)
