# SPDX-License-Identifier: BSD-2-Clause
"""The texts of errors: each function returns the exception for one failure.

The C core imports this module once and calls some of the functions by name; each of these
says so.
"""

from __future__ import annotations

import errno as _errno
import os
import re
import shlex
import signal
from collections.abc import Sequence
from errno import EACCES, ENOENT, ENOEXEC
from typing import NamedTuple

from sshgateway._deadline import in_seconds
from sshgateway._status import Status
from sshgateway.errors import (
    AuthenticationError,
    ChannelOpenError,
    ConfigError,
    GatewayBusyError,
    GatewayError,
    GatewayLostError,
    HostKeyError,
    HostKeyState,
    ProxyCommandError,
)

_LAST_LINES = 3
_LONGEST_TEXT = 600

# ---- Proxy commands ----------------------------------------------------------


def last_lines(stderr: str) -> str:
    """The last lines of a program's stderr, joined to one line."""
    lines = [line.strip() for line in stderr.splitlines()]
    text = " | ".join([line for line in lines if line][-_LAST_LINES:])
    return text if len(text) <= _LONGEST_TEXT else "..." + text[-_LONGEST_TEXT:]


def shown(command: list[str]) -> str:
    """A command in shell syntax, shortened if it is long."""
    text = shlex.join(command)
    return repr(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "...")


def how_it_ended(returncode: int | None) -> str:
    """A return code in words; None stands for a program that has not ended."""
    if returncode is None:
        return "has not ended"
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def _its_words(stderr: str) -> str:
    words = last_lines(stderr)
    return f": {words}" if words else " and wrote nothing to stderr"


def proxy_ended(
    errno: int, command: list[str], returncode: int | None, stderr: str
) -> ProxyCommandError:
    """The program failed while it carried a stream. Called by _core."""
    text = f"proxy command {shown(command)} {how_it_ended(returncode)}{_its_words(stderr)}"
    return ProxyCommandError(errno, text, command=command, returncode=returncode, stderr=stderr)


_CURES = {
    ENOENT: "; check that {!r} is installed and in PATH",
    EACCES: "; check that {!r} is executable",
    ENOEXEC: "; if {!r} is a script, its first line must name an interpreter",
}


def proxy_not_executed(errno: int, command: list[str]) -> ProxyCommandError:
    """execve(2) failed. Called by _core."""
    text = (
        f"cannot execute proxy command {shown(command)}: "
        f"{os.strerror(errno)}{_CURES.get(errno, '').format(command[0])}"
    )
    return ProxyCommandError(errno, text, command=command)


def proxy_not_in_directory(errno: int, command: list[str], cwd: object) -> ProxyCommandError:
    """chdir(2) to the working directory failed. Called by _core."""
    text = f"cannot run proxy command {shown(command)} in {cwd!r}: {os.strerror(errno)}"
    return ProxyCommandError(errno, text, command=command)


def proxy_handed_over_nothing(
    errno: int, command: list[str], returncode: int | None, stderr: str
) -> ProxyCommandError:
    """The program passed no socket (ProxyUseFdpass). Called by _core."""
    text = (
        f"proxy command {shown(command)} handed over no socket "
        f"(fdpass): {os.strerror(errno)}; it {how_it_ended(returncode)}"
        f"{_its_words(stderr)}"
    )
    return ProxyCommandError(errno, text, command=command, returncode=returncode, stderr=stderr)


def proxy_too_slow(errno: int, command: list[str]) -> TimeoutError:
    """No socket arrived before the deadline (ProxyUseFdpass). Called by _core."""
    text = f"proxy command {shown(command)} handed over no socket in time"
    return TimeoutError(errno, text)


# ---- ssh_config ----------------------------------------------------------------


def config_invalid(words: str, errno: int = _errno.EINVAL) -> ConfigError:
    """*words* is the whole text."""
    return ConfigError(errno, words)


# ---- Gateways ------------------------------------------------------------------


class SessionFailed(Exception):  # noqa: N818
    """A step of _core.Session failed. The Gateway turns it into a public exception.

    - status (str): the name of a Status.
    - errno (int): the system's error number, or 0.
    - code (int): libssh2's error code, or RFC 4253's disconnect reason, or 0.
    - text (str): a message, or "".
    """

    def __init__(self, status: str, errno: int, code: int, text: str) -> None:
        super().__init__(status, errno, code, text)
        self.status = Status(status)
        self.errno = errno
        self.code = code
        self.text = text or os.strerror(errno)


#: Called by _core.
session_failed = SessionFailed


