#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the codecs as code for arm64, on a machine of another kind: cross-compiled, and run by an emulator that
# plays the CPU. It is where the reader of heads that uses NEON is tested when no such machine is at hand.
#
#   tests/arm64.sh BUILD_DIR      as seen from the root of the project
#
# Needs, by the names they have in Debian: gcc-aarch64-linux-gnu, qemu-user, libcmocka-dev:arm64. The last one can also
# be unpacked anywhere instead (`dpkg -x`, with libcmocka0:arm64); CMOCKA=DIRECTORY says where. Ends with one line,
# `N passed, N failed, N skipped`; all are skipped when something of that is missing.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: tests/arm64.sh BUILD_DIR}
cmocka=${CMOCKA:-}
CC=aarch64-linux-gnu-gcc
libraries=$cmocka/usr/lib/aarch64-linux-gnu
flags="-std=gnu11 -O2 -g -fno-strict-aliasing -pthread -D_GNU_SOURCE -Iinclude -I. -Itests ${cmocka:+-I$cmocka/usr/include}"

skip() {
    echo "$1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
for tool in $CC qemu-aarch64; do
    command -v "$tool" >/dev/null || skip "there is no $tool"
done
mkdir -p "$build" || exit 1
# shellcheck disable=SC2086
printf '#include <setjmp.h>\n#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <cmocka.h>\n
int main(void) { return 0; }\n' | $CC $flags -x c -o "$build/probe" - "-L$libraries" -lcmocka 2>/dev/null ||
    skip "there is no cmocka for arm64"

# What the codecs need of core/ and no more, so that no other library has to be there for arm64.
# An archive, for a test may include the .c file it tests.
objects=
for source in core/assert.c core/base.c core/random.c proto/codec/*.c; do
    object=$build/$(echo "$source" | tr / -).o
    # shellcheck disable=SC2086
    $CC $flags -Wall -Wextra -Werror -c -o "$object" "$source" || exit 1
    objects="$objects $object"
done
rm -f "$build/codec.a"
# shellcheck disable=SC2086
aarch64-linux-gnu-ar rcs "$build/codec.a" $objects || exit 1
passed=0 failed=0 skipped=0
for source in tests/unit/proto/codec/*.c; do
    name=$(basename "$source" .c)
    # This one starts itself as a child, which an emulator of a single process cannot.
    [ "$name" != simd ] || continue
    # shellcheck disable=SC2086
    $CC $flags -DREAD_INPUTS=300000u -o "$build/$name" "$source" "$build/codec.a" "-L$libraries" -lcmocka -lm || exit 1
    qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$libraries" "$build/$name" >"$build/$name.log" 2>&1
    status=$?
    count() { # WORD: the tests that are counted under it
        awk -v word="$1" '$2 == word && $4 ~ /^[0-9]+$/ { n = $4 } END { print n + 0 }' "$build/$name.log"
    }
    p=$(count PASSED) f=$(count FAILED) s=$(count SKIPPED)
    if [ $status != 0 ] && [ "$f" = 0 ]; then
        f=1
    fi
    echo "$name: $p passed, $f failed, $s skipped"
    [ "$f" = 0 ] || tail -n 50 "$build/$name.log"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
