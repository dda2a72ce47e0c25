#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the tests of one build and ends with one line: `N passed, N failed` (`, N skipped` when there are some).
#
#   tests/run.sh BUILD_DIR [PATTERN,...]     BUILD_DIR as seen from the root of the project; PATTERN: a part of the names to
#                                            run, e.g. unit/core or e2e/drain
#
# What is run: tests/tidy.sh; BUILD_DIR/tests/unit/**, two at a time; BUILD_DIR/tests/e2e/* and every .sh and .py of
# tests/e2e that begins with `#!` (others there are helpers), one at a time since they measure time. Each gets
# WEIR_BUILD=BUILD_DIR and a time limit; WEIR_TIMEOUT_FACTOR multiplies it. Output: BUILD_DIR/tests/log/NAME.log.
# Tests of e2e and fault run once for each ring of RINGS, default "uring epoll", which they find in WEIR_RING. A script
# that no ring concerns says so in its second or third line, `# No ring concerns this.`, and runs with uring alone.
#
# How is counted: cmocka's own summary, or the line `N passed, N failed[, N skipped]` that a script must end with. A
# program that crashes, is cut off, or prints no count is one failure whatever it printed before.
set -u
cd "$(dirname "$0")/.." || exit 1

# Prints "passed failed skipped" of a log, nothing when it holds no count. `"  FAILED  ] name"` lines name tests: not counted.
count_log() {
    awk '
        /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { last = $0; next }
        NF { last = "" }
        /\[  PASSED  \] [0-9]+ test\(s\)/ { p += $4; cmocka = 1 }
        /\[  FAILED  \] [0-9]+ test\(s\)/ { f += $4; cmocka = 1 }
        /\[  SKIPPED \] [0-9]+ test\(s\)/ { s += $4; cmocka = 1 }
        END {
            if (last != "") { split(last, n, " "); print n[1] + 0, n[3] + 0, n[5] + 0 }
            else if (cmocka) print p + 0, f + 0, s + 0
        }' "$1"
}

# One program: NAME PATH SECONDS. Prints its line, leaves its counts beside the log.
run_one() {
    local name=$1 path=$2 seconds=$(($3 * ${WEIR_TIMEOUT_FACTOR:-1})) log=$LOGS/$1.log began ended status counts note=
    mkdir -p "$(dirname "$log")"
    local cmd=("$path")
    case $path in
    tests/*.py) cmd=(python3 "$path") ;;
    tests/*.sh) cmd=("$(sed -n '1s/^#! *//p' "$path" | sed 's:.*[/ ]::')" "$path") ;;
    esac
    began=$(date +%s%N)
    timeout -k 5 "$seconds" "${cmd[@]}" >"$log" 2>&1 </dev/null
    status=$?
    ended=$(date +%s%N)
    counts=$(count_log "$log")
    if [ "$path" = tests/tidy.sh ]; then
        [ $status = 0 ] && counts="1 0 0" || counts="0 1 0"
    fi
    if [ $status = 124 ] || [ $status = 137 ]; then
        note="cut off after $seconds s"
    elif [ $status -gt 128 ]; then
        note="killed by signal $((status - 128))"
    elif [ -z "$counts" ]; then
        note="printed no count, exit status $status"
    elif [ $status != 0 ] && [ "$(cut -d' ' -f2 <<<"$counts")" = 0 ]; then
        note="exit status $status without a failed test"
    fi
    local p f s
    read -r p f s <<<"${counts:-0 0 0}"
    if [ -n "$note" ]; then
        f=$((f + 1))
    fi
    if [ $((p + f + s)) = 0 ]; then
        f=1 note="ran no test"
    fi
    echo "$p $f $s" >"$log.count"
    local line
    line=$(printf '%-4s %-44s %4d passed%s%s %6d ms%s' "$([ "$f" = 0 ] && echo ok || echo FAIL)" "$name" "$p" \
        "$([ "$f" = 0 ] || echo ", $f failed")" "$([ "$s" = 0 ] || echo ", $s skipped")" \
        $(((ended - began) / 1000000)) "${note:+  ($note)}")
    echo "$line"
    if [ "$f" != 0 ]; then
        # One write, so that two programs that run side by side do not mix their lines.
        printf '%s\n' "$(echo "---- $log"; tail -n 200 "$log"; echo "----")"
        { echo "$line"; grep -E -m 5 '^FAIL |^\[   LINE|(Error|ERROR|runtime error): ' "$log"; } >"$log.failed"
    fi
}

