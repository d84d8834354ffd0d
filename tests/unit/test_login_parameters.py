# SPDX-License-Identifier: BSD-2-Clause
"""The parameters of a login are checked before anything is connected."""

from __future__ import annotations

import pytest

from sshgateway import Gateway


@pytest.mark.parametrize("methods", ["gssapi", ["publickey", "passwd"], [""]])
def test_an_unknown_method_is_a_value_error(methods) -> None:
    with pytest.raises(ValueError, match="preferred_authentications must be of publickey"):
        Gateway("who@where", preferred_authentications=methods)


@pytest.mark.parametrize("methods", ["password", ["password", "publickey"], []])
def test_known_methods_are_accepted(methods) -> None:
    Gateway("who@where", preferred_authentications=methods)
