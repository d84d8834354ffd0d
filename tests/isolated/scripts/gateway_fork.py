# SPDX-License-Identifier: BSD-2-Clause
"""After a fork the child cannot use the parent's connection, but can make its own.

The child sends nothing on the parent's connections and keeps none of them open.
"""

import gc
import os
import sys
import threading
import traceback
import warnings

from support import gateways, scripted
from support.footprint import descriptors, native_threads
from support.gateways import Target
from support.sshd import PrivateSshd
from support.waiting import until

warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: fork with threads

USES = {
    "recv": lambda c: c.recv(1),
    "send": lambda c: c.send(b"x"),
    "sendall": lambda c: c.sendall(b"x"),
    "dup": lambda c: c.dup().close(),
    "settimeout": lambda c: c.settimeout(1),
}


def echoes(channel, data: bytes) -> None:
    channel.settimeout(10)
    channel.sendall(data)
    assert channel.recv(len(data)) == data


def in_child(gateway, channel, numbers: set[int], target: Target) -> None:
    kept = {fd: what for fd, what in descriptors().items() if fd in numbers}
    assert not kept, f"the child keeps the parent's descriptors: {kept}"
    assert not gateway.is_connected
    repr(gateway), repr(channel)
    for name, call in USES.items():
        try:
            call(channel)
        except OSError:
            continue
        raise AssertionError(f"{name} works in the child")
    channel.close()
    assert channel.fileno() == -1
    # In the child, the same object opens a new connection.
    with gateway.open_channel("direct-tcpip", target.address) as own:
        echoes(own, b"in the child")
    gateway.close()
    with gateways.to(server) as another:
        assert another.is_connected


def closes_at_once(gateway, channel, *_) -> None:
    gateway.close()
    channel.close()


def drops(*_) -> None:
    """Finalizers in the child do not warn."""
    global gateway, channel
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        del gateway, channel
        gc.collect()
    assert not said, [str(w.message) for w in said]


def opens_first(gateway, channel, numbers, target) -> None:
    gateway.open()
    with gateway.open_channel("direct-tcpip", target.address) as own:
        echoes(own, b"in the child")
    gateway.close()


def fork_and(function, *arguments) -> None:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function(*arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{function.__name__}: {status}"


def opens_while_the_parent_holds_the_lock(gateway) -> None:
    """Another thread of the parent was inside open() when it forked."""
    try:
        gateway.open(timeout=0.3)
    except TimeoutError:
        return
    raise AssertionError("open() did not time out")


with PrivateSshd() as server, Target(gateways.echo) as target:
    before = set(descriptors())
    gateway = gateways.to(server)
    channel = gateway.open_channel("direct-tcpip", target.address)
    echoes(channel, b"parent")
    numbers = set(descriptors()) - before - {sock.fileno() for sock, _ in target._connections}
    assert len(numbers) >= 3, numbers
    log = len(server.log)
    for function in (in_child, closes_at_once, opens_first, drops):
        fork_and(function, gateway, channel, numbers, target)
        echoes(channel, b"parent")
        assert gateway.is_connected
    threads = native_threads()
    gateway.close()
    channel.close()
    until(lambda: len(native_threads()) < len(threads), "the parent's thread has ended")

with Target(scripted.says()) as silent:
    waiting_gateway = gateways.to_address(silent.address, timeout=60)

    def open_and_ignore() -> None:
        try:
            waiting_gateway.open()
        except OSError:
            return

    opener = threading.Thread(target=open_and_ignore, daemon=True)
    opener.start()
    until(lambda: silent._connections, "the opener has connected")
    fork_and(opens_while_the_parent_holds_the_lock, waiting_gateway)
    silent._connections[0][0].shutdown(2)
    opener.join(10)
    assert not opener.is_alive()
