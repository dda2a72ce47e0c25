#!/bin/sh
# SPDX-License-Identifier: MIT
# One target of tests/fuzz under AFL++ (package afl++) instead of libFuzzer:
#
#     tests/fuzz/afl.sh NAME [SECONDS]
#
# The target is the same; afl-clang-fast has a driver of its own for -fsanitize=fuzzer, which runs it in persistent mode.
# What was found before is in build/afl/out/NAME, and is gone on with. The exit status is 1 when an input crashed or hung:
# it is printed, and to be tried with build/fuzz/fuzz/NAME FILE.
set -eu
cd "$(dirname "$0")/../.."
usage="usage: tests/fuzz/afl.sh NAME [SECONDS]"
name=${1:?$usage}
seconds=${2:-60}
[ -f "tests/fuzz/$name.c" ] || {
    echo "there is no target $name: tests/fuzz/$name.c is missing" >&2
    exit 2
}
for tool in afl-clang-fast afl-fuzz; do
    command -v "$tool" >/dev/null || {
        echo "$tool is missing: install the package afl++" >&2
        exit 2
    }
done

# The simulator is where some targets run, not what is looked for in them.
mkdir -p build/afl/out
echo 'src: *tests/sim/*' >build/afl/denylist
AFL_LLVM_DENYLIST=$PWD/build/afl/denylist
AFL_QUIET=1
export AFL_LLVM_DENYLIST AFL_QUIET
"${MAKE:-make}" --no-print-directory CC=afl-clang-fast B=build/afl SAN=address,undefined "build/afl/fuzz/$name"

# No screen, no demands on how the machine is set up, no CPU of its own; an end at the first crash.
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1
export AFL_AUTORESUME=1 AFL_BENCH_UNTIL_CRASH=1
set -- -i "tests/fuzz/corpus/$name" -o "build/afl/out/$name" -m none -t 10000 -V "$seconds"
[ ! -f "tests/fuzz/$name.dict" ] || set -- "$@" -x "tests/fuzz/$name.dict"
afl-fuzz "$@" -- "build/afl/fuzz/$name" >"build/afl/$name.log" 2>&1 || {
    tail -20 "build/afl/$name.log" >&2
    exit 2
}
grep -E '^(run_time|execs_done|execs_per_sec|corpus_count|bitmap_cvg|stability|saved_crashes|saved_hangs) ' \
    "build/afl/out/$name/default/fuzzer_stats"
found=$(find "build/afl/out/$name/default" -path '*/crashes/id*' -o -path '*/hangs/id*')
[ -z "$found" ] || {
    printf '%s\n' "$found"
    exit 1
}
