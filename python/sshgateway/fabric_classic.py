# SPDX-License-Identifier: BSD-2-Clause
"""Fabric 1 (fab-classic): one login on the gateway for the whole run.

Fabric 1 logs in to ``env.gateway`` once for each host. After ``install()``, at the top of a
fabfile, one shared Gateway carries the connections to all hosts, and ``sshgateway.ProxyCommand``
runs the proxy commands of ssh_config.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

from sshgateway import ProxyCommand, _core, errors
from sshgateway.gateway import Gateway
from sshgateway.login import Question, asks_for_password
from sshgateway.proxy import check_host, check_user, check_values, first_word
from sshgateway.route import shared_gateway

__all__ = ["install", "uninstall"]

_PASSWORD_PROMPTS = 3  # ssh_config(5): NumberOfPasswordPrompts

#: The functions that install() has replaced: (module, name, original, ours).
_replaced: list[tuple[Any, str, Any, Any]] = []

#: Fabric 1's own functions, by name. They stay here after uninstall(), for code that holds a
#: reference to one of ours.
_originals: dict[str, Any] = {}

#: The gateways of this run, in the order of their first use.
_gateways: dict[Gateway, None] = {}

#: .way describes the gateway or proxy command of the connection that this thread is making.
#: .needs_password is True if a gateway has asked for a password that was not known.
_current = threading.local()


def install() -> None:
    """Make Fabric 1 use the gateways and proxy commands of sshgateway.

    Call it before the first connection, at the top of a fabfile. A second call does nothing.

    It applies to ``env.gateway`` and, if ``env.use_ssh_config`` is set, to ``ProxyJump`` and
    ``ProxyCommand`` of ssh_config(5). If there are both a ProxyCommand and ``env.gateway``, the
    ProxyCommand is used, with a UserWarning.

    Raises ImportError if Fabric 1 is not installed.
    """
    if _replaced:
        return
    try:
        network, main, tasks = (
            importlib.import_module(f"fabric.{name}") for name in ("network", "main", "tasks")
        )
    except ModuleNotFoundError as error:
        if error.name not in ("fabric", "fabric.network"):
            raise  # a library that Fabric 1 itself needs
        raise ImportError(
            f"Fabric 1 is not installed ({error}); try: pip install sshgateway[fab-classic]; "
            "Fabric 2 and 3 need no install(): give their Connection a "
            "gateway=sshgateway.Gateway(...)",
            name=error.name,
        ) from error
    _replace(network, "get_gateway", _get_gateway)
    _replace(network, "connect", _connect)
    for module in (network, main, tasks):  # each has imported it by name
        _replace(module, "disconnect_all", _disconnect_all)


def uninstall() -> None:
    """Undo ``install()``: restore Fabric 1's own functions. Open gateways stay open."""
    while _replaced:
        module, name, original, ours = _replaced.pop()
        if getattr(module, name) is ours:
            setattr(module, name, original)


def _replace(module: Any, name: str, ours: Any) -> None:
    original = _originals[name] = getattr(module, name)
    _replaced.append((module, name, original, ours))
    setattr(module, name, ours)


# ---- Replacements of functions of fabric.network -----------------------------------


def _get_gateway(host: str, port: str | int, cache: Any, replace: bool = False) -> Any:
    """Return a stream to the host, or None if it is reached directly."""
    from fabric import network
    from fabric.state import env

    config = network.ssh_config()
    directive = _first_directive(config)
    if directive == "proxycommand":
        return _start(config, env, host, int(port))
    hops = [env.gateway] if env.gateway else []
    if directive == "proxyjump" and not hops:
        hops = _hops(config["proxyjump"], (host, str(port)))
    return _open_channel(hops, host, int(port)) if hops else None


def _connect(user: str, host: str, port: Any, cache: Any, seek_gateway: bool = True) -> Any:
    """Connect as Fabric 1 does, and report a stream that ends before the login is complete.

    Fabric 1 mistakes the EOFError of such a stream for Ctrl-D, and exits silently with
    status 0.
    """
    _current.way = None
    try:
        return _originals["connect"](user, host, port, cache, seek_gateway)
    except SystemExit as leave:
        cause = leave.__context__
        if _current.way is None or not isinstance(cause, (EOFError, TypeError)):
            raise
        why = "the connection was closed" if isinstance(cause, EOFError) else f"{cause!r}"
        _give_up(f"cannot log in to {host}:{port} through {_current.way}: {why}", cause)


def _disconnect_all() -> None:
    from fabric.state import output

    try:
        _originals["disconnect_all"]()
    finally:
        while _gateways:
            gateway, _ = _gateways.popitem()  # the last hops first
            if output.status:
                sys.stdout.write(f"Disconnecting from gateway {gateway}... ")
            gateway.close()
            if output.status:
                sys.stdout.write("done.\n")


# ---- Which way ----------------------------------------------------------------------


def _first_directive(config: dict[str, Any]) -> str | None:
    """The one of ProxyCommand and ProxyJump that comes first, which counts in OpenSSH.

    Paramiko keeps the order of the file. Returns None for "none".
    """
    for name in config:
        if name in ("proxycommand", "proxyjump"):
            return None if (config[name] or "none").lower() == "none" else name
    return None


def _hops(jumps: str, target: tuple[str, str]) -> list[str]:
    """The hosts of a ProxyJump. If the target is one of them, because the directive is in
    "Host *", only those before it."""
    from fabric import network

    hops = [hop.strip().removeprefix("ssh://").rstrip("/") for hop in jumps.split(",")]
    places = [network.normalize(hop)[1:] for hop in hops]
    return hops[: places.index(target)] if target in places else hops


