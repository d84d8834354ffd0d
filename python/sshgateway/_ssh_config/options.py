# SPDX-License-Identifier: BSD-2-Clause
"""The options of ssh_config(5), in the form in which ``ssh -G`` prints them."""

from __future__ import annotations

import os
import pwd

__all__ = ["ADDED", "SEVERAL", "Options", "from_home", "with_new_names"]

#: The values by keyword, in lower case. A keyword for which ``ssh -G`` prints several lines has
#: several values.
Options = dict[str, list[str]]

#: The keywords of which each occurrence adds a path. ``ssh -G`` does not expand the paths.
ADDED = ("identityfile", "certificatefile")
#: Keywords whose value is a list of paths.
SEVERAL = ("userknownhostsfile", "globalknownhostsfile")
#: Old names of keywords, and their names of today.
_RENAMED = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "tisauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
}


def with_new_names(options: Options) -> Options:
    """Rename old keywords. Of an old name and a new one the first counts, as in OpenSSH."""
    renamed: Options = {}
    for keyword, values in options.items():
        renamed.setdefault(_RENAMED.get(keyword, keyword), values)
    return renamed


def from_home(path: str) -> str:
    """Expand "~" as ssh(1) does: to the home directory of the account, not to $HOME.

    A path of a user that does not exist stays as it is.
    """
    if not path.startswith("~"):
        return path
    user, _, rest = path[1:].partition("/")
    try:
        home = (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir
    except KeyError:
        return path
    return f"{home}{'' if home.endswith('/') else '/'}{rest.lstrip('/')}"
