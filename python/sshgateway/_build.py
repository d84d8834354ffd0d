# SPDX-License-Identifier: BSD-2-Clause
"""What this sshgateway was built from."""

from typing import TypedDict

from sshgateway import _core


class BuildInfo(TypedDict):
    """What :func:`build_info` returns."""

    libssh2: str
    libssh2_version: str
    libssh2_patches: list[str]
    openssl_version: str | None
    poller: str
    ciphers: list[str]


def build_info() -> BuildInfo:
    """What this sshgateway was built from; for bug reports.

    - ``libssh2``: ``"pinned"``, the patched one that is part of the extension, or
      ``"system"``, a shared library.
    - ``libssh2_version``: of the library in use now.
    - ``libssh2_patches``: the names of ours in it, first to last. Empty for the system's.
    - ``openssl_version``: of the library that a pinned libssh2 uses; None for the system's,
      which may be built on something else.
    - ``poller``: ``"epoll"``, or ``"poll"`` for the portable build.
    - ``ciphers``: what is offered to gateways, best first.
    """
    return {
        "libssh2": _core.BUILD_LIBSSH2,
        "libssh2_version": _core.LIBSSH2_VERSION,
        "libssh2_patches": _core.BUILD_PATCHES.split(),
        "openssl_version": _core.BUILD_OPENSSL,
        "poller": _core.BUILD_POLLER,
        "ciphers": _core.OFFERED_CIPHERS.split(","),
    }
