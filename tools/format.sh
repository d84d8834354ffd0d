#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# format.sh PYTHON: rewrite the C and Python sources in the project's style.
set -eu
PATH=$(dirname "$1"):$PATH

clang-format -i $(find csrc tests -name '*.[ch]')
ruff check -q --fix-only .
ruff format -q .
