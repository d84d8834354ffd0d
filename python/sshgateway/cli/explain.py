# SPDX-License-Identifier: BSD-2-Clause
"""``sshgateway route``: print the way to a host, and try it with --try.

The facts are collected in a dictionary, which is the output of --json; then they are printed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from typing import Any

from sshgateway import _core, errors, route
from sshgateway._deadline import Deadline
from sshgateway._hosts import format_host
from sshgateway._messages import printable
from sshgateway._ssh_config.program import find_program, run
from sshgateway._wire import text_of
from sshgateway.agent import socket_path
from sshgateway.cli.advice import Adviser, facts_of
from sshgateway.cli.terminal import prompt_for, show_banner
from sshgateway.config import Host, SshConfig
from sshgateway.known_hosts import Verdict
from sshgateway.route import Way

__all__ = ["explain"]

#: Seconds for a host without ConnectTimeout.
_PATIENCE = 15.0
_LABEL = 15

Facts = dict[str, Any]


def explain(
    host: str,
    port: int | None,
    user: str | None,
    *,
    gateway: str | None,
    ssh_config: SshConfig,
    timeout: float | None,
    shows_banners: bool,
    is_tried: bool,
    as_json: bool,
) -> int:
    """Print the way to a host.

    - host, port, user, gateway, ssh_config: as for ``route.create_connection()``.
    - timeout (float or None): seconds for all steps.
    - shows_banners (bool): write the banners of the gateways to standard error as they arrive.
    - is_tried (bool): connect too.
    - as_json (bool): print JSON.

    Returns the exit status: 0, or 1 if the way cannot be determined or fails.
    """
    facts: Facts = {"host": host, "stopped": None}
    try:
        way = route.find_way(
            (host, port), gateway=gateway, ssh_config=ssh_config, username=user, timeout=timeout
        )
        facts |= _facts_of(way)
        facts["decided_by"] = _decision(way, ssh_config)
        if is_tried:
            prompt = prompt_for(way.hops)
            banner = show_banner if shows_banners else None
            hops = route.gateways_by(way.hops, prompt=prompt, banner=banner)
            adviser = Adviser(way.hops, has_terminal=prompt is not None)
            _go(facts, way, hops, Deadline(timeout), adviser)
    except OSError as error:
        facts["stopped"] = _stop("ssh_config", error)
    text = json.dumps(facts, indent=2) if as_json else _shown(facts)
    # ssh_config may hold bytes that the terminal's encoding does not have.
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return 1 if facts["stopped"] else 0


# ---- The facts --------------------------------------------------------------


def _facts_of(way: Way) -> Facts:
    target = way.target
    return {
        "user": target.user,
        "hostname": target.hostname,
        "port": target.port,
        "way": "proxy command" if way.proxy else "gateway" if way.gateway else "direct",
        "proxy_command": str(way.proxy) if way.proxy else None,
        "overruled": way.overruled or None,
        "hops": [_facts_of_hop(hop, number == 0) for number, hop in enumerate(way.hops)],
        "tried": None,
    }


def _facts_of_hop(hop: Host, is_first: bool) -> Facts:
    proxy = hop.proxy() if is_first else None
    agent = socket_path(hop.identity_agent)
    return {
        "name": hop.name,
        "user": hop.user,
        "hostname": hop.hostname,
        "port": hop.port,
        "proxy_command": str(proxy) if proxy else None,
        "agent": agent,
        "identity_files": None if hop.identity_files is None else list(hop.identity_files),
        "identities_only": hop.identities_only,
        "known_hosts": list(hop.known_hosts),
        "host_key_alias": hop.host_key_alias,
        "strict_host_key_checking": hop.strict_host_key_checking,
        "connect_timeout": hop.connect_timeout,
        "tried": None,
    }


def _decision(way: Way, ssh_config: SshConfig) -> Facts:
    value = {
        "ProxyCommand": way.target.proxy_command,
        "ProxyJump": way.target.proxy_jump,
    }.get(way.reason)
    found = _find(way, way.reason.lower(), value, ssh_config) if value else None
    return {
        "directive": way.reason or None,
        "value": value,
        "file": found and found[0],
        "line": found and found[1],
    }


def _find(way: Way, keyword: str, value: str, ssh_config: SshConfig) -> tuple[str, int] | None:
    """Where ssh(1) read it: the file and the line.

    ``ssh -G`` does not print them. Only the debug messages of ssh(1) name the files and the
    blocks that it applies, so this reads those words; if a version of OpenSSH changes them,
    the file and the line are missing from the report.
    """
    program = find_program(Deadline()) if ssh_config is not False else None
    if program is None:
        return None
    file = [] if ssh_config is None else ["-F", str(ssh_config)]
    target = way.target
    command = [program.path, "-G", "-T", "-vvv", *file, "-p", str(target.port), "-l", target.user]
    try:
        _, _, said = run([*command, "--", target.name], _PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    for name, first in _applied(os.fsdecode(said)):
        line = _line_of(name, first, keyword, value)
        if line is not None:
            return name, line
    return None


def _applied(said: str) -> list[tuple[str, int]]:
    """The files and the numbers of the lines after which directives apply to the host."""
    applied: list[tuple[str, int]] = []
    is_skipped = False
    criterion: tuple[str, int] | None = None
    for line in said.splitlines():
        if found := re.search(r"Including file .* depth \d+( \(parse only\))?", line):
            is_skipped = bool(found[1])
        elif found := re.search(r"Reading configuration data (.*)$", line):
            if not is_skipped:
                applied.append((found[1], 0))
            is_skipped = False
        elif found := re.search(r"debug1: (.*) line (\d+): Applying options for", line):
            applied.append((found[1], int(found[2])))
        elif found := re.search(r"debug3: (.*) line (\d+): matched ", line):
            criterion = found[1], int(found[2])
        elif "match found" in line and criterion:
            applied.append(criterion)
        elif "checking match for" in line:
            criterion = None
    return applied


def _line_of(file: str, first: int, keyword: str, value: str) -> int | None:
    """The number of the directive's line in the block after line *first*, or None."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            lines = opened.read().split("\n")
    except OSError:
        return None
    for number, line in enumerate(lines[first:], first + 1):
        parts = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(.*?)\s*$", line)
        if not parts:
            continue
        if parts[1].lower() in ("host", "match"):
            return None
        same = value.replace("ssh://", "").split()
        if parts[1].lower() == keyword and parts[2].replace("ssh://", "").split() == same:
            return number
    return None


