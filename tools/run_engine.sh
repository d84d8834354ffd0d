#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run_engine.sh VARIANT PROGRAM...: run the engine's tests and count them. Fails
# if a test fails or there is none. JOBS tests run at a time, because they mostly
# wait.
set -u

variant=$1
shift

# The shadow memory of the thread sanitizer lies at fixed addresses, which on some
# kernels conflicts with address space randomisation.
RUN=
if [ "${SAN:-}" = thread ] && setarch -R true 2>/dev/null; then
    RUN='setarch -R'
fi
if [ -n "${VALGRIND:-}" ]; then
    RUN='valgrind -q --error-exitcode=99 --leak-check=full'
    RUN="$RUN --child-silent-after-fork=yes" # a failed exec would report leaks
    command -v valgrind >/dev/null || {
        echo 'valgrind is not installed (apt-get install valgrind)' >&2
        exit 1
    }
fi

export RUN variant
failed=$(printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -n 1 sh -c '
    timeout 600 $RUN "$0" >&2 || {
        echo "engine ($variant): $0 failed with status $?" >&2
        echo "$0"
    }' | wc -l)
echo "engine ($variant): $(($# - failed)) passed, $((failed)) failed"
[ "$failed" -eq 0 ] && [ $# -gt 0 ]
