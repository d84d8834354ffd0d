#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_variant.sh asan|poll|system [PYTEST ARGUMENT...]: run pytest on another
# build of the extension. It lies in build/VARIANT; the build in the source tree
# stays as it is.
#   asan    the address and undefined behaviour sanitizers, in the pinned libssh2
#           too
#   poll    the portable system calls: poll instead of epoll
#   system  the system's libssh2
# PYTHON is the interpreter. With SSHGATEWAY_LIBSSH2=system, asan and poll use the
# system's libssh2 and lie in build/VARIANT-system.
set -eu

variant=$1
shift
[ "$variant" != system ] || export SSHGATEWAY_LIBSSH2=system
build=build/$variant
[ "$variant" = system ] || [ "${SSHGATEWAY_LIBSSH2:-}" != system ] || build=$build-system

case $variant in
asan)
    if [ "${SSHGATEWAY_LIBSSH2:-}" != system ] && [ -f build/libssh2-pinned/made-of ]; then
        SAN=address,undefined sh deps/libssh2/build
        export SSHGATEWAY_LIBSSH2=auto # the pinned one has just been built
        export SSHGATEWAY_PINNED=build/libssh2-pinned-address-undefined
    fi
    export CC=gcc LDFLAGS=-fsanitize=address,undefined
    export CFLAGS="-g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined $LDFLAGS"
    ;;
poll) export SG_POLLER=poll ;;
esac
SSHGATEWAY_WERROR=1 "$PYTHON" setup.py -q build --build-base "$build" --build-lib "$build/lib"

# The sanitizers are preloaded, because the interpreter is built without them.
# Leaks are not detected, because Python does not free everything at exit; see
# "make test-leaks".
if [ "$variant" = asan ]; then
    export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    export LD_PRELOAD
fi
PYTHONPATH=$PWD/$build/lib exec "$PYTHON" -m pytest -p no:cacheprovider "$@"
