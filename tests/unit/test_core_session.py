# SPDX-License-Identifier: BSD-2-Clause
"""_core.Session, where gateway.py does not use it like that."""

from __future__ import annotations

import socket

import pytest
from waiting import Worker

from sshgateway import _core
from sshgateway._messages import SessionFailed
from sshgateway._status import Status


def test_a_session_in_use_is_nobody_elses() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        session = _core.Session(theirs.detach())
        worker = Worker(session.handshake, None, 30)
        ours.recv(1)  # it speaks: the handshake is under way
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
