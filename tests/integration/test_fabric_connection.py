# SPDX-License-Identifier: BSD-2-Clause
"""sshgateway.fabric.Connection: it follows the ProxyJump and ProxyCommand of ssh_config."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fabric
import paramiko
import pytest
from test_fabric import in_another_process, in_this_process

import sshgateway
from sshgateway import ChannelOpenError, HostKeyError
from support import fabrics, gateways, scripted
from support.sshd import PrivateSshd, make_key

FIFTEEN = [f"127.0.0.{number}" for number in range(1, 16)]


@pytest.fixture(scope="module")
def targets() -> Iterator[list[PrivateSshd]]:
    with PrivateSshd(addresses=FIFTEEN) as one, PrivateSshd(addresses=FIFTEEN) as two:
        yield [one, two]


@pytest.fixture(autouse=True)
def nothing_is_shared() -> Iterator[None]:
    yield
    sshgateway.close_all()


@pytest.fixture
def configure(sshd, targets, tmp_path) -> Callable[..., dict[str, Any]]:
    """``configure(lines)`` adds the gateway as "sshd", and the first target as "db1"."""

    def make(lines: str, **more: Any) -> dict[str, Any]:
        path = tmp_path / "ssh_config"
        db1 = f"Host db1\n HostName {targets[0].host}\n Port {targets[0].port}\n"
        path.write_text(lines + db1 + sshd.ssh_config.read_text())
        where = fabrics.settings(sshd, targets)
        return where | {
            "ssh_config": str(path),
            "wanted": ("db1", f"{targets[0].host}:{targets[0].port}"),
            **more,
        }

    return make


@pytest.fixture
def new_logins(sshd) -> Callable[[], int]:
    before = gateways.logins(sshd)
    return lambda: gateways.logins(sshd) - before


@pytest.fixture(params=[in_this_process, in_another_process], ids=["newest", "2.6"])
def perform(request):
    return request.param


def test_a_proxyjump_is_followed(perform, configure, new_logins) -> None:
    perform("by_ssh_config", configure("Host db1\n ProxyJump sshd\n"))
    assert new_logins() == 1


@pytest.mark.limit(60)
def test_thirty_hosts_at_once_are_one_login_on_the_gateway(perform, configure, new_logins) -> None:
    perform("our_group", configure("Host 127.*\n ProxyJump sshd\n"))
    assert new_logins() == 1


def inner(targets, name: str = "inner") -> str:
    """The second target, configured as a jump host."""
    return targets[1].ssh_config.read_text().replace("Host sshd\n", f"Host {name}\n")


def test_two_jumps_are_followed_in_openssh_s_order(
    perform, configure, targets, new_logins
) -> None:
    before = gateways.logins(targets[1])
    perform("by_ssh_config", configure("Host db1\n ProxyJump sshd,inner\n" + inner(targets)))
    assert new_logins() == 1
    assert gateways.logins(targets[1]) == before + 1


def test_the_first_jump_leads_to_the_second(configure, targets) -> None:
    """Fabric alone reverses them (fabric#1935)."""
    with PrivateSshd({"AllowTcpForwarding": "no"}, name="closed") as closed:
        lines = "Host db1\n ProxyJump closed,inner\n" + inner(targets)
        where = configure(lines + closed.ssh_config.read_text())
        with pytest.raises(ChannelOpenError) as caught:
            fabrics.by_ssh_config(where)
    assert caught.value.dest_addr == (targets[1].host, targets[1].port)


def test_the_host_keys_of_the_jumps_are_checked(configure, tmp_path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("")
    where = configure(f"Host sshd\n UserKnownHostsFile {known_hosts}\nHost db1\n ProxyJump sshd\n")
    with pytest.raises(HostKeyError):
        fabrics.by_ssh_config(where)


@pytest.mark.parametrize("directive", ["ProxyJump", "ProxyCommand"])
def test_none_disables_the_directive(configure, new_logins, directive) -> None:
    """Fabric alone takes it for the name of a host (fabric#2354)."""
    where = configure(
        f"Host db1\n {directive} none\nHost *\n {directive} nobody@nowhere.invalid\n"
    )
    assert fabrics.ours(where, "db1").gateway is None
    fabrics.by_ssh_config(where)
    assert new_logins() == 0


def test_a_proxycommand_is_run_by_a_shell(configure, tmp_path) -> None:
    where = configure(f"Host db1\n ProxyCommand nc %h %p 2>{tmp_path}/said\n")
    fabrics.by_ssh_config(where)
    assert (tmp_path / "said").exists()


def test_the_port_of_a_command_is_that_of_the_host(configure, targets, sshd) -> None:
    """Fabric alone inserts 22 (fabric#1817)."""
    where = configure("")
    host = f"{sshd.username}@{targets[0].host}:{targets[0].port}"
    with fabrics.ours(where, host, gateway="nc %h %p") as one:
        assert fabrics.say(one, "hello") == "hello"


def test_a_host_that_does_not_answer_times_out(configure) -> None:
    with scripted.black_hole() as (listener, _):
        address = "{}:{}".format(*listener.getsockname())
        where = configure("Host 127.*\n ProxyJump sshd\n")
        with pytest.raises(TimeoutError, match="within"):
            fabrics.ours(where, address, connect_timeout=1).open()


# --- Precedence -------------------------------------------------------------------------


def test_a_gateway_wins_over_a_proxyjump(configure, sshd, new_logins) -> None:
    where = configure("Host db1\n ProxyJump nobody@nowhere.invalid\n")
    with gateways.to(sshd) as gateway, fabrics.ours(where, "db1", gateway=gateway) as one:
        assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 1


@pytest.mark.parametrize("is_in_configuration", [False, True])
def test_a_proxycommand_wins_over_a_gateway(configure, is_in_configuration) -> None:
    where = configure("Host db1\n ProxyCommand nc %h %p\n")
    gateway = sshgateway.Gateway("nobody@nowhere.invalid")
    options: dict[str, Any] = {"gateway": gateway}
    if is_in_configuration:
        given = fabric.Config(runtime_ssh_path=where["ssh_config"], overrides=options)
        options = {"given": given}
    with (
        pytest.warns(UserWarning, match=r"'nc' and gateway 'nobody@nowhere\.invalid"),
        fabrics.ours(where, "db1", **options) as one,
    ):
        assert fabrics.say(one, "hello") == "hello"


def test_a_proxyjump_wins_over_a_gateway_of_the_configuration(configure, new_logins) -> None:
    """As in Fabric: ssh_config comes before its own configuration files."""
    where = configure("Host db1\n ProxyJump sshd\n")
    gateway = sshgateway.Gateway("nobody@nowhere.invalid")
    given = fabric.Config(runtime_ssh_path=where["ssh_config"], overrides={"gateway": gateway})
    with fabrics.ours(where, "db1", given) as one:
        assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 1


def test_the_gateway_of_the_configuration_is_used(configure, sshd, new_logins) -> None:
    where = configure("")
    with gateways.to(sshd) as gateway:
        given = fabric.Config(runtime_ssh_path=where["ssh_config"], overrides={"gateway": gateway})
        with fabrics.ours(where, "db1", given) as one:
            assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 1


def test_gateway_false_disables_the_proxyjump(configure, new_logins) -> None:
    where = configure("Host db1\n ProxyJump nobody@nowhere.invalid\n")
    with fabrics.ours(where, "db1", gateway=False) as one:
        assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 0


def test_a_fabric_connection_can_be_the_gateway(configure, sshd, new_logins) -> None:
    where = configure("") | {"keys": [str(sshd.user_key)]}
    with fabrics.ours(where, "sshd") as outer, fabrics.ours(where, "db1", gateway=outer) as one:
        where["keys"] += fabrics.settings(sshd, [sshd])["keys"]
        assert outer.gateway is None
        one.connect_kwargs = fabrics.connect_kwargs(configure(""))
        assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 1


# --- Where ssh_config comes from --------------------------------------------------------


def config_of(where: dict[str, Any], kind: str) -> fabric.Config:
    path = where["ssh_config"]
    if kind == "object":
        return fabric.Config(ssh_config=paramiko.SSHConfig.from_path(path))
    given = fabric.Config(runtime_ssh_path=path)
    return given.clone() if kind == "clone" else given


@pytest.mark.parametrize("kind", ["file", "clone", "object"])
def test_every_form_of_fabrics_configuration_is_used(configure, new_logins, kind) -> None:
    where = configure(
        'Match !host "db2,db3" originalhost db1\n ProxyJump sshd\nHost db?\n ProxyCommand none\n'
    )
    with fabrics.ours(where, "db1", config_of(where, kind)) as one:
        assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 1


@pytest.mark.parametrize("kind", ["file", "clone"])
def test_an_include_is_followed(configure, tmp_path, new_logins, kind) -> None:
    """Paramiko ignores Include, so ssh(1) reads the file itself."""
    (tmp_path / "more").write_text("Host db1\n ProxyJump sshd\n")
    where = configure(f"Include {tmp_path}/none\nInclude {tmp_path}/more\n")
    with fabrics.ours(where, "db1", config_of(where, kind)) as one:
        assert fabrics.say(one, "hello") == "hello"
    assert new_logins() == 1


@pytest.mark.parametrize("loads", [True, False])
def test_the_users_file_is_read_if_fabric_reads_it(
    configure, tmp_path, monkeypatch, loads
) -> None:
    where = configure("Host *\n ProxyJump sshd\n")
    (tmp_path / ".ssh").mkdir()
    Path(where["ssh_config"]).rename(tmp_path / ".ssh" / "config")
    monkeypatch.setenv("HOME", str(tmp_path))
    given = fabric.Config(overrides={"load_ssh_configs": loads})
    found = fabrics.ours(where, "db1", given).gateway
    assert (found is not None) == loads


def test_no_rule_is_lost_when_a_parsed_config_is_written_to_a_file(configure, tmp_path) -> None:
    make_key(tmp_path / "key")
    where = configure(
        'Host one two !three\n ProxyCommand none\n IdentityFile a\n IdentityFile "b c"\n'
        "Match all\n Port 4\n"
    )
    given = config_of(where, "object")
    with sshgateway.fabric._ssh_config(given) as path, warnings.catch_warnings():
        assert isinstance(path, str)
        again = paramiko.SSHConfig.from_path(path)
    for host in ("one", "three", "db1", "sshd"):
        assert again.lookup(host) == given.base_ssh_config.lookup(host)
    assert not Path(path).exists()