# ---- Trying -------------------------------------------------------------------


def _go(facts: Facts, way: Way, gateways: list[Any], deadline: Deadline, adviser: Adviser) -> None:
    for hop, gateway, known in zip(way.hops, gateways, facts["hops"], strict=True):
        step = Deadline(deadline.left(hop.connect_timeout or _PATIENCE))
        try:
            gateway.open(step.left())
        except OSError as error:
            facts["stopped"] = _stop(hop.name, error, step, adviser)
            return
        known["tried"] = {
            "seconds": _spent(step),
            **gateway.methods,
            "banner": gateway.banner,
            **_facts_of_verdict(gateway.host_key_verdict),
        }
    step = Deadline(deadline.left(way.target.connect_timeout or _PATIENCE))
    try:
        facts["tried"] = {"banner": _banner(way, gateways, step.left())}
    except OSError as error:
        facts["stopped"] = _stop(way.target.name, error, step, adviser)
        return
    facts["tried"]["seconds"] = _spent(step)


def _facts_of_verdict(verdict: Verdict) -> Facts:
    authority, certificate = verdict.authority, verdict.certificate
    known: Facts = {"certificate": None, "notes": [printable(note) for note in verdict.notes]}
    if authority is not None and certificate is not None:
        known["certificate"] = {
            "ca": f"{authority.key_type} {authority.fingerprint}",
            "ca_line": authority.where,
            "key_id": printable(text_of(certificate.key_id)),
            "serial": certificate.serial,
            "valid": certificate.validity,
            "principals": [printable(text_of(name)) for name in certificate.principals],
        }
    return known


def _spent(step: Deadline) -> float:
    return round(step.spent(), 4)


def _banner(way: Way, gateways: list[Any], seconds: float | None) -> str:
    """Return the first line of the target's server (RFC 4253 section 4.2)."""
    target = way.target
    address = (target.hostname, target.port)
    sock: socket.socket | _core.Stream
    if way.proxy is not None:
        sock = way.proxy.start(seconds)
    elif gateways:
        sock = gateways[-1].open_channel("direct-tcpip", address, timeout=seconds)
    else:
        sock = route.connect(address, seconds)
    with sock:
        sock.settimeout(seconds)
        reading = Deadline(seconds)
        try:
            with sock.makefile("rb") as file:
                line = file.readline(256)
        except TimeoutError:
            raise reading.error(f"{address[0]}:{address[1]} said nothing") from None
    if not line:
        text = f"{address[0]}:{address[1]} closed the connection before it sent its version"
        raise ConnectionResetError(errno.ECONNRESET, text)
    return printable(line.decode("utf-8", "replace"))


def _stop(
    where: str, error: OSError, step: Deadline | None = None, adviser: Adviser | None = None
) -> Facts:
    return {
        "at": where,
        "seconds": None if step is None else _spent(step),
        "error": type(error).__name__,
        "errno": error.errno,
        "text": facts_of(error),
        "cure": (adviser or Adviser()).advice(error) or _cure(error),
    }


def _cure(error: OSError) -> str | None:
    """Advice, for errors whose text gives none."""
    if isinstance(error, TimeoutError):
        return (
            "check that the host is up, that address and port are those of an SSH server, and "
            "that no firewall drops the packets; -v logs the steps that succeeded"
        )
    if isinstance(error, (errors.ChannelOpenError, errors.ConfigError)):
        return None
    if isinstance(error, socket.gaierror) or error.errno == errno.EHOSTUNREACH:
        return "check that HostName is spelled right, and that this machine can look it up"
    if isinstance(error, ConnectionRefusedError):
        return "check that Port is right, and that an SSH server listens there"
    if isinstance(error, errors.ProxyCommandError):
        return "run the command by hand to see its messages"
    return None


