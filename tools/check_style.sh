#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check_style.sh PYTHON: check the format, lint, types, the stub against the
# module, and that the fuzz targets compile.
# A tool that is not installed, because no package index can be reached, is
# named and left out.
set -u
PATH=$(dirname "$1"):$PATH
failed=0

# check PROGRAM ARGUMENT...
check() {
    if ! command -v "$1" >/dev/null; then
        echo "not run, because it is not installed: $*"
        return
    fi
    echo "$*" | cut -c 1-79
    "$@" || failed=1
}

check clang-format --dry-run -Werror $(find csrc tests deps -name '*.[ch]')
# Only "make fuzz", which requires clang, builds these.
compiles() {
    check "${CC:-cc}" -fsyntax-only -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror "$@"
}
insiders='tests/fuzz/fuzz_ext_info.c tests/fuzz/fuzz_host_certificate.c'
compiles -iquote csrc $(printf '%s\n' tests/fuzz/fuzz_*.c | grep -vxF "$(printf '%s\n' $insiders)")
# These include headers of the pinned libssh2.
pinned=build/libssh2-pinned
[ ! -e $pinned/made-of ] ||
    compiles -isystem $pinned/src/src -I$pinned/include -DHAVE_CONFIG_H $insiders
check ruff check -q .
check ruff format --check -q .
check mypy
"$1" tools/manual_code.py build/manual_code
check mypy --strict build/manual_code
check basedpyright --warnings
"$1" tools/verify_types.py || failed=1
check stubtest sshgateway._core
exit "$failed"
