# SPDX-License-Identifier: BSD-2-Clause
"""sshgateway beside libraries that bring an OpenSSL or a libssh2 of their own."""

import sys
from pathlib import Path

import pytest

from sshgateway import _core
from support import fresh

#: "make test" installs requirements/neighbours.txt there.
NEIGHBOURS = Path(sys.prefix, "neighbours")

#: True if the extension, or its shared libssh2, uses the system's libcrypto. RTLD_GLOBAL
#: shows that to the libssl of psycopg2, which needs its own libcrypto and crashes. Our
#: wheels contain OpenSSL and show no symbol of it.
CORE = Path(_core.__file__).read_bytes()
SHARED_OPENSSL = b"libcrypto.so" in CORE or b"libssh2.so" in CORE

needs_neighbours = pytest.mark.skipif(
    not NEIGHBOURS.is_dir(), reason="requirements/neighbours.txt is not installed"
)


@needs_neighbours
@pytest.mark.limit(300)
@pytest.mark.parametrize("flags", ["local", "global"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_all_encrypt_in_one_process_in_four_threads(order: str, flags: str) -> None:
    if (order, flags) == ("first", "global") and SHARED_OPENSSL:
        pytest.skip("the OpenSSL of this build is shared, so RTLD_GLOBAL gives it to psycopg2")
    fresh.run("neighbours", order, flags, warnings="ignore", path=[str(NEIGHBOURS)], timeout=250)
