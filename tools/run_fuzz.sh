#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run_fuzz.sh PROGRAM CORPUS SECONDS: run a fuzz target, count its inputs, and
# fail with the end of its log if it finds a fault. A target that exits with
# status 77 has met a known fault from which it cannot continue; it is started
# again.
set -u

program=$1 corpus=$2 seconds=$3
name=$(basename "${program##* }" .py)
log=$(dirname "$corpus")/$name.log
mkdir -p "$corpus"
end=$(($(date +%s) + seconds))
: >"$log"

status=77
while [ "$status" -eq 77 ] && left=$((end - $(date +%s))) && [ "$left" -gt 0 ]; do
    # shellcheck disable=SC2086 # may be an interpreter and a script
    $program -max_total_time="$left" -timeout=20 -rss_limit_mb=4096 -max_len=20000 \
        -artifact_prefix="$(dirname "$corpus")/finding-$name-" -print_final_stats=1 \
        "$corpus" >>"$log" 2>&1
    status=$?
done
awk -v name="$name" '/^stat::number_of_executed_units:/ { n += $2 }
    END { print "fuzz: " name ": " n " runs" }' "$log"
if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    tail -40 "$log" >&2
    exit 1
fi
