#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_fast.sh PYTHON [PATH...]: run the engine's tests and the quick tests of
# tests/contract and tests/unit, or of PATH, at the same time, because they
# mostly wait. Prints the output of each when all have ended.
set -u

python=$1
shift
if [ $# -eq 0 ]; then
    set -- tests/contract tests/unit
fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'exit 1' HUP INT TERM

n=0
start() {
    n=$((n + 1))
    { "$@" >"$logs/$n" 2>&1; echo $? >"$logs/$n.status"; } &
}

# The tests left out log in to real servers many times.
start make --no-print-directory -f tools/engine.mk LEAVE_OUT="test_login test_channel test_session_end"
if [ "$*" = 'tests/contract tests/unit' ]; then
    start "$python" -m pytest -q -m 'not slow' tests/contract
    start "$python" -m pytest -q -m 'not slow' tests/unit
else
    start "$python" -m pytest -q -m 'not slow' "$@"
fi
wait

result=0
for number in $(seq "$n"); do
    cat "$logs/$number"
    [ "$(cat "$logs/$number.status")" = 0 ] || result=1
done
exit "$result"
