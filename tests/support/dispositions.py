# SPDX-License-Identifier: BSD-2-Clause
"""Independence of the signal dispositions that a process inherits.

nohup(1) starts a program with SIGHUP ignored, a shell without job control starts
background jobs with SIGINT and SIGQUIT ignored, and service managers block or ignore
others.  Both pass through exec, so every program that a test starts would inherit them.
"""

from __future__ import annotations

import signal
from types import FrameType

#: The interpreter ignores these itself, and restores them in the programs it starts.
_PYTHONS = {signal.SIGPIPE, getattr(signal, "SIGXFSZ", signal.SIGPIPE)}

#: Without a handler, these do not end a process.
_HARMLESS = {
    signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGURG, signal.SIGWINCH,
}  # fmt: skip


def _ignore(_signum: int, _frame: FrameType | None) -> None:
    """A handler, because exec resets a handler to the default and keeps SIG_IGN."""


def reset() -> None:
    """Unblock all signals, and give the programs that this process starts the default
    dispositions.  A signal that was ignored and would end this process stays without
    effect here, except SIGINT, which raises KeyboardInterrupt."""
    for number in signal.valid_signals() - _PYTHONS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number in _HARMLESS else _ignore)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
