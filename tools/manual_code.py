# SPDX-License-Identifier: BSD-2-Clause
"""manual_code.py DIRECTORY: write the Python code of README.rst and of the manual into
DIRECTORY, a file for each page, so that type checkers can check it.

A line of a page has the same number in its file. The code of a page is one program: a later
example uses the names of the earlier ones.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN = re.compile(r"( *)\.\. (code-block:: python|doctest::)\s*$")
PROMPT = re.compile(r"(>>>|\.\.\.)( |$)")


def code_of(text: str) -> str:
    """Return the Python code of a page; all other lines are empty."""
    lines: list[str] = []
    margin: int | None = None  # of the directive of the block
    is_doctest = False
    indent = 0
    for line in text.splitlines():
        begin = BEGIN.match(line)
        if begin:
            margin, is_doctest, indent = len(begin[1]), begin[2] == "doctest::", 0
            lines.append("")
            continue
        if margin is not None and line.strip() and len(line) - len(line.lstrip()) <= margin:
            margin = None
        if margin is None or not line.strip() or line.lstrip().startswith(":"):
            lines.append("")
            continue
        indent = indent or len(line) - len(line.lstrip())
        code = line[indent:]
        if is_doctest:
            prompt = PROMPT.match(code)
            code = code[prompt.end() :] if prompt else ""
        lines.append(code)
    return "\n".join(lines) + "\n"


def pages() -> list[Path]:
    return [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.py"):
        old.unlink()
    for page in pages():
        code = code_of(page.read_text())
        if code.strip():
            name = "_".join(page.relative_to(ROOT).with_suffix("").parts).lower()
            (directory / f"{name}.py").write_text(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
