# SPDX-License-Identifier: BSD-2-Clause
"""The documentation: help() and inspect of the public names, the API pages, the README."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import sshgateway
from sshgateway import ProxyCommand

METHODS = [
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendmsg",
    "sendfile",
    "makefile",
    "settimeout",
    "gettimeout",
    "setblocking",
    "getblocking",
    "fileno",
    "detach",
    "dup",
    "shutdown",
    "close",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
]

ATTRIBUTES = [
    "cmd",
    "pid",
    "returncode",
    "stderr",
    "bytes_sent",
    "bytes_received",
    "timeout",
    "closed",
    "family",
    "type",
    "proto",
]


def test_every_promised_socket_method_exists() -> None:
    for name in METHODS:
        assert callable(getattr(ProxyCommand, name)), name
        assert callable(getattr(socket.socket, name)), name


def public_methods() -> list[str]:
    return [
        name
        for name in dir(ProxyCommand)
        if not name.startswith("_") and callable(getattr(ProxyCommand, name))
    ]


@pytest.mark.parametrize("name", sorted(set(METHODS) | set(public_methods())))
def test_every_method_has_a_signature_and_a_docstring(name: str) -> None:
    method = getattr(ProxyCommand, name)
    parameters = list(inspect.signature(method).parameters.values())
    assert parameters[0].name == "self"
    for parameter in parameters:
        assert parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    documentation = inspect.getdoc(method)
    assert documentation
    assert len(documentation) > 20
    assert "--\n" not in documentation


@pytest.mark.parametrize("name", ["recv", "recv_into", "sendall", "makefile", "shutdown", "close"])
def test_a_bound_method_shows_its_arguments_without_self(name: str) -> None:
    with ProxyCommand("cat") as sock:
        assert "self" not in inspect.signature(getattr(sock, name)).parameters


@pytest.mark.parametrize("name", ["recv_into", "makefile", "sendfile"])
def test_arguments_are_named_as_in_socket(name: str) -> None:
    try:
        expected = list(inspect.signature(getattr(socket.socket, name)).parameters)
    except ValueError:  # a builtin without a signature
        expected = {"recv_into": ["self", "buffer", "nbytes", "flags"]}[name]
    assert list(inspect.signature(getattr(ProxyCommand, name)).parameters) == expected


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_has_a_docstring(name: str) -> None:
    attribute = inspect.getattr_static(ProxyCommand, name)
    assert inspect.isdatadescriptor(attribute)
    assert attribute.__doc__


def test_the_constructors_signature_is_that_of_the_documentation() -> None:
    parameters = inspect.signature(ProxyCommand).parameters
    assert next(iter(parameters)) == "command_line"
    assert parameters["command_line"].default is inspect.Parameter.empty
    defaults = {
        "shell": False,
        "stderr": subprocess.PIPE,
        "env": None,
        "cwd": None,
        "start_new_session": False,
        "peername": None,
        "linger": 1.0,
        "fdpass": False,
        "timeout": None,
    }
    assert list(parameters)[1:] == list(defaults)
    for name, default in defaults.items():
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default == default


def test_the_class_and_the_module_have_docstrings() -> None:
    for thing in (sshgateway, ProxyCommand, sshgateway.Error, sshgateway.ProxyCommandError):
        assert thing.__doc__
        assert len(thing.__doc__) > 20
    for name in ("command_line", "linger", "fdpass", "start_new_session", "peername"):
        assert name in ProxyCommand.__doc__


def test_the_class_names_its_module() -> None:
    assert ProxyCommand.__name__ == "ProxyCommand"
    assert ProxyCommand.__module__.partition(".")[0] == "sshgateway"


# --- Pages --------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.rst").read_text()


def api_pages() -> str:
    return "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.rst")))


def test_every_public_name_is_on_an_api_page() -> None:
    names = set(re.findall(r"^\.\. auto\w+:: (?:sshgateway\.)?(\w+)$", api_pages(), re.M))
    assert set(sshgateway.__all__) - {"__version__"} <= names
    for module in ("paramiko", "fabric", "fabric_classic", "known_hosts", "agent", "config"):
        assert f"automodule:: sshgateway.{module}\n" in api_pages()


@pytest.mark.parametrize(
    "thing",
    [
        sshgateway.Gateway,
        sshgateway.Gateway.open,
        sshgateway.Gateway.open_channel,
        sshgateway.Gateway.open_unix,
        sshgateway.create_connection,
        sshgateway.ProxyCommand,
        sshgateway.DirectTcpipChannel,
    ],
    ids=lambda thing: thing.__qualname__,
)
def test_every_parameter_has_an_item_in_the_docstring(thing: Callable[..., object]) -> None:
    """As "- name (type): ..." in Python, and as a line with the name in C."""
    documentation = inspect.getdoc(thing)
    assert documentation
    for name in inspect.signature(thing).parameters:
        item = rf"^(- )?(\w+, )*{name}\b( \(|:|,|$)"
        assert name == "self" or re.search(item, documentation, re.M), name


def test_every_field_of_the_statistics_has_a_comment_for_the_api_page() -> None:
    lines = inspect.getsource(sshgateway.GatewayStats).splitlines()
    for field in dataclasses.fields(sshgateway.GatewayStats):
        [number] = [n for n, line in enumerate(lines) if line.startswith(f"    {field.name}: ")]
        assert lines[number - 1].startswith("    #: "), field.name


# --- The README -----------------------------------------------------------------------------


def headings(text: str) -> set[str]:
    """The anchors that a site such as GitHub makes for the headings of a page."""
    titles = re.findall(r"^(\S.*)\n[=-]{3,}$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_links_of_the_readme_lead_to_pages_and_headings() -> None:
    links = re.findall(r"<(docs/[^>]+)>`__", README)
    assert len(links) > 5
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).is_file(), link
        assert not anchor or anchor in headings((ROOT / path).read_text()), link


def test_the_manuals_first_page_defines_the_same_links_as_the_readme() -> None:
    defined = re.compile(r"^\.\. \|([\w-]+)\| replace::", re.M)
    assert defined.findall(README) == defined.findall((DOCS / "index.rst").read_text())


def tables(page: str) -> dict[tuple[str, str, str], str]:
    """The medians of a page of docs/performance, by title of the table, column and row."""
    found = {}
    for table in (DOCS / "performance" / page).read_text().split(".. csv-table:: ")[1:]:
        title, _, rest = table.partition("\n")
        header, *rows = csv.reader(
            rest.split("\n\n", 1)[1].strip().splitlines(), skipinitialspace=True
        )
        for name, *cells in rows:
            for column, cell in zip(header[1:], cells, strict=True):
                found[title, column, name] = cell.split()[0]
    return found


def readme_row(title: str) -> list[str]:
    """The cells of a row of the README's comparison."""
    [cells] = re.findall(rf"^   \* - {title}\n((?:     - .*\n)+)", README, re.M)
    return [line.removeprefix("     - ") for line in cells.splitlines()]


