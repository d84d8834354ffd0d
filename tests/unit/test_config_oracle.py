# SPDX-License-Identifier: BSD-2-Clause
"""Routes compared with those of ssh(1) itself, on generated configuration files.

The tests start ssh(1) through a wrapper that records its arguments.  ssh starts itself
again, by the name it was started by, for each host of a ProxyJump, and a shell for a
ProxyCommand.  All hosts here are closed ports, so no connection succeeds.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sshgateway import ConfigError, config
from sshgateway._deadline import Deadline
from sshgateway._ssh_config.ask import Lookup
from sshgateway._ssh_config.program import find_program
from sshgateway._ssh_config.reader import Unsupported
from sshgateway.route import Way, find_way
from support import server

pytestmark = pytest.mark.limit(120)

#: Longer than any route without a circle among so few hosts can be.
MOST = 9

WRAPPER = """#!/bin/bash
for word; do printf '%s\\0' "$word"; done >> {directory}/calls
printf '\\n' >> {directory}/calls
[ $(wc -l < {directory}/calls) -gt {most} ] && exit 99
exec -a {directory}/ssh {ssh} "$@"
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("oracle")
    wrapper = directory / "ssh"
    wrapper.write_text(
        WRAPPER.format(directory=directory, most=MOST, ssh=server.find_program("ssh"))
    )
    wrapper.chmod(0o755)
    return directory


