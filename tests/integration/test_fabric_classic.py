# SPDX-License-Identifier: BSD-2-Clause
"""fab-classic, with Paramiko and with paramiko-ng, after sshgateway.fabric_classic.install()."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sshgateway import _core
from support import fresh, gateways, scripted
from support.sshd import PrivateSshd, make_key

FABFILE = fresh.SUPPORT / "fabfile_classic.py"
FOLDERS = {
    "paramiko": [Path(sys.prefix, "fab-classic")],
    "paramiko-ng": [Path(sys.prefix, "fab-classic"), Path(sys.prefix, "paramiko-ng")],
}
FIFTEEN = [f"127.0.0.{number}" for number in range(1, 16)]


#: Runs a test with both; the others run with paramiko-ng, which fab-classic requires.
under_both = pytest.mark.parametrize("folders", list(FOLDERS), indirect=True)


@pytest.fixture
def folders(request) -> list[str]:
    wanted = FOLDERS[getattr(request, "param", "paramiko-ng")]
    for folder in wanted:
        if not folder.is_dir():
            pytest.skip(f"no {folder}: tools/bootstrap.sh could not install it")
    return [str(folder) for folder in wanted]


@pytest.fixture(scope="module")
def targets() -> Iterator[list[PrivateSshd]]:
    with PrivateSshd(addresses=FIFTEEN) as one, PrivateSshd(addresses=FIFTEEN) as two:
        yield [one, two]


@pytest.fixture(scope="module")
def hosts(targets) -> list[str]:
    found = [f"{address}:{sshd.port}" for sshd in targets for address in sshd.addresses]
    assert len(set(found)) == 30
    return found


@dataclass
class Fab:
    """``fab(task, ...)`` runs a task of our fabfile, in a HOME of its own."""

    folders: list[str]
    home: Path
    env: dict[str, Any]

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    def trust(self, server: PrivateSshd) -> None:
        """Trust one more server, so that it can be the gateway."""
        self.env["key_filename"] = [str(server.user_key), *self.env["key_filename"]]
        with open(self.known_hosts, "a") as file:
            file.write(server.known_hosts.read_text())

    def ssh_config(self, text: str) -> None:
        (self.home / ".ssh" / "config").write_text(text)
        self.env |= {"use_ssh_config": True}

    def __call__(
        self,
        *arguments: str,
        expected: int = 0,
        other: str = "",
        answers: Sequence[str] = (),
        keeper: int = 0,
        install: bool = True,
        warnings: str = "error",
        **env: object,
    ) -> subprocess.CompletedProcess[str]:
        where = {
            "env": self.env | env,
            "other": other,
            "answers": answers,
            "keeper": keeper,
            "install": install,
        }
        return fresh.run(
            FABFILE,
            *arguments,
            expected=expected,
            path=self.folders,
            warnings="ignore::DeprecationWarning",  # fab-classic's own warnings
            PYTHONWARNINGS=warnings,
            HOME=str(self.home),
            WHERE=json.dumps(where),
        )


@pytest.fixture
def fab(folders, tmp_path, sshd, targets) -> Fab:
    servers = [sshd, *targets]
    (tmp_path / ".ssh").mkdir(mode=0o700)
    known = "".join(server.known_hosts.read_text() for server in servers)
    (tmp_path / ".ssh" / "known_hosts").write_text(known)
    env = {
        "gateway": f"{sshd.username}@{sshd.host}:{sshd.port}",
        "key_filename": [str(server.user_key) for server in servers],
        "no_agent": True,
        "no_keys": True,
        "timeout": 20,
    }
    return Fab(folders, tmp_path, env)


@pytest.fixture
def new_logins(sshd) -> Callable[[], int]:
    """The number of logins on the gateway since the test began."""
    before = gateways.logins(sshd)
    return lambda: gateways.logins(sshd) - before


def reached(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("reached")]


# --- One login for the run --------------------------------------------------------------


@under_both
@pytest.mark.slow
@pytest.mark.limit(90)
def test_thirty_hosts_in_series_are_one_login_on_the_gateway(fab, hosts, new_logins) -> None:
    done = fab("serially", "-H", ",".join(hosts))
    assert reached(done) == hosts
    assert new_logins() == 1
    assert "Disconnecting from gateway" in done.stdout
    assert done.stderr == ""


@under_both
@pytest.mark.slow
@pytest.mark.limit(90)
def test_thirty_hosts_in_parallel_are_one_login_per_process(fab, hosts, new_logins) -> None:
    done = fab("at_once", "-H", ",".join(hosts), other=hosts[0])
    assert sorted(reached(done)) == sorted(hosts + [hosts[0]] * 30)
    assert new_logins() == 30


@under_both
def test_without_install_each_host_is_a_login(fab, hosts, new_logins) -> None:
    """The defect that install() removes; without it the tests above would prove nothing."""
    done = fab("serially", "-H", ",".join(hosts[:3]), install=False)
    assert reached(done) == hosts[:3]
    assert new_logins() == 3


@under_both
def test_disconnect_all_closes_our_gateways(fab, hosts, new_logins) -> None:
    done = fab("disconnected_between", "-H", hosts[0])
    assert reached(done) == [hosts[0]] * 2
    assert new_logins() == 2


def test_a_lost_gateway_is_opened_again(fab, hosts) -> None:
    with PrivateSshd() as server:
        assert server._keeper is not None
        fab.trust(server)
        gateway = f"{server.host}:{server.port}"
        done = fab(
            "after_a_loss", "-H", ",".join(hosts[:2]), keeper=server._keeper.pid, gateway=gateway
        )
        assert gateways.logins(server) == 3  # one login was lost with each host
    assert reached(done) == [hosts[0], hosts[0], hosts[1], hosts[1]]


@under_both
def test_a_task_in_parallel_after_one_in_series(fab, hosts, new_logins) -> None:
    """The gateway is open, and its threads run, when fab-classic forks."""
    done = fab("serially", "at_once", "-H", ",".join(hosts[:3]), other=hosts[4])
    assert sorted(reached(done)) == sorted(hosts[:3] * 2 + [hosts[4]] * 3)
    assert new_logins() == 1 + 3


def test_a_task_can_run_on_the_gateway_itself(fab, hosts, sshd) -> None:
    gateway = f"{sshd.host}:{sshd.port}"
    done = fab("serially", "-H", f"{hosts[0]},{gateway},{hosts[1]}")
    assert reached(done) == [hosts[0], gateway, hosts[1]]


def test_the_gateway_option_of_the_command_line_is_used(fab, hosts, new_logins) -> None:
    flag = fab.env.pop("gateway")
    done = fab("-g", str(flag), "serially", "-H", ",".join(hosts[:2]))
    assert reached(done) == hosts[:2]
    assert new_logins() == 1


def test_without_a_gateway_nothing_changes(fab, hosts, new_logins) -> None:
    done = fab("serially", "-H", hosts[0], gateway=None)
    assert reached(done) == hosts[:1]
    assert new_logins() == 0


# --- ssh_config -----------------------------------------------------------------------


@under_both
def test_proxycommand_wins_over_the_gateway_with_a_warning(fab, hosts, sshd, new_logins) -> None:
    command = shlex.join(sshd.ssh("-W")).replace(" sshd -W", " -W %h:%p sshd")
    address, port = hosts[0].split(":")
    fab.ssh_config(f"Host db1\n HostName {address}\n Port {port}\n ProxyCommand {command}\n")
    done = fab("serially", "-H", "db1", gateway="nobody@nowhere.invalid", warnings="default")
    assert reached(done) == [hosts[0]]
    assert new_logins() == 1
    assert "UserWarning" in done.stderr
    assert "db1" in done.stderr or address in done.stderr
    assert "nobody@nowhere.invalid" in done.stderr and "the ProxyCommand is used" in done.stderr


def test_a_proxycommand_is_run_by_a_shell(fab, hosts) -> None:
    """As in OpenSSH; fab-classic alone splits the line into words."""
    address, port = hosts[0].split(":")
    fab.ssh_config(
        f"Host db1\n HostName {address}\n Port {port}\n ProxyCommand nc %h %p 2>{fab.home}/said\n"
    )
    assert reached(fab("serially", "-H", "db1", gateway=None)) == [hosts[0]]
    assert (fab.home / "said").exists()


def test_a_host_with_shell_characters_is_not_given_to_a_shell(fab, tmp_path) -> None:
    fab.ssh_config("Host *\n ProxyCommand echo %h\n")
    done = fab("serially", "-H", f"$(touch {tmp_path}/harm)", gateway=None, expected=1)
    assert "is refused" in done.stderr
    assert not (tmp_path / "harm").exists()


@under_both
def test_the_stderr_of_a_proxycommand_is_reported(fab) -> None:
    fab.ssh_config("Host *\n ProxyCommand sh -c 'echo the bastion is on fire >&2; exit 7'\n")
    done = fab("serially", "-H", "db1", gateway=None, expected=1)
    assert "the bastion is on fire" in done.stderr
    assert "assword" not in done.stdout + done.stderr


def test_a_proxyjump_of_two_hops_is_followed(fab, hosts, targets, sshd, new_logins) -> None:
    """In OpenSSH's order: the first host of the list is the first hop."""
    before = gateways.logins(targets[0])
    address, port = hosts[0].split(":")
    fab.ssh_config(
        f"Host db1\n HostName {address}\n Port {port}\n ProxyJump ssh://outer/,inner\n"
        f"Host outer\n HostName {sshd.host}\n Port {sshd.port}\n"
        f"Host inner\n HostName {hosts[15].split(':')[0]}\n Port {hosts[15].split(':')[1]}\n"
    )
    done = fab("serially", "-H", "db1", gateway=None)
    assert reached(done) == [hosts[0]]
    assert new_logins() == 1
    assert gateways.logins(targets[0]) == before + 1
    assert f"port {port}" in targets[0].log
    closing = [line for line in done.stdout.splitlines() if "from gateway" in line]
    assert [f":{port}" in line for line in closing] == [False, False]
    assert f":{sshd.port}" in closing[1], "the inner gateway is closed first"


