# SPDX-License-Identifier: BSD-2-Clause
"""The command line ``sshgateway``: -W, route, demo."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sshgateway
from support import fresh, gateways, scripted
from support.gateways import Target, closed_port
from support.sshd import PrivateSshd
from support.streams import payload, recv_exactly
from support.terminal import Terminal
from support.waiting import DEADLINE, Worker, exited, until

LONG = 8 * DEADLINE
COMMAND = [sys.executable, "-W", "error", "-m", "sshgateway"]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, PrivateSshd]]:
    with (
        PrivateSshd(name="first") as first,
        PrivateSshd(name="second") as second,
        PrivateSshd(name="target") as target,
    ):
        yield {server.name: server for server in (first, second, target)}


@pytest.fixture
def write(servers, tmp_path):
    def write(top: str = "", **more: str) -> Path:
        path = tmp_path / "ssh_config"
        blocks = [s.ssh_config.read_text() + more.get(n, "") for n, s in servers.items()]
        path.write_text(top + "\n" + "\n".join(blocks) + "\n")
        return path

    return write


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL} if "input" not in options else {}
    return subprocess.run(
        [*COMMAND, *map(str, words)], env=fresh.environment(), capture_output=True, text=True,
        timeout=2 * LONG, check=False, **given, **options,
    )  # fmt: skip


def start(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *map(str, words)], env=fresh.environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip


def to(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


# --- -W ---------------------------------------------------------------------------------------


def as_proxy_command(config: Path, gateway: str) -> list[str]:
    tool = shlex.join([*COMMAND, "-F", str(config), "-W", "%h:%p", gateway])
    return ["ssh", "-F", str(config), "-o", "ProxyJump=none", "-o", f"ProxyCommand={tool}"]


def test_openssh_logs_in_through_our_w_option(servers, write) -> None:
    config = write(second="ProxyJump first\n")
    before = [gateways.logins(server) for server in servers.values()]
    done = subprocess.run(
        [*as_proxy_command(config, "second"), "target", "cat; exit 7"], input=b"hello",
        env=fresh.environment(), capture_output=True, timeout=LONG, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (7, b"hello", b"")
    after = [gateways.logins(server) for server in servers.values()]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.limit(120)
def test_openssh_moves_500_megabytes_through_our_w_option(write) -> None:
    size = 250_000_000
    ssh = [*as_proxy_command(write(), "first"), "target"]
    up = subprocess.Popen(
        [*ssh, "md5sum"], env=fresh.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    digest = hashlib.md5()
    block = payload(1_000_000)
    with up:
        assert up.stdin and up.stdout
        for _ in range(size // len(block)):
            up.stdin.write(block)
            digest.update(block)
        up.stdin.close()
        assert up.stdout.read().split()[0].decode() == digest.hexdigest()
    assert up.returncode == 0
    down = subprocess.run(
        [*ssh, f"head -c {size} /dev/zero"], env=fresh.environment(), stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, check=True, timeout=100,
    )  # fmt: skip
    assert len(down.stdout) == size and not down.stdout.strip(b"\0")


def test_the_end_of_input_is_a_half_close(write) -> None:
    def answer(sock: socket.socket) -> int:
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        sock.sendall(data[::-1])
        return len(data)

    data = payload(3_000_000)
    with Target(answer) as target:
        done = subprocess.run(
            [*COMMAND, "-F", write(), "-W", to(target.address), "first"], input=data,
            env=fresh.environment(), capture_output=True, timeout=LONG, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data[::-1]


def test_the_end_of_the_target_is_the_end_of_output(write) -> None:
    """The other direction continues, as with ssh -W."""

    def say_and_listen(sock: socket.socket) -> bytes:
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))

    with (
        Target(say_and_listen) as target,
        start("-F", write(), "-W", to(target.address), "first") as tool,
    ):
        assert tool.stdin and tool.stdout and tool.stderr
        assert tool.stdout.read() == b"bye"
        tool.stdin.write(b"still listening?")
        tool.stdin.close()
        assert tool.wait(LONG) == 0
        assert tool.stderr.read() == b""
        assert target.results() == [b"still listening?"]


def test_it_ends_when_the_output_is_closed(write) -> None:
    def talk(sock: socket.socket) -> None:
        try:
            while True:
                sock.sendall(b"x" * 65536)
        except OSError:
            return

    with Target(talk) as target, start("-F", write(), "-W", to(target.address), "first") as tool:
        assert tool.stdout and tool.stderr
        tool.stdout.read(1)
        tool.stdout.close()
        assert tool.wait(LONG) == 128 + signal.SIGPIPE
        assert tool.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_without_a_traceback(servers, write, number: int) -> None:
    with (
        Target(scripted.says(b"hello")) as target,
        start("-F", write(), "-W", to(target.address), "first") as tool,
    ):
        assert tool.stdout and tool.stderr
        assert tool.stdout.read(5) == b"hello"
        before = servers["first"].log.count("disconnect")
        tool.send_signal(number)
        assert exited(tool.pid, DEADLINE)
        assert tool.wait() == 128 + number
        assert tool.stderr.read() == b""
        until(lambda: servers["first"].log.count("disconnect") > before, "it said goodbye")


def test_a_signal_while_it_connects_ends_it(write) -> None:
    with Target(scripted.says()) as silent:
        config = write(f"Host silent\nHostName 127.0.0.1\nPort {silent.address[1]}\n")
        with start("-F", config, "-W", "x:1", "silent") as tool:
            until(lambda: silent._connections, "connected")
            tool.send_signal(signal.SIGINT)
            assert exited(tool.pid, DEADLINE)
            assert tool.stderr
            assert (tool.wait(), tool.stderr.read()) == (130, b"")


def test_the_loss_of_the_gateway_is_reported(tmp_path) -> None:
    with PrivateSshd(name="mortal") as mortal, Target(scripted.says(b"hello")) as target:
        with start("-F", mortal.ssh_config, "-W", to(target.address), "mortal") as tool:
            assert tool.stdout and tool.stderr
            assert tool.stdout.read(5) == b"hello"
            gateways.kill_sessions(mortal)
            assert tool.wait(LONG) == 255
            said = tool.stderr.read().decode()
        assert "lost the connection" in said and str(mortal.port) in said
        assert said.count("\n") == 1


def test_non_blocking_standard_descriptors_are_supported(write) -> None:
    ours, its = socket.socketpair()
    its.setblocking(False)
    its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = payload(500_000)
    with Target(gateways.echo) as target:
        words = [*COMMAND, "-F", write(), "-W", to(target.address), "first"]
        with subprocess.Popen(words, stdin=its, stdout=its, env=fresh.environment()) as tool, ours:
            its.close()
            ours.settimeout(LONG)
            ours.sendall(data[:1000])
            assert recv_exactly(ours, 1000) == data[:1000]
            sender = Worker(ours.sendall, data)
            assert recv_exactly(ours, len(data)) == data
            sender.result()
            ours.shutdown(socket.SHUT_WR)
            assert tool.wait(LONG) == 0


def test_a_closed_standard_input_is_supported(write) -> None:
    """None of our descriptors may get its number."""
    with Target(scripted.says_and_closes(b"hello")) as target:
        words = [*COMMAND, "-F", str(write()), "-W", to(target.address), "first"]
        done = subprocess.run(
            ["sh", "-c", f"exec {shlex.join(words)} <&-"], env=fresh.environment(),
            capture_output=True, timeout=LONG, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello", b"")


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["-W", "127.0.0.1:1", "first"], "refused a channel"),
        (["-W", "x:1", "nobody@first"], "accepted no login"),
        (["-l", "nobody", "-W", "x:1", "first"], "nobody@127.0.0.1"),
        (["-p", "1", "-W", "x:1", "first"], "Connection refused"),
        (["-W", "x:1", "second,no;good"], "refused"),
        (["-J", "first", "-W", "x:1", "-p", "1", "second"], "127.0.0.1:1"),
        (["-i", "/not/there", "-W", "127.0.0.1:1", "first"], "refused a channel"),
    ],
)
def test_a_failure_is_one_line_and_status_255(write, words, cause: str) -> None:
    done = run("-F", write(), *words)
    assert done.returncode == 255
    assert done.stdout == ""
    assert done.stderr.startswith("sshgateway: ") and done.stderr.count("\n") == 1
    assert cause in done.stderr


def test_the_timeout_covers_everything(write) -> None:
    with Target(scripted.says()) as silent:
        config = write(f"Host silent\nHostName 127.0.0.1\nPort {silent.address[1]}\n")
        done = run("-F", config, "--timeout", "0.5", "-W", "x:1", "silent")
    assert done.returncode == 255
    assert "did not answer within" in done.stderr


@pytest.mark.parametrize(
    "words",
    [[], ["-W", "h:22"], ["-W", "h", "g"], ["-W", "h:0", "g"], ["-W", "u@h:1", "g"], ["g"],
     ["-p", "x", "-W", "h:1", "g"], ["--timeout", "-1", "-W", "h:1", "g"], ["route"],
     ["route", "a b:c:d]"], ["demo", "x"], ["--nonsense"]],
)  # fmt: skip
def test_wrong_usage_is_status_2(words) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "usage:" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("words", [["-v", "route", "h"], ["-F", "x", "route", "--try", "h"]])
def test_options_before_a_command_are_refused_with_their_place(words) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "put route first, and its options after it" in done.stderr


def test_help_and_version_are_printed() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("-W", "route", "demo", "exit status"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 100
    assert run("route", "--help").returncode == 0
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"sshgateway {sshgateway.__version__}\n")
    assert f"libssh2 version: {sshgateway._core.LIBSSH2_VERSION}\n" in done.stdout


def test_verbose_prints_hops_and_times_on_stderr(write) -> None:
    with Target(scripted.says_and_closes(b"x")) as target:
        config = write(second="ProxyJump first\n")
        done = run("-v", "-F", config, "-W", to(target.address), "second", input="")
    assert (done.returncode, done.stdout) == (0, "x")
    assert len(re.findall(r"gateway \S+: open after [\d.]+ s", done.stderr)) == 2


def test_it_asks_for_a_passphrase_on_the_terminal(servers, write, tmp_path) -> None:
    key = tmp_path / "key"
    key.write_bytes(servers["first"].user_key.read_bytes())
    key.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    config = write(f"Host first\nIdentityFile {key}\n")
    config.write_text(
        config.read_text().replace(f"IdentityFile {servers['first'].user_key}\n", "\n")
    )
    with Target(scripted.says_and_closes(b"it is open\n")) as target:
        words = [*COMMAND, "-F", str(config), "-W", to(target.address), "first"]
        script = f"exec {shlex.join(words)} </dev/null"
        with Terminal(["setsid", "-c", "sh", "-c", script], fresh.environment()) as terminal:
            terminal.expect("passphrase for key")
            terminal.type("open sesame\n")
            terminal.expect("it is open")
            assert terminal.ends() == 0


# --- route ------------------------------------------------------------------------------------


def test_the_route_is_printed_without_following_it(servers, write) -> None:
    def connections() -> list[int]:
        return [server.log.count("Connection from") for server in servers.values()]

    before = connections()
    config = write(target="ProxyJump first,second\n", first="ProxyCommand nc %h %p\n")
    done = run("route", "-F", config, "target")
    assert (done.returncode, done.stderr) == (0, "")
    lines = config.read_text().splitlines()
    line = lines.index("ProxyJump first,second") + 1
    for words in ("through 2 gateways", "ProxyJump first,second", f"ssh_config, line {line}",
                  "1. first: ", "by ProxyCommand nc 127.0.0.1", "2. second: ", "through 1",
                  "user_key", "known_hosts"):  # fmt: skip
        assert words in " ".join(done.stdout.split()), done.stdout
    assert connections() == before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ProxyCommand a %h\n", 1),
        ("Host x\nProxyCommand b\nHost t*\n  ProxyCommand =  a %h \n", 4),
        ("Match originalhost x\nProxyCommand b\nMatch originalhost t\nProxyCommand a %h\n", 4),
        ('Match exec "true"\nProxyCommand a %h\n', 2),
        ("Include {}/more\nHost *\nProxyCommand b\n", "more"),
        ("Host x\nInclude {}/more\nHost *\nProxyCommand a %h\n", 4),
    ],
)
def test_the_deciding_line_is_named(tmp_path, text: str, line) -> None:
    (tmp_path / "more").write_text("\nProxyCommand a %h\n")
    config = tmp_path / "config"
    config.write_text(text.format(tmp_path))
    done = run("route", "-F", config, "--json", "t")
    decided = json.loads(done.stdout)["decided_by"]
    assert (decided["directive"], decided["value"]) == ("ProxyCommand", "a %h")
    expected = (str(tmp_path / "more"), 2) if line == "more" else (str(config), line)
    assert (decided["file"], decided["line"]) == expected


def test_a_route_that_works_is_reported(servers, write) -> None:
    config = write(target="ProxyJump first,second\n")
    done = run("route", "-F", config, "--try", "target")
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    assert text.count("+ open after") == 2
    for server in (servers["first"], servers["second"]):
        key = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=server.host_key, text=True,
                             capture_output=True, check=True).stdout.split()[1]  # fmt: skip
        assert f"+ host key ssh-ed25519 {key}" in text
        assert f"+ login key file {server.user_key} ssh-ed25519 SHA256:" in text
    assert "+ answers after" in text and "SSH-2.0-OpenSSH" in text


WRONG = {
    "a wrong user": ("Host second\nUser nobody", "second", ["accepted no login", "User"]),
    "a refused port": ("Host first\nPort 1", "first", ["Connection refused", "Port"]),
    "an unknown key": (
        "Host second\nUserKnownHostsFile /not/there", "second",
        ["no host key is known", "ssh-keyscan"],
    ),
    "a dead hop": ("Host second\nPort 1", "second", ["connect failed", "something listens"]),
    "a dumb hop": (
        "Host second\nPort {silent}\nConnectTimeout 1", "second", ["did not answer", "firewall"],
    ),
    "an unknown name": (
        "Host first\nHostName nowhere.invalid", "first", ["nowhere.invalid", "HostName"],
    ),
    "a broken proxy command": (
        "Host first\nProxyCommand sh -c 'echo no such proxy >&2; exit 5'", "first",
        ["no such proxy", "status 5"],
    ),
    "a dead target": ("Host target\nPort 1", "target", ["connect failed", "something listens"]),
    "a dumb target": (
        "Host target\nPort {silent}\nConnectTimeout 1", "target", ["said nothing", "firewall"],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_failure_is_reported_with_its_place_cause_and_cure_on_one_screen(
    write, name: str
) -> None:
    top, place, words = WRONG[name]
    with Target(scripted.says()) as silent:
        config = write(
            top.format(silent=silent.address[1]) + "\n", target="ProxyJump first,second\n"
        )
        done = run("route", "-F", config, "--try", "target")
        machine = run("route", "-F", config, "--try", "--json", "target")
    assert (done.returncode, machine.returncode) == (1, 1)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) <= 40
    part = re.split(r"\n(?=\S)", done.stdout)
    (stopped,) = [text for text in part if "! STOPPED" in text]
    assert re.match(rf"(\d\. )?{place}: ", stopped), stopped
    for word in words:
        assert word in " ".join(stopped.split()), done.stdout
    facts = json.loads(machine.stdout)["stopped"]
    assert facts["at"] == place
    assert words[0] in facts["text"]


def test_direct_hosts_and_proxy_commands_are_reported(servers, write) -> None:
    done = run("route", "-F", write(), "--try", "target")
    assert done.returncode == 0
    assert "directly" in done.stdout and "+ answers" in done.stdout
    config = write(target="ProxyCommand socat - TCP:%h:%p\n")
    done = run("route", "-F", config, "--try", "target")
    assert done.returncode == 0
    assert "ProxyCommand socat - TCP:%h:%p" in " ".join(done.stdout.split())
    done = run("route", "-F", "none", "--try", f"127.0.0.1:{closed_port()}")
    assert done.returncode == 1 and "ConnectionRefusedError" in done.stdout


def test_a_route_that_cannot_be_found_is_reported(write) -> None:
    done = run("route", "-F", "/not/there", "x")
    assert done.returncode == 1 and "No such file" in done.stdout
    done = run("route", "-F", "none", "-J", "a,b", "no;good", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["stopped"]["error"] == "ConfigError"


# --- Other commands -----------------------------------------------------------------------------


def test_the_demo(servers) -> None:
    # Run by root, the demo needs /run/sshd, which exists while the fixture's servers run.
    before = set(os.listdir("/tmp"))
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "hello from behind the gateway" in done.stdout
    assert not {name for name in set(os.listdir("/tmp")) - before if name in done.stdout}


def test_the_console_script_calls_that_main() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    name = tomllib.loads(project.read_text())["project"]["scripts"]["sshgateway"]
    module, _, function = name.partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))
