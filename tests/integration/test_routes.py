# SPDX-License-Identifier: BSD-2-Clause
"""create_connection() on real servers: routes from ssh_config or from the caller."""

from __future__ import annotations

import http.client
import http.server
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

import sshgateway
from sshgateway import (
    AuthenticationError,
    ChannelOpenError,
    ConfigError,
    DirectTcpipChannel,
    Gateway,
    GatewayError,
    HostKeyError,
    ProxyCommand,
    close_all,
    create_connection,
)
from sshgateway.route import find_way
from support import gateways, scripted
from support.gateways import Target, closed_port
from support.sshd import PrivateSshd
from support.streams import recv_exactly
from support.waiting import DEADLINE, Worker, until

NAMES = ("first", "second", "third", "target")
LONG = 4 * DEADLINE


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, PrivateSshd]]:
    with (
        PrivateSshd(name="first") as first,
        PrivateSshd(name="second") as second,
        PrivateSshd(name="third") as third,
        PrivateSshd(name="target") as target,
    ):
        yield dict(zip(NAMES, (first, second, third, target), strict=True))


@pytest.fixture(autouse=True)
def closed_after() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def write(servers, tmp_path):
    """Write an ssh_config that names all servers, with extra lines for some; its path."""

    def write(top: str = "", **more: str) -> Path:
        path = tmp_path / "ssh_config"
        blocks = [servers[name].ssh_config.read_text() + more.get(name, "") for name in NAMES]
        path.write_text(top + "\n" + "\n".join(blocks) + "\n")
        return path

    return write


def logins(servers) -> list[int]:
    return [gateways.logins(servers[name]) for name in NAMES]