def _start(config: dict[str, Any], env: Any, host: str, port: int) -> ProxyCommand:
    """Start a ProxyCommand as OpenSSH does."""
    command = config["proxycommand"]
    program = first_word(command)
    if env.gateway:
        warnings.warn(
            f"{host} has both a ProxyCommand ({program!r}, in {env.ssh_config_path}) and "
            f"env.gateway ({env.gateway!r}): the ProxyCommand is used",
            UserWarning,
            stacklevel=2,
        )
    # A shell interprets the values that Paramiko has substituted for %h, %n and %r.
    check_host(host)
    check_host(env.host_string.rpartition("@")[2])
    user = check_user(config.get("user", env.local_user))
    if user in command:  # Paramiko has expanded %r, so nothing tells whether it was in quotes
        check_values(f"{program} %r", {"r": user})
    _current.way = f"proxy command {program!r}"
    return ProxyCommand(command, shell=True, peername=(host, port))


def _open_channel(hops: list[str], host: str, port: int) -> _core.DirectTcpipChannel:
    from fabric.state import env

    _current.way = f"gateway {hops[-1]}"
    with _errors_of_fabric():
        gateway = None
        for hop in hops:
            gateway = _open_gateway(hop, gateway)
        assert gateway is not None
        return gateway.open_channel(dest_addr=(host, port), timeout=_seconds(env.timeout))


def _open_gateway(name: str, through: Gateway | None) -> Gateway:
    """Open a shared gateway; ask for a password, as Fabric does, only if one could help."""
    from fabric import network
    from fabric.state import env

    for attempt in range(_PASSWORD_PROMPTS + 1):
        gateway = shared_gateway(**_parameters(name), prompt=_answer, gateway=through)
        _gateways[gateway] = None
        _current.needs_password = False
        try:
            gateway.open(_seconds(env.timeout))
            break
        except errors.AuthenticationError as error:
            question = _question(error)
            if question is None or attempt == _PASSWORD_PROMPTS:
                raise
            password = network.prompt_for_password(f"[{gateway}] {question}")
            _remember(name, password)
    return gateway


def _question(error: errors.AuthenticationError) -> str | None:
    """The question for the user after a failed login; None if no answer could help."""
    if error.locked_keys:
        return "Passphrase for private key"
    if _current.needs_password and not error.too_many_attempts:
        return "Login password"
    return None


def _answer(text: str, echo: bool, question: Question) -> str | None:
    """The prompt= of the gateways: ask for a second factor, as Fabric asks for a password.

    Passwords and passphrases are declined, because _open_gateway() asks for them and remembers
    them for the next connection.
    """
    from fabric import network

    if question.kind == "passphrase":
        return None
    if question.kind != "keyboard-interactive" or (not echo and asks_for_password(text)):
        _current.needs_password = True
        return None
    explanation = (question.name, question.instruction) if question.is_first else ()
    shown = "\n".join([*filter(None, explanation), f"[{question.gateway}] {text}"])
    answer: str = network.prompt_for_password(shown, no_colon=True)
    return answer


def _remember(name: str, password: str) -> None:
    """Keep a password for this gateway only, so that it is not tried on every host."""
    from fabric import network
    from fabric.state import env

    env.passwords[network.join_host_strings(*network.normalize(name))] = password


def _parameters(name: str) -> dict[str, Any]:
    """The parameters of a Gateway, from Fabric 1's env."""
    from fabric import network
    from fabric.auth import get_password
    from fabric.context_managers import settings
    from fabric.state import env

    user, host, port = network.normalize(name)
    password = get_password(user, host, port, login_only=True) or None
    with settings(host_string=name):  # for the IdentityFile of the gateway
        key_filenames = network.key_filenames()
    return {
        "hostname": host,
        "port": int(port),
        "username": user,
        "password": password,
        "passphrase": password,
        "pkey": network.key_from_env(password),
        "key_filename": key_filenames,
        "allow_agent": not env.no_agent,
        "look_for_keys": not env.no_keys,
        "known_hosts": _known_hosts(env),
        "strict_host_key_checking": "yes" if env.reject_unknown_hosts else "accept-new",
        "timeout": _seconds(env.timeout),
        "server_alive_interval": int(env.keepalive or 0),
    }


def _known_hosts(env: Any) -> list[str]:
    """The known_hosts files. Fabric 1 saves no new keys, so the first one is /dev/null, to
    which new keys are added."""
    paths = [] if env.reject_unknown_hosts else [os.devnull]
    if env.get("system_known_hosts"):
        paths.append(env.system_known_hosts)
    if not env.disable_known_hosts:
        paths.append("~/.ssh/known_hosts")
    return paths


def _seconds(timeout: Any) -> float | None:
    return float(timeout) if timeout else None


# ---- Errors as Fabric 1 expects them -----------------------------------------------


@contextlib.contextmanager
def _errors_of_fabric() -> Iterator[None]:
    """Raise NetworkError for errors that Fabric 1 would handle wrongly.

    Fabric 1 retries after an OSError, asks for a password after an SSHException, and mistakes
    EOFError and TypeError for Ctrl-D.
    """
    try:
        yield
    except (errors.HostKeyError, errors.AuthenticationError) as error:
        # A retry would fail too, and could lock the account.
        _give_up(str(error.args[1]), error)
    except EOFError as error:
        _give_up(f"cannot use {_current.way}: there is no terminal to ask for a password", error)
    except TypeError as error:
        _give_up(f"cannot use {_current.way}: {error!r}", error)


def _give_up(text: str, cause: BaseException) -> NoReturn:
    from fabric.exceptions import NetworkError

    raise NetworkError(text, cause) from cause
