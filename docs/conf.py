# SPDX-License-Identifier: BSD-2-Clause
"""Sphinx: ``make docs``."""

import sshgateway

project = "sshgateway"
author = "The sshgateway authors"
copyright = "2026, The sshgateway authors"  # noqa: A001
version = release = sshgateway.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "A socket to the host behind the gateway"}
autodoc_member_order = "bysource"
nitpicky = True
nitpick_ignore = [
    ("py:class", "Buffer"),
    ("py:class", "collections.abc.Callable"),
    ("py:class", "collections.abc.Sequence"),
    ("py:class", "os.PathLike"),
    ("py:class", "socket.socket"),
    ("py:class", "sshgateway._core.Stream"),
    ("py:class", "sshgateway._build.BuildInfo"),
    ("py:class", "subprocess.PIPE"),
    ("py:class", "subprocess.DEVNULL"),
]

doctest_global_setup = "from sshgateway import *"
