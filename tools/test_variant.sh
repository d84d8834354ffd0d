#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_variant.sh asan|poll [PYTEST ARGUMENT...]: pytest on another build of
# the extension, kept in build/VARIANT:
#   asan   with the address and undefined behaviour sanitizers
#   poll   the portable twin
# PYTHON is the interpreter.
set -eu

variant=$1
shift
build=build/$variant

if [ "$variant" = asan ]; then
    sanitizers=-fsanitize=address,undefined
    export CC=gcc LDFLAGS=$sanitizers
    export CFLAGS="-g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined $sanitizers"
else
    export SG_POLLER=poll
fi
SSHGATEWAY_WERROR=1 "$PYTHON" setup.py -q build --build-base "$build" --build-lib "$build/lib"

# The interpreter is the stock one, so the sanitizers are preloaded. Leaks are
# for "make test-leaks": Python itself does not free all at exit.
if [ "$variant" = asan ]; then
    export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    export LD_PRELOAD
fi
PYTHONPATH=$PWD/$build/lib exec "$PYTHON" -m pytest -p no:cacheprovider "$@"
