# SPDX-License-Identifier: BSD-2-Clause
"""The object itself: truth, references, repr() and subclasses."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest

from sshgateway import DirectTcpipChannel, ProxyCommand
from support.outcome import outcome
from support.streams import Stream, open_channel, open_proxycommand, recv_all


def test_it_is_always_true(stream: Stream) -> None:
    """Paramiko tests ``if not sock``."""
    assert bool(stream.sock) is True
    stream.sock.close()
    assert bool(stream.sock) is True
    with pytest.raises(TypeError):
        len(stream.sock)


def test_it_can_be_referenced_weakly(stream: Stream) -> None:
    called = []
    reference = weakref.ref(stream.sock, called.append)
    assert reference() is stream.sock
    assert stream.sock in weakref.WeakSet([stream.sock])
    stream.sock.close()
    stream.sock = stream.peer
    assert reference() is None
    assert called == [reference]


def test_it_is_hashed_and_compared_by_identity(stream: Stream, oracle: Stream) -> None:
    assert stream.sock == stream.sock
    assert stream.sock != oracle.sock
    assert len({stream.sock, stream.sock, oracle.sock}) == 2


def test_its_repr_names_the_class_and_the_descriptor(stream: Stream) -> None:
    text = repr(stream.sock)
    assert text.startswith("<") and text.endswith(">")
    assert type(stream.sock).__name__ in text
    assert f"fd={stream.sock.fileno()}" in text
    assert "closed" not in text


def test_the_repr_of_a_closed_stream_says_so(stream: Stream) -> None:
    fd = stream.sock.fileno()
    stream.sock.close()
    assert "[closed]" in repr(stream.sock)
    assert f"fd={fd}" not in repr(stream.sock)


def test_it_cannot_be_pickled_or_copied(stream: Stream, oracle: Stream) -> None:
    for call in (pickle.dumps, copy.copy):
        assert outcome(call, oracle.sock)[:2] == ("raised", TypeError)
        assert outcome(call, stream.sock)[:2] == ("raised", TypeError)


@pytest.mark.ours
def test_the_class_cannot_be_changed_at_run_time(stream: Stream) -> None:
    """Our types are immutable; a monkeypatch has to go into a subclass."""
    with pytest.raises(TypeError):
        type(stream.sock).brand_new = None


class SilentCommand(ProxyCommand):
    def __del__(self) -> None:
        """Does not call that of its base."""


class SilentChannel(DirectTcpipChannel):
    def __del__(self) -> None:
        """Does not call that of its base."""


@pytest.mark.parametrize("in_a_cycle", [False, True])
@pytest.mark.parametrize("kind", [SilentCommand, SilentChannel])
def test_a_subclass_whose_del_forgets_super_is_closed(
    leaves_nothing: None, monkeypatch: pytest.MonkeyPatch, kind, in_a_cycle: bool
) -> None:
    if kind is SilentCommand:
        monkeypatch.setattr("sshgateway.ProxyCommand", kind)
        pair = open_proxycommand()
    else:
        monkeypatch.setattr("sshgateway._core.DirectTcpipChannel", kind)
        pair = open_channel()
    assert type(pair.sock) is kind
    fd = pair.sock.fileno()
    if in_a_cycle:
        pair.sock.itself = pair.sock
    with pytest.warns(ResourceWarning, match=rf"^unclosed <.*{kind.__name__} fd={fd}>$"):
        pair.sock = pair.peer
        gc.collect()
    assert recv_all(pair.peer) == b""
    pair.close()


def test_a_subclass_whose_del_forgets_super_may_have_been_closed(
    leaves_nothing: None, monkeypatch: pytest.MonkeyPatch, recwarn
) -> None:
    monkeypatch.setattr("sshgateway.ProxyCommand", SilentCommand)
    pair = open_proxycommand()
    pair.sock.close()
    pair.sock = pair.peer
    gc.collect()
    assert not recwarn.list
    pair.close()
