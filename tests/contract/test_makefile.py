# SPDX-License-Identifier: BSD-2-Clause
"""makefile(): files on the stream, in every mode that socket.makefile has."""

from __future__ import annotations

import io
import os
import socket

import pytest

from support.outcome import outcome
from support.streams import Stream, digest, payload, recv_all, recv_exactly
from support.waiting import DEADLINE, Worker

LINES = ["first\n", "zweite Zeile: äöü\n", "第三行\n", "no newline at the end"]


@pytest.mark.parametrize(
    ("mode", "buffering"),
    [(m, b) for m in ("r", "w", "rw", "rb", "wb", "rwb", "b", "") for b in (None, 0, 1, 2, 4096)],
)
def test_makefile_returns_the_same_kind_of_file_as_socket(
    stream: Stream, oracle: Stream, mode: str, buffering
) -> None:
    assert outcome(shape, stream.sock, mode, buffering) == outcome(
        shape, oracle.sock, mode, buffering
    )


def shape(sock, mode: str, buffering):
    """The kind of file: the class of each layer, and its abilities."""
    with sock.makefile(mode, buffering) as file:
        layers = [type(file).__name__]
        inner = file
        while (inner := getattr(inner, "buffer", None) or getattr(inner, "raw", None)) is not None:
            layers.append(type(inner).__name__)
        return (
            *layers,
            file.mode if hasattr(file, "mode") else None,
            file.readable(),
            file.writable(),
            file.seekable(),
            file.fileno() == sock.fileno(),
            getattr(file, "line_buffering", None),
        )


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.makefile("q"),
        lambda s: s.makefile("r+"),
        lambda s: s.makefile("r", buffering=0),
        lambda s: s.makefile("r", 0),
        lambda s: s.makefile("rb", "x"),
        lambda s: s.makefile(5),
        lambda s: s.makefile(None),
        lambda s: s.makefile("r", encoding="no-such-encoding"),
        lambda s: s.makefile("rb", 0, "utf-8"),
        lambda s: s.makefile("r", newline="x"),
    ],
)
def test_makefile_refuses_the_arguments_that_socket_refuses(
    stream: Stream, oracle: Stream, call
) -> None:
    expected = outcome(call, oracle.sock)
    assert expected[0] == "raised"
    assert outcome(call, stream.sock) == expected


def test_a_refused_makefile_keeps_nothing_open(stream: Stream) -> None:
    with pytest.raises(ValueError):
        stream.sock.makefile("q")
    with pytest.raises(ValueError):
        stream.sock.makefile("r", 0)
    stream.sock.close()
    assert stream.sock.fileno() == -1


@pytest.mark.slow
@pytest.mark.parametrize("buffering", [-1, 0, 1, 2, 8192])
def test_binary_lines_are_read(stream: Stream, buffering: int) -> None:
    data = "".join(LINES).encode()
    stream.peer.sendall(data)
    stream.peer.shutdown(socket.SHUT_WR)
    with stream.sock.makefile("rb", buffering) as file:
        assert file.readline() == LINES[0].encode()
        assert list(file) == [line.encode() for line in LINES[1:]]
        assert file.read(1) == b""


def test_text_lines_are_read(stream: Stream) -> None:
    stream.peer.sendall("".join(LINES).encode())
    stream.peer.shutdown(socket.SHUT_WR)
    with stream.sock.makefile("r", encoding="utf-8") as file:
        assert file.readlines() == LINES


def test_newlines_are_translated_as_asked(stream: Stream) -> None:
    stream.peer.sendall(b"a\r\nb\rc\n")
    with stream.sock.makefile("r", newline="") as file:
        assert [file.readline() for _ in range(2)] == ["a\r\n", "b\r"]


def test_text_is_encoded_as_asked(stream: Stream) -> None:
    with stream.sock.makefile("w", encoding="latin-1", newline="\r\n") as file:
        file.write("ä\n")
    assert recv_exactly(stream.peer, 3) == b"\xe4\r\n"