def test_a_hop_is_reached_through_the_one_before_it(fab, hosts) -> None:
    with PrivateSshd({"AllowTcpForwarding": "no"}) as closed:
        fab.trust(closed)
        fab.ssh_config(
            f"Host db1\n HostName 127.0.0.1\n ProxyJump outer,{hosts[15]}\n"
            f"Host outer\n HostName {closed.host}\n Port {closed.port}\n"
        )
        done = fab("serially", "-H", "db1", gateway=None, expected=1)
    assert f"refused a channel to '{hosts[15]}'" in fails(done)


@under_both
@pytest.mark.parametrize(
    "directives",
    [
        "ProxyCommand nc %h %p\n ProxyJump nobody@nowhere.invalid",
        "ProxyJump bastion\n ProxyCommand false",
    ],
    ids=["ProxyCommand", "ProxyJump"],
)
def test_the_first_of_proxyjump_and_proxycommand_wins(fab, hosts, sshd, directives) -> None:
    """As in OpenSSH; fab-classic alone uses the ProxyJump."""
    address, port = hosts[0].split(":")
    fab.ssh_config(
        f"Host db1\n HostName {address}\n Port {port}\n {directives}\n"
        f"Host bastion\n HostName {sshd.host}\n Port {sshd.port}\n"
    )
    assert reached(fab("serially", "-H", "db1", gateway=None)) == [hosts[0]]


