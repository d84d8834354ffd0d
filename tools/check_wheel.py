# SPDX-License-Identifier: BSD-2-Clause
"""check_wheel.py WHEEL WORD...: check a wheel for users.

A WORD is a path of the machine that built the wheel; the extension must not contain it.
The module pyelftools is required.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

EXTENSION = "sshgateway/_core.abi3.so"
#: The libraries of glibc. ld-linux is needed for variables of a thread.
GLIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2"}
LOADER = re.compile(r"ld-linux.*\.so\.\d")
EXECUTABLE = 1  # the flag PF_X of a segment
BIND_NOW, NOW = 8, 1  # in DT_FLAGS and in DT_FLAGS_1

Complaints = Iterator[str]


def check_name(name: str) -> Complaints:
    if not re.search(r"-cp311-abi3-[.\w]*manylinux_2_\d+_\w+\.whl$", name):
        yield f"{name} is not named as a wheel for Python 3.11 or newer on manylinux"


def check_symbols(elf: ELFFile) -> Complaints:
    table = elf.get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    shown = [
        symbol.name
        for symbol in table.iter_symbols()
        if symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_LOCAL"
    ]
    if shown != ["PyInit__core"]:
        yield f"the extension shows the symbols {shown[:10]}"
    if elf.get_section_by_name(".symtab") or elf.get_section_by_name(".debug_info"):
        yield "the extension is not stripped"


def check_segments(elf: ELFFile) -> Complaints:
    segments = {segment["p_type"]: segment for segment in elf.iter_segments()}
    if "PT_GNU_RELRO" not in segments:
        yield "the extension has no RELRO"
    stack = segments.get("PT_GNU_STACK")
    if stack is None or stack["p_flags"] & EXECUTABLE:
        yield "the stack of the extension is executable"


def check_dynamic(elf: ELFFile) -> Complaints:
    dynamic = elf.get_section_by_name(".dynamic")
    assert isinstance(dynamic, DynamicSection)
    flags = {tag["d_tag"]: tag["d_val"] for tag in dynamic.iter_tags()}
    if not (flags.get("DT_FLAGS", 0) & BIND_NOW or flags.get("DT_FLAGS_1", 0) & NOW):
        yield "the extension is not linked with BIND_NOW"
    if {"DT_RPATH", "DT_RUNPATH"} & set(flags):
        yield "the extension has a search path for libraries"
    needed = {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")}
    strangers = sorted(name for name in needed - GLIBC if not LOADER.fullmatch(name))
    if strangers:
        yield f"the extension needs the libraries {strangers}"


def check_words(content: bytes, words: list[str]) -> Complaints:
    for word in words:
        if word.encode() in content:
            yield f"the extension contains the path {word}"


def check_documents(wheel: zipfile.ZipFile) -> Complaints:
    """The licences and the bill of materials name libssh2 and OpenSSL."""
    names = [name.partition(".dist-info/")[2] for name in wheel.namelist()]
    for name in ("licenses/LICENSE", "licenses/libssh2/COPYING", "licenses/openssl/LICENSE.txt"):
        if name not in names:
            yield f"the wheel has no {name}"
    bills = [name for name in wheel.namelist() if name.endswith(".cdx.json")]
    found = [part["name"] for bill in bills for part in json.loads(wheel.read(bill))["components"]]
    if sorted(found) != ["OpenSSL", "libssh2"]:
        yield f"the bill of materials names {found}"


def check_import(path: str) -> Complaints:
    """This Python imports the wheel, without a directory of the source tree."""
    code = "import json, sshgateway; print(json.dumps(sshgateway.build_info()))"
    with tempfile.TemporaryDirectory() as directory:
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(directory)
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=directory,
            capture_output=True,
            text=True,
        )
    if run.returncode != 0:
        yield f"the wheel cannot be imported:\n{run.stderr}"
        return
    info = json.loads(run.stdout)
    if info["libssh2"] != "pinned" or not info["libssh2_patches"]:
        yield f"the libssh2 of the extension is {info['libssh2']}"
    if not (info["openssl_version"] or "").startswith("3.5."):
        yield f"the OpenSSL of the extension is {info['openssl_version']}, not 3.5"
    if not any("mlkem" in name for name in info["kex"]):
        yield "the extension has no ML-KEM"


def complaints(path: str, words: list[str]) -> Complaints:
    yield from check_name(path)
    with zipfile.ZipFile(path) as wheel:
        content = wheel.read(EXTENSION)
        yield from check_documents(wheel)
    elf_checks: list[Callable[[ELFFile], Complaints]] = [
        check_symbols,
        check_segments,
        check_dynamic,
    ]
    for check in elf_checks:
        yield from check(ELFFile(io.BytesIO(content)))
    yield from check_words(content, words)
    yield from check_import(path)


if __name__ == "__main__":
    found = list(complaints(sys.argv[1], sys.argv[2:]))
    for complaint in found:
        print(f"{sys.argv[1]}: {complaint}", file=sys.stderr)
    if not found:
        print(f"{sys.argv[1]}: complete, and as it should be")
    sys.exit(bool(found))
