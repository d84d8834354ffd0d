# SPDX-License-Identifier: BSD-2-Clause
"""A libssh2 with the overflow in the choice of an RSA key's algorithm gets no RSA key."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sshgateway import _core
from sshgateway._status import LIBSSH2_ERROR_AUTHENTICATION_FAILED
from sshgateway.errors import AuthenticationError
from sshgateway.login import Login

PATCHES = "18-buffered-random-padding 19-signature-algorithm-overflow"
FORMATS = {
    "pem": form.PrivateFormat.TraditionalOpenSSL,
    "pkcs8": form.PrivateFormat.PKCS8,
    "openssh": form.PrivateFormat.OpenSSH,
}
KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.fixture(params=[0x010B00, 0x010B01])
def faulty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "LIBSSH2_NUMBER", request.param)
    monkeypatch.setattr(_core, "BUILD_PATCHES", "")


class Server:
    """Wants public keys and refuses them; notes what libssh2 would have got."""

    by_messages = False

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def auth_none(self, *_args: object) -> str:
        return "publickey"

    def auth_key(self, _user: str, key: bytearray, *_args: object) -> tuple[int, str]:
        self.got.append(bytes(key))
        return LIBSSH2_ERROR_AUTHENTICATION_FAILED, "combination invalid"

    def auth_signer(self, _user: str, blob: bytes, *_args: object) -> tuple[int, str]:
        self.got.append(blob)
        return LIBSSH2_ERROR_AUTHENTICATION_FAILED, "combination invalid"


def log_in(server: Server, **arguments: Any) -> str:
    """The error, which says what was tried."""
    usual: dict[str, Any] = {
        "password": None,
        "pkey": None,
        "key_filename": None,
        "passphrase": "secret",
        "allow_agent": False,
        "identity_agent": None,
        "look_for_keys": False,
        "identities_only": False,
        "prompt": None,
    }
    login = Login("user", **(usual | arguments))
    session: Any = server
    with pytest.raises(AuthenticationError) as caught:
        login.run(session, "gateway", lambda: 5.0)
    return str(caught.value)


def write_key(path: Path, kind: str, style: str, *, locked: bool) -> None:
    locking: Any = form.BestAvailableEncryption(b"secret") if locked else form.NoEncryption()
    key = KEYS[kind]
    path.write_bytes(key.private_bytes(form.Encoding.PEM, FORMATS[style], locking))


def write_public(path: Path, kind: str) -> None:
    public = KEYS[kind].public_key()
    line = public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    path.with_name(path.name + ".pub").write_bytes(line)


def files() -> list[tuple[str, str, bool, bool]]:
    return [
        (kind, style, locked, with_public)
        for kind in KEYS
        for style in FORMATS
        for locked in (False, True)
        for with_public in (False, True)
        if not (kind == "ed25519" and style == "pem")
    ]


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(("kind", "style", "locked", "with_public"), files())
def test_only_other_keys_reach_libssh2(
    tmp_path: Path, kind: str, style: str, locked: bool, with_public: bool
) -> None:
    path = tmp_path / "key"
    write_key(path, kind, style, locked=locked)
    if with_public:
        write_public(path, kind)
    server = Server()
    error = log_in(server, key_filename=path)
    is_unknown = style == "pkcs8" and locked and not with_public
    if kind == "rsa" or is_unknown:
        assert server.got == []
        assert "the pinned libssh2" in error
        cure = ".pub" if is_unknown else "use an ed25519 or ecdsa key"
        assert cure in error
    else:
        assert server.got == [path.read_bytes()]
        assert "pinned" not in error


@pytest.mark.usefixtures("faulty")
def test_a_file_with_several_keys_counts_as_rsa_if_one_is(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_key(path, "ed25519", "openssh", locked=False)
    first = path.read_bytes()
    write_key(path, "rsa", "pem", locked=False)
    path.write_bytes(first + path.read_bytes())
    server = Server()
    log_in(server, key_filename=path)
    assert server.got == []


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("kind", ["ssh-rsa", "ssh-rsa-cert-v01@openssh.com"])
def test_an_rsa_key_that_signs_for_itself_is_not_offered(kind: str) -> None:
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (kind.encode(), b"\1", b"\1"))
    key = SimpleNamespace(asbytes=lambda: blob, sign_ssh_data=lambda data: data)
    server = Server()
    assert "use an ed25519 or ecdsa key" in log_in(server, pkey=key)
    assert server.got == []


@pytest.mark.usefixtures("faulty")
def test_an_rsa_certificate_is_not_offered(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_key(path, "rsa", "openssh", locked=False)
    kind = b"ssh-rsa-cert-v01@openssh.com"
    authority = ed25519.Ed25519PrivateKey.generate()
    certificate = (
        form.SSHCertificateBuilder()
        .public_key(KEYS["rsa"].public_key())
        .type(form.SSHCertificateType.USER)
        .valid_for_all_principals()
        .valid_before(2**64 - 1)
        .valid_after(0)
        .sign(authority)
        .public_bytes()
    )
    assert certificate.startswith(kind)
    path.with_name("key-cert.pub").write_bytes(certificate)
    server = Server()
    error = log_in(server, key_filename=path)
    assert server.got == []
    assert kind.decode() in error


@pytest.mark.parametrize(
    ("number", "patches"), [(0x010B01, PATCHES), (0x010B02, ""), (0x010C00, "")]
)
def test_a_libssh2_without_the_fault_gets_rsa_keys(
    number: int, patches: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_core, "LIBSSH2_NUMBER", number)
    monkeypatch.setattr(_core, "BUILD_PATCHES", patches)
    path = tmp_path / "key"
    write_key(path, "rsa", "pem", locked=False)
    server = Server()
    log_in(server, key_filename=path)
    assert server.got == [path.read_bytes()]
