# SPDX-License-Identifier: BSD-2-Clause
"""The keywords of ssh_config(5) and the forms of their values, as OpenSSH's readconf.c has them.

OpenSSH checks the value of each line, also in a block that does not match. A form that is missing
here is not necessarily an error of OpenSSH, but every value that is accepted here is accepted by
OpenSSH 8.7 and later.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

from sshgateway._ssh_config.jumps import parse_jump
from sshgateway._ssh_config.lines import Directive, ascii_lower

__all__ = ["ALIASES", "NEW_VALUES", "SEVERAL_REVOKED", "SINCE", "VENDORS", "interpret"]

#: Old names of keywords, and their names of today.
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "tisauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "hostbasedkeytypes": "hostbasedacceptedalgorithms",
    "identityfile2": "identityfile",
    "keepalive": "tcpkeepalive",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "smartcarddevice": "pkcs11provider",
}
#: Keywords that an OpenSSH since 8.7 does not know, by the version that added them.
SINCE = {
    "requiredrsasize": (9, 1),
    "enableescapecommandline": (9, 2),
    "tag": (9, 4),
    "obscurekeystroketiming": (9, 5),
    "channeltimeout": (9, 6),
    "versionaddendum": (10, 0),
    "refuseconnection": (10, 1),
    "warnweakcrypto": (10, 1),
}
#: Values that OpenSSH accepts since the given version.
NEW_VALUES = {
    ("pubkeyauthentication", "unbound"): (8, 9),
    ("pubkeyauthentication", "host-bound"): (8, 9),
    ("canonicalizepermittedcnames", "none"): (8, 9),
}
#: The version since which RevokedHostKeys may hold several files.
SEVERAL_REVOKED = (10, 3)
#: Keywords of the patches that distributions apply. ``ssh -G`` prints those that it knows.
VENDORS = frozenset(
    ("gssapikeyexchange", "gssapitrustdns", "gssapirenewalforcesrekey", "gssapikexalgorithms")
)

_IGNORED = (
    "protocol cipher fallbacktorsh globalknownhostsfile2 rhostsauthentication "
    "userknownhostsfile2 useroaming usersh useprivilegedport afstokenpassing "
    "kerberosauthentication kerberostgtpassing rsaauthentication rhostsrsaauthentication "
    "compressionlevel"
)
_STRINGS = (
    "xauthlocation user hostname hostkeyalias preferredauthentications bindaddress bindinterface "
    "pkcs11provider securitykeyprovider controlpath ignoreunknown "
    "kbdinteractivedevices identityfile certificatefile identityagent tag"
)
_FLAGS = (
    "forwardx11 forwardx11trusted gatewayports exitonforwardfailure passwordauthentication "
    "kbdinteractiveauthentication hostbasedauthentication gssapiauthentication "
    "gssapidelegatecredentials gssapikeyexchange gssapitrustdns gssapirenewalforcesrekey "
    "batchmode checkhostip tcpkeepalive nohostauthenticationforlocalhost clearallforwardings "
    "enablesshkeysign identitiesonly hashknownhosts permitlocalcommand visualhostkey stdinnull "
    "forkafterauthentication proxyusefdpass canonicalizefallbacklocal streamlocalbindunlink "
    "enableescapecommandline"
)
_YES_NO = ("yes", "no", "true", "false")
_WORDS = {
    "pubkeyauthentication": (*_YES_NO, "unbound", "host-bound"),
    "verifyhostkeydns": (*_YES_NO, "ask"),
    "updatehostkeys": (*_YES_NO, "ask"),
    "stricthostkeychecking": (*_YES_NO, "ask", "off", "accept-new"),
    "compression": ("yes", "no"),
    "addressfamily": ("inet", "inet6", "any"),
    "controlmaster": (*_YES_NO, "auto", "ask", "autoask"),
    "tunnel": (*_YES_NO, "ethernet", "point-to-point"),
    "requesttty": (*_YES_NO, "force", "auto"),
    "sessiontype": ("none", "subsystem", "default"),
    "canonicalizehostname": (*_YES_NO, "always"),
    "warnweakcrypto": (*_YES_NO, "no-pq-kex"),
    "fingerprinthash": ("md5", "sha1", "sha256", "sha384", "sha512"),
    "loglevel": ("quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2",
                 "debug3"),
    "syslogfacility": ("daemon", "user", "auth", *(f"local{n}" for n in range(8))),
}  # fmt: skip
_TIMES = "connecttimeout forwardx11timeout serveraliveinterval"
_COUNTS = (
    "numberofpasswordprompts connectionattempts serveralivecountmax canonicalizemaxdots "
    "requiredrsasize"
)
_COMMANDS = "proxycommand knownhostscommand localcommand remotecommand"
_PATTERNS = {
    "escapechar": r"none|\^[@-\x7f]|[!-~]",
    "rekeylimit": r"default|\d{2,9}[KMG]?|[1-9][KMG]",
    "streamlocalbindmask": r"0?[0-7]{1,3}",
    "tunneldevice": r"(any|\d{1,5})(:(any|\d{1,5}))?",
    "obscurekeystroketiming": r"yes|no|true|false|interval:[1-9]\d{0,2}",
}
_FORWARDS = ("localforward", "remoteforward", "dynamicforward")
#: The path of a socket, which may hold tokens.
_SOCKET = r"/(?:[\w./@+-]|%[CLdhiklnpru%]){1,100}"
_LISTEN = rf"(?:(?:[A-Za-z0-9.*_-]+|\[[0-9A-Fa-f:.*]+\]):)?\d{{1,5}}|{_SOCKET}"
_TARGET = rf"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{{1,5}}|{_SOCKET}"
_IPQOS = re.compile(
    r"(?i:af[1-4][1-3]|cs[0-7]|ef|none|lowdelay|throughput|reliability)|0x[\da-f]{2}", re.ASCII
)
_TIME = re.compile(r"([0-9]{1,9})([smhdwSMHDW]|$)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CIPHERS = _names(
    "3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr "
    "aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com"
)
_MACS = frozenset(
    f"{name}{suffix}"
    for plain in ("hmac-sha1", "hmac-sha1-96", "hmac-sha2-256", "hmac-sha2-512", "hmac-md5",
                  "hmac-md5-96", "umac-64@openssh.com", "umac-128@openssh.com")
    for name, suffix in ((plain, ""), (plain.partition("@")[0], "-etm@openssh.com"))
)  # fmt: skip
_KEX = _names(
    "diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256 "
    "diffie-hellman-group16-sha512 diffie-hellman-group18-sha512 "
    "diffie-hellman-group-exchange-sha1 diffie-hellman-group-exchange-sha256 "
    "ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 curve25519-sha256 "
    "curve25519-sha256@libssh.org sntrup761x25519-sha512@openssh.com"
)
_PLAIN_KEYS = _names(
    "ssh-ed25519 ssh-rsa rsa-sha2-256 rsa-sha2-512 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 "
    "ecdsa-sha2-nistp521 sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com"
)
_KEYS = _PLAIN_KEYS | {
    f"{name.partition('@')[0]}-cert-v01@openssh.com" for name in _PLAIN_KEYS
}  # fmt: skip
#: The names that every OpenSSH since 8.7 knows, by keyword.
_ALGORITHMS = {
    "ciphers": _CIPHERS,
    "macs": _MACS,
    "kexalgorithms": _KEX,
    "hostkeyalgorithms": _KEYS,
    "pubkeyacceptedalgorithms": _KEYS,
    "hostbasedacceptedalgorithms": _KEYS,
    "casignaturealgorithms": _PLAIN_KEYS,
}


def _fits(pattern: str, text: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, text, re.ASCII)


def interpret(directive: Directive) -> Any:
    """Return the value of a directive. Raises ValueError if it has a form that is not known, and
    KeyError if the keyword is not."""
    keyword = ALIASES.get(directive.keyword, directive.keyword)
    read = _READERS[keyword]
    if directive.arguments is None:
        raise ValueError("missing quote")
    if not directive.rest:
        raise ValueError("missing argument")
    return read(keyword, directive)


def _one(directive: Directive) -> str:
    if directive.arguments is None or len(directive.arguments) != 1 or not directive.arguments[0]:
        raise ValueError("not one argument")
    return directive.arguments[0]


def _ignored(_keyword: str, _directive: Directive) -> None:
    return None


def _string(_keyword: str, directive: Directive) -> str:
    return _one(directive)


def _word(keyword: str, directive: Directive) -> str:
    """One of some words, in lower case."""
    value = ascii_lower(_one(directive))
    if value not in _WORDS[keyword]:
        raise ValueError("not one of its words")
    return value


def _seconds(text: str) -> int:
    parts = [(number, unit.lower()) for number, unit in _TIME.findall(text)]
    if "".join(map("".join, parts)) != text.lower():
        raise ValueError("not a time")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > 2**31 - 1:
        raise ValueError("not a time")
    return seconds


def _time(_keyword: str, directive: Directive) -> str | None:
    """Seconds; None for "none", which OpenSSH takes as if the keyword were not set."""
    value = _one(directive)
    return None if value == "none" else str(_seconds(value))


def _control_persist(_keyword: str, directive: Directive) -> None:
    value = _one(directive)
    if value not in _YES_NO:
        _seconds(value)


def _add_keys(_keyword: str, directive: Directive) -> None:
    """AddKeysToAgent: a word, a time, or "confirm" and a time."""
    words = directive.arguments or []
    is_word = [word.lower() for word in words] in [[word] for word in (*_YES_NO, "ask", "confirm")]
    if len(words) == 2 and words[0].lower() == "confirm":
        _seconds(words[1])
    elif not is_word:
        _seconds(_one(directive))


def _count(_keyword: str, directive: Directive) -> str:
    value = _one(directive)
    if not _fits(r"[0-9]{1,10}", value) or int(value) > 2**31 - 1:
        raise ValueError("not a number")
    return str(int(value))


def _port(_keyword: str, directive: Directive) -> str:
    value = _one(directive)
    if _fits(r"[0-9]{1,5}", value):
        port = int(value)
    elif _fits(r"[A-Za-z][A-Za-z0-9-]*", value):
        try:
            port = socket.getservbyname(value, "tcp")
        except OSError:
            port = 0
    else:
        port = 0
    if not 0 < port < 65536:
        raise ValueError("not a port")
    return str(port)


def _command(_keyword: str, directive: Directive) -> str:
    """A command: the whole rest of the line, with its quotes and "#"."""
    command = directive.rest.lstrip(" \t\r\n=")
    if not command:
        raise ValueError("no command")
    return command


def _files(_keyword: str, directive: Directive) -> tuple[str, ...]:
    values = tuple(directive.arguments or ())
    is_mixed = len(values) > 1 and any(value.lower() == "none" for value in values)
    if not values or not all(values) or is_mixed or len(values) > 32:
        raise ValueError("not a list of files")
    return values


def _algorithms(keyword: str, directive: Directive) -> str:
    value = _one(directive)
    names = value[1:] if value[0] in "+^" else value
    if value[0] == "-":
        is_known = _fits(r"-[A-Za-z0-9@.,*?_-]+", value) is not None
    else:
        is_known = all(name in _ALGORITHMS[keyword] for name in names.split(","))
    if not is_known:
        raise ValueError("not only names that every OpenSSH knows")
    return value


def _pattern(keyword: str, directive: Directive) -> str:
    value = _one(directive)
    if _fits(_PATTERNS[keyword], value) is None:
        raise ValueError("not a value that is known")
    if keyword == "tunneldevice" and any(
        part != "any" and int(part) > 0x7FFFFFFD for part in value.split(":")
    ):
        raise ValueError("not a tunnel device")
    return value


def _rekey_limit(keyword: str, directive: Directive) -> str:
    size, *rest = directive.arguments or [""]
    if len(rest) > 1 or _fits(_PATTERNS[keyword], size) is None:
        raise ValueError("not a limit")
    if rest and rest[0] != "none":
        _seconds(rest[0])
    if size.isdigit() and int(size) < 16:
        raise ValueError("not a limit")
    return size


def _forward(keyword: str, directive: Directive) -> str:
    listen, *target = directive.arguments or [""]
    is_dynamic = keyword == "dynamicforward" or (keyword == "remoteforward" and not target)
    is_known = _fits(_LISTEN, listen) and (
        (not target and is_dynamic)
        or (len(target) == 1 and not is_dynamic and _fits(_TARGET, target[0]))
    )
    if len(listen) + sum(map(len, target)) > 250:
        raise ValueError("too long")
    ports = [int(port) for port in re.findall(r"(?:^|:)([0-9]+)$", listen)]
    ports += [int(port) for word in target for port in re.findall(r":([0-9]+)$", word)]
    low = 0 if keyword == "remoteforward" and len(target) == 0 else 1
    if not is_known or any(not low <= port < 65536 for port in ports):
        raise ValueError("not a forwarding that is known")
    return listen


def _gss_names(_keyword: str, directive: Directive) -> str:
    """The caller compares the names with those that ``ssh -G`` prints."""
    return _one(directive)


def _permitted(_keyword: str, directive: Directive) -> None:
    values = directive.arguments or []
    if [value.lower() for value in values] in (["any"], ["none"]):
        return
    for value in values:
        if not _fits(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([1-9]\d{0,4}|\*)", value):
            raise ValueError("not a list of hosts and ports")
        port = value.rpartition(":")[2]
        if port != "*" and int(port) > 65535:
            raise ValueError("not a port")
    if not values:
        raise ValueError("missing argument")


def _send_env(_keyword: str, directive: Directive) -> None:
    names = directive.arguments or []
    if not names or not all(_fits(r"-?[A-Za-z0-9_*?]+", name) for name in names):
        raise ValueError("not names of variables")


def _set_env(_keyword: str, directive: Directive) -> None:
    words = directive.arguments or []
    if not words or not all(_fits(r"[A-Za-z0-9_]+=[^%$]*", word) for word in words):
        raise ValueError("not variables")


def _ip_qos(_keyword: str, directive: Directive) -> None:
    values = directive.arguments or []
    if len(values) not in (1, 2) or not all(_IPQOS.fullmatch(value) for value in values):
        raise ValueError("not a quality of service that is known")


def _domains(_keyword: str, directive: Directive) -> None:
    values = directive.arguments or []
    is_good = all(_fits(r"[A-Za-z0-9]([A-Za-z0-9_-]|\.(?!\.))*", value) for value in values)
    is_mixed = len(values) > 1 and any(value.lower() == "none" for value in values)
    if not values or not is_good or is_mixed or len(values) > 32:
        raise ValueError("not a list of domains")


def _cnames(_keyword: str, directive: Directive) -> str:
    """CanonicalizePermittedCNAMEs: "none", or what makes ssh(1) look up the host."""
    values = directive.arguments or []
    if [value.lower() for value in values] == ["none"]:
        return "none"
    if not values or not all(_fits(r"\*|[^:\s]+:[^:\s]+", value) for value in values):
        raise ValueError("not a list of domains")
    return " ".join(values)


def _forward_agent(_keyword: str, directive: Directive) -> str:
    value = _one(directive)
    return value.lower() if value.lower() in _YES_NO else value


def _jump(_keyword: str, directive: Directive) -> Any:
    return parse_jump(directive.rest.lstrip(" \t\r\n="))


Reader = Callable[[str, Directive], Any]
_READERS: dict[str, Reader] = {
    **dict.fromkeys(_IGNORED.split(), _ignored),
    **dict.fromkeys(_STRINGS.split(), _string),
    **dict.fromkeys(_FLAGS.split(), _word),
    **dict.fromkeys(_WORDS, _word),
    **dict.fromkeys(_TIMES.split(), _time),
    **dict.fromkeys(_COUNTS.split(), _count),
    **dict.fromkeys(_COMMANDS.split(), _command),
    **dict.fromkeys(_PATTERNS, _pattern),
    **dict.fromkeys(_ALGORITHMS, _algorithms),
    **dict.fromkeys(_FORWARDS, _forward),
    "rekeylimit": _rekey_limit,
    "controlpersist": _control_persist,
    "addkeystoagent": _add_keys,
    "port": _port,
    "globalknownhostsfile": _files,
    "userknownhostsfile": _files,
    "logverbose": _files,
    "revokedhostkeys": _files,
    "permitremoteopen": _permitted,
    "sendenv": _send_env,
    "setenv": _set_env,
    "ipqos": _ip_qos,
    "canonicaldomains": _domains,
    "canonicalizepermittedcnames": _cnames,
    "forwardagent": _forward_agent,
    "proxyjump": _jump,
    "gssapikexalgorithms": _gss_names,
    "versionaddendum": _command,
    "refuseconnection": _string,
}
_WORDS |= dict.fromkeys(_FLAGS.split(), _YES_NO)