if [ "${1:-}" = --one ]; then
    IFS='|' read -r name path seconds ring <<<"$2"
    [ -z "$ring" ] || export WEIR_RING=$ring
    run_one "$name" "$path" "$seconds"
    exit 0
fi
if [ $# -lt 1 ] || [ ! -d "$1" ]; then
    echo "usage: tests/run.sh BUILD_DIR [PATTERN,...]" >&2
    exit 2
fi
build=${1%/}
patterns=${2:-}
WEIR_BUILD=$(cd "$build" && pwd)
export WEIR_BUILD LOGS=$build/tests/log
rm -rf "$LOGS"
mkdir -p "$LOGS"

# The rings that the end-to-end tests run on, one after the other: see RING in tests/e2e/lib.py.
RINGS=${RINGS:-uring epoll}
on_rings() { # lines NAME|PATH|SECONDS, once for each ring
    while IFS='|' read -r name path seconds; do
        for ring in $RINGS; do
            if [ "$ring" != uring ] && sed -n 2,4p "$path" | grep -qx '# No ring concerns this.'; then
                continue
            fi
            echo "$name-$ring|$path|$seconds|$ring"
        done
    done
}

programs() { # DIRECTORY: the executables below it, without what stands beside them (.d, .dSYM)
    [ ! -d "$1" ] || find "$1" -type f -perm -u+x ! -name '*.*' | LC_ALL=C sort
}
keep() { # lines NAME|PATH|SECONDS whose name holds one of the patterns
    awk -F'|' -v patterns="$patterns" '
        BEGIN { n = split(patterns, p, ",") }
        n == 0 { print }
        { for (i = 1; i <= n; i++) if (index($1, p[i])) { print; break } }'
}
# Scripts of e2e and fault: those that say in their first lines that they may run beside others, or those that do not.
scripts() { # yes|no
    find tests/e2e tests/fault -maxdepth 1 -type f \( -name '*.sh' -o -name '*.py' \) 2>/dev/null | LC_ALL=C sort |
        while read -r path; do
            beside=no
            ! sed -n 2,4p "$path" | grep -qx '# Runs beside others.' || beside=yes
            [ "$(head -c 2 "$path")" != '#!' ] || [ $beside != "$1" ] || echo "${path#tests/}|$path|120"
        done
}
side_by_side=$(
    {
        echo "tidy|tests/tidy.sh|60|"
        # A binary whose source is gone is a leftover of an older tree, not a test.
        for room in unit contract sim; do programs "$build/tests/$room"; done | while read -r path; do
            name=${path#"$build/tests/"}
            [ ! -f "tests/$name.c" ] || echo "$name|$path|60|"
        done
        scripts yes | on_rings
    } | keep
)
alone=$(
    {
        for room in e2e fault; do
            programs "$build/tests/$room" | while read -r path; do
                name=${path#"$build/tests/"}
                [ ! -f "tests/$name.c" ] || echo "$name|$path|120"
            done
        done
        scripts no
    } | on_rings | keep
)
for list in "2 $side_by_side" "1 $alone"; do
    [ -z "${list#* }" ] || printf '%s\n' "${list#* }" | xargs -P "${list%% *}" -d '\n' -n 1 bash tests/run.sh --one
done

sum=$(find "$LOGS" -name '*.count' -exec cat {} + | awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
read -r passed failed skipped <<<"$sum"
started=$(printf '%s\n%s\n' "$side_by_side" "$alone" | grep -c .)
ended=$(find "$LOGS" -name '*.count' | wc -l)
failed=$((failed + started - ended)) # a program without a count left: the runner itself was hurt
if [ $((passed + failed + skipped)) = 0 ]; then
    echo "no test was run" >&2
    failed=1
fi
# Once more what failed, for whoever sees only the end.
find "$LOGS" -name '*.failed' -exec cat {} +
line="$passed passed, $failed failed"
[ "$skipped" = 0 ] || line="$line, $skipped skipped"
echo "$line"
[ "$failed" = 0 ]
