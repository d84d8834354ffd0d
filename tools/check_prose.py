# SPDX-License-Identifier: BSD-2-Clause
"""check_prose.py [--list] [PATH...]: check the comments, docstrings and manual pages.

Two checks. No line of a C source is longer than 79 columns, comments included.
And the prose of each area of the tree holds fewer than 5 riddles per 10 000 words: a
riddle is one of the phrases below, which earlier prose was full of and which a reader
had to read twice. --list prints every riddle as file:line. PATHs replace the areas.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

COLUMNS = 79
LIMIT = 5.0  # riddles per 10 000 words

AREAS = {
    "csrc": ["csrc"],
    "python": ["python", "examples", "setup.py"],
    "docs": ["docs", "README.rst", "CHANGES.rst", "CONTRIBUTING.rst", "SECURITY.rst"],
    "tests": ["tests"],
    "tools": ["tools", "deps", "Makefile", ".ci"],
}

RIDDLES = {
    "'who' for a thing, or without a noun": (
        r"(?<!people )(?<!person )(?<!users )(?<!user )(?<!anyone )(?<!those )(?<!someone )"
        r"(?<!reader )(?<!readers )\bwho(?:ever|m|mever)?\b(?! am i)"
    ),
    "', for' instead of 'because'": (
        r", for (?:it|they|there|he|she|we|you|this|these|otherwise|else)\b"
        r"|, for (?:[\w'-]+ ){1,5}(?:is|are|was|were|has|have|may|can|cannot|would|will|does)\b"
    ),
    "a sentence that starts with 'What'": r"(?:^|(?<=[.!?;:] )|(?<=[.!?;:]  ))What\b",
    "'so many', 'so much'": r"\bso (?:many|much)\b",
    "an idiom": r"\banew\b|\baffairs?\b|\bnone the worse\b|\bby way of\b|\bbe had\b",
    "'still' at the end of a clause": r"\b[\w']+ still(?=[.,;:)])",
    "'nobody', 'somebody'": r"\b(?:no|some)body\b",
    "'is told'": r"\b(?:is|are|was|were|be) told\b",
    "'not any more'": r"\bany ?more\b(?! than)",
}
PATTERNS = {name: re.compile(text, re.IGNORECASE | re.MULTILINE) for name, text in RIDDLES.items()}

Prose = Iterator[tuple[int, str]]  # (line where it starts, text)


def c_prose(source: str) -> Prose:
    """The comments, and the strings of docstrings, of a C source."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    for found in token.finditer(source):
        text = found[0]
        if text.startswith('"'):
            text = text[1:-1].replace("\\n", " ") if "\\n" in text else ""
        yield (
            source.count("\n", 0, found.start()) + 1,
            re.sub(r"^[ \t]*/?\*+/?", "", text, flags=re.M),
        )


def python_prose(source: str) -> Prose:
    """The comments and docstrings of a Python source."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#: ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.lineno, value.value


def shell_prose(source: str) -> Prose:
    """The comments of a shell script or a makefile."""
    for number, line in enumerate(source.splitlines(), 1):
        found = re.search(r"(?:^|\s)#+ (.*)", line)
        if found:
            yield number, found[1]


def text_prose(source: str) -> Prose:
    yield 1, source


READERS = {
    ".c": c_prose,
    ".h": c_prose,
    ".py": python_prose,
    ".pyi": python_prose,
    ".rst": text_prose,
    ".md": text_prose,
    ".sh": shell_prose,
    ".mk": shell_prose,
}


def reader_of(path: Path, source: str) -> object:
    if path.name == "check_prose.py":
        return None  # it holds every riddle
    if path.suffix in READERS:
        return READERS[path.suffix]
    return shell_prose if source.startswith("#") and path.suffix == "" else None


def files_of(places: list[str]) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *places]
    names = subprocess.check_output(command, text=True).splitlines()
    return [Path(name) for name in names if Path(name).is_file()]


def riddles_in(text: str) -> Iterator[tuple[int, str, str]]:
    """(line within the text, name of the riddle, its words). A line break counts as a blank."""
    flat = re.sub(r"\s*\n(?!\s*\n)\s*", lambda found: " " * len(found[0]), text)
    for name, pattern in PATTERNS.items():
        for found in pattern.finditer(flat):
            around = flat[max(0, found.start() - 30) : found.end() + 30]
            yield text.count("\n", 0, found.start()), name, " ".join(around.split())


def check_area(name: str, places: list[str], show: bool) -> bool:
    words = count = 0
    for path in files_of(places):
        try:
            source = path.read_text()
        except UnicodeDecodeError:
            continue
        reader = reader_of(path, source)
        if reader is None:
            continue
        for line, text in reader(source):  # type: ignore[operator]
            words += len(re.findall(r"[A-Za-z']+", text))
            for below, riddle, around in riddles_in(text):
                count += 1
                if show:
                    print(f"{path}:{line + below}: {riddle}: {around}")
    rate = count * 10_000 / max(words, 1)
    print(f"prose of {name}: {rate:.1f} riddles per 10 000 words ({count} in {words})")
    return rate < LIMIT


def check_columns() -> bool:
    long = [
        f"{path}:{number}: {len(line)} columns"
        for path in files_of(["*.c", "*.h"])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > COLUMNS
    ]
    print("\n".join(long) or f"columns: no C line is longer than {COLUMNS}")
    return not long


def main(arguments: list[str]) -> int:
    show = "--list" in arguments
    places = [argument for argument in arguments if argument != "--list"]
    areas = {"the given paths": places} if places else AREAS
    results = [check_area(name, paths, show) for name, paths in areas.items()]
    if not all(results):
        print(f"too many riddles (the limit is {LIMIT:g}); --list prints each of them")
    return 0 if check_columns() and all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
