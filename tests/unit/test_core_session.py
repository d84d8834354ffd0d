# SPDX-License-Identifier: BSD-2-Clause
"""_core.Session used in ways in which gateway.py does not use it."""

from __future__ import annotations

import socket

import pytest

from sshgateway import _core
from sshgateway._messages import SessionFailed
from sshgateway._status import Status
from support.waiting import Worker


def test_a_session_in_use_refuses_calls_of_other_threads() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        session = _core.Session(theirs.detach())
        worker = Worker(session.handshake, None, None, None, None, 30)
        ours.recv(1)  # the client's identification string: the handshake has begun
        for use in (
            lambda: session.start(0, 3),
            lambda: session.host_key,
            lambda: session.methods,
            lambda: session.auth_none("user", 1),
            session.close,
        ):
            with pytest.raises(RuntimeError, match="another thread"):
                use()
    with pytest.raises(SessionFailed) as caught:
        worker.result()
    assert caught.value.status == Status.LOST
    session.close()
