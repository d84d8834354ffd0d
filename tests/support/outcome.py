# SPDX-License-Identifier: BSD-2-Clause
"""Compares the outcome of a call with that of the same call on a plain socket."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def outcome(call: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """The result or the exception of *call*, in a form that can be compared.

    Exceptions compare by exact type, arguments and errno, and objects that the call makes
    (files, sockets) by their type.
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
