# SPDX-License-Identifier: BSD-2-Clause
# ruff: noqa: E402  the order of the imports is what is tested
"""Use sshgateway beside libraries with an OpenSSL or a libssh2 of their own.

neighbours.py first|last local|global: import sshgateway before or after the other
libraries, which are loaded with RTLD_LOCAL or RTLD_GLOBAL.  With RTLD_GLOBAL, the
symbols of a library are visible to all libraries that are loaded later.

Four threads then encrypt at the same time.  Each checks its results.
"""

import datetime
import hashlib
import ipaddress
import os
import socket
import ssl
import struct
import sys
import tempfile
import threading
import warnings
from pathlib import Path

order, flags = sys.argv[1:]
if flags == "global":
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
warnings.simplefilter("ignore")  # those of other libraries
if order == "first":
    import sshgateway

import paramiko
import psycopg2
import ssh2.session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pssh.clients import SSHClient

if order == "last":
    import sshgateway

from support import gateways
from support.gateways import Target
from support.sshd import PrivateSshd

ROUNDS = 5
DATA = hashlib.shake_256(b"neighbours").digest(1_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
TIMEOUT = 60.0


# --- the threads ----------------------------------------------------------------


def our_streams() -> None:
    """Log in, echo DATA through a channel, and run Paramiko through another."""
    with gateways.to(server) as gateway:
        with gateway.open_channel("direct-tcpip", target.address) as channel:
            sender = threading.Thread(target=channel.sendall, args=(DATA,))
            sender.start()
            with channel.makefile("rb") as file:
                assert file.read(len(DATA)) == DATA
            sender.join()
        sock = sshgateway.DirectTcpipChannel(gateway, (server.host, server.port))
        with paramiko.SSHClient() as client:
            client.load_host_keys(str(server.known_hosts))
            client.connect(
                server.host,
                server.port,
                server.username,
                key_filename=str(server.user_key),
                allow_agent=False,
                look_for_keys=False,
                timeout=TIMEOUT,
                sock=sock,
            )
            stdin, stdout, _ = client.exec_command("sha256sum", timeout=TIMEOUT)
            stdin.write(DATA)
            stdin.channel.shutdown_write()
            assert stdout.read().split()[0].decode() == DIGEST


def ssh2_python() -> None:
    """Run a command with another libssh2."""
    with socket.create_connection((server.host, server.port), TIMEOUT) as sock:
        sock.settimeout(None)
        session = ssh2.session.Session()
        session.handshake(sock)
        session.userauth_publickey_fromfile(server.username, str(server.user_key), "")
        channel = session.open_session()
        channel.execute("sha256sum")
        channel.write(DATA)
        channel.send_eof()
        assert channel.read()[1].split()[0].decode() == DIGEST
        channel.close()
        session.disconnect()


def parallel_ssh() -> None:
    """Run a command with parallel-ssh, that is with gevent."""
    client = SSHClient(
        server.host,
        user=server.username,
        port=server.port,
        pkey=str(server.user_key),
        allow_agent=False,
        num_retries=1,
    )
    output = client.run_command("printf %s right")
    assert list(output.stdout) == ["right"]
    client.disconnect()


def libpq_and_cryptography() -> None:
    """Speak TLS with libpq, and encrypt and sign with cryptography."""
    text = f"refused {os.urandom(8).hex()}"
    with PostgresServer(text) as address:
        try:
            psycopg2.connect(
                host=address[0],
                port=address[1],
                user="any",
                sslmode="verify-full",
                sslrootcert=certificate,
                gssencmode="disable",
                connect_timeout=60,
            )
        except psycopg2.OperationalError as error:
            assert text in str(error), error
        else:
            raise AssertionError("the server refuses every login")
    key, nonce = os.urandom(32), os.urandom(12)
    assert AESGCM(key).decrypt(nonce, AESGCM(key).encrypt(nonce, DATA, b""), b"") == DATA
    signer = ed25519.Ed25519PrivateKey.generate()
    signer.public_key().verify(signer.sign(DATA), DATA)


# --- a TLS server that speaks as much of PostgreSQL's protocol as is needed -----------


def make_certificate(directory: str) -> str:
    """Write a self-signed certificate and its key into one file; return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = Path(directory, "certificate.pem")
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(path)


class PostgresServer:
    """Take one connection, begin TLS, and refuse the login with a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> tuple[str, int]:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self._listener.getsockname()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(TIMEOUT)
            connection.recv(8)  # SSLRequest
            connection.sendall(b"S")
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(10_000)  # StartupMessage
                fields = f"SFATAL\0C28000\0M{self._text}\0\0".encode()
                tls.sendall(b"E" + struct.pack("!I", 4 + len(fields)) + fields)


# --- all at the same time ----------------------------------------------------------


def repeat(work) -> None:
    try:
        for _ in range(ROUNDS):
            together.wait(TIMEOUT)
            work()
    except BaseException as error:
        together.abort()
        if not isinstance(error, threading.BrokenBarrierError):
            failures.append((work.__name__, error))


works = [our_streams, ssh2_python, parallel_ssh, libpq_and_cryptography]
together = threading.Barrier(len(works))
failures: list[tuple[str, BaseException]] = []
with (
    tempfile.TemporaryDirectory() as directory,
    PrivateSshd() as server,
    Target(gateways.echo) as target,
):
    certificate = make_certificate(directory)
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert not failures, failures
