# SPDX-License-Identifier: BSD-2-Clause
"""The command line of ``sshgateway`` and ``python -m sshgateway``."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import sshgateway
from sshgateway import config, route
from sshgateway._deadline import Deadline
from sshgateway._hosts import parse_host
from sshgateway._messages import config_invalid
from sshgateway.config import Host, SshConfig
from sshgateway.login import Prompt

USAGE = """\
sshgateway -W HOST:PORT [options] [USER@]GATEWAY
       sshgateway route HOST [--try] [--json] [options]
       sshgateway demo
"""

DESCRIPTION = """\
Reach a host through an SSH gateway.

  -W HOST:PORT    connect standard input and output to HOST:PORT through GATEWAY, as
                  ssh -W does; GATEWAY may be a list in the syntax of ProxyJump.
                  For example: ssh -o ProxyCommand="sshgateway -W %h:%p gateway" target
  route HOST      print the way to HOST by ssh_config: the gateways, their keys, and the
                  directive that decided; with --try connect, and print where that fails
                  and why
  demo            run a gateway and a target on this machine, and log in through them
"""

EPILOG = """\
exit status: 0 success; 1 failure; 2 wrong usage; 130 interrupted; with -W 255 for any
failure, as ssh, and 141 if the reader of the output has gone.
"""

#: The exit status of -W for any failure, as of ssh(1).
FAILED = 255


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    - arguments (sequence of str): the arguments. Default: those of the process.

    Returns the exit status; see EPILOG. Raises SystemExit for wrong usage and for SIGTERM and
    SIGHUP.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _fill_standard_descriptors()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup(1) sets it
            signal.signal(number, _terminate)
    command = words[0] if words else ""
    try:
        if command == "route":
            return _route(words[1:])
        if command == "demo":
            from sshgateway.cli.demo import demo

            argparse.ArgumentParser(prog="sshgateway demo").parse_args(words[1:])
            return demo()
        return _forward(words)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _fill_standard_descriptors() -> None:
    """Open /dev/null for standard descriptors that are closed, as sanitise_stdfd() of OpenSSH,
    so that no other file gets their numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _terminate(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


# ---- Options ----------------------------------------------------------------


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-F",
        metavar="FILE",
        dest="ssh_config",
        help="the ssh_config file to read, or none; default: the user's and the system's files",
    )
    parser.add_argument("-l", metavar="USER", dest="user", help="the user to log in as")
    parser.add_argument(
        "-p", metavar="PORT", dest="port", type=_port, help="the port of the SSH server"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="time limit for all steps together; default: each ConnectTimeout of ssh_config",
    )
    parser.add_argument(
        "-v",
        action="count",
        default=0,
        dest="verbose",
        help="log to standard error; -vv logs more",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _address(text: str) -> tuple[str, int]:
    try:
        user, host, port = parse_host(text)
    except ValueError:
        user, host, port = None, "", None
    if user is not None or port is None or not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, port


def _config_of(options: argparse.Namespace) -> SshConfig:
    if options.ssh_config is None:
        return None
    return False if options.ssh_config.lower() == "none" else str(options.ssh_config)


def _listen(verbose: int) -> None:
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("sshgateway")
    logger.addHandler(handler)
    logger.setLevel(level)


def _prompt() -> Prompt | None:
    """Return a function that asks at the terminal; None without one. Standard input carries the
    data of -W, so it is not used."""
    try:
        with open("/dev/tty", "rb"):
            pass
    except OSError:
        return None

    def ask(text: str, echo: bool) -> str | None:
        if not echo:
            return getpass.getpass(text)
        with open("/dev/tty", "r+", encoding="utf-8", errors="replace", buffering=1) as tty:
            tty.write(text)
            return tty.readline().rstrip("\n")

    return ask


# ---- -W ---------------------------------------------------------------------


def _forward(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="sshgateway",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-W", metavar="HOST:PORT", dest="to", type=_address, help="the target")
    _add_common(parser)
    parser.add_argument(
        "-J", metavar="LIST", dest="jump", help="reach GATEWAY through these hosts"
    )
    parser.add_argument(
        "-i",
        metavar="FILE",
        dest="identity",
        action="append",
        default=[],
        help="a private key for GATEWAY, before those of ssh_config",
    )
    parser.add_argument(
        "--version", action="store_true", help="print the version and facts about the build"
    )
    parser.add_argument("gateway", metavar="GATEWAY", nargs="?")
    options, strange = parser.parse_known_args(words)
    if options.to is None and options.gateway in ("route", "demo"):
        parser.error(f"put {options.gateway} first, and its options after it")
    if strange:
        parser.error(f"unrecognized arguments: {' '.join(strange)}")
    if options.version:
        print(_version())
        return 0
    if options.to is None or options.gateway is None:
        parser.error("give -W HOST:PORT and GATEWAY, or one of the commands route and demo")
    _listen(options.verbose)
    try:
        return _carry(options)
    except BrokenPipeError as error:
        if isinstance(error, sshgateway.Error):
            return _complain(error)
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _complain(error)


def _carry(options: argparse.Namespace) -> int:
    from sshgateway.cli.stdio import relay

    deadline = Deadline(options.timeout)
    hops = _hops(options, deadline)
    gateway = route.gateway_by(hops, prompt=_prompt())
    gateway.open(deadline.left())
    with gateway.open_channel("direct-tcpip", options.to, timeout=deadline.left()) as channel:
        relay(channel)
    return 0


def _hops(options: argparse.Namespace, deadline: Deadline) -> list[Host]:
    before, comma, last = options.gateway.rpartition(",")
    try:
        user, host, port = parse_host(last)
    except ValueError:
        raise config_invalid(f"{last!r} is not [USER@]HOST") from None
    jump = ",".join(part for part in (options.jump, before if comma else None) if part) or None
    ssh_config = _config_of(options)
    gateway = config.lookup(
        host, options.port or port, options.user or user, jump=jump, ssh_config=ssh_config,
        timeout=deadline.left(),
    )  # fmt: skip
    hops = config.route(gateway, ssh_config=ssh_config, timeout=deadline.left())
    if options.identity:
        files = (*options.identity, *(gateway.identity_files or ()))
        gateway = dataclasses.replace(gateway, identity_files=files)
    return [*hops, gateway]


def _complain(error: OSError) -> int:
    text = error.args[1] if len(error.args) > 1 else error
    print(f"sshgateway: {text}", file=sys.stderr)
    return FAILED


def _version() -> str:
    facts: dict[str, object] = {"python": sys.version.split()[0]}
    facts.update(sshgateway.build_info())
    lines = [f"sshgateway {sshgateway.__version__}"]
    for name, value in facts.items():
        text = " ".join(value) if isinstance(value, list) else value
        lines.append(f"{name.replace('_', ' ')}: {text or '-'}")
    return "\n".join(lines)


# ---- route ------------------------------------------------------------------


def _route(words: list[str]) -> int:
    from sshgateway.cli.explain import explain

    parser = argparse.ArgumentParser(
        prog="sshgateway route", description="Print the way to HOST by ssh_config.",
        epilog="exit status: 0 success; 1 the way cannot be determined, or with --try fails",
        allow_abbrev=False,
    )  # fmt: skip
    _add_common(parser)
    parser.add_argument(
        "-J",
        metavar="LIST",
        dest="jump",
        help="use these gateways instead of the ProxyJump of ssh_config",
    )
    parser.add_argument(
        "--try",
        action="store_true",
        dest="is_tried",
        help="connect, up to the version that HOST's SSH server sends, without a login on HOST; "
        "each host has its ConnectTimeout, or 15 s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("host", metavar="[USER@]HOST[:PORT]")
    options = parser.parse_args(words)
    _listen(options.verbose)
    try:
        user, host, port = parse_host(options.host)
    except ValueError:
        parser.error(f"{options.host!r} is not [USER@]HOST[:PORT]")
    return explain(
        host,
        options.port or port,
        options.user or user,
        gateway=options.jump,
        ssh_config=_config_of(options),
        timeout=options.timeout,
        prompt=_prompt() if options.is_tried else None,
        is_tried=options.is_tried,
        as_json=options.json,
    )
