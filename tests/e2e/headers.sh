#!/bin/sh
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
# The public headers, as C11 and as C++17, with every warning an error: each alone, and all of them in either order,
# so that a user may include them as he likes; weir.h includes every one. Structures that grow begin with their size.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
passed=0 failed=0 skipped=0
log=$(mktemp) || exit 1
source=$(mktemp) || exit 1
trap 'rm -f "$log" "$source"' EXIT

compile() { # WHAT LANGUAGE STANDARD COMPILER, the text in $source
    # That a function has the name of a structure, as in POSIX stat, is shadowing to g++ alone.
    shadow=-Wshadow
    [ "$2" = c ] || shadow=
    if ! command -v "$4" >/dev/null 2>&1; then
        skipped=$((skipped + 1))
        echo "skip $1 as $3: no $4"
    elif "$4" -x "$2" -std="$3" -I"$root/include" -Wall -Wextra -Wpedantic -pedantic-errors $shadow -Wundef \
        -Wcast-qual -Wconversion -Werror -fsyntax-only "$source" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1 as $3 with $4"
        cat "$log"
    fi
}

compile_everywhere() { # WHAT, the text in $source
    for compiler in gcc clang; do
        compile "$1" c c11 "$compiler"
    done
    for compiler in g++ clang++; do
        compile "$1" c++ c++17 "$compiler"
    done
}

headers=$(cd "$root/include/weir" && ls -- *.h)
include() { # HEADER...
    for header in "$@"; do
        echo "#include <weir/$header>"
    done
    printf 'int main(void);\nint main() { return 0; }\n'
}

for header in $headers; do
    include "$header" "$header" >"$source"
    compile_everywhere "$header"
done
# shellcheck disable=SC2086
include $headers >"$source"
compile_everywhere "all of them"
# shellcheck disable=SC2046
include $(printf '%s\n' "$headers" | sort -r) >"$source"
compile_everywhere "all of them, the other way round"

missing=$(for header in $headers; do
    [ "$header" = weir.h ] || grep -qx "#include <weir/$header>" "$root/include/weir/weir.h" || echo "$header"
done)
if [ -z "$missing" ]; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAIL weir.h does not include: $missing"
fi

# A program compiled with an older header passes a shorter one: what it means to say is told by `size` alone.
grown=$(cat "$root"/include/weir/*.h | sed -n -e 's/^struct \(weir_[a-z0-9_]*_\(config\|stats\)\) {$/\1/p' \
    -e 's/.*_init_size(struct \(weir_[a-z0-9_]*\) \*.*/\1/p' | sort -u)
{
    # shellcheck disable=SC2086
    include $headers
    for name in $grown; do
        echo "_Static_assert(offsetof(struct $name, size) == 0, \"$name\");"
        echo "_Static_assert(_Generic(((struct $name *)0)->size, uint32_t: 1, default: 0), \"$name\");"
    done
} >"$source"
compile "size of configurations and statistics" c c11 gcc
if [ "$skipped" = 0 ]; then
    echo "$passed passed, $failed failed"
else
    echo "$passed passed, $failed failed, $skipped skipped"
fi
[ "$failed" = 0 ]
