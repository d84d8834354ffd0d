#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run_fuzz.sh PROGRAM CORPUS SECONDS: fuzz with PROGRAM for SECONDS and print the
# number of runs. CORPUS is the directory of inputs, which grows. If a run fails,
# print the end of the log and fail; the input is beside CORPUS, as finding-*.
# A program that exits with 77 has met a known abort, and is started again.
set -u

program=$1 corpus=$2 seconds=$3
name=$(basename "${program##* }" .py)
log=$(dirname "$corpus")/$name.log
mkdir -p "$corpus"
end=$(($(date +%s) + seconds))
: >"$log"

status=77
while [ "$status" -eq 77 ] && left=$((end - $(date +%s))) && [ "$left" -gt 0 ]; do
    # shellcheck disable=SC2086 # PROGRAM may be an interpreter and a script
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