@under_both
@pytest.mark.parametrize("directive", ["ProxyJump", "ProxyCommand"])
def test_none_disables_the_directive(fab, hosts, new_logins, directive) -> None:
    address, port = hosts[0].split(":")
    fab.ssh_config(
        f"Host db1\n HostName {address}\n Port {port}\n {directive} None\n"
        f"Host *\n {directive} nobody@nowhere.invalid\n"
    )
    done = fab("serially", "-H", "db1", gateway=None)
    assert reached(done) == [hosts[0]]
    assert new_logins() == 0


def test_a_wildcard_that_matches_the_jump_host_too(fab, sshd, hosts, new_logins) -> None:
    fab.ssh_config(
        f"Host bastion\n HostName {sshd.host}\n Port {sshd.port}\nHost *\n ProxyJump bastion\n"
    )
    done = fab("serially", "-H", f"bastion,{hosts[0]}", gateway=None)
    assert reached(done) == [f"{sshd.host}:{sshd.port}", hosts[0]]
    assert new_logins() == 2
    fab("serially", "-H", "bastion", gateway=None)
    assert new_logins() == 2 + 1, "the jump host is not reached through itself"


def test_a_wildcard_that_matches_the_second_of_two_jump_hosts(
    fab, sshd, hosts, new_logins
) -> None:
    fab.ssh_config(
        f"Host bastion\n HostName {sshd.host}\n Port {sshd.port}\n"
        f"Host *\n ProxyJump bastion,{hosts[15]}\n"
    )
    done = fab("serially", "-H", hosts[15], gateway=None)
    assert reached(done) == [hosts[15]]
    assert new_logins() == 1


