# SPDX-License-Identifier: BSD-2-Clause
"""build_info() describes the extension as it was built."""

from pathlib import Path

import pytest

import sshgateway
from sshgateway import _core

SERIES = Path(__file__).parents[2] / "deps/libssh2/patches/series"


def is_linked_to_a_libssh2() -> bool:
    maps = Path("/proc/self/maps").read_text()
    return _core.__file__ in maps and "libssh2.so" in maps


def test_system_means_that_libssh2_is_a_shared_library_and_pinned_that_it_is_not() -> None:
    info = sshgateway.build_info()
    assert info["libssh2"] == ("system" if is_linked_to_a_libssh2() else "pinned")


@pytest.mark.skipif(not SERIES.exists(), reason="the sources of the build are not here")
def test_the_patches_are_those_of_the_series() -> None:
    info = sshgateway.build_info()
    names = [line.removesuffix(".patch") for line in SERIES.read_text().split()]
    assert info["libssh2_patches"] == (names if info["libssh2"] == "pinned" else [])


def test_versions_are_reported() -> None:
    info = sshgateway.build_info()
    assert tuple(map(int, info["libssh2_version"].split(".")[:2])) >= (1, 10)
    if info["libssh2"] == "pinned":
        assert info["openssl_version"] is not None
        assert info["openssl_version"][0].isdigit()
    else:
        assert info["openssl_version"] is None


def test_gcm_is_offered_first_where_libssh2_has_it() -> None:
    info = sshgateway.build_info()
    assert (info["ciphers"][0] == "aes128-gcm@openssh.com") == (_core.LIBSSH2_NUMBER >= 0x010B00)
