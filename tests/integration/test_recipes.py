# SPDX-License-Identifier: BSD-2-Clause
"""The code on the pages of docs/recipes works as the pages say."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sshgateway
from support import fresh, gateways
from support.sshd import PrivateSshd
from support.web import BODY

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
PAGES = Path(__file__).parents[2] / "docs" / "recipes"
PEERS = Path(sys.prefix, "peers")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def peers(monkeypatch) -> None:
    """Put the libraries that are installed beside the virtual environment on the path."""
    if not PEERS.is_dir():
        pytest.skip(f"no {PEERS}: tools/bootstrap.sh could not install the libraries")
    monkeypatch.syspath_prepend(PEERS)


@pytest.fixture(scope="module")
def targets() -> Iterator[list[PrivateSshd]]:
    with PrivateSshd(addresses=["127.0.0.1", "127.0.0.2", "127.0.0.3"], name="db1") as server:
        yield [server]


@pytest.fixture(scope="module")
def target(targets) -> PrivateSshd:
    return targets[0]


@pytest.fixture
def gateway(sshd) -> Iterator[sshgateway.Gateway]:
    before = gateways.logins(sshd)
    gateway = gateways.to(sshd)  # its first user opens it
    yield gateway
    gateway.close()
    assert gateways.logins(sshd) == before + 1


@pytest.fixture
def ssh_config(sshd, target, tmp_path) -> Path:
    """An ssh_config with a ProxyJump to the gateway for the target, "db1"."""
    path = tmp_path / "ssh_config"
    way = "Host db1 127.*\n ProxyJump sshd\n"
    path.write_text(way + target.ssh_config.read_text() + sshd.ssh_config.read_text())
    return path


def test_every_recipe_is_on_a_page_and_every_page_in_the_index() -> None:
    pages = {page.stem: page.read_text() for page in PAGES.glob("*.rst")}
    index = pages.pop("index")
    for name in pages:
        assert f"   {name}\n" in index
    for recipe in RECIPES.glob("*.py"):
        assert any(f"recipes/{recipe.name}" in text for text in pages.values()), recipe.name


# --- netmiko ----------------------------------------------------------------------------


@pytest.fixture
def device(target) -> dict[str, object]:
    return {
        "device_type": "linux",
        "username": target.username,
        "use_keys": True,
        "key_file": str(target.user_key),
        "port": target.port,
    }


def test_netmiko_connects_through_a_socket(
    peers, monkeypatch, sshd, target, device, ssh_config
) -> None:
    recipe = load("use_netmiko")
    create_connection = sshgateway.create_connection
    monkeypatch.setattr(
        sshgateway, "create_connection",
        lambda *args, **options: create_connection(*args, ssh_config=ssh_config, **options),
    )  # fmt: skip
    before = gateways.logins(sshd)
    said = recipe.ask_through_a_gateway("sshd", target.host, "echo $((40 + 2))", **device)
    assert said.strip() == "42"
    assert gateways.logins(sshd) == before + 1
    sshgateway.close_all()


def test_netmiko_connects_by_its_ssh_config_file(peers, sshd, target, device, ssh_config) -> None:
    recipe = load("use_netmiko")
    before = gateways.logins(sshd)
    try:
        said = recipe.ask_by_ssh_config(str(ssh_config), target.host, "echo $((40 + 2))", **device)
    finally:
        sshgateway.paramiko.uninstall()
    assert said.strip() == "42"
    assert gateways.logins(sshd) == before + 1


# --- asyncssh, asyncio --------------------------------------------------------------------


def test_asyncssh_connects_through_a_channel(peers, gateway, target) -> None:
    import asyncio

    recipe = load("use_asyncssh")
    hosts = [(address, target.port) for address in target.addresses]
    said = asyncio.run(
        recipe.run_everywhere(
            gateway, hosts, "echo $SSH_CONNECTION", username=target.username,
            client_keys=[str(target.user_key)], known_hosts=str(target.known_hosts),
            config=None, agent_path=None,
        )
    )  # fmt: skip
    assert [(line.split()[2], int(line.split()[3])) for line in said] == hosts


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_asyncio_streams_connect_through_a_channel(
    gateway, contexts, http_address, https_address, is_secure
) -> None:
    import asyncio

    recipe = load("use_asyncio")
    (_, port), context = (https_address, contexts[1]) if is_secure else (http_address, None)

    async def talk() -> bytes:
        reader, writer = await recipe.open_connection(gateway, "localhost", port, context)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(talk()).endswith(BODY[-1000:])


# --- HTTP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_http_client_connects_through_a_channel(
    gateway, contexts, http_address, https_address, is_secure
) -> None:
    recipe = load("use_http_client")
    options = {"context": contexts[1]} if is_secure else {}
    _, port = https_address if is_secure else http_address
    connection = recipe.connect(gateway, "localhost", port, **options)
    for _ in range(2):
        connection.request("GET", "/")
        assert connection.getresponse().read() == BODY
    connection.close()


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_urllib3_connects_through_a_channel(
    peers, gateway, contexts, http_address, https_address, is_secure
) -> None:
    recipe = load("use_urllib3")
    options = {"ssl_context": contexts[1]} if is_secure else {}
    scheme, (_, port) = ("https", https_address) if is_secure else ("http", http_address)
    with recipe.pool_manager(gateway, **options) as manager:
        for _ in range(2):
            assert manager.request("GET", f"{scheme}://localhost:{port}/").data == BODY


# --- Fabric -------------------------------------------------------------------------------


@pytest.fixture
def options(target, ssh_config) -> dict[str, object]:
    import fabric

    return {
        "user": target.username,
        "config": fabric.Config(runtime_ssh_path=str(ssh_config)),
        "connect_kwargs": {"key_filename": [str(target.user_key)], "allow_agent": False},
    }


def test_fabric_connects_through_a_gateway(gateway, target, options) -> None:
    import fabric

    recipe = load("use_fabric")
    options["config"] = fabric.Config(overrides={"load_ssh_configs": False})
    hosts = [f"{address}:{target.port}" for address in target.addresses]
    said = recipe.everywhere(gateway, hosts, "echo $SSH_CONNECTION", **options)
    assert sorted(":".join(line.split()[2:]) for line in said) == hosts


def test_fabric_connects_by_ssh_config(sshd, target, options) -> None:
    recipe = load("use_fabric")
    before = gateways.logins(sshd)
    hosts = [f"{address}:{target.port}" for address in target.addresses]
    said = recipe.everywhere_by_ssh_config(hosts, "echo $SSH_CONNECTION", **options)
    assert sorted(":".join(line.split()[2:]) for line in said) == hosts
    assert gateways.logins(sshd) == before + 1
    sshgateway.close_all()


def test_fab_classic_connects_through_a_gateway(tmp_path, sshd, target) -> None:
    folders = [str(Path(sys.prefix, name)) for name in ("fab-classic", "paramiko-ng")]
    if not all(Path(folder).is_dir() for folder in folders):
        pytest.skip("tools/bootstrap.sh could not install fab-classic")
    before = gateways.logins(sshd)
    hosts = [f"{address}:{target.port}" for address in target.addresses]
    keys = [word for server in (sshd, target) for word in ("-i", str(server.user_key))]
    flags = ["-a", "-k", "-g", f"{sshd.username}@{sshd.host}:{sshd.port}", *keys]
    done = fresh.run(
        fresh.SUPPORT / "fab.py", "-f", str(RECIPES / "use_fab_classic.py"),
        *flags, "-u", target.username, "-H", ",".join(hosts), "uptime",
        path=folders, warnings="default", HOME=str(tmp_path),
    )  # fmt: skip
    for host in hosts:
        assert f"[{host}] out: " in done.stdout
    assert gateways.logins(sshd) == before + 1