def gateway_not_opened(gateway: str, errno: int, words: str) -> GatewayError:
    """A step before the end of the login failed; *words* says which and why."""
    text = f"cannot open gateway {gateway!r}: {words}"
    number = errno if errno not in (0, _errno.ETIMEDOUT) else _errno.ECONNRESET
    return GatewayError(number, text, gateway=gateway)


def no_key_exchange(
    words: str, missing: tuple[str, Sequence[str], Sequence[str]] | None = None
) -> str:
    """The key exchange failed.

    - words: the reason, or "".
    - missing: the kind of algorithm without a common member, our offer, and the server's.
    """
    from sshgateway import _core

    if missing is None:
        return f"the key exchange failed: {words or 'the server closed the connection'}"
    name, ours, theirs = missing
    old = _core.LIBSSH2_NUMBER < 0x010B00
    cure = "; RSA host keys and AES-GCM need libssh2 1.11 or newer" if old else ""
    return (
        f"the key exchange failed, because there is no common {name}: "
        f"the server offers {printable(', '.join(theirs)) or 'none'}, "
        f"and libssh2 {_core.LIBSSH2_VERSION} offers {', '.join(ours)}{cure}"
    )


def gateway_busy(gateway: str, words: str) -> GatewayBusyError:
    """The server has no room for one more login; *words* is its text."""
    facts = f"gateway {gateway!r} is busy: it said {printable(words)!r}"
    advice = (
        "try again later, give a longer timeout=, or raise MaxStartups (PerSourcePenalties) in "
        "its sshd_config"
    )
    return GatewayBusyError(
        _errno.ECONNREFUSED, f"{facts}; {advice}", gateway=gateway, facts=facts, advice=advice
    )


def no_ssh_server(words: str) -> str:
    """The text for a server whose first lines hold no SSH version (RFC 4253 section 4.2).

    - words: the last line that it sent.
    """
    return (
        f"it sent {printable(words)!r}, which is not an SSH version; check that host and port "
        "are those of an SSH server, and that the server accepts more connections"
    )


def channel_not_opened(
    gateway: object,
    dest_addr: tuple[str, int] | str,
    status: str,
    errno: int,
    code: int,
    text: str,
    timeout: float | None,
) -> OSError:
    """A channel did not open. Called by _core.

    - status (str): the name of a Status.
    - code (int): for OPEN_FAILURE RFC 4254's reason.
    - timeout (float or None): the time limit that has passed, in seconds.
    """
    to = dest_addr if isinstance(dest_addr, str) else f"{dest_addr[0]}:{dest_addr[1]}"
    if status == Status.TIMEOUT:
        limit = in_seconds(timeout)
        text = f"gateway {str(gateway)!r} did not open a channel to {to!r} within {limit}"
        return TimeoutError(errno, text)
    if status == Status.OPEN_FAILURE:
        return channel_refused(str(gateway), dest_addr, code, text)
    return gateway_lost(errno, gateway, text or ("" if errno else "it had ended before"))


