# SPDX-License-Identifier: BSD-2-Clause
"""Gateways that cannot be opened: the exception, its message, and the time it takes."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

import sshgateway
from sshgateway import (
    AuthenticationError,
    Gateway,
    GatewayError,
    _logins,
)
from support import gateways, scripted
from support.gateways import Target, closed_port, to_address
from support.sshd import PrivateSshd
from support.waiting import DEADLINE


def failure(gateway: Gateway, expected: type[BaseException], **options) -> BaseException:
    """The exception of open(); its arguments are (errno, text) with the gateway's name."""
    start = time.monotonic()
    with pytest.raises(expected) as caught:
        gateway.open(**options)
    assert time.monotonic() - start < 2 * DEADLINE
    error = caught.value
    assert isinstance(error, OSError)
    assert len(error.args) == 2 and all(
        isinstance(argument, kind) for argument, kind in zip(error.args, (int, str), strict=True)
    )
    assert error.errno > 0
    assert str(gateway) in error.args[1], "the message must name the gateway"
    assert "\n" not in error.args[1]
    if not isinstance(error, TimeoutError):
        assert error.errno != errno.ETIMEDOUT
        assert error.gateway == str(gateway)
    assert not gateway.is_connected
    return error


# --- Before SSH -----------------------------------------------------------------------


def test_a_refused_connection_is_reported() -> None:
    gateway = to_address(("127.0.0.1", closed_port()))
    error = failure(gateway, GatewayError)
    assert error.errno == errno.ECONNREFUSED
    assert isinstance(error, ConnectionRefusedError)
    assert "refused" in str(error)


def test_an_unknown_name_is_reported() -> None:
    gateway = to_address(("no-such-host.invalid", 22))
    error = failure(gateway, GatewayError)
    assert "no-such-host.invalid" in str(error)


def test_a_name_with_a_label_that_is_too_long_is_reported() -> None:
    """The idna codec of getaddrinfo raises UnicodeError."""
    failure(to_address(("x" * 300, 22)), GatewayError)


def test_a_timeout_of_the_kernel_is_not_a_timeouterror(monkeypatch) -> None:
    """connect(2) fails with ETIMEDOUT after minutes, although the caller set no deadline."""

    class Socket(socket.socket):
        def connect(self, address):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(sshgateway.gateway.socket, "socket", Socket)
    error = failure(to_address(("127.0.0.1", 22), timeout=None), GatewayError)
    assert not isinstance(error, TimeoutError)
    assert "timed out" in str(error)


def test_the_second_address_of_a_name_is_tried(sshd, monkeypatch) -> None:
    found = socket.getaddrinfo

    def both(host, port, *args, **options):
        assert host == "two.example"
        dead = found("127.0.0.1", closed_port(), *args, **options)
        return dead + found(sshd.host, sshd.port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    gateway = gateways.to(sshd, hostname="two.example", strict_host_key_checking="no")
    gateway.open()
    assert gateway.is_connected
    gateway.close()


# --- Peers that do not speak SSH, or stop halfway ---------------------------------------

RUDE: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "closes at once": (scripted.says_and_closes(), "closed the connection"),
    "resets": (scripted.resets, "reset|closed"),
    "http": (
        scripted.says_and_closes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "it sent 'Content-Length: 0', which is not an SSH version",
    ),
    "full": (
        scripted.says_and_closes(b"Exceeded MaxStartups\r\n"),
        "is busy: it said 'Exceeded MaxStartups'; try again later",
    ),
    "half a banner": (scripted.says_and_closes(b"SSH-2.0-Ope"), "closed the connection|banner"),
    "a banner alone": (scripted.says_and_closes(scripted.BANNER), "closed the connection"),
    "a number that is no length": (
        scripted.says(scripted.BANNER, b"\xff" * 64),
        "exchange|packet",
    ),
    "a packet of zeros": (scripted.says(scripted.BANNER, bytes(64)), ""),
    "goodbye": (
        scripted.says_and_closes(scripted.BANNER, scripted.disconnect(12, "too many\nusers")),
        "too many users",
    ),
    "goodbye and gone": (
        lambda sock: sock.sendall(scripted.BANNER + scripted.disconnect(12, "too many users")),
        "too many users",
    ),
    "old": (scripted.says_and_closes(b"SSH-1.5-OpenSSH_1\r\n"), ""),
}


@pytest.mark.parametrize("name", RUDE)
def test_a_peer_that_is_not_an_ssh_server_is_reported(monkeypatch, name: str) -> None:
    monkeypatch.setattr(_logins, "pauses", lambda deadline: iter(()))  # no second try
    serve, words = RUDE[name]
    with Target(serve) as target:
        # A busy server is tried again until the timeout.
        limit = {"timeout": 2} if name == "full" else {}
        error = failure(to_address(target.address), GatewayError, **limit)
    assert re.search(words, str(error)), str(error)


@pytest.mark.parametrize(
    "serve",
    [
        scripted.says(),
        scripted.says(b"SSH-2.0-"),
        scripted.says(b"220 mail.example ESMTP\r\n"),
        scripted.says(scripted.BANNER),
        scripted.says(scripted.BANNER, scripted.packet(b"\2" + bytes(20))),
    ],
    ids=["nothing", "half a banner", "mail", "banner", "ignore"],
)
def test_a_peer_that_falls_silent_times_out(serve) -> None:
    with Target(serve) as target:
        gateway = to_address(target.address, timeout=60)
        start = time.monotonic()
        error = failure(gateway, TimeoutError, timeout=0.2)
        assert time.monotonic() - start >= 0.19
        assert type(error) is TimeoutError
        assert error.errno == errno.ETIMEDOUT
        assert "within 0.2 s" in str(error)


