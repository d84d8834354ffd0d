# SPDX-License-Identifier: BSD-2-Clause
"""The algorithms of a connection, as kex=, ciphers=, macs= and host_key_algorithms= allow."""

from __future__ import annotations

import subprocess

import pytest

from sshgateway import GatewayError, build_info
from support import gateways, peers, scripted
from support.sshd import PrivateSshd

LISTS = {"kex": "kex", "ciphers": "cipher", "macs": "mac", "host_key_algorithms": "host_key"}
#: The type of key that ssh-keygen makes for a host key algorithm.
KEYS = {"ssh-ed25519": ("ed25519",), "rsa-sha2-512": ("rsa",), "rsa-sha2-256": ("rsa",)} | {
    f"ecdsa-sha2-nistp{bits}": ("ecdsa", "-b", str(bits)) for bits in (256, 384, 521)
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with a host key of each type, and a file that knows them."""
    directory = tmp_path_factory.mktemp("keys")
    files = []
    for number, kind in enumerate(dict.fromkeys(KEYS.values())):
        files.append(directory / f"host_key{number}")
        command = ["ssh-keygen", "-q", "-N", "", "-C", "", "-f", files[-1], "-t", *kind]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    options = {"HostKey": [str(file) for file in files]}
    supported = subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=True)
    options["KexAlgorithms"] = ",".join(supported.stdout.split())
    with PrivateSshd(options) as sshd:
        public = [file.with_name(file.name + ".pub").read_text() for file in files]
        sshd.known_hosts.write_text("".join(f"* {line}" for line in public))
        yield sshd


def cases() -> list[tuple[str, str]]:
    facts = build_info()
    theirs = subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=True)
    return [
        (parameter, name)
        for parameter in LISTS
        for name in facts[parameter]
        if "-cert-" not in name and (parameter != "kex" or name in theirs.stdout.split())
    ]


@pytest.mark.parametrize(("parameter", "name"), cases())
def test_each_algorithm_can_be_the_only_one(server, parameter: str, name: str) -> None:
    options = {parameter: [name]}
    if parameter == "macs":
        options["ciphers"] = "aes128-ctr"  # GCM has no MAC
    with gateways.to(server, **options) as gateway:
        assert gateway.methods[LISTS[parameter]] == name


def test_the_order_of_the_caller_decides(server) -> None:
    for names in (["aes128-ctr", "aes256-ctr"], ["aes256-ctr", "aes128-ctr"]):
        with gateways.to(server, ciphers=names) as gateway:
            assert gateway.methods["cipher"] == names[0]


@pytest.mark.parametrize(
    ("keyword", "theirs", "options", "words"),
    [
        ("Ciphers", "aes256-ctr", {"ciphers": "aes128-ctr"}, "no common cipher"),
        ("KexAlgorithms", "ecdh-sha2-nistp256", {"kex": "curve25519-sha256"}, "key exchange"),
        ("HostKeyAlgorithms", "ssh-ed25519", {"host_key_algorithms": "ecdsa-sha2-nistp256"},
         "no common host key type"),
    ],
)  # fmt: skip
def test_the_error_names_what_was_offered(keyword, theirs, options, words) -> None:
    with PrivateSshd({keyword: theirs}) as sshd:
        gateway = gateways.to(sshd, **options)
        with pytest.raises(GatewayError, match=words) as caught:
            gateway.open()
    assert f"offers {theirs}" in str(caught.value)
    (ours,) = options.values()
    assert f"offers {ours}" in str(caught.value)


# --- The exchange that withstands quantum computers ---------------------------------------

MLKEM = "mlkem768x25519-sha256"
needs_mlkem = pytest.mark.skipif(
    MLKEM not in build_info()["kex"], reason="needs the pinned libssh2 and OpenSSL 3.5"
)


@needs_mlkem
def test_the_post_quantum_exchange_is_preferred() -> None:
    assert build_info()["kex"][0] == MLKEM
    theirs = subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=True)
    if MLKEM not in theirs.stdout.split():
        pytest.skip("this OpenSSH has no ML-KEM")
    with PrivateSshd() as sshd, gateways.to(sshd) as gateway:
        assert gateway.methods["kex"] == gateway.stats.kex == MLKEM


@needs_mlkem
def test_the_post_quantum_exchange_with_paramiko(sshd) -> None:
    paramiko = pytest.importorskip("paramiko")
    if MLKEM not in paramiko.Transport._preferred_kex:
        pytest.skip("this Paramiko has no ML-KEM")
    options = {"kex": [MLKEM], "password": "x", "strict_host_key_checking": "no"}
    with (
        scripted.ParamikoServer(sshd, methods="password", password="x") as server,
        server.gateway(**options) as gateway,
    ):
        assert gateway.methods["kex"] == MLKEM


@needs_mlkem
def test_the_post_quantum_exchange_with_asyncssh() -> None:
    peers.skip_without(peers.AsyncsshServer)
    with peers.AsyncsshServer() as server:
        gateway = gateways.to_address(
            (server.host, server.port),
            username=server.username,
            key_filename=server.user_key,
            strict_host_key_checking="no",
            kex=[MLKEM],
        )
        with gateway:
            assert gateway.methods["kex"] == MLKEM