def add(*figures: str) -> str:
    return f"{sum(map(float, figures)):.2f}"


@pytest.mark.parametrize("way", ["down", "up"])
def test_the_figures_of_the_readme_are_those_of_the_last_measurement(way: str) -> None:
    """After ``make bench-docs``, copy the figures that this test expects into the README."""
    channel = tables("through-a-gateway.txt")
    proxy = tables("proxycommand-with-ssh.txt")
    stream = f"raw stream {way}"

    def rate(name: str) -> str:
        return channel[stream, "rate, MB/s", name]

    def cpu(name: str) -> str:
        return channel[stream, "CPU, client side, ms/MB", name]

    def proxy_rates(name: str) -> str:
        default, gcm = (
            proxy[f"{ssh}: {stream}", "rate, MB/s", name]
            for ssh in ("ssh -W", "ssh -W, aes128-gcm")
        )
        return f"{default} ({gcm})"

    def proxy_cpu(name: str) -> str:
        default, gcm = (
            add(
                proxy[f"{ssh}: {stream}", "CPU, this process, ms/MB", name],
                proxy[f"{ssh}: {stream}", "CPU, the child, ms/MB", name],
            )
            for ssh in ("ssh -W", "ssh -W, aes128-gcm")
        )
        return f"{default} ({gcm})"

    assert readme_row(f"MB/s {way}") == [
        rate("paramiko"),
        proxy_rates("paramiko"),
        f"{rate('ssh')} ({rate('ssh-gcm')})",
        rate("sshgateway"),
        proxy_rates("sshgateway"),
    ]
    assert readme_row(f"CPU {way}, ms/MB") == [
        cpu("paramiko"),
        proxy_cpu("paramiko"),
        f"{cpu('ssh')} ({cpu('ssh-gcm')})",
        cpu("sshgateway"),
        proxy_cpu("sshgateway"),
    ]