# ---- Printing -----------------------------------------------------------------


def _shown(facts: Facts) -> str:
    lines: list[str] = []
    stopped = facts["stopped"]
    if "hops" not in facts:
        lines.append(f"{facts['host']}: the way cannot be determined")
        return "\n".join(lines + _rows(stopped, ""))
    lines.append(f"{facts['host']}: {_login_of(facts)}, {_way_of(facts)}")
    lines += _row("decided by", _decided(facts["decided_by"]))
    if facts["overruled"]:
        lines += _row("not used", facts["overruled"])
    for number, hop in enumerate(facts["hops"], 1):
        lines += ["", f"{number}. {hop['name']}: {_login_of(hop)}"]
        reached = f"through {number - 1}" if number > 1 else "directly"
        command = hop["proxy_command"]
        lines += _row("reached", f"by ProxyCommand {command}" if command else reached)
        lines += _row("trusted", _trust(hop))
        lines += _row("keys", _keys(hop))
        lines += _rows(stopped, hop["name"])
        if tried := hop["tried"]:
            lines += _row("+ open", f"after {tried['seconds']:.3f} s, "
                          f"{tried['server_version']}, {tried['kex']}, "
                          f"{tried['cipher']}")  # fmt: skip
            lines += _row("+ host key", f"{tried['host_key']} {tried['fingerprint']}")
            lines += _certified(tried["certificate"])
            for note in tried["notes"]:
                lines += _row("+ note", note)
            lines += _row("+ login", tried["login"])
    lines += ["", f"{facts['host']}: {_login_of(facts)}"] if facts["hops"] else []
    if facts["tried"]:
        seconds, banner = facts["tried"]["seconds"], facts["tried"]["banner"]
        lines += _row("+ answers", f"after {seconds:.3f} s: {banner}")
    return "\n".join(lines + _rows(stopped, facts["host"]))


def _certified(known: Facts | None) -> list[str]:
    """The row about the host certificate that made the key trusted."""
    if known is None:
        return []
    names = ", ".join(known["principals"]) or "every host"
    return _row(
        "+ certified",
        f"by CA {known['ca']} ({known['ca_line']}): key ID {known['key_id']!r}, "
        f"serial {known['serial']}, valid {known['valid']}, for {names}",
    )


def _login_of(host: Facts) -> str:
    return format_host(host["user"], host["hostname"], host["port"])


def _way_of(facts: Facts) -> str:
    if facts["way"] == "proxy command":
        return f"by the proxy command {facts['proxy_command']!r}"
    count = len(facts["hops"])
    return "directly" if not count else f"through {count} gateway{'s' if count > 1 else ''}"


def _decided(decision: Facts) -> str:
    if decision["directive"] is None:
        return "nothing: neither ProxyJump nor ProxyCommand"
    if decision["value"] is None:
        return "the command line"
    where = f"{decision['file']}, line {decision['line']}" if decision["file"] else "ssh_config"
    return f"{decision['directive']} {decision['value']} ({where})"


def _trust(hop: Facts) -> str:
    files = ", ".join(_short(file) for file in hop["known_hosts"] if os.path.exists(file))
    alias = f" as {hop['host_key_alias']}" if hop["host_key_alias"] else ""
    strict = hop["strict_host_key_checking"]
    meaning = {
        "yes": "", "ask": "; a new key is added if you confirm it",
        "accept-new": "; a new key is added", "no": "; ANY key is accepted",
    }[strict]  # fmt: skip
    return f"keys in {files or 'no file: none of known_hosts exists'}{alias}{meaning}"


def _keys(hop: Facts) -> str:
    files = hop["identity_files"]
    named = "the default files of ~/.ssh" if files is None else ", ".join(map(_short, files))
    parts = []
    if hop["agent"]:
        only = "the same keys of the" if hop["identities_only"] else "the"
        parts.append(f"{only} agent at {_short(hop['agent'])}")
    parts += [named] if named else []
    return "; ".join(parts) or "none"


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + "/") else path


def _rows(stopped: Facts | None, name: str) -> list[str]:
    """The rows about the failure, if it happened at this host."""
    if stopped is None or (name and stopped["at"] != name):
        return []
    after = "" if stopped["seconds"] is None else f" after {stopped['seconds']:.3f} s"
    lines = _row("! STOPPED", f"{stopped['error']}{after}: {stopped['text']}")
    return lines + (_row("! cure", stopped["cure"]) if stopped["cure"] else [])


def _row(label: str, text: str) -> list[str]:
    width = max(40, min(100, shutil.get_terminal_size().columns) - 1)
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"   {label:<{_LABEL - 3}}",
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
