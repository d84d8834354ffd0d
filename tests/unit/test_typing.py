# SPDX-License-Identifier: BSD-2-Clause
"""Type checkers accept good programs that use sshgateway, and refuse bad ones."""

import inspect
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_type_hints

import pytest

import sshgateway
from sshgateway._core import Stream
from sshgateway.gateway import Gateway, GatewayParameters
from sshgateway.proxy import ProxyCommandParameters

needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")

#: Each line is checked. A line that ends with "# error: CODE" must have exactly this error.
PROGRAM = """\
import asyncio
import http.client
import socket
import ssl
from typing import assert_type

import sshgateway.paramiko
from sshgateway import (
    DirectTcpipChannel, Gateway, HostKeyError, ProxyCommand, create_connection, shared_gateway,
)
from sshgateway.login import Question

gateway = Gateway("bastion", strict_host_key_checking="accept-new")
channel = gateway.open_channel("direct-tcpip", ("db", 22), timeout=3)
assert_type(channel, DirectTcpipChannel)
command = ProxyCommand("ssh -W db:22 bastion")
connection: socket.socket = create_connection(("db", 22))
tls = ssl.create_default_context().wrap_socket(channel, server_hostname="db")
http.client.HTTPConnection("db").sock = command


async def program() -> None:
    await asyncio.open_connection(sock=channel)
    await asyncio.get_running_loop().sock_sendall(command, b"text")


Gateway("inner", sock=channel)
Gateway("inner", gateway=gateway)
shared_gateway("bastion", username="deploy", timeout=10)
assert_type(channel.recv(10), bytes)
assert_type(channel.makefile("rb").read(), bytes)
assert_type(channel.makefile().read(), str)
assert_type(channel.getsockopt(1, 2), int)
assert_type(channel.dup(), socket.socket)
assert_type(command.returncode, int | None)


def answer(text: str, echo: bool, question: Question) -> str | None:
    if question.kind == "pass phrase":  # error: comparison-overlap
        return None
    return None


def advise(error: HostKeyError) -> bool:
    return error.state == "new"  # error: comparison-overlap


Gateway("bastion", prompt=answer, preferred_authentications=["password"])

Gateway("bastion", strict_host_key_checking="maybe")  # error: arg-type
shared_gateway("bastion", user="deploy")  # error: call-arg
shared_gateway("bastion", port="22")  # error: arg-type
Gateway("bastion", preferred_authentications=["passwords"])  # error: list-item
create_connection(("db", 22), timeout="3")  # error: arg-type
gateway.open_channel("session")  # error: arg-type
DirectTcpipChannel(gateway, ("db", 22), kind="x11")  # error: arg-type
sshgateway.paramiko.ProxyCommand("nc db 22", shel=True)  # error: call-arg
channel.bytes_sent = 3  # error: misc
channel.send("text")  # error: arg-type
"""


def test_the_typed_dictionary_has_the_parameters_of_gateway() -> None:
    parameters = inspect.signature(Gateway.__init__).parameters.values()
    keywords = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert list(GatewayParameters.__annotations__) == list(keywords)
    here = get_type_hints(GatewayParameters, localns={"Gateway": Gateway})
    there = get_type_hints(Gateway.__init__)
    assert here == {name: there[name] for name in keywords}


def test_the_typed_dictionary_has_the_parameters_of_proxycommand() -> None:
    parameters = inspect.signature(sshgateway.ProxyCommand).parameters.values()
    keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert list(ProxyCommandParameters.__annotations__) == keywords


def test_a_stream_lacks_the_methods_of_a_socket_that_is_not_connected() -> None:
    """For type checkers it has them, because it is a socket.socket."""
    lacking = {"accept", "bind", "connect", "connect_ex", "listen", "sendto", "sendmsg_afalg"}
    names = {name for name in dir(socket.socket) if not name.startswith("_")}
    assert names - set(dir(Stream)) == lacking & names


def test_an_unknown_parameter_of_a_shared_gateway_is_named() -> None:
    with pytest.raises(TypeError, match=r"shared_gateway\(\) got an unexpected .* 'user'"):
        sshgateway.shared_gateway("bastion", user="deploy")


@needs_mypy
def test_mypy_accepts_good_programs_and_refuses_bad_ones(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    settings = tmp_path / "mypy.ini"
    settings.write_text(f"[mypy]\nmypy_path = {Path(sshgateway.__file__).parents[1]}\n")
    options = ["--strict", "--no-error-summary", "--hide-error-context"]
    options += [f"--config-file={settings}", f"--cache-dir={tmp_path}"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    found = [line for line in run.stdout.splitlines() if ": error: " in line]
    got = {(int(line.split(":")[1]), line.rsplit("[", 1)[1].rstrip("]")) for line in found}
    wanted = {
        (number, line.rsplit("# error: ", 1)[1])
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "# error: " in line
    }
    assert got == wanted, run.stdout + run.stderr