# --- Errors ---------------------------------------------------------------------------


def fails(done: subprocess.CompletedProcess[str]) -> str:
    """The output of fab on stderr, which must not contain a prompt."""
    said = done.stdout + done.stderr
    assert "Fatal error" in done.stderr
    assert "assword for" not in said and "assphrase for" not in said
    return done.stderr


@under_both
def test_a_refused_login_on_the_gateway_is_reported(fab, hosts, tmp_path, sshd) -> None:
    make_key(tmp_path / "stranger")
    key = str(tmp_path / "stranger")
    gateways.logins(sshd)  # wait until the earlier logins are in the log
    before = sshd.log.count("Connection closed by authenticating user")
    done = fab("serially", "-H", hosts[0], "-n", "3", expected=1, key_filename=key)
    assert "accepted no login" in fails(done)
    assert key in done.stderr
    sshd_said = sshd.log.count("Connection closed by authenticating user")
    assert sshd_said <= before + 1, (
        "it must try once only, because more attempts could lock the user out"
    )


def test_a_refused_target_is_reported(fab) -> None:
    done = fab("serially", "-H", f"127.0.0.1:{gateways.closed_port()}", expected=1)
    assert "refused a channel" in fails(done)


@pytest.mark.parametrize("cause", ["login", "host key"])
def test_a_failure_in_parallel_is_reported(fab, hosts, tmp_path, sshd, cause) -> None:
    """The error comes from another process, through a queue."""
    key = make_key(tmp_path / "stranger")
    if cause == "host key":
        fab.known_hosts.write_text(f"[{sshd.host}]:{sshd.port} {key}\n")
    else:
        fab.env["key_filename"] = str(tmp_path / "stranger")
    done = fab("at_once", "-H", ",".join(hosts[:3]), expected=1)
    words = "accepted no login" if cause == "login" else "changed"
    assert words in fails(done)
    assert done.stderr.count("!!! Parallel execution exception under host") == 3
    assert reached(done) == []


def test_a_gateway_without_a_listener_is_reported(fab, hosts) -> None:
    gateway = f"127.0.0.1:{gateways.closed_port()}"
    done = fab("serially", "-H", hosts[0], expected=1, gateway=gateway)
    assert "cannot connect to gateway" in fails(done) and gateway in done.stderr


def test_a_bad_host_is_skipped(fab, hosts) -> None:
    bad = f"127.0.0.1:{gateways.closed_port()}"
    done = fab("serially", "-H", f"{hosts[0]},{bad},{hosts[1]}", "--skip-bad-hosts")
    assert reached(done) == hosts[:2]
    assert "refused a channel" in done.stderr


@under_both
@pytest.mark.parametrize(
    "words",
    [b"", b"SSH-2.0-ends_here\r\n"],
    ids=["before the banner", "after the banner"],
)
def test_a_target_that_hangs_up_is_a_failure(fab, words) -> None:
    """fab-classic takes the EOFError for Ctrl-D and exits with status 0."""

    def hang_up(sock) -> None:
        sock.recv(8)
        sock.sendall(words)

    with gateways.Target(hang_up) as target:
        done = fab("serially", "-H", "{}:{}".format(*target.address), expected=1)
    fails(done)


def test_a_gateway_that_does_not_answer_times_out(fab, hosts) -> None:
    with gateways.Target(lambda sock: sock.recv(1000) and sock.recv(1000)) as silent:
        gateway = "{}:{}".format(*silent.address)
        done = fab("serially", "-H", hosts[0], expected=1, gateway=gateway, timeout=0.3)
    assert "within 0.3 s" in fails(done) and gateway in done.stderr


# --- Prompts: only where an answer can help -------------------------------------------


@pytest.fixture
def locked_key(sshd, tmp_path) -> str:
    """The key of the gateway, protected by a passphrase."""
    key = tmp_path / "locked"
    key.write_bytes(sshd.user_key.read_bytes())
    key.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return str(key)


@under_both
def test_a_passphrase_is_asked_for_once(fab, hosts, sshd, targets, locked_key) -> None:
    keys = [str(server.user_key) for server in targets]
    fab.ssh_config(f"Host {sshd.host}\n IdentityFile {locked_key}\n")
    done = fab(
        "serially", "-H", ",".join(hosts[1:3]),
        answers=["wrong", "open sesame"], key_filename=keys,
    )  # fmt: skip
    assert reached(done) == hosts[1:3]
    asked = [line for line in done.stdout.splitlines() if line.startswith("asked")]
    assert asked == [f"asked [{fab.env['gateway']}] Passphrase for private key: "] * 2


