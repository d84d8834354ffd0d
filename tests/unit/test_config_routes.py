# SPDX-License-Identifier: BSD-2-Clause
"""The hosts on the way to a target, by the ProxyJump of ssh_config."""

from __future__ import annotations

import errno

import pytest

from sshgateway import ConfigError
from sshgateway.config import Host, lookup, route, route_by


def names(hops: list[Host]) -> list[str]:
    return [str(hop) for hop in hops]


def test_a_list_of_jumps_is_followed_in_the_order_of_openssh(file, backend) -> None:
    path = file("Host t\nProxyJump bob@a:2201,b,ssh://carol@c:2203\nHost *\nUser u\n")
    hops = route(lookup("t", ssh_config=path), ssh_config=path)
    assert names(hops) == ["bob@a:2201", "u@b:22", "carol@c:2203"]


def test_only_the_first_jump_of_a_list_has_a_route_of_its_own(file, backend) -> None:
    """ssh starts the others with -J, which wins over the file."""
    path = file("""
Host t
    ProxyJump a,b
Host a b
    ProxyJump outer
Host outer
    ProxyCommand nc %h %p
""")
    hops = route(lookup("t", ssh_config=path), ssh_config=path)
    assert [hop.name for hop in hops] == ["outer", "a", "b"]
    assert hops[0].proxy_command == "nc %h %p"


@pytest.mark.parametrize(
    ("jump", "host"),
    [
        ("[::1]:2022", "me@[::1]:2022"),
        ("u@[fe80::1]", "u@[fe80::1]:22"),
        ("1.2.3.4:5", "me@1.2.3.4:5"),
        ("a@b@c", "a@b@c:22"),
        ("ssh://h/", "me@h:22"),
        ("ssh://a%40b@c:9", "a@b@c:9"),
    ],
)
def test_the_forms_of_a_jump_are_parsed(file, backend, jump: str, host: str) -> None:
    path = file(f"Host t\nProxyJump {jump}\nHost *\nUser me\n")
    assert names(route(lookup("t", ssh_config=path), ssh_config=path)) == [host]


@pytest.mark.parametrize("jump", ["a;b", "-a", "$x", "a:0", "a:99999", "@a", "a,,b", "'x'"])
def test_invalid_jumps_are_refused(file, backend, jump: str) -> None:
    path = file(f"Host t\nProxyJump {jump}\n")
    with pytest.raises(ConfigError):
        route(lookup("t", ssh_config=path), ssh_config=path)
    with pytest.raises(ConfigError):
        route_by(jump, ssh_config=False)


@pytest.mark.parametrize(
    "text",
    [
        "Host *\nProxyJump b\n",
        "Host t b\nProxyJump a\nHost a\nProxyJump b\n",
        "Host t\nProxyJump a,b\nHost a\nProxyJump t\n",
        "Host *\nHostName 10.0.0.1\nProxyJump b\n",
    ],
)
def test_circular_routes_are_found(file, backend, text: str) -> None:
    path = file(text)
    with pytest.raises(ConfigError) as caught:
        route(lookup("t", ssh_config=path), ssh_config=path)
    assert caught.value.errno == 40, caught.value
    assert "circle" in str(caught.value) or "loop" in str(caught.value)
    assert str(caught.value).count("->") < 5, "the circle is noticed at its first repetition"


def test_the_word_loop_makes_no_circle(file) -> None:
    path = file("Loop yes\n")
    with pytest.raises(ConfigError) as caught:
        lookup("t", ssh_config=path)
    assert "loop" in str(caught.value).lower()
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("jump", ["me@t", "t:22", "ssh://t"])
def test_a_host_that_is_its_own_jump_host(file, backend, jump: str) -> None:
    path = file(f"User me\nHost t\nProxyJump {jump}\n")
    with pytest.raises(ConfigError) as caught:
        route(lookup("t", ssh_config=path), ssh_config=path)
    assert caught.value.errno == errno.ELOOP


def test_another_port_of_the_same_host_is_no_circle(file, backend) -> None:
    path = file("Match originalhost t\nProxyJump t2:2222\nMatch all\nHostName t\n")
    assert names(route(lookup("t", ssh_config=path), ssh_config=path))[0].endswith("@t:2222")


def test_a_wildcard_may_exclude_the_gateway(file, backend) -> None:
    path = file("Host * !gw\nProxyJump gw\n")
    assert [h.name for h in route(lookup("t", ssh_config=path), ssh_config=path)] == ["gw"]
    assert lookup("gw", ssh_config=path).proxy_jump is None


def test_a_hop_gives_the_parameters_of_a_gateway(file, backend, tmp_path) -> None:
    path = file(f"Host g\nUser u\nIdentityFile {tmp_path}/k\nConnectTimeout 3\n")
    parameters = lookup("g", ssh_config=path).gateway_parameters()
    assert parameters["username"] == "u" and parameters["timeout"] == 3
    assert parameters["key_filename"] == (f"{tmp_path}/k",)
    assert parameters["look_for_keys"] is False
