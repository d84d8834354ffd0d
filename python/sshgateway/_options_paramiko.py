# SPDX-License-Identifier: BSD-2-Clause
"""Read ssh_config(5) with Paramiko's SSHConfig, where ssh(1) is not installed.

The answer has the form of ``ssh -G``. config.py lists the limits.
"""

from __future__ import annotations

import errno
import getpass
import io
import logging
import os
import pwd
import re
import shlex
import socket
from collections.abc import Sequence
from typing import Any, ClassVar

from sshgateway._messages import config_invalid
from sshgateway._options import ADDED, SEVERAL, Options, from_home, with_new_names
from sshgateway.errors import ConfigError
from sshgateway.proxy import check_values, expand

__all__ = ["ask_paramiko"]

_log = logging.getLogger(__name__)

#: Marks a CertificateFile that Paramiko gets as an IdentityFile. No path holds the character.
_CERTIFICATE = "\0"


def ask_paramiko(host: str, given: Options, files: Sequence[str], *, must_exist: bool) -> Options:
    """Look up the options of a host.

    - host (str): its name.
    - given (Options): override the files.
    - files (sequence of str): the paths of the files, in order.
    - must_exist (bool): a file that cannot be read is an error; otherwise it is left out.

    Returns *given* alone if Paramiko is not installed. Raises ConfigError.
    """
    try:
        from paramiko import SSHConfig, SSHException
    except ImportError:
        _log.warning("ssh_config is ignored: neither the program ssh nor Paramiko is installed")
        return given

    class Config(SSHConfig):  # type: ignore[misc]
        #: The other tokens are expanded by this module: in one pass, and after a check of the
        #: values that a shell may interpret.
        TOKENS_BY_CONFIG_KEY: ClassVar = {
            keyword: SSHConfig.TOKENS_BY_CONFIG_KEY[keyword]
            for keyword in ("hostname", "match-exec")
        }

        def _expand_variables(self, config: dict[str, Any], host: str) -> dict[str, Any]:
            expanded: dict[str, Any] = super()._expand_variables(config, host)
            if "proxycommand" in expanded and expanded["proxycommand"] is None:
                # Paramiko 2 would drop a None, and a later ProxyJump would win.
                expanded["proxycommand"] = "none"
            return expanded

        def _tokenize(
            self, config: dict[str, Any], target_hostname: str, key: str, value: str
        ) -> Any:
            if key == "match-exec":  # a shell interprets the values
                user = config.get("user") or getpass.getuser()
                hostname = config.get("hostname") or target_hostname
                check_values(value, {"r": user, "h": hostname, "n": target_hostname})
            return super()._tokenize(config, target_hostname, key, value)

    config = Config()
    # The first value counts, so the overriding values come first.
    lines = [f"{keyword} {value}\n" for keyword, (value,) in given.items()]
    config.parse(io.StringIO("Host *\n" + "".join(lines)))
    for path in files:
        _parse(config, path, must_exist)
    try:
        found = config.lookup(host)
    except ConfigError:
        raise
    except Exception as error:  # Match exec may raise any
        # The text of another error may hold the whole command of Match exec.
        is_safe = isinstance(error, (SSHException, ImportError))
        why = str(error) if is_safe else type(error).__name__
        raise config_invalid(f"Paramiko cannot look up {host!r}: {why}") from None
    return _first_way(_as_of_ssh(host, found))


def _as_of_ssh(host: str, found: dict[str, Any]) -> Options:
    """Convert Paramiko's answer to the form of ``ssh -G``."""
    # Paramiko returns None for "ProxyCommand none", and a list for IdentityFile.
    options = {
        keyword: value if isinstance(value, list) else [value or "none"]
        for keyword, value in found.items()
    }
    options = with_new_names(options)
    _part_certificates(options)
    tokens = _tokens_of_paths(host, options)
    for keyword in SEVERAL:
        if keyword in options:
            options[keyword] = shlex.split(options[keyword][0])
    for keyword in (*ADDED, "identityagent", "userknownhostsfile"):
        if keyword in options:
            options[keyword] = [
                expand(from_home(value), tokens, variables=True) for value in options[keyword]
            ]
    return options


def _part_certificates(options: Options) -> None:
    """Take the values of CertificateFile out of those of IdentityFile; see _parse()."""
    files = options.pop("identityfile", [])
    for file in files:
        keyword = "certificatefile" if file.startswith(_CERTIFICATE) else "identityfile"
        path = file.removeprefix(_CERTIFICATE)
        is_quoted = len(path) > 1 and path[0] == path[-1] == '"'
        options.setdefault(keyword, []).append(path[1:-1] if is_quoted else path)


def _tokens_of_paths(host: str, options: Options) -> dict[str, str]:
    """The tokens of IdentityFile and other paths (ssh_config(5), TOKENS)."""
    hostname = options["hostname"][0]
    return {
        "d": from_home("~"),
        "h": hostname,
        "i": str(os.getuid()),
        "k": options.get("hostkeyalias", [host])[0],
        "L": socket.gethostname().partition(".")[0],
        "l": socket.gethostname(),
        "n": host,
        "p": options.get("port", ["22"])[0],
        "r": options.get("user", [getpass.getuser()])[0],
        "u": pwd.getpwuid(os.getuid()).pw_name,
    }


def _first_way(options: Options) -> Options:
    """Remove the second of ProxyJump and ProxyCommand, because only the first one counts.

    "ProxyJump none" does not count. Paramiko's answer has the order of the file.
    """
    jump = options.get("proxyjump", ["none"])[0].lower()
    ways = [keyword for keyword in options if keyword in ("proxyjump", "proxycommand")]
    if len(ways) == 2:
        del options["proxyjump" if ways[0] == "proxycommand" or jump == "none" else "proxycommand"]
    return options


def _parse(config: Any, path: str, must_exist: bool) -> None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as opened:
            text = opened.read()
    except OSError as error:
        if must_exist:
            words = f"cannot read the ssh_config {path!r}: {error.strerror}"
            raise config_invalid(words, error.errno or errno.EINVAL) from None
        return
    if re.search(r"(?im)^\s*include\b", text):
        _log.warning("%s: Include is ignored because the program ssh is not installed", path)
    # Paramiko would read only the first CertificateFile, but it reads each IdentityFile.
    text = re.sub(
        r"(?im)^(\s*)certificatefile(\s*=\s*|\s+)", rf"\1IdentityFile\2{_CERTIFICATE}", text
    )
    # The last block of one file must not continue in the next file.
    config.parse(io.StringIO("Host *\n" + text))
