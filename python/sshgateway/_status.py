# SPDX-License-Identifier: BSD-2-Clause
"""The names by which the C core calls its failures, and codes of libssh2."""

from __future__ import annotations

import enum

__all__ = [
    "LIBSSH2_ERROR_AUTHENTICATION_FAILED",
    "LIBSSH2_ERROR_PASSWORD_EXPIRED",
    "LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED",
    "Status",
]


class Status(enum.StrEnum):
    """SG_STATUS_LIST of csrc/sys/status.h, without the prefix SG_ERR_."""

    SYSTEM = "SYSTEM"
    TIMEOUT = "TIMEOUT"
    INTERRUPTED = "INTERRUPTED"
    CWD = "CWD"
    EXEC = "EXEC"
    PROXY_EXITED = "PROXY_EXITED"
    NOT_A_SOCKET = "NOT_A_SOCKET"
    NO_DESCRIPTOR = "NO_DESCRIPTOR"
    SSH = "SSH"
    LOST = "LOST"
    REFUSED = "REFUSED"
    OPEN_FAILURE = "OPEN_FAILURE"


#: libssh2.h. For a key: the server refused the public half, so nothing was signed. (Reading the
#: private half, and with it the passphrase, comes first and fails with other codes.)
LIBSSH2_ERROR_AUTHENTICATION_FAILED = -18
#: The server wants a new password (RFC 4252 section 8).
LIBSSH2_ERROR_PASSWORD_EXPIRED = -15
#: The server refused the signature or the password.
LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED = -19
