#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check_symbols.sh PYTHON: check that the extension exports only PyInit__core.
set -eu

module=$("$1" -c '
import importlib.util
print(importlib.util.find_spec("sshgateway._core").origin)')
exported=$(nm -D --defined-only "$module" | awk '$2 ~ /[A-Z]/ { print $3 }' | tr '\n' ' ')
if [ "$exported" != 'PyInit__core ' ]; then
    echo "$module exports: $exported" >&2
    exit 1
fi
echo 'symbols: only PyInit__core is exported'