def test_a_peer_that_sends_lines_before_its_banner_without_end_times_out() -> None:
    """RFC 4253 section 4.2 allows other lines before the banner; the deadline applies to them."""

    def serve(sock: socket.socket) -> None:
        try:
            while True:
                sock.sendall(b"welcome\r\n" * 1000)
        except OSError:
            return

    with Target(serve) as target:
        failure(to_address(target.address), (GatewayError, TimeoutError), timeout=0.5)


@pytest.mark.parametrize("size", [0, 1, 10, 45, 300, 1000, 1200, 1400])
def test_a_connection_that_is_cut_off_is_reported(sshd, size: int) -> None:
    """It is cut off in the banner, in KEXINIT, in the key exchange, or later."""
    with Target(scripted.cut_after((sshd.host, sshd.port), size)) as cut:
        gateway = gateways.to(sshd, hostname=cut.address[0], port=cut.address[1],
                              strict_host_key_checking="no")  # fmt: skip
        error = failure(gateway, GatewayError)
    assert "closed the connection" in str(error)


# --- No common algorithm ----------------------------------------------------------------

POOR = {
    "ciphers": ({"Ciphers": "chacha20-poly1305@openssh.com"}, ["cipher", "chacha20"]),
    "key exchange": ({"KexAlgorithms": "sntrup761x25519-sha512@openssh.com"}, ["key exchange"]),
    "macs": ({"Ciphers": "aes128-ctr", "MACs": "hmac-sha2-256-etm@openssh.com"}, ["MAC"]),
}


@pytest.mark.parametrize("name", POOR)
def test_the_absence_of_a_common_algorithm_is_reported(name: str) -> None:
    options, words = POOR[name]
    with PrivateSshd(options) as server:
        error = failure(gateways.to(server), GatewayError)
        assert "there is no common" in str(error), str(error)
        for word in [*words, *options[list(options)[-1]].split(",")]:
            assert word in str(error), (word, str(error))
        assert sshgateway._core.LIBSSH2_VERSION in str(error)


@pytest.mark.skipif(sshgateway._core.LIBSSH2_NUMBER >= 0x010B00, reason="libssh2 has RSA")
def test_the_error_for_a_server_with_only_an_rsa_host_key_says_what_to_do(tmp_path) -> None:
    with PrivateSshd({"HostKeyAlgorithms": "rsa-sha2-512", "HostKey": rsa(tmp_path)}) as server:
        error = failure(gateways.to(server), GatewayError)
    assert "RSA" in str(error) and "1.11" in str(error)


def rsa(directory) -> str:
    path = str(directory / "rsa")
    paramiko.RSAKey.generate(2048).write_private_key_file(path)
    return path


# --- Login ------------------------------------------------------------------------------


def test_a_wrong_key_is_reported(sshd, tmp_path) -> None:
    path = str(tmp_path / "wrong")
    paramiko.ECDSAKey.generate().write_private_key_file(path)
    error = failure(gateways.to(sshd, key_filename=path), AuthenticationError)
    assert error.errno == errno.EACCES
    assert isinstance(error, PermissionError)
    assert path in str(error)
    assert "publickey" in str(error)
    assert any(path in method for method in error.methods)


def test_the_absence_of_any_key_or_password_is_reported(sshd) -> None:
    error = failure(gateways.to(sshd, key_filename=None, password="secret"), AuthenticationError)
    assert "secret" not in str(error)
    assert error.methods == ["the server still accepts: publickey"]


def test_an_unknown_user_is_reported(sshd) -> None:
    failure(gateways.to(sshd, username="nobody-of-this-name"), AuthenticationError)


def test_too_many_keys_for_the_server_are_reported(tmp_path) -> None:
    """sshd disconnects after MaxAuthTries; the error is that of a refused login and says so."""
    with PrivateSshd({"MaxAuthTries": "2"}) as server:
        paths = [str(tmp_path / str(number)) for number in range(5)]
        for path in paths:
            paramiko.ECDSAKey.generate().write_private_key_file(path)
        error = failure(gateways.to(server, key_filename=paths), AuthenticationError)
    assert "too many attempts" in str(error)
    assert paths[0] in str(error)


# --- Arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "host"),
        ({"host": "h", "port": 65536}, "port"),
        ({"host": "h", "strict_host_key_checking": "maybe"}, "accept-new"),
        ({"host": "a@"}, "host"),
        ({"host": "h:port"}, "host"),
        ({"host": "@h"}, "host"),
        ({"host": "[::1"}, "host"),
    ],
    ids=str,
)
def test_invalid_parameters_are_refused(options, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Gateway(**options)


def test_a_uri_is_refused_as_hostname() -> None:
    """Otherwise "ssh://me" would be taken for a user's name."""
    with pytest.raises(ValueError, match="not a host"):
        Gateway("ssh://me@bastion")


@pytest.mark.parametrize("gateway", ["bastion", 5])
def test_an_invalid_gateway_argument_is_refused(gateway) -> None:
    with pytest.raises(TypeError, match="gateway must be a Gateway"):
        Gateway("h", gateway=gateway)


@pytest.mark.parametrize("pkey", ["/a/path", b"key", [5], Path("/a/path")])
def test_an_invalid_pkey_is_refused(pkey) -> None:
    with pytest.raises(TypeError, match=r"pkey must be a key.*key_filename"):
        Gateway("h", pkey=pkey)


@pytest.mark.parametrize("known_hosts", ["/a/path", b"/a/path"])
def test_a_single_known_hosts_path_is_refused(known_hosts) -> None:
    with pytest.raises(TypeError, match="known_hosts files must be a sequence"):
        Gateway("h", known_hosts=known_hosts)
