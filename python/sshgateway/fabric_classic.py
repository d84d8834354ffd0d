# SPDX-License-Identifier: BSD-2-Clause
"""Fabric 1 (fab-classic): one login on the gateway for the whole run.

Fabric 1 connects to ``env.gateway`` anew for each host.  After ``install()``, at
the top of a fabfile, one shared Gateway carries them all, and ProxyCommand lines
of ssh_config are run by ours.
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
from sshgateway.proxy import check_host, check_user
from sshgateway.route import shared_gateway

__all__ = ["install", "uninstall"]

_PASSWORD_PROMPTS = 3  # ssh_config(5): NumberOfPasswordPrompts

#: What we put in the place of what, and where: (module, name, original, ours).
_replaced: list[tuple[Any, str, Any, Any]] = []

#: Fabric 1's own functions, by name; kept for those who still hold one of ours.
_originals: dict[str, Any] = {}

#: The gateways of this run, in the order of their first use.
_gateways: dict[Gateway, None] = {}

#: .way is what the connection being made in this thread goes through, in words.
_current = threading.local()


def install() -> None:
    """Have Fabric 1 use our gateways and proxy commands.

    Before the first connection; at the top of a fabfile is the place.  Doing it
    twice is doing it once.

    ``env.gateway``, and ``ProxyJump`` and ``ProxyCommand`` where
    ``env.use_ssh_config`` is set, then are ours.  A ProxyCommand wins over
    ``env.gateway``, with a UserWarning.

    Raises ImportError when the Fabric that is installed is not Fabric 1.
    """
    if _replaced:
        return
    try:
        network, main, tasks = (
            importlib.import_module(f"fabric.{name}") for name in ("network", "main", "tasks")
        )
    except ModuleNotFoundError as error:
        raise ImportError(
            f"no Fabric 1 is installed ({error}); Fabric 2 and 3 need no install(): "
            "give their Connection a gateway=sshgateway.Gateway(...)"
        ) from None
    _replace(network, "get_gateway", _get_gateway)
    _replace(network, "connect", _connect)
    for module in (network, main, tasks):  # each has imported it by name
        _replace(module, "disconnect_all", _disconnect_all)


def uninstall() -> None:
    """Give Fabric 1 its own functions back; gateways that are open stay so."""
    while _replaced:
        module, name, original, ours = _replaced.pop()
        if getattr(module, name) is ours:
            setattr(module, name, original)


def _replace(module: Any, name: str, ours: Any) -> None:
    original = _originals[name] = getattr(module, name)
    _replaced.append((module, name, original, ours))
    setattr(module, name, ours)


# ---- In the place of functions of fabric.network ----------------------------------


def _get_gateway(host: str, port: str | int, cache: Any, replace: bool = False) -> Any:
    """A stream to the host, or None when there is nothing to go through."""
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
    """Fabric 1 takes an EOFError for Ctrl-D and leaves silently, with status 0.
    It comes when the far end closes the stream before the login is complete."""
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
            gateway, _ = _gateways.popitem()  # those behind others first
            if output.status:
                sys.stdout.write(f"Disconnecting from gateway {gateway}... ")
            gateway.close()
            if output.status:
                sys.stdout.write("done.\n")


# ---- Which way ----------------------------------------------------------------------


def _first_directive(config: dict[str, Any]) -> str | None:
    """Of ProxyCommand and ProxyJump the first counts, as in OpenSSH; "none" is none.

    Paramiko hands them over in the order of the file.
    """
    for name in config:
        if name in ("proxycommand", "proxyjump"):
            return None if (config[name] or "none").lower() == "none" else name
    return None


def _hops(jumps: str, target: tuple[str, str]) -> list[str]:
    """Those of a ProxyJump; for a host that is one of them, as by "Host *", those
    before it."""
    from fabric import network

    hops = [hop.strip().removeprefix("ssh://").rstrip("/") for hop in jumps.split(",")]
    places = [network.normalize(hop)[1:] for hop in hops]
    return hops[: places.index(target)] if target in places else hops


def _start(config: dict[str, Any], env: Any, host: str, port: int) -> ProxyCommand:
    """A ProxyCommand, run as OpenSSH runs it."""
    command = config["proxycommand"]
    if env.gateway:
        warnings.warn(
            f"{host} has both a ProxyCommand ({command!r}, in {env.ssh_config_path}) and "
            f"env.gateway ({env.gateway!r}): the ProxyCommand is used",
            UserWarning,
            stacklevel=2,
        )
    # A shell reads what Paramiko has put in for %h, %n and %r.
    check_host(host)
    check_host(env.host_string.rpartition("@")[2])
    check_user(config.get("user", env.local_user))
    _current.way = f"proxy command {command!r}"
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
    """Asks for a password, as Fabric does, only where one could help."""
    from fabric import network
    from fabric.state import env

    for attempt in range(_PASSWORD_PROMPTS + 1):
        gateway = shared_gateway(**_parameters(name), gateway=through)
        _gateways[gateway] = None
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
    """What to ask for after a login that failed."""
    if error.locked_keys:
        return "Passphrase for private key"
    if {"password", "keyboard-interactive"}.intersection(error.accepted):
        return "Login password"
    return None


def _remember(name: str, password: str) -> None:
    """For this gateway alone: what opens it is not to be tried on every host."""
    from fabric import network
    from fabric.state import env

    env.passwords[network.join_host_strings(*network.normalize(name))] = password


def _parameters(name: str) -> dict[str, Any]:
    """Those of a Gateway, from Fabric 1's env."""
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
    """Fabric 1 saves no new key, and what is added to the first file is not."""
    paths = [] if env.reject_unknown_hosts else [os.devnull]
    if env.get("system_known_hosts"):
        paths.append(env.system_known_hosts)
    if not env.disable_known_hosts:
        paths.append("~/.ssh/known_hosts")
    return paths


def _seconds(timeout: Any) -> float | None:
    return float(timeout) if timeout else None


# ---- Errors as Fabric 1 understands them ------------------------------------------


@contextlib.contextmanager
def _errors_of_fabric() -> Iterator[None]:
    """It tries again after an OSError; asks for a password after an SSHException;
    and takes EOFError and TypeError for Ctrl-D."""
    try:
        yield
    except (errors.HostKeyError, errors.AuthenticationError) as error:
        # Once more would be in vain, and could lock the user out.
        _give_up(str(error.args[1]), error)
    except EOFError as error:
        _give_up(f"cannot use {_current.way}: there is nobody to ask for a password", error)
    except TypeError as error:
        _give_up(f"cannot use {_current.way}: {error!r}", error)


def _give_up(text: str, cause: BaseException) -> NoReturn:
    from fabric.exceptions import NetworkError

    raise NetworkError(text, cause) from cause
