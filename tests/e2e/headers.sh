#!/bin/sh
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Each public header alone, as C11 and as C++17, with every warning an error: in whatever order a user includes them.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
passed=0 failed=0 skipped=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

compile() { # HEADER LANGUAGE STANDARD COMPILER
    if ! command -v "$4" >/dev/null 2>&1; then
        skipped=$((skipped + 1))
        echo "skip $1 as $3: no $4"
    elif printf '#include <weir/%s>\n#include <weir/%s>\nint main(void);\nint main() { return 0; }\n' "$1" "$1" |
        "$4" -x "$2" -std="$3" -I"$root/include" -Wall -Wextra -Wpedantic -Werror -fsyntax-only - >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1 as $3 with $4"
        cat "$log"
    fi
}

for path in "$root"/include/weir/*.h; do
    header=${path##*/}
    for compiler in gcc clang; do
        compile "$header" c c11 "$compiler"
    done
    for compiler in g++ clang++; do
        compile "$header" c++ c++17 "$compiler"
    done
done
if [ "$skipped" = 0 ]; then
    echo "$passed passed, $failed failed"
else
    echo "$passed passed, $failed failed, $skipped skipped"
fi
[ "$failed" = 0 ]
