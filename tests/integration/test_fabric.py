# SPDX-License-Identifier: BSD-2-Clause
"""Unmodified Fabric, the newest and Debian 12's 2.6, through a Gateway."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fabric
import pytest

from support import fabrics, fresh, gateways, scripted
from support.sshd import PrivateSshd

#: Fabric 2.6 and the Paramiko that belongs to it, as in Debian 12.
OLD = [Path(sys.prefix, "fabric-2.6"), Path(sys.prefix, "paramiko-2.12")]

THIRTY = [f"127.0.0.{number}" for number in range(1, 16)]  # two servers listen on each address


def in_this_process(flow: str, where) -> None:
    fabrics.FLOWS[flow](where)


def in_another_process(flow: str, where) -> None:
    """Run with Fabric 2.6: the one beside the newest, or the installed one."""
    path = []
    if not fabric.__version__.startswith("2.6"):
        path = [str(folder) for folder in OLD]
        if not all(map(os.path.isdir, path)):
            pytest.skip(f"no {OLD[0]}: tools/bootstrap.sh could not install fabric 2.6")
    done = fresh.run(
        Path(fabrics.__file__), flow, json.dumps(where), path=path, warnings="default"
    )
    assert done.stdout.split()[-1].startswith("2.6")
    # The other warnings come from Invoke, because of its age.
    assert "ResourceWarning" not in done.stderr


@pytest.fixture(params=[in_this_process, in_another_process], ids=["newest", "2.6"])
def perform(request):
    return request.param


@pytest.fixture(scope="module")
def targets() -> Iterator[list[PrivateSshd]]:
    with PrivateSshd(addresses=THIRTY) as one, PrivateSshd(addresses=THIRTY) as two:
        yield [one, two]


@pytest.fixture(scope="module")
def where(sshd, targets):
    return fabrics.settings(sshd, targets)


def test_a_command_runs(perform, where) -> None:
    perform("run", where)


def test_files_are_put_and_got(perform, where) -> None:
    perform("put_and_get", where)


def test_a_serial_group_reaches_its_hosts(perform, where) -> None:
    perform("serial_group", where)


@pytest.mark.limit(60)
def test_thirty_hosts_at_once_are_one_login_on_the_gateway(perform, where, sshd) -> None:
    before = gateways.logins(sshd)
    assert len(set(where["hosts"])) == 30
    perform("group", where)
    assert gateways.logins(sshd) == before + 1


def test_the_gateway_of_the_configuration_is_used(perform, where, sshd) -> None:
    before = gateways.logins(sshd)
    perform("gateway_in_the_configuration", where)
    assert gateways.logins(sshd) == before + 1


def test_a_refusal_gives_the_reason(perform, where) -> None:
    perform("refusal", where)


def test_a_closed_gateway_is_opened_again(perform, where) -> None:
    perform("reopened", where)


def test_a_target_that_does_not_answer_times_out(perform, where) -> None:
    """Fabric opens the channel without a timeout (fabric#2026), so the gateway's own applies."""
    with scripted.black_hole() as (listener, _):
        address = "{}:{}".format(*listener.getsockname())
        perform("default_timeout", where | {"hosts": [address]})
