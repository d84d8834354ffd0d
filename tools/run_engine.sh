#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run_engine.sh VARIANT PROGRAM...: run the engine's tests, count, and fail if
# one fails or there is none.
set -u

variant=$1
shift

# A shadow of memory at fixed addresses does not go with address randomisation
# on every kernel.
run=
if [ "${SAN:-}" = thread ] && setarch -R true 2>/dev/null; then
    run='setarch -R'
fi
if [ -n "${VALGRIND:-}" ]; then
    run='valgrind -q --error-exitcode=99 --leak-check=full'
    run="$run --child-silent-after-fork=yes" # or each failed exec reports
    command -v valgrind >/dev/null || {
        echo 'valgrind is not installed (apt-get install valgrind)' >&2
        exit 1
    }
fi

passed=0 failed=0
for program in "$@"; do
    if timeout 120 $run "$program"; then
        passed=$((passed + 1))
    else
        echo "engine ($variant): $program failed with status $?" >&2
        failed=$((failed + 1))
    fi
done
echo "engine ($variant): $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
