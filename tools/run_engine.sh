#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run_engine.sh VARIANT PROGRAM...: run the engine's test programs and print how
# many passed and failed. Fails if one fails or if no program is given.
#
#   JOBS      number of programs that run at a time (1); they mostly wait
#   SAN       the sanitizers that the programs are built with
#   VALGRIND  run the programs under valgrind if this is not empty
set -u

variant=$1
shift

# ThreadSanitizer maps its shadow memory at fixed addresses, which address
# randomisation occupies on some kernels.
RUN=
if [ "${SAN:-}" = thread ] && setarch -R true 2>/dev/null; then
    RUN='setarch -R'
fi
if [ -n "${VALGRIND:-}" ]; then
    RUN='valgrind -q --error-exitcode=99 --leak-check=full'
    RUN="$RUN --child-silent-after-fork=yes" # no reports from failed execs
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