def given(answers: list[list[str]]) -> list[list[str]]:
    """The rounds that were answered. The system's libssh2 cannot leave a prompt unanswered, so
    an empty answer goes out before Fabric has asked its question."""
    if _core.BUILD_LIBSSH2 == "pinned":
        return answers
    return [texts for texts in answers if any(texts)]


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive"])
def test_a_password_is_asked_for(fab, sshd, methods) -> None:
    with scripted.ParamikoServer(sshd, methods=methods, password="right") as server:
        server.refusal = 2  # the login succeeds, but no channel is opened
        gateway = "me@{}:{}".format(*server.address)
        done = fab(
            "serially", "-H", "db1",
            expected=1, answers=["wrong", "right"], gateway=gateway, key_filename=None,
        )  # fmt: skip
        assert [server.passwords, given(server.answers)] in (
            [["wrong", "right"], []],
            [[], [["wrong"], ["right"]]],
        )
    asked = [line for line in done.stdout.splitlines() if line.startswith("asked")]
    assert asked == [f"asked [{gateway}] Login password: "] * 2
    assert "refused a channel to 'db1:22'" in done.stderr


@under_both
def test_a_second_factor_is_asked_for(fab, sshd) -> None:
    with scripted.ParamikoServer(sshd, methods="keyboard-interactive", password="right") as server:
        server.prompts = [("Password: ", False), ("Verification code: ", False)]
        server.expected = ["right", "123456"]
        server.refusal = 2
        gateway = "me@{}:{}".format(*server.address)
        done = fab(
            "serially", "-H", "db1",
            expected=1, answers=["right", "123456"], gateway=gateway, key_filename=None,
        )  # fmt: skip
        assert given(server.answers) == [["right", "123456"]]
    assert f"asked [{gateway}] Login password: \n" in done.stdout
    explanation = "The name\nWho are you?\n"
    assert f"asked {explanation}[{gateway}] Verification code: \n" in done.stdout
    assert done.stdout.count("asked") == 2
    assert "refused a channel to 'db1:22'" in done.stderr


def test_a_busy_gateway_is_reported(fab, hosts) -> None:
    with gateways.Target(lambda sock: sock.sendall(b"Exceeded MaxStartups\r\n")) as busy:
        gateway = "{}:{}".format(*busy.address)
        done = fab("serially", "-H", hosts[0], expected=1, gateway=gateway, timeout=1)
        assert len(busy._connections) > 1, "it is tried again"
    assert "is busy" in fails(done) and gateway in done.stderr


def test_a_password_is_asked_for_three_times_at_most(fab, sshd) -> None:
    with scripted.ParamikoServer(sshd, password="right") as server:
        gateway = "me@{}:{}".format(*server.address)
        answers = ["one", "two", "three", "four"]
        done = fab("serially", "-H", "db1", expected=1, answers=answers, gateway=gateway)
        assert server.passwords == answers[:3]
    assert "accepted no login" in done.stderr


def test_without_a_terminal_a_prompt_is_an_error(fab, hosts, locked_key) -> None:
    """getpass raises EOFError, on which fab-classic exits with status 0."""
    done = fab("serially", "-H", hosts[0], expected=1, warnings="default", key_filename=locked_key)
    assert "no terminal to ask for a password" in done.stderr


def test_abort_on_prompts_is_obeyed(fab, hosts, locked_key) -> None:
    done = fab(
        "serially", "-H", hosts[0], "--abort-on-prompts", expected=1, key_filename=locked_key
    )
    assert "Needed to prompt" in done.stderr


def test_a_passphrase_in_env_is_used(fab, hosts, locked_key, targets) -> None:
    keys = [locked_key, *(str(server.user_key) for server in targets)]
    done = fab(
        "serially", "-H", hosts[0],
        key_filename=keys, passwords={str(fab.env["gateway"]): "open sesame"},
    )  # fmt: skip
    assert reached(done) == hosts[:1]


# --- Host keys of the gateway -----------------------------------------------------------


def test_a_new_host_key_is_accepted_but_not_saved(fab, hosts) -> None:
    fab.known_hosts.write_text("")
    done = fab("serially", "-H", hosts[0])
    assert reached(done) == hosts[:1]
    assert fab.known_hosts.read_text() == ""


