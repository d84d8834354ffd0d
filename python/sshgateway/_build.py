# SPDX-License-Identifier: BSD-2-Clause
"""Facts about the build and the libraries in use."""

from typing import Literal, TypedDict

from sshgateway import _core
from sshgateway._offers import USUAL


class BuildInfo(TypedDict):
    """The dictionary that :func:`build_info` returns."""

    libssh2: Literal["pinned", "system"]
    libssh2_version: str
    libssh2_patches: list[str]
    openssl_version: str | None
    poller: Literal["epoll", "poll"]
    kex: list[str]
    ciphers: list[str]
    macs: list[str]
    host_key_algorithms: list[str]


def build_info() -> BuildInfo:
    """Return facts about this build of sshgateway, for bug reports.

    The dictionary holds:

    - ``libssh2`` (str): ``"pinned"`` for the patched library that is part of the
      extension, or ``"system"`` for a shared library.
    - ``libssh2_version`` (str): the version of the library in use.
    - ``libssh2_patches`` (list of str): the names of our patches, in the order in which they
      are applied. Empty for the system's library.
    - ``openssl_version`` (str or None): the version of the library that a pinned libssh2
      uses. None for the system's libssh2, which may use another one.
    - ``poller`` (str): ``"epoll"``, or ``"poll"`` for the portable build.
    - ``kex``, ``ciphers``, ``macs`` and ``host_key_algorithms`` (lists of str): the algorithms
      that can be offered to gateways, the preferred one first. The last list names
      certificates only if the libssh2 can check them.
    """
    return {
        "libssh2": _core.BUILD_LIBSSH2,
        "libssh2_version": _core.LIBSSH2_VERSION,
        "libssh2_patches": _core.BUILD_PATCHES.split(),
        "openssl_version": _core.BUILD_OPENSSL,
        "poller": _core.BUILD_POLLER,
        **{name: list(names) for name, names in USUAL.items()},  # type: ignore[typeddict-item]
    }
