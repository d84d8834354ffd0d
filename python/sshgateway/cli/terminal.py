# SPDX-License-Identifier: BSD-2-Clause
"""Ask a person at the terminal, and show what a server says, as ssh(1) does.

Everything goes to and comes from /dev/tty, because standard input and output carry the data of
-W. A server's text is never written as it came: control characters become octal escapes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence

from sshgateway._messages import printable
from sshgateway.config import Host
from sshgateway.login import Prompt, Question, printable_lines

__all__ = ["prompt_for", "show_banner"]

_TERMINAL = "/dev/tty"


def show_banner(text: str) -> None:
    """Write a banner of a server (RFC 4252 section 5.4) to standard error."""
    if text:
        print(printable_lines(text.removesuffix("\n")), file=sys.stderr, flush=True)


def prompt_for(hops: Sequence[Host]) -> Prompt | None:
    """Return a function that answers the questions of a login; None without a terminal.

    - hops: the gateways of the way, the first hop first.
    """
    try:
        os.close(_open_terminal())
    except OSError:
        return None

    def prompt(text: str, echo: bool, question: Question) -> str | None:
        shown = _explanation(question) + _asked(question, hops)
        return ask(shown, echo)

    return prompt


def _explanation(question: Question) -> str:
    """The name and instruction of a round of prompts, each on lines of its own."""
    if not question.is_first:
        return ""
    texts = (question.name, question.instruction)
    return "".join(text.removesuffix("\n") + "\n" for text in texts if text)


def _asked(question: Question, hops: Sequence[Host]) -> str:
    """The prompt, in the form of OpenSSH; a chain of gateways adds the number of the hop."""
    hop = hops[question.hop - 1]
    who = printable(f"{hop.user}@{hop.host_key_alias or hop.hostname}")
    number = f"hop {question.hop} of {len(hops)}: " if len(hops) > 1 else ""
    if question.kind == "password":
        return f"{number}{who}'s password: "
    if question.kind == "keyboard-interactive":
        return f"{number}({who}) {question.text}"
    if question.kind == "new password":
        return f"{number}({who}) {question.text.rstrip().removesuffix(':')}: "
    return number + question.text


def _open_terminal() -> int:
    return os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def ask(text: str, echo: bool) -> str | None:
    """Write *text* to the terminal and return the line that is typed; None at its end (Ctrl-D).

    Input that was typed before is discarded, as readpassphrase(3) does. Ctrl-C raises
    KeyboardInterrupt. The modes of the terminal are restored in every case, also while the process
    is stopped (Ctrl-Z); the prompt appears again when it continues.
    """
    fd = _open_terminal()
    try:
        before = termios.tcgetattr(fd)
        during = termios.tcgetattr(fd)
        if not echo:
            during[3] &= ~(termios.ECHO | termios.ECHONL)

        def begin() -> None:
            termios.tcsetattr(fd, termios.TCSAFLUSH, during)
            _write(fd, text)

        def end() -> None:
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)

        line = None
        try:
            with _stopping(end, begin):
                begin()
                line = _read_line(fd)
        finally:
            end()
            if line is None or not echo:  # nothing has ended the line of the prompt
                _write(fd, "\n")
        return line
    finally:
        os.close(fd)


@contextlib.contextmanager
def _stopping(leave: Callable[[], None], resume: Callable[[], None]) -> Iterator[None]:
    """In the block, Ctrl-Z calls *leave* before the process stops; SIGCONT calls *resume*.

    Python accepts signal handlers only on the main thread. Without job control SIGTSTP is ignored
    and stays so.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTSTP) != signal.SIG_DFL:
        yield
        return

    def stop(number: int, _frame: object) -> None:
        leave()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # on this thread, so that it returns after SIGCONT
        signal.signal(number, stop)
        resume()

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _write(fd: int, text: str) -> None:
    data = printable_lines(text).encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(fd, data) :]


def _read_line(fd: int) -> str | None:
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(fd, 4096)
        if not piece:
            break
        data += piece
    return data.removesuffix(b"\n").decode("utf-8", "surrogateescape") if data else None