def printable(words: str) -> str:
    """A text from a peer as one printable line, shortened if it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "..."


def scan(hostname: str, address: tuple[str, int] | None) -> str:
    """The ssh-keyscan(1) command that prints the keys of a host, for a message.

    - hostname (str): the name that is looked up in known_hosts.
    - address: the host and port of the connection, if hostname is an alias.
    """
    bracketed = re.fullmatch(r"\[(.*)\]:(\d+)", hostname)
    known = (bracketed[1], int(bracketed[2])) if bracketed else (hostname, 22)
    host, port = address or known
    command = shlex.join(["ssh-keyscan", *([] if port == 22 else ["-p", str(port)]), host])
    is_alias = (host.lower(), port) != known
    return f"{command!r} prints it{f'; put {hostname!r} for the name' if is_alias else ''}"


#: Advice about a host key that is unknown.
COMPARE = "ask the owner of the host for its fingerprint and compare"


#: Stands for a file in messages about the lines that KnownHostsCommand printed.
PRINTED = "KnownHostsCommand"


class PresentedKey(NamedTuple):
    """The host key that a gateway presented; each method returns the error for one verdict."""

    #: "user@host:port".
    gateway: str
    #: The name in known_hosts files.
    hostname: str
    key_type: str
    fingerprint: str
    #: Further observations, for the text.
    notes: Sequence[str]

    def unknown(self, file: str | None, address: tuple[str, int] | None) -> HostKeyError:
        """No known_hosts file has a key of the host.

        - file (str or None): the file to which a new key would be added.
        - address: the host and port of the connection, if hostname is an alias.
        """
        facts = (
            f"no host key is known for {self.hostname!r}, so the {self._that_was_presented()} was "
            "not trusted"
        )
        advice = f"{COMPARE}, then "
        if file is None:
            advice += "name a file in known_hosts= that has the key"
        else:
            advice += (
                f"add the key to {file} ({scan(self.hostname, address)}), "
                f'or connect once with strict_host_key_checking="accept-new"'
            )
        return self._error("unknown", file, facts, advice)

    def changed(
        self, file: str, line: int, known_type: str, known_fingerprint: str
    ) -> HostKeyError:
        """Line *line* of *file* holds another key for the host."""
        command = shlex.join(["ssh-keygen", "-f", file, "-R", self.hostname])
        cure = f"let {file} print it" if file == PRINTED else f"remove the old key: {command}"
        facts = (
            f"the host key of {self.hostname!r} has changed: {self._presented()}, but "
            f"{file}:{line} has the {known_type} key {known_fingerprint}"
        )
        advice = (
            "another machine may be intercepting the connection, or the host has a new key: ask "
            f"its owner, and only if the new fingerprint is right {cure}"
        )
        return self._error("changed", file, facts, advice)

    def unreadable(
        self, file: str, errno: int, reason: str, *, parameter: str = "known_hosts="
    ) -> HostKeyError:
        """A file of known or revoked keys cannot be read.

        - errno, reason: why, as a number and in words.
        - parameter: the parameter of Gateway that names the file.
        """
        is_revoking = parameter == "revoked_host_keys="
        what = "file of revoked keys" if is_revoking else "known_hosts file"
        facts = (
            f"cannot check the host key of {self.hostname!r}: the {what} {file} cannot "
            f"be read: {reason}"
        )
        fear = "revoke it" if is_revoking else "hold another key or revoke this one"
        consequence = (
            f"the {self._that_was_presented()} was not trusted, because the file may {fear}"
        )
        if errno in (_errno.EMFILE, _errno.ENFILE):
            cure = "close descriptors, or raise the limit (ulimit -n)"
        elif errno in (_errno.EACCES, _errno.EPERM):
            cure = "let this user read it"
        else:
            remove = "repair it" if is_revoking else "repair or remove it"
            cure = f"{remove}, or name other files in {parameter}"
        return self._error("unreadable", file, facts, cure, consequence)

    def revoked(self, how: str, file: str, *, is_own: bool = True) -> HostKeyError:
        """The key is revoked, or its certificate, or the key of the certificate's authority.

        - how: says which file revokes it.
        - is_own (bool): True if the key itself is revoked.
        """
        facts = f"the host key of {self.hostname!r} is revoked: {self._presented()}; {how}"
        new = "the host a new key" if is_own else "the host a certificate by another authority"
        advice = (
            "the key may be stolen and in use by an attacker, so it is never accepted: ask the "
            f"owner of the host to give {new}"
        )
        return self._error("revoked", file, facts, advice)

    def too_short(self, bits: int) -> HostKeyError:
        """An RSA key has fewer bits than OpenSSH accepts."""
        facts = (
            f"the host key of {self.hostname!r} is not safe: {self._presented()}, which has only "
            f"{bits} bits"
        )
        advice = "ask the owner of the host to give it a new key of at least 2048 bits"
        return self._error("too short", None, facts, advice)

    def _presented(self) -> str:
        return f"gateway {self.gateway!r} presented the {self.key_type} key {self.fingerprint}"

    def _that_was_presented(self) -> str:
        return f"{self.key_type} key {self.fingerprint} that gateway {self.gateway!r} presented"

    def _error(
        self, state: HostKeyState, file: str | None, facts: str, advice: str, consequence: str = ""
    ) -> HostKeyError:
        notes = map(printable, self.notes)  # they may quote the server's certificate
        facts = "; ".join(part for part in (facts, *notes, consequence) if part)
        return HostKeyError(
            _errno.EACCES,
            f"{facts}; {advice}",
            gateway=self.gateway,
            facts=facts,
            advice=advice,
            hostname=self.hostname,
            key_type=self.key_type,
            fingerprint=self.fingerprint,
            state=state,
            file=file,
        )


def authentication_failed(
    gateway: str,
    tried: Sequence[str],
    accepted: Sequence[str] = (),
    locked_keys: Sequence[str] = (),
    *,
    accepted_in_part: Sequence[str] = (),
    hung_up: str | None = None,
    banner: str = "",
    note: str = "",
) -> AuthenticationError:
    """The server accepted none of the logins, or not all that it requires.

    - tried: the attempts, in words.
    - accepted: the methods that the server named last.
    - locked_keys: the key files whose passphrase is missing or may be wrong.
    - accepted_in_part: the steps that the server accepted before it wanted more.
    - hung_up: the reason, if the server ended the connection.
    - banner: the last text that the server showed.
    - note: a limit of the libssh2 in use.
    """
    attempts = [printable(attempt) for attempt in tried]
    methods = list(attempts)
    too_many = hung_up is not None and _is_about_tries(hung_up)
    if too_many:
        text = f"gateway {gateway!r} ended the login after too many attempts"
    elif hung_up is not None:
        text = f"gateway {gateway!r} hung up during the login ({printable(hung_up)})"
    else:
        whole = "did not accept the whole login" if accepted_in_part else "accepted no login"
        text = f"gateway {gateway!r} {whole}"
    if accepted_in_part:
        text = f"{text}; it accepted {', '.join(accepted_in_part)} and wanted more"
    text += f"; tried: {'; '.join(attempts) or 'nothing'}"
    if accepted and not too_many:
        methods.append(f"the server still accepts: {printable(', '.join(accepted))}")
        text += f"; {methods[-1]}"
    if note:
        text += f"; {note}"
    if banner:
        text += f"; its banner: {printable(banner)}"
    advice = "give identities_only=True and the key_filename= of the right key"
    if not too_many:
        advice = _login_advice(accepted)
    return AuthenticationError(
        _errno.EACCES,
        f"{text}; {advice}",
        gateway=gateway,
        facts=text,
        advice=advice,
        too_many_attempts=too_many,
        methods=methods,
        accepted=list(accepted),
        locked_keys=list(dict.fromkeys(locked_keys)),
    )


def _is_about_tries(words: str) -> bool:
    """sshd's words, because its reason code is the general SSH_DISCONNECT_PROTOCOL_ERROR."""
    return "too many authentication failures" in words.lower()


