# SPDX-License-Identifier: BSD-2-Clause
"""Compare what a call does with what it does on a plain socket."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def outcome(call: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """What *call* did, as something that compares: a result, or an exception.

    Exceptions compare by exact type, arguments and errno; objects that a call
    makes (files, sockets) by their type.
    """
    try:
        value = call(*args)
    except Exception as error:
        return ("raised", type(error), error.args, getattr(error, "errno", None))
    if value is None or isinstance(value, (int, float, bytes, str, tuple, list)):
        return ("returned", value)
    if hasattr(value, "close"):
        value.close()
    return ("returned", type(value))


def source(call: Callable[..., Any]) -> str:
    """The text of a one-line lambda, for the names of parametrised tests."""
    text = inspect.getsource(call).strip().rstrip(",")
    return text.partition("lambda s: ")[2] or call.__name__
