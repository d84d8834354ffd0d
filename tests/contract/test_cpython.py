# SPDX-License-Identifier: BSD-2-Clause
# ruff: noqa: N802 (names from unittest and test_socket)
"""CPython's own tests of connected sockets, run on our streams.

Each class of ``test.test_socket`` named below runs twice with each kind of stream: once
the client end is such a stream, and once the server end (``cli_conn`` in CPython).  In
the second case the roles are reversed: the client accepts.  A test may be skipped only if
it is skipped on a plain socket too.
"""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from support import gateways

CLASSES = (
    "BasicTCPTest",
    "BufferIOTest",
    "FileObjectClassTestCase",
    "UnbufferedFileObjectClassTestCase",
    "LineBufferedFileObjectClassTestCase",
    "SmallBufferedFileObjectClassTestCase",
    "UnicodeReadFileObjectClassTestCase",
    "UnicodeWriteFileObjectClassTestCase",
    "UnicodeReadWriteFileObjectClassTestCase",
)

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # test_socket imports deprecated modules
        from test import test_socket
except ImportError as error:
    test_socket = None
    MISSING = (
        f"this Python cannot import test.test_socket ({error}): install it (Debian and Ubuntu: "
        "apt install libpython3-testsuite) or use an interpreter that has it"
    )

HOST = "127.0.0.1"


def by_proxycommand(port: int, options: str = "") -> Any:
    from sshgateway import ProxyCommand

    return ProxyCommand(f"socat -t30 -{options} TCP:{HOST}:{port}")


def by_relayed(port: int, options: str = "") -> Any:
    sock = by_proxycommand(port, options)
    sock.fileno()
    return sock


def by_channel(port: int, options: str = "") -> Any:
    return gateways.shared().open_channel("direct-tcpip", (HOST, port))


ROADS = {
    "ProxyCommand": by_proxycommand,
    "RelayedProxyCommand": by_relayed,
    "DirectTcpipChannel": by_channel,
}


class NoSkipsBeyondPlain:
    """A skip is a failure unless the same test of the plain class is skipped too."""

    plain: type[unittest.TestCase]

    def _testWriteNonBlocking(self: Any) -> None:
        """Replaces CPython's, which skips itself when eleven writes do not fill a socket.

        Behind our sockets lie the buffers of a program or a gateway, which fill while the
        test writes, so the number of writes that fill the stream is not fixed.
        """
        self.serv_skipped = None
        self.serv_conn.setblocking(False)
        big = b"x" * test_socket.support.SOCK_MAX_SIZE
        total = 0
        while (n := self.write_file.write(big)) is not None:
            self.assertGreater(n, 0)
            total += n
            self.assertLess(total, 4 * len(big))
        self.assertGreater(total, 0)

    def run(self, result: Any = None) -> Any:
        return super().run(_SkipsChecked(result, self.plain))  # type: ignore[misc]


class _SkipsChecked:
    def __init__(self, result: Any, plain: type[unittest.TestCase]) -> None:
        self._result = result
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def addSkip(self, case: unittest.TestCase, reason: str) -> None:
        expected = unittest.TestResult()
        self._plain(case._testMethodName).run(expected)
        if expected.skipped:
            self._result.addSkip(case, reason)
            return
        try:
            raise AssertionError(f"skipped, but a plain socket is not: {reason}")
        except AssertionError as error:
            self._result.addFailure(case, (type(error), error, error.__traceback__))


class ClientEnd(NoSkipsBeyondPlain):
    """The client of the test is a stream of ours."""

    connect: Callable[..., Any]

    def clientSetUp(self) -> None:
        super_of_connected(self).clientSetUp()
        self.cli.close()
        self.cli = self.serv_conn = self.connect(self.port)
        open_write_file(self)


class ServerEnd(NoSkipsBeyondPlain):
    """The server of the test is a stream of ours, whose peer is the test's client.

    Without "shut-close", socat keeps its stdout open for the 30 s of -t30 after its
    peer's end of file, and tests that read up to the end would wait as long.  "!!"
    separates stdout from stdin, because socat 1.8 needs that for the option.
    """

    connect: Callable[..., Any]

    def setUp(self) -> None:
        if hasattr(self, "read_mode"):
            self.evt1, self.evt2, self.serv_finished, self.cli_finished = (
                test_socket.threading.Event() for _ in range(4)
            )
        test_socket.ThreadedTCPSocketTest.setUp(self)
        self.cli_conn = self.connect(self.port, "!!-,shut-close")
        if hasattr(self, "read_mode"):
            self.read_file = self.cli_conn.makefile(
                self.read_mode,
                self.bufsize,
                encoding=self.encoding,
                errors=self.errors,
                newline=self.newline,
            )
        self.serverExplicitReady()

    def clientSetUp(self) -> None:
        super_of_connected(self).clientSetUp()
        self.cli.close()
        self.cli, _ = self.serv.accept()
        self.serv_conn = self.cli
        open_write_file(self)


def super_of_connected(case: Any) -> Any:
    """The fixture below SocketConnectedTest, which does everything except connecting."""
    return super(test_socket.SocketConnectedTest, case)


def open_write_file(case: Any) -> None:
    """The statements that FileObjectClassTestCase.clientSetUp adds."""
    if hasattr(case, "write_mode"):
        case.write_file = case.serv_conn.makefile(
            case.write_mode,
            case.bufsize,
            encoding=case.encoding,
            errors=case.errors,
            newline=case.newline,
        )


def make_classes() -> dict[str, type[unittest.TestCase]]:
    made = {}
    for name in CLASSES:
        plain = getattr(test_socket, name)
        for road, connect in ROADS.items():
            for role in (ClientEnd, ServerEnd):
                title = f"{road}{role.__name__}{name}"
                parts = {"plain": plain, "connect": staticmethod(connect)}
                made[title] = type(title, (role, plain), parts)
    return made


if test_socket is not None:
    globals().update(make_classes())


def test_the_tests_of_cpython_are_found() -> None:
    if test_socket is None:
        pytest.fail(MISSING)
    for name in CLASSES:
        assert unittest.TestLoader().getTestCaseNames(getattr(test_socket, name))
