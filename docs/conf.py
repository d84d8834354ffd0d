# SPDX-License-Identifier: BSD-2-Clause
"""The configuration of Sphinx, which ``make docs`` runs."""

import ast
from pathlib import Path
from typing import Any

from docutils import nodes

import sshgateway

project = "sshgateway"
author = "The sshgateway authors"
copyright = "2026, The sshgateway authors"  # noqa: A001
version = release = sshgateway.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Sockets to hosts behind an SSH gateway",
    "fixed_sidebar": True,
    "page_width": "1160px",
}
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_copy_source = False
autodoc_member_order = "bysource"
#: A signature that is longer has one parameter per line.
maximum_signature_line_length = 60
nitpicky = True
#: Names in signatures that belong to Python's own documentation.
nitpick_ignore = [
    ("py:class", name)
    for name in (
        "Any",
        "BinaryIO",
        "ChannelKind",
        "Buffer",
        "EllipsisType",
        "IO",
        "Iterable",
        "Mapping",
        "Path",
        "Self",
        "Sequence",
        "Iterator",
        "TracebackType",
        "_Argument",
        "_HasFileno",
        "collections.abc.Callable",
        "collections.abc.Hashable",
        "collections.abc.Iterator",
        "collections.abc.Mapping",
        "collections.abc.Sequence",
        "os.PathLike",
        "pathlib.Path",
        "socket.AddressFamily",
        "socket.SocketKind",
        "socket.socket",
        "sshgateway._build.BuildInfo",
        "sshgateway._core.Stream",
        "sshgateway._parameters.GatewayParameters",
        "sshgateway._trust.command.Command",
        "subprocess.DEVNULL",
        "subprocess.PIPE",
        "types.TracebackType",
    )
]

doctest_global_setup = "from sshgateway import *"

# ---- Signatures of the C types ---------------------------------------------------
# A C docstring names the parameters but not their types. The stub has the types, and
# "make check" compares the stub with the module.

STUB = Path(__file__).parents[1] / "python" / "sshgateway" / "_core.pyi"
STREAMS = ("ProxyCommand", "DirectTcpipChannel")


def stub_signatures() -> dict[str, tuple[str, str]]:
    """Return (parameters, result) of each function in the stub, by ``Class.function``."""
    return {
        f"{kind.name}.{function.name}": signature_of(function)
        for kind in ast.parse(STUB.read_text()).body
        if isinstance(kind, ast.ClassDef)
        for function in kind.body
        if isinstance(function, ast.FunctionDef)
    }


def signature_of(function: ast.FunctionDef) -> tuple[str, str]:
    """Return the parameters without ``self``, and the result."""
    arguments = function.args
    del (arguments.posonlyargs or arguments.args)[0]
    result = ast.unparse(function.returns) if function.returns is not None else ""
    return f"({ast.unparse(arguments)})", result


SIGNATURES = stub_signatures()


def use_stub(
    app: object, what: str, name: str, thing: Any, options: object, signature: str, result: str
) -> tuple[str, str] | None:
    """Replace the signature of a stream's constructor or method by the one in the stub."""
    words = name.split(".")
    if what == "class" and words[-1] in STREAMS:
        return SIGNATURES[f"{words[-1]}.__init__"][0], ""
    if what == "method" and words[-2] in STREAMS:
        return SIGNATURES.get(f"{words[-2]}.{words[-1]}") or SIGNATURES.get(f"Stream.{words[-1]}")
    return None


def unlink_addresses(app: object, doctree: nodes.document) -> None:
    """Turn ``mailto:`` links into text, because "user@host" is no e-mail address."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("mailto:"):
            link.replace_self(link.children)


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", use_stub)
    app.connect("doctree-read", unlink_addresses)
