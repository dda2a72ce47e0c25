#!/bin/sh
# SPDX-License-Identifier: MIT
# The rules of the house that a machine can check, over all files that git knows or would add. Prints
# `file:line: message` for each breach; exit status 0 when there is none, 1 otherwise.
#
#   - who may include whom; liburing.h at its two homes only; a .c includes its own header first
#   - functions that are banned, each with its replacement
#   - sizes: function 70 lines, file 800, line 100 columns (130 in include/weir, for the documentation)
#     A longer function needs `/* tidy: long, REASON */` above or in its signature; one that is not needed is a breach.
#   - no tab in C, no blank at a line's end, no marks of unfinished work, a licence line in every source
#   - a unit test for every .c of core, io and proto; a doc comment for every function of the public headers
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.." || exit 1
list=$(git ls-files -co --exclude-standard --deduplicate) || exit 1
files=$(printf '%s\n' "$list" | while read -r file; do
    case $file in
    *.c | *.h | *.sh | *.py | *.md | *.yml | *.yaml | Makefile | bootstrap | .ci/*) [ ! -f "$file" ] || echo "$file" ;;
    esac
done)
# shellcheck disable=SC2086
found=$(
    printf '%s\n' "$files" | grep -E '^(core|io|proto)/.*\.c$' | while read -r file; do
        [ -f "tests/unit/$file" ] || echo "$file:1: has no unit test: tests/unit/$file is missing"
    done
    awk '
function breach(line, text) { printf "%s:%d: %s\n", FILENAME, line, text }
# The room a path lies in: core, io, proto/codec, ..., mock, perf, examples, tests, include/weir.
function room_of(path) {
    if (path ~ /^(proto|include)\//)
        return match(path, /^[a-z]+\/[a-z]+/) ? substr(path, 1, RLENGTH) : path
    return substr(path, 1, index(path, "/") - 1)
}
# May this room include that project file? The table of the design, row by row.
function may_include(from, path,    to) {
    to = room_of(path)
    if (from == "tests" || from == to)
        return from != "include/weir"
    if (from == "io")
        return to == "core" && path !~ /^core\/ring/
    if (from ~ /^proto/ && path ~ /^core\/(base|assert|list)\.h$/)
        return 1
    if (from == "proto/http")
        return to == "io" || to == "proto/codec" || path ~ /^core\/(arena|pool|probe)\.h$/
    return from == "proto/infer" && (to == "proto/codec" || to == "proto/http")
}
function check_include(line,    path, own) {
    path = line
    sub(/^[^<"]*[<"]/, "", path)
    sub(/[>"].*$/, "", path)
    if (path == "liburing.h" && FILENAME !~ /^(core\/ring_uring|perf\/floor\/)/)
        breach(FNR, "liburing.h belongs to core/ring_uring and perf/floor alone: use core/ring.h")
    if (path == "assert.h")
        breach(FNR, "assert.h is banned: use WEIR_ASSERT of core/assert.h")
    if (line ~ /"/ || path ~ /^(core|io|proto|mock|perf)\//) {
        if (path ~ /\.c$/ && room != "tests")
            breach(FNR, "only a unit test may include a .c file")
        if (path !~ /\//)
            path = directory path # beside the including file
        if (!may_include(room, path))
            breach(FNR, room " may not include " path)
    }
    if (!includes++ && FILENAME ~ /\.c$/ && room != "tests") {
        own = substr(FILENAME, 1, length(FILENAME) - 1) "h"
        if ((own in exists) && path != own)
            breach(FNR, "must include its own header first: " own)
    }
}
# The code of a line: no comments, nothing inside quotes.
function code_of(s,    out, quote, c) {
    out = ""
    while (s != "") {
        if (in_comment) {
            if (!index(s, "*/"))
                return out
            s = substr(s, index(s, "*/") + 2)
            in_comment = 0
            continue
        }
        if (!match(s, /\/\*|\/\/|"|\047/))
            return out s
        out = out substr(s, 1, RSTART - 1)
        quote = substr(s, RSTART, RLENGTH)
        s = substr(s, RSTART + RLENGTH)
        if (quote == "//")
            return out
        if (quote == "/*") {
            in_comment = 1
            continue
        }
        out = out quote quote
        do {
            c = substr(s, 1, 1)
            s = substr(s, c == "\\" ? 3 : 2)
        } while (s != "" && c != quote)
    }
    return out
}
function ban(code, names, instead) {
    if (match(code, "(^|[^A-Za-z0-9_.>])(" names ")[ ]*\\(")) {
        names = substr(code, RSTART, RLENGTH)
        gsub(/[^A-Za-z0-9_]/, "", names)
        breach(FNR, names "() is banned here: " instead)
    }
}
function check_banned(code) {
    ban(code, "strcpy|strcat|strncpy|strncat|stpcpy", "use memcpy with a length that was checked")
    ban(code, "sprintf|vsprintf", "use snprintf and check its result")
    ban(code, "strtok", "use memchr on a slice")
    ban(code, "atoi|atol|atoll|atof", "use strtoull and check what it did not take")
    ban(code, "assert", "use WEIR_ASSERT")
    if (room ~ /^(mock|perf|tests|examples)$/)
        return
    ban(code, "printf|vprintf|puts|putchar", "a library does not print; use weir_fail()")
    # Besides: a call that blocks and returns an answer of any size, and the decoder that one response in many needs.
    if (FILENAME !~ /^core\/(arena|hist)\.c$/ && FILENAME !~ /^proto\/http\/(fetch|client_body)\.c$/)
        ban(code, "malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strn?dup|free", "use core/arena.h")
}
# A function begins with a brace alone on its line and ends with one; its signature is the paragraph above.
function check_function(line) {
    if (line ~ /\/\* tidy: long, [^ ]/)
        waiver = FNR
    if (line == "{") {
        body = FNR
        waived = waiver && waiver >= signature - 1
    } else if (line ~ /^}/ && body) {
        if (FNR - body > 70 && !waived)
            breach(body, "function of " FNR - body " lines: more than 70")
        if (FNR - body > 70 && waived)
            waiver = 0
        body = 0
    } else if (!body && line ~ /^[A-Za-z_]/ && previous !~ /^[A-Za-z_ ]/) {
        signature = FNR
    }
    if (waiver && !body && FNR > waiver && line ~ /^}/) {
        breach(waiver, "waiver for a function that is not long")
        waiver = 0
    }
}
# In a public header: a doc comment above a declaration or anywhere on its lines.
function check_documented(line) {
    if (line ~ /\/\*\*/)
        doc = 1
    if (line ~ /^WEIR_API/) {
        declared = FNR
        documented = doc && previous ~ /\*\/[ ]*$/
    }
    documented = documented || (declared && line ~ /\/\*\*</)
    if (declared && line ~ /;/) {
        if (!documented)
            breach(declared, "public function without a doc comment")
        declared = doc = 0
    }
}
function end_file() {
    if (length_of > 800)
        printf "%s:%d: file of %d lines: more than 800\n", name, length_of, length_of
    if (waiver)
        printf "%s:%d: waiver for a function that is not long\n", name, waiver
}
BEGIN { for (i = 1; i < ARGC; i++) exists[ARGV[i]] = 1 }
FNR == 1 {
    end_file()
    name = FILENAME
    room = room_of(name)
    directory = name
    sub(/[^\/]*$/, "", directory)
    is_c = name ~ /\.[ch]$/
    width = name ~ /^include\/weir\// ? 130 : 100
    includes = in_comment = waiver = body = signature = declared = doc = licensed = 0
    previous = ""
}
{ length_of = FNR }
FNR <= 2 && /SPDX-License-Identifier: MIT/ { licensed = 1 }
FNR == 2 && !licensed && name !~ /\.(md|ya?ml)$/ { breach(1, "no SPDX-License-Identifier line at the top") }
/[ \t]$/ { breach(FNR, "blank at the end of the line") }
/(^|[^A-Za-z0-9_])(TODO|FIXME|XXX)([^A-Za-z0-9_]|$)/ && name != "tests/tidy.sh" { breach(FNR, "mark of unfinished work") }
is_c {
    if (/\t/)
        breach(FNR, "tab")
    columns = $0
    gsub(/[\200-\277]/, "", columns) # a character of several bytes is one column
    if (length(columns) > width)
        breach(FNR, "line of " length(columns) " columns: more than " width)
    if (!in_comment && /^[ ]*#[ ]*include/)
        check_include($0)
    check_banned(code_of($0))
    check_function($0)
    if (room == "include/weir")
        check_documented($0)
    previous = $0
}
END { end_file() }
' $files
)
[ -z "$found" ] || printf '%s\n' "$found"
[ -z "$found" ]