def _login_advice(accepted: Sequence[str]) -> str:
    """The advice for the user; it depends on the methods that the server accepts."""
    cures = {
        "publickey": "a key (pkey=, key_filename=, or one in the agent)",
        "keyboard-interactive": "prompt= to answer its questions",
        "password": "password=",
    }
    named = [cure for method, cure in cures.items() if not accepted or method in accepted]
    return f"check the user name, and give {' or '.join(named) or 'what it accepts'}"


def gateway_lost(
    errno: int,
    gateway: object,
    reason: str,
    session: object = None,
    at_most: float | None = None,
) -> GatewayLostError:
    """The connection ended while it was in use. Called by _core.

    - errno: the system's error number, or 0.
    - gateway: the Gateway, or its name.
    - reason: the server's disconnect text, or "" for that of errno.
    - session: the Session that was lost; None to leave out the reason of the stream to the
      gateway.
    - at_most: seconds that the caller can still wait, or None for no limit.
    """
    words = reason or os.strerror(errno)
    if session is not None and hasattr(gateway, "why_lost"):
        words = gateway.why_lost(words, session, at_most)
    words = printable(words)
    text = f"lost the connection to gateway {str(gateway)!r}: {words}"
    number = _errno.EPIPE if errno == _errno.EPIPE else _errno.ECONNRESET
    return GatewayLostError(number, text, gateway=str(gateway))


#: RFC 4254 section 5.1: the reasons, and advice.
_REFUSALS = {
    1: (
        "administratively prohibited",
        "its sshd_config (AllowTcpForwarding, AllowStreamLocalForwarding, PermitOpen) or the "
        "options of the key in authorized_keys forbid it",
    ),
    2: (
        "connect failed",
        "check that the gateway itself can look up and reach this address, and that something "
        "listens there",
    ),
    3: ("unknown channel type", "its server does not know this kind of channel"),
    4: ("resource shortage", "it has too many channels or descriptors open; try again later"),
}


def channel_refused(
    gateway: str, dest_addr: tuple[str, int] | str, reason: int, words: str = ""
) -> ChannelOpenError:
    """The server refused a channel (RFC 4254 section 5.1).

    - reason: the reason code.
    - words: the server's description, or "".
    """
    to = dest_addr if isinstance(dest_addr, str) else f"{dest_addr[0]}:{dest_addr[1]}"
    name, cure = _REFUSALS.get(reason, (f"reason {reason}", "see the gateway's log"))
    said = printable(words)
    # The system's libssh2 drops the description; sshd's "open failed" adds nothing.
    repeated = ("", name, "open failed")
    description = f" ({said})" if said.lower() not in repeated else ""
    text = f"gateway {gateway!r} refused a channel to {to!r}: {name}{description}; {cure}"
    return ChannelOpenError(
        _errno.ECONNREFUSED, text, gateway=gateway, reason=reason, dest_addr=dest_addr
    )