def test_a_new_host_key_is_refused_with_reject_unknown_hosts(fab, hosts, targets) -> None:
    fab.known_hosts.write_text(targets[0].known_hosts.read_text())
    done = fab("serially", "-H", hosts[0], "-r", expected=1)
    assert "no host key is known" in fails(done)


def test_a_host_key_in_the_system_file_is_accepted(fab, hosts, tmp_path) -> None:
    fab.known_hosts.rename(tmp_path / "system")
    done = fab("serially", "-H", hosts[0], "-r", system_known_hosts=str(tmp_path / "system"))
    assert reached(done) == hosts[:1]


@pytest.mark.parametrize("reject", [False, True])
def test_a_changed_host_key_is_always_refused(fab, hosts, sshd, tmp_path, reject) -> None:
    other = make_key(tmp_path / "other")
    fab.known_hosts.write_text(f"[{sshd.host}]:{sshd.port} {other}\n")
    done = fab("serially", "-H", hosts[0], expected=1, reject_unknown_hosts=reject)
    assert "changed" in fails(done)


def test_disable_known_hosts_is_obeyed(fab, hosts, sshd, tmp_path) -> None:
    other = make_key(tmp_path / "other")
    fab.known_hosts.write_text(f"[{sshd.host}]:{sshd.port} {other}\n")
    done = fab("serially", "-H", hosts[0], "-D")
    assert reached(done) == hosts[:1]


# --- env ------------------------------------------------------------------------------


def parameters(fab: Fab, **env: object) -> dict[str, object]:
    done = fab("parameters", **env)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("parameters"))
    return json.loads(line.removeprefix("parameters "))


def test_env_becomes_parameters_of_a_gateway(fab, tmp_path) -> None:
    found = parameters(
        fab,
        gateway="me@bastion:2222",
        key_filename="~/one",
        password="for all",
        passwords={"me@bastion:2222": "for it"},
        no_agent=False,
        timeout=7,
        keepalive=9,
    )
    assert found == {
        "hostname": "bastion",
        "port": 2222,
        "username": "me",
        "password": "for it",
        "passphrase": "for it",
        "pkey": None,
        "key_filename": [f"{tmp_path}/one"],
        "allow_agent": True,
        "look_for_keys": False,
        "known_hosts": ["/dev/null", "~/.ssh/known_hosts"],
        "strict_host_key_checking": "accept-new",
        "timeout": 7.0,
        "server_alive_interval": 9,
    }


def test_ssh_config_and_the_rest_of_env_become_parameters(fab, tmp_path) -> None:
    fab.ssh_config(
        f"Host bastion\n HostName 192.0.2.1\n User deploy\n Port 24\n"
        f" IdentityFile {tmp_path}/of_bastion\nHost db1\n IdentityFile {tmp_path}/of_db1\n"
    )
    found = parameters(
        fab,
        gateway="bastion",
        host_string="db1",
        key_filename=["~/one"],
        password="for all",
        no_keys=False,
        no_agent=True,
        reject_unknown_hosts=True,
        disable_known_hosts=True,
        timeout=None,
    )
    assert found == {
        "hostname": "192.0.2.1",
        "port": 24,
        "username": "deploy",
        "password": "for all",
        "passphrase": "for all",
        "pkey": None,
        "key_filename": [f"{tmp_path}/one", f"{tmp_path}/of_bastion"],
        "allow_agent": False,
        "look_for_keys": True,
        "known_hosts": [],
        "strict_host_key_checking": "yes",
        "timeout": None,
        "server_alive_interval": 0,
    }


@under_both
def test_a_key_in_memory_opens_the_gateway(fab, hosts, sshd, targets) -> None:
    """env.key is the text of a private key."""
    key = sshd.user_key.read_text()
    done = fab("serially", "-H", hosts[0], key=key, key_filename=[str(targets[0].user_key)])
    assert reached(done) == hosts[:1]


# --- install and uninstall ----------------------------------------------------------------


def test_uninstall_restores_the_originals(fab, hosts, new_logins) -> None:
    done = fab("without_us_again", "-H", hosts[0])
    assert reached(done) == hosts[:1]
    assert new_logins() == 1


def test_fabric_2_and_3_need_no_install() -> None:
    from sshgateway import fabric_classic

    with pytest.raises(ImportError, match="need no install"):
        fabric_classic.install()
    fabric_classic.uninstall()