def route_of_ssh(directory: Path, file: Path, host: str) -> dict[str, Any]:
    """The route of ssh(1): the hosts it is started for, the address it connects each one
    to, and its proxy command."""
    (directory / "calls").write_bytes(b"")
    (directory / "command").write_bytes(b"")
    ssh = ["-F", str(file), "-o", "BatchMode=yes", host, "true"]
    done = subprocess.run(
        [directory / "ssh", *ssh], capture_output=True, timeout=60, check=False, text=True,
        stdin=subprocess.DEVNULL, env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip
    calls = [line.split("\0")[:-1] for line in (directory / "calls").read_text().splitlines()]
    first = done.stderr.split("\n")[0]
    if "jumphost loop" in done.stderr or len(calls) > MOST:
        return {"circle": True}
    if "Bad configuration" in done.stderr or "Invalid ProxyJump" in done.stderr:
        return {"broken": True}
    hops = [call[-1] for call in calls[:0:-1]]
    to = [call[call.index("-W") + 1] for call in calls[:0:-1]]
    assert calls, first
    return {"hops": hops, "to": to, "command": (directory / "command").read_text()}


def route_of_sshgateway(directory: Path, file: Path, host: str) -> dict[str, Any]:
    """The same for the route that sshgateway finds."""
    try:
        way: Way = find_way((host, None), ssh_config=file)
    except ConfigError as error:
        return {"circle": True} if error.errno == 40 else {"broken": True}
    stops = [*way.hops, way.target]
    proxy = way.proxy or stops[0].proxy()
    if proxy is not None:
        (directory / "command").write_bytes(b"")
        assert isinstance(proxy.command, str)
        subprocess.run(["sh", "-c", proxy.command], check=False, stdin=subprocess.DEVNULL)
    return {
        "hops": [hop.name for hop in way.hops],
        "to": [f"[{stop.hostname}]:{stop.port}" for stop in stops[1:]],
        "command": (directory / "command").read_text() if proxy else "",
    }


NAMES = ["a", "b", "c", "d"]
PATTERNS = [*NAMES, *NAMES, *NAMES, "*", "?", "[a-c]", "!a *", "* !b !c", "a b", "A"]
JUMPS = [*NAMES, "none", "a,b", "c,b,a", "u@d", "d:2209", "ssh://v@c:2208", "ssh://a,b", "a,none"]

jumping = st.tuples(st.just("ProxyJump"), st.sampled_from(JUMPS))
directives = st.one_of(
    jumping,
    jumping,
    st.tuples(st.just("ProxyCommand"), st.sampled_from(["none", "RECORD 1", "RECORD 2"])),
    st.tuples(st.just("HostName"), st.sampled_from(["127.0.0.1", "127.0.0.2", "localhost"])),
    st.tuples(st.just("Port"), st.sampled_from(["2201", "2202"])),
    st.tuples(st.just("User"), st.sampled_from(["u", "v"])),
    st.tuples(st.just("HostKeyAlias"), st.sampled_from(["alias"])),
)
of_the_login = st.one_of(
    st.tuples(st.just("CertificateFile"), st.sampled_from(["/a-cert.pub", "none", "~/b_%h"])),
    st.tuples(
        st.just("PreferredAuthentications"),
        st.sampled_from(["password", "hostbased", "keyboard-interactive,publickey,x"]),
    ),
    st.tuples(
        st.sampled_from(
            ["PubkeyAuthentication", "PasswordAuthentication", "KbdInteractiveAuthentication",
             "ChallengeResponseAuthentication"],
        ),
        st.sampled_from(["yes", "no"]),
    ),
    st.tuples(st.just("NumberOfPasswordPrompts"), st.sampled_from(["0", "5"])),
    st.tuples(st.just("Ciphers"), st.sampled_from(["aes128-ctr", "+aes128-cbc"])),
    st.tuples(st.just("PubkeyAcceptedKeyTypes"), st.just("ssh-ed25519")),
)  # fmt: skip
named = st.sampled_from(PATTERNS).map(lambda pattern: f"Host {pattern}")
conditions = st.one_of(
    named,
    named,
    st.sampled_from(["host 127.0.0.2", "originalhost a,b", "user v", "all", 'exec "test %n = c"',
                     "!originalhost a", "final"]).map(lambda text: f"Match {text}"),
)  # fmt: skip
blocks = st.tuples(conditions, st.lists(directives, min_size=1, max_size=4))


def block(name: str, *jumps: str) -> st.SearchStrategy:
    """The block of one host; most of its routes have no circle."""
    more = st.lists(directives, max_size=2)
    way = st.sampled_from(
        [*[("ProxyJump", jump) for jump in jumps], ("ProxyCommand", "RECORD 3"), ("Port", "2203")]
    )
    return st.builds(lambda first, rest: (f"Host {name}", [first, *rest]), way, more)


orderly = st.tuples(
    block("a", "b", "c,b", "u@b:2204,ssh://v@d:2208", "d,ssh://c", "b,c,d"),
    block("b", "c", "d,c", "v@d"),
    block("c", "d", "none"),
    block("d", "none"),
)
files = st.builds(
    lambda before, all_, after: [*before, *all_, *after],
    st.lists(blocks, max_size=1),
    orderly,
    st.lists(blocks, max_size=2),
)


def text_of(directory: Path, written: list[tuple[str, list[tuple[str, str]]]]) -> str:
    # stdout stays open until the record is written, because ssh would end the command before.
    record = f"sh -c 'echo %h %n %p %r $0 >> {directory}/command'"
    lines = []
    for condition, settings_ in written:
        lines.append(condition)
        lines += [f"  {k} {v.replace('RECORD', record)}" for k, v in settings_]
    # The last block applies to hosts for which nothing was set.
    return "\n".join([*lines, "Host *", "HostName 127.0.0.1", "Port 9", "User me", ""])


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files)
@example([("Host a", [("ProxyJump", "c,b")]), ("Host b c", [("ProxyJump", "d")])])
@example([("Host *", [("ProxyJump", "b")])])
@example([("Host a", [("ProxyJump", "b")]), ("Host b", [("ProxyJump", "a")])])
@example([("Host * !b", [("ProxyJump", "b")]), ("Host b", [("ProxyCommand", "RECORD")])])
@example([("Host a", [("ProxyJump", "none"), ("ProxyCommand", "RECORD")])])
@example([("Host a", [("ProxyJump", "none")]), ("Host *", [("ProxyJump", "b")])])
def test_the_route_is_that_of_ssh(directory: Path, written) -> None:
    file = directory / "config"
    file.write_text(text_of(directory, written))
    ours = route_of_sshgateway(directory, file, "a")
    assert ours == route_of_ssh(directory, file, "a"), file.read_text()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.builds(
        lambda first, rest: [*first, *rest],
        st.lists(st.tuples(named, st.lists(of_the_login, min_size=1, max_size=4)), max_size=3),
        files,
    ),
    st.sampled_from(NAMES),
)
def test_the_reader_finds_the_same_values_as_ssh(directory: Path, written, name: str) -> None:
    file = directory / "config"
    file.write_text(text_of(directory, written))
    answers = []
    for by in (Lookup._read, Lookup._printed):
        asked = config._asked(name, None, None, None, str(file), Deadline(60))
        try:
            answers.append(config._host(name, by(asked, find_program(Deadline(60)))))
        except ConfigError as error:
            answers.append(error.errno)
        except Unsupported as found:
            assert "exec" in found.construct or "none" in found.construct
            return
    assert answers[0] == answers[1], file.read_text()