def by_ssh(servers, config: Path, host: str = "target") -> tuple[int, list[int]]:
    """The result of ssh(1): its exit status, and which of the four servers it logged in to."""
    before = logins(servers)
    done = subprocess.run(
        ["ssh", "-F", config, host, "exit 7"], check=False, capture_output=True, timeout=30,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    after = [now - then for now, then in zip(logins(servers), before, strict=True)]
    return done.returncode, after


def by_us(servers, config: Path, host: str = "target") -> tuple[int, list[int]]:
    """The same when create_connection() follows the route and ssh(1) logs in at its end."""
    before = logins(servers)
    try:
        sock = create_connection((host, None), LONG, ssh_config=config)
    except OSError:
        return 255, [0, 0, 0, 0]
    with sock:
        # ssh uses the connection through a proxy command that relays two descriptors.
        code = relay_to_ssh(sock, config, host)
    after = [now - then for now, then in zip(logins(servers), before, strict=True)]
    return code, after


def relay_to_ssh(sock, config: Path, host: str) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ssh = subprocess.Popen(
            ["ssh", "-F", config, "-o", "ProxyJump=none", "-o",
             f"ProxyCommand=socat - TCP:127.0.0.1:{port}", host, "exit 7"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        with ssh:
            near, _ = listener.accept()
            with near:
                up = Worker(copy, near, sock)
                copy(sock, near)
                ssh.wait(LONG)
                near.close()
                up.result()
            assert ssh.stderr
            ssh.stderr.read()
    return ssh.returncode


def copy(source, sink) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def greeting(sock) -> bytes:
    with sock:
        sock.settimeout(LONG)
        return recv_exactly(sock, 8)


# --- The same file for ssh and for us --------------------------------------------------------

FILES = {
    "three jumps, one of them by a proxy command": {
        "target": "ProxyJump first,second,third\n",
        "first": "ProxyCommand socat - TCP:%h:%p\n",
    },
    "jumps of jumps": {
        "target": "ProxyJump third\n",
        "third": "ProxyJump second\n",
        "second": "ProxyJump first\n",
    },
    "a list whose first has a route": {
        "target": "ProxyJump second,third\n",
        "second": "ProxyJump first\n",
        "third": "ProxyJump nowhere\n",
    },
    "jump none": {"target": "ProxyJump none\nProxyJump first\n"},
    "jump none before a wildcard": {
        "target": "ProxyJump none\n\nHost * !first\nProxyJump first\n",
    },
    "a wildcard": {"first": "\nHost * !first\nProxyJump first\n"},
    "the first of two wins": {"target": "ProxyCommand socat - TCP:%h:%p\nProxyJump first\n"},
    "and so does a jump": {"target": "ProxyJump first\nProxyCommand false\n"},
    "a proxy command through a gateway": {
        "target": "ProxyCommand ssh -F %d/x -W %h:%p first\n",
    },
}


@pytest.mark.slow
@pytest.mark.limit(90)
@pytest.mark.parametrize("name", FILES)
def test_the_same_servers_are_used_as_by_ssh(servers, write, tmp_path, name: str) -> None:
    more = {host: text.replace("%d", str(tmp_path)) for host, text in FILES[name].items()}
    config = write(**more)
    (tmp_path / "x").write_text(config.read_text())
    assert by_us(servers, config) == by_ssh(servers, config), name
    assert by_ssh(servers, config)[0] == 7


# --- The returned stream ---------------------------------------------------------------------


def test_without_a_proxy_a_plain_socket_is_returned(servers, write) -> None:
    sock = create_connection(("target", None), LONG, ssh_config=write())
    assert type(sock) is socket.socket
    assert sock.getpeername() == (servers["target"].host, servers["target"].port)
    assert sock.gettimeout() == LONG
    assert greeting(sock) == b"SSH-2.0-"


def test_through_jumps_a_channel_is_returned(servers, write) -> None:
    config = write(target="ProxyJump first,second\n")
    before = logins(servers)
    for _ in range(3):
        sock = create_connection(("target", None), LONG, ssh_config=config)
        assert type(sock) is DirectTcpipChannel
        assert sock.getpeername() == (servers["target"].host, servers["target"].port)
        assert sock.gettimeout() == LONG
        assert greeting(sock) == b"SSH-2.0-"
    assert logins(servers) == [before[0] + 1, before[1] + 1, before[2], before[3]], (
        "the gateways must be shared"
    )


def test_a_proxy_command_from_the_file_runs_in_a_shell(servers, write) -> None:
    config = write(target="ProxyCommand socat - TCP:$(echo %h):%p 2>&1 # %%\n")
    sock = create_connection(("target", None), LONG, ssh_config=config)
    assert type(sock) is ProxyCommand
    assert sock.getpeername() == (servers["target"].host, servers["target"].port)
    assert sock.gettimeout() == LONG
    assert greeting(sock) == b"SSH-2.0-"


def test_fdpass_from_the_file_is_obeyed(servers, write) -> None:
    """ncat passes a connected socket to us and ends."""
    config = write(target="ProxyCommand nc -F %h %p\nProxyUseFdpass yes\n")
    with create_connection(("target", None), LONG, ssh_config=config) as sock:
        assert type(sock) is ProxyCommand
        assert sock.family == socket.AF_INET
        assert sock.getpeername() == (servers["target"].host, servers["target"].port)
        assert greeting(sock) == b"SSH-2.0-"


def test_the_port_of_the_caller_wins(servers, write) -> None:
    with Target(gateways.echo) as target:
        config = write("Host target\nHostName 127.0.0.1\n")
        with create_connection(("target", target.address[1]), LONG, ssh_config=config) as sock:
            assert sock.getpeername() == target.address


def test_ssh_config_false_reads_no_file() -> None:
    with (
        Target(gateways.echo) as target,
        create_connection(target.address, ssh_config=False) as sock,
    ):
        assert type(sock) is socket.socket
        assert sock.gettimeout() is None


# --- Precedence ------------------------------------------------------------------------------


def test_an_explicit_gateway_beats_the_files_jump(servers, write) -> None:
    config = write(target="ProxyJump nowhere\n")
    with gateways.to(servers["first"]) as gateway:
        sock = create_connection(("target", None), LONG, gateway=gateway, ssh_config=config)
        assert isinstance(sock, DirectTcpipChannel) and sock.gateway is gateway
        assert greeting(sock) == b"SSH-2.0-"


def test_a_gateway_by_name_is_looked_up_in_the_file(servers, write) -> None:
    config = write(target="ProxyJump nowhere\n", second="ProxyJump first\n")
    before = logins(servers)
    sock = create_connection(("target", None), LONG, gateway="second,third", ssh_config=config)
    assert greeting(sock) == b"SSH-2.0-"
    assert [now - then for now, then in zip(logins(servers), before, strict=True)] == [1, 1, 1, 0]


def test_gateway_none_cancels_the_files_jump(servers, write) -> None:
    config = write(target="ProxyJump nowhere\n")
    sock = create_connection(("target", None), LONG, gateway="none", ssh_config=config)
    assert type(sock) is socket.socket
    sock.close()


def test_a_proxy_command_wins_over_a_gateway_with_a_warning(servers, write) -> None:
    gateway = Gateway("nobody@nowhere")
    config = write()
    with pytest.warns(UserWarning) as caught:
        sock = create_connection(
            ("target", None), LONG, gateway=gateway, proxy_command="socat -b4096 - TCP:%h:%p",
            ssh_config=config,
        )  # fmt: skip
    assert type(sock) is ProxyCommand
    assert greeting(sock) == b"SSH-2.0-"
    (warning,) = caught
    words = str(warning.message)
    assert "socat" in words and "nobody@nowhere:22" in words and "'target'" in words
    assert "-b4096" not in words, "an argument may be a secret"
    assert warning.filename == __file__


def test_the_files_proxy_command_wins_over_a_gateway_with_a_warning_too(servers, write) -> None:
    config = write(target="ProxyCommand socat - TCP:%h:%p\n")
    with pytest.warns(UserWarning, match="ssh_config"):
        sock = create_connection(("target", None), LONG, gateway="first", ssh_config=config)
    assert type(sock) is ProxyCommand
    sock.close()
    sock = create_connection(
        ("target", None), LONG, gateway="first", proxy_command="none", ssh_config=config
    )
    assert type(sock) is DirectTcpipChannel
    sock.close()
    sock = create_connection(("target", None), LONG, proxy_command="none", ssh_config=config)
    assert type(sock) is socket.socket
    sock.close()


def test_an_explicit_proxy_command_beats_the_file_silently(servers, write) -> None:
    config = write(target="ProxyJump nowhere\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sock = create_connection(
            ("target", None), LONG, proxy_command=["socat", "-", "TCP:%h:%p"], ssh_config=config
        )
    assert greeting(sock) == b"SSH-2.0-"


def test_an_explicit_proxy_command_is_split_and_then_expanded(tmp_path) -> None:
    """No part of a value becomes an argument of its own, because there is no shell."""
    config = tmp_path / "config"
    config.write_text("Host h\nHostName 10.0.0.1\nUser a\n")
    way = find_way(("h", 2222), proxy_command="x '%h %%' %r $HOME %n:%p", ssh_config=config)
    assert way.proxy is not None
    assert way.proxy.command == ("x", "10.0.0.1 %", "a", "$HOME", "h:2222")


def test_match_user_sees_the_user_of_the_caller(tmp_path) -> None:
    config = tmp_path / "config"
    config.write_text("Match user deploy\nProxyCommand nc %r\n")
    way = find_way(("h", 22), ssh_config=config, username="deploy")
    assert way.proxy is not None and way.proxy.command == "nc deploy"
    assert find_way(("h", 22), ssh_config=config, username="x").proxy is None


# --- Errors ------------------------------------------------------------------------------------


def test_the_error_of_each_hop_names_it(servers, write) -> None:
    config = write("Host second\nPort 1\n", target="ProxyJump first,second,third\n")
    with pytest.raises(ChannelOpenError) as refused:
        create_connection(("target", None), LONG, ssh_config=config)
    assert (
        refused.value.gateway == f"{servers['first'].username}@127.0.0.1:{servers['first'].port}"
    )
    assert refused.value.dest_addr == ("127.0.0.1", 1)

    config = write("Host second\nUserKnownHostsFile none\n", target="ProxyJump first,second\n")
    with pytest.raises(HostKeyError) as unknown:
        create_connection(("target", None), LONG, ssh_config=config)
    assert f":{servers['second'].port}" in unknown.value.gateway

    key = servers["first"].user_key
    config = write(f"Host second\nIdentityFile {key}\n", target="ProxyJump first,second\n")
    config.write_text(config.read_text().replace(f"IdentityFile {servers['second'].user_key}", ""))
    with pytest.raises(AuthenticationError) as login:
        create_connection(("target", None), LONG, ssh_config=config)
    assert f":{servers['second'].port}" in login.value.gateway

    config = write(
        target="ProxyJump first\n", first="ProxyCommand sh -c 'echo broken >&2; exit 9'\n"
    )
    with pytest.raises(GatewayError, match="broken"):
        create_connection(("target", None), LONG, ssh_config=config)


def test_a_circular_route_is_an_error(write) -> None:
    config = write(target="ProxyJump first\n", first="ProxyJump target\n")
    with pytest.raises(ConfigError, match="circle"):
        create_connection(("target", None), LONG, ssh_config=config)


def test_one_deadline_covers_all_hops(servers, write) -> None:
    with Target(scripted.says()) as silent:
        host, port = silent.address
        config = write(
            f"Host third\nHostName {host}\nPort {port}\nConnectTimeout 50\n",
            target="ProxyJump first,second,third\n",
        )
        start = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            create_connection(("target", None), 2, ssh_config=config)
        assert time.monotonic() - start < 40
        assert len(caught.value.args) == 2 and caught.value.errno == 110


@pytest.mark.parametrize("jump", ["first,second", "second,third"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_the_connect_timeout_of_a_hop_is_read_from_the_file(servers, write, jump, timeout) -> None:
    with Target(scripted.says()) as silent:
        host, port = silent.address
        config = write(
            f"Host second\nHostName {host}\nPort {port}\nConnectTimeout 1\n",
            target=f"ProxyJump {jump}\n",
        )
        start = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            create_connection(("target", None), timeout, ssh_config=config)
        assert time.monotonic() - start < LONG
        assert f"{host}:{port}" in str(caught.value)


def test_timeouts_are_checked_as_by_socket() -> None:
    with Target(gateways.echo) as target:
        for timeout in (LONG, Fraction(9, 2), 3):
            with create_connection(target.address, timeout, ssh_config=False) as sock:
                assert sock.gettimeout() == timeout
        for wrong, error in (("soon", ValueError), ([], TypeError), (-1, ValueError)):
            with pytest.raises(error):
                create_connection(target.address, wrong, ssh_config=False)


@pytest.mark.parametrize(
    ("host", "gateway", "words"),
    [
        (b"h", None, "host must be a str, not bytes"),
        ("h", 5, "gateway must be a Gateway or a str"),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(host, gateway, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        create_connection((host, 22), gateway=gateway, ssh_config=False)


def test_a_refused_port_is_an_oserror_with_two_arguments(write) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        create_connection(("127.0.0.1", closed_port()), LONG, ssh_config=False)
    assert len(caught.value.args) == 2


def test_a_plain_target_that_does_not_answer_times_out() -> None:
    with scripted.black_hole() as (hole, _):
        with pytest.raises(TimeoutError) as caught:
            create_connection(hole.getsockname(), 0.2, ssh_config=False)
        assert caught.value.errno == 110 and len(caught.value.args) == 2


def test_a_timeout_of_the_kernel_is_not_a_timeouterror(monkeypatch) -> None:
    def times_out(*_: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(socket, "create_connection", times_out)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9") as caught:
        create_connection(("127.0.0.1", 9), LONG, ssh_config=False)
    assert not isinstance(caught.value, TimeoutError)


# --- As a replacement of socket.create_connection -----------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


def test_http_client_connects_through_create_connection(servers, write) -> None:
    config = write("Host web\nHostName 127.0.0.1\nProxyJump first\n")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            for options in ({}, {"timeout": LONG}):
                connection = http.client.HTTPConnection("web", server.server_port, **options)
                connection._create_connection = lambda *a: create_connection(*a, ssh_config=config)
                connection.request("GET", "/")
                assert isinstance(connection.sock, DirectTcpipChannel)
                assert connection.getresponse().read() == b"hello"
                connection.close()
        finally:
            server.shutdown()
            thread.join()


def test_hops_times_and_changes_are_logged_without_secrets(servers, write, caplog) -> None:
    caplog.set_level("DEBUG", "sshgateway")
    config = write(
        target="ProxyJump first,second\n", first="ProxyCommand socat -  TCP:%h:%p # hunter2\n"
    )
    create_connection(("target", None), LONG, ssh_config=config).close()
    create_connection(("first", None), LONG, ssh_config=config).close()
    close_all()
    assert {record.name.partition(".")[0] for record in caplog.records} == {"sshgateway"}
    info = [r.getMessage() for r in caplog.records if r.levelname == "INFO"]
    assert len(info) == 4
    for words, message in zip(
        ["open after", "open after", "connected through ", "by the proxy command socat"],
        info, strict=True,
    ):  # fmt: skip
        assert words in message
    debug = "\n".join(r.getMessage() for r in caplog.records if r.levelname == "DEBUG")
    for words in ("connecting", "host key", "accepted", "closed", "by ProxyJump first,second"):
        assert words in debug
    assert "hunter2" not in caplog.text


def test_a_gateway_that_did_not_open_is_logged_without_arguments(write, caplog) -> None:
    caplog.set_level("DEBUG", "sshgateway")
    config = write(target="ProxyJump first\n", first="ProxyCommand false hunter2\n")
    with pytest.raises(GatewayError, match="hunter2"):
        create_connection(("target", None), LONG, ssh_config=config)
    assert "not open, after 0." in caplog.text
    assert "GatewayError" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("way", ["password", "passphrase"])
def test_credentials_are_not_logged(servers, caplog, way: str) -> None:
    caplog.set_level("DEBUG", "sshgateway")
    gateway = sshgateway.shared_gateway(**gateways.settings(servers["first"]), **{way: "hunter2"})
    gateway.open()
    assert "hunter2" not in caplog.text + repr(gateway) + str(gateway)


def test_the_proxy_command_of_a_gateway_may_pass_a_socket(servers, write) -> None:
    config = write(
        target="ProxyJump first\n", first="ProxyCommand nc -F %h %p\nProxyUseFdpass yes\n"
    )
    sock = create_connection(("target", None), LONG, ssh_config=config)
    assert isinstance(sock, DirectTcpipChannel)
    assert greeting(sock) == b"SSH-2.0-"


def test_the_proxy_command_of_a_gateway_is_started_again_after_a_loss(write) -> None:
    with PrivateSshd(name="mortal") as mortal:
        config = write(
            f"Host mortal\nUserKnownHostsFile {mortal.known_hosts}\nPort {mortal.port}\n"
            f"IdentityFile {mortal.user_key}\nHostName 127.0.0.1\nIdentitiesOnly yes\n"
            "ProxyCommand socat - TCP:%h:%p\n",
            target="ProxyJump mortal\n",
        )
        for _ in range(2):
            sock = create_connection(("target", None), LONG, ssh_config=config)
            assert isinstance(sock, DirectTcpipChannel)
            gateways.kill_sessions(mortal)
            until(lambda: not sock.gateway.is_connected, "the loss is known")  # noqa: B023
            sock.close()


def test_an_ipv6_address_is_connected_to() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        port = listener.getsockname()[1]
        sock = create_connection(("::1", port), LONG, ssh_config=Path("/dev/null"))
        assert sock.getpeername()[:2] == ("::1", port)
        sock.close()
