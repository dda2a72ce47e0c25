# SPDX-License-Identifier: MIT
# The command line of a script that measures in tables, and its preparations: perf/engine.sh, perf/client.sh. Sourced,
# from the project's root; expects root, argv and tables, and the help in the head of the script. Sets quick, rounds, only, out, build,
# records, server_cpu and client_cpu, and brings perf/lib.sh.
# shellcheck shell=bash disable=SC2154,SC2034

quick='' rounds='' out='' cpus=0,1 build=1 only=''

usage() {
    sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$root/perf/${0##*/}"
}

wrong() {
    echo "${0##*/}: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --no-build) build='' ;;
    --rounds | --cpus | --out | --only)
        [ $# -ge 2 ] || wrong "$1: a value is missing"
        case $1 in
        --rounds) rounds=$2 ;;
        --cpus) cpus=$2 ;;
        --out) out=$2 ;;
        --only) only=$2 ;;
        esac
        shift
        ;;
    -h | --help) usage && exit 0 ;;
    *) wrong "'$1': no such option (see --help)" ;;
    esac
    shift
done
: "${rounds:=${quick:+2}}" "${rounds:=5}"
[[ $rounds =~ ^[1-9][0-9]?$ ]] || wrong "--rounds '$rounds': expected 1 ... 99"
[[ $cpus =~ ^([0-9]+),([0-9]+)$ ]] || wrong "--cpus '$cpus': expected two CPU numbers, as 0,1"
server_cpu=${BASH_REMATCH[1]} client_cpu=${BASH_REMATCH[2]}
for cpu in "$server_cpu" "$client_cpu"; do
    taskset -c "$cpu" true 2>/dev/null || wrong "--cpus '$cpus': CPU $cpu cannot be used"
done
[ -z "$only" ] || [[ " ${tables[*]} " == *" $only "* ]] || wrong "--only '$only': expected one of ${tables[*]}"

if [ -n "$build" ]; then
    ./bootstrap build bench
    make -j"$(nproc)" all >/dev/null
fi
PATH=$PATH:/usr/sbin
me=${0##*/}
out=${out:-perf/out/${me%.sh}-$(date -u +%Y%m%dT%H%M%SZ)}
mkdir -p "$out/logs"
out=$(cd "$out" && pwd)
records=$out/records.tsv
: >"$records"
# shellcheck source=perf/lib.sh
source perf/lib.sh
trap 'exit 130' INT
trap 'exit 143' TERM HUP
ulimit -n "$(ulimit -Hn)"
write_env >"$out/env.txt"