def test_a_written_file_is_buffered_until_flushed(stream: Stream) -> None:
    with stream.sock.makefile("wb") as file:
        file.write(b"buffered")
        stream.peer.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.peer.recv(1)
        stream.peer.settimeout(DEADLINE)
        file.flush()
        assert recv_exactly(stream.peer, 8) == b"buffered"
        file.write(b"closed")
    assert recv_exactly(stream.peer, 6) == b"closed"


def test_an_unbuffered_file_writes_at_once(stream: Stream) -> None:
    with stream.sock.makefile("wb", 0) as file:
        assert file.write(b"now") == 3
        assert recv_exactly(stream.peer, 3) == b"now"


@pytest.mark.parametrize("size", [1, 100, 32_700, 1_000_000])
def test_a_file_moves_every_size(stream: Stream, size: int) -> None:
    data = payload(size)
    reader = Worker(recv_exactly, stream.peer, size)
    with stream.sock.makefile("rwb") as file:
        file.write(data)
        file.flush()
        assert digest(reader.result()) == digest(data)
        sender = Worker(stream.peer.sendall, data)
        assert digest(file.read(size)) == digest(data)
        sender.result()


def test_readinto_and_peek_return_buffered_data(stream: Stream) -> None:
    stream.peer.sendall(b"0123456789")
    with stream.sock.makefile("rb") as file:
        assert file.peek(1)[:1] == b"0"
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4
        assert buffer == b"0123"
        assert file.read1(100).startswith(b"4")


def test_two_unbuffered_files_share_the_stream(stream: Stream) -> None:
    """http.client relies on it between two responses."""
    stream.peer.sendall(b"one\ntwo\n")
    with stream.sock.makefile("rb", 0) as first:
        assert first.readline() == b"one\n"
        with stream.sock.makefile("rb", 0) as second:
            assert second.readline() == b"two\n"


def test_a_timeout_invalidates_the_file_as_in_socket(stream: Stream) -> None:
    stream.sock.settimeout(0.02)
    with stream.sock.makefile("rb", 0) as file:
        with pytest.raises(TimeoutError) as caught:
            file.read(1)
        assert caught.value.args == ("timed out",)
        stream.peer.sendall(b"late")
        with pytest.raises(OSError, match=r"^cannot read from timed out object$"):
            file.read(1)


def test_a_non_blocking_file_returns_none(stream: Stream) -> None:
    stream.sock.setblocking(False)
    with stream.sock.makefile("rwb", 0) as file:
        assert file.read(1) is None
        assert file.readinto(bytearray(1)) is None
        while file.write(b"x" * 65536) is not None:
            pass


def test_a_file_outlives_the_stream(stream: Stream) -> None:
    file = stream.sock.makefile("rwb", 0)
    stream.sock.close()
    file.write(b"out")
    assert recv_exactly(stream.peer, 3) == b"out"
    stream.peer.sendall(b"in")
    stream.peer.shutdown(socket.SHUT_WR)
    assert file.readall() == b"in"
    file.close()
    assert recv_all(stream.peer) == b""


def test_a_closed_file_refuses_everything(stream: Stream) -> None:
    file = stream.sock.makefile("rb")
    file.close()
    assert file.closed
    with pytest.raises(ValueError):
        file.read(1)
    stream.sock.sendall(b"stream is open")
    assert recv_exactly(stream.peer, 14) == b"stream is open"


def test_the_file_has_the_descriptor_of_the_stream(stream: Stream) -> None:
    with stream.sock.makefile("rb", 0) as file:
        assert file.name == file.fileno() == stream.sock.fileno()
        assert isinstance(file, socket.SocketIO)
        assert os.fstat(file.fileno())
    with stream.sock.makefile("rb") as buffered:
        assert isinstance(buffered, io.BufferedReader)
        assert buffered.name == stream.sock.fileno()
