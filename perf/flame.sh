#!/bin/bash
# SPDX-License-Identifier: MIT
# Draws where the CPU time goes: a flame graph of weir-mock or of weir-bench, the one loaded by the other.
#
#   perf/flame.sh server|client [options]
#
#   --seconds N            how long to record (default 5)
#   --connections N        of weir-bench (default 64)
#   --pipeline N           requests in flight on each connection (default 1)
#   --freq HZ              samples per second of CPU time (default 4999)
#   --cpus SERVER,CLIENT   where weir-mock and weir-bench are pinned (default 0,1)
#   --build DIR            the programs to run (default build/, which is made first)
#   --out FILE.svg         the graph (default perf/out/flame-SIDE-<UTC time>.svg)
#   --folded FILE          the stacks and their counts too, to compare with diff(1) or to draw with other tools
#
# Any browser opens the graph: a click zooms, Ctrl-F searches. It needs perf and python3. The exit status is 0 when the
# graph was drawn, 1 when a program failed or there was nothing to draw, 2 on wrong usage.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
side='' seconds=5 connections=64 pipeline=1 freq=4999 cpus=0,1 build='' svg='' folded=''

usage() {
    sed -n '3,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

wrong() {
    echo "flame.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --seconds | --connections | --pipeline | --freq | --cpus | --build | --out | --folded)
        [ $# -ge 2 ] || wrong "$1: a value is missing"
        [ -n "$2" ] || wrong "$1: the value is empty"
        case $1 in
        --seconds) seconds=$2 ;;
        --connections) connections=$2 ;;
        --pipeline) pipeline=$2 ;;
        --freq) freq=$2 ;;
        --cpus) cpus=$2 ;;
        --build) build=$2 ;;
        --out) svg=$2 ;;
        --folded) folded=$2 ;;
        esac
        shift
        ;;
    -h | --help) usage && exit 0 ;;
    -*) wrong "'$1': no such option (see --help)" ;;
    server | client)
        [ -z "$side" ] || wrong "'$1': the side was given already: $side"
        side=$1
        ;;
    *) wrong "'$1': expected server or client (see --help)" ;;
    esac
    shift
done

number() { # OPTION VALUE MAX
    # The length first: the shell's arithmetic wraps.
    if ! [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || [ "$2" -gt "$3" ]; then
        wrong "$1 '$2': expected 1 ... $3"
    fi
}

# A recording is too dear to find out at its end that it cannot be kept.
target() { # OPTION FILE: prints its path
    local directory
    directory=$(dirname "$2")
    [ ! -d "$2" ] || wrong "$1 '$2': is a directory"
    if ! mkdir -p "$directory" 2>/dev/null || [ ! -w "$directory" ]; then
        wrong "$1 '$2': cannot write there"
    fi
    printf '%s/%s\n' "$(cd "$directory" && pwd)" "$(basename "$2")"
}

[ -n "$side" ] || wrong "expected server or client (see --help)"
number --seconds "$seconds" 3600
number --connections "$connections" 100000
number --pipeline "$pipeline" 1024
number --freq "$freq" 100000
[[ $cpus =~ ^([0-9]+),([0-9]+)$ ]] || wrong "--cpus '$cpus': expected two CPU numbers, as 0,1"
server_cpu=${BASH_REMATCH[1]} client_cpu=${BASH_REMATCH[2]}
for cpu in "$server_cpu" "$client_cpu"; do
    taskset -c "$cpu" true 2>/dev/null || wrong "--cpus '$cpus': CPU $cpu cannot be used"
done
svg=$(target --out "${svg:-$root/perf/out/flame-$side-$(date -u +%Y%m%dT%H%M%SZ).svg}")
[ -z "$folded" ] || folded=$(target --folded "$folded")
if [ -n "$build" ]; then
    for program in weir-mock weir-bench; do
        [ -x "$build/$program" ] || wrong "--build '$build': there is no $program"
    done
    build=$(cd "$build" && pwd)
fi
for tool in perf python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "flame.sh: $tool is not installed: ./bootstrap bench sees to it" >&2
        exit 1
    fi
done

cd "$root"
commit=''
if [ -z "$build" ]; then
    ./bootstrap build
    make -j"$(nproc)" build/weir-mock build/weir-bench >/dev/null
    build=$root/build
    commit=", commit $(git describe --always --exclude='*' --dirty 2>/dev/null || echo unknown)"
fi

# Everything that is started is in `pid`, and all else that is made is below `out`, until the graph is moved away.
out=''
# shellcheck source=perf/lib.sh
source perf/lib.sh
end() {
    trap '' INT TERM HUP
    stop_all
    rm -rf "$out"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
out=$(mktemp -d)
mkdir "$out/logs"

# As perf/lib.sh calls it. Who ended by himself is more often the cause than who noticed.
failed() { # WHAT LOG
    local name
    progress ''
    printf 'flame.sh: %s failed:\n' "$1" >&2
    tail -n 20 "$2" >&2
    for name in mock bench; do
        if [ -n "${pid[$name]:-}" ] && ! kill -0 "${pid[$name]}" 2>/dev/null; then
            printf 'flame.sh: weir-%s ended:\n' "$name" >&2
            tail -n 20 "$out/logs/$name.err" >&2
        fi
    done
    exit 1
}

# Run to its end and keep what it prints. In the background and waited for, since only so a signal is heard at once.
run() { # NAME OUTPUT COMMAND...
    local name=$1 output=$2 status=0
    shift 2
    "$@" >"$output" 2>"$out/logs/$name.err" </dev/null &
    pid[$name]=$! reaped[$name]=$!
    wait "$!" || status=$?
    unset "pid[$name]" "reaped[$name]"
    return "$status"
}

# Frame pointers: the build keeps them. Nothing of it goes to the cache of build-ids in the home directory.
perf_record() { # NAME EVENT ARGUMENT...
    local name=$1 event=$2
    shift 2
    run "$name" /dev/null perf record -e "$event" -F "$freq" -g --no-buildid-cache -o "$out/$name.data" "$@"
}

# Sets `event`. Where there are no hardware counters perf may take cpu-clock by itself when it is asked for cycles, or
# refuse; the samples tell in the end which it was.
choose_event() {
    for event in cycles cpu-clock; do
        ! perf_record probe "$event" -- true || return 0
    done
    failed 'perf record' "$out/logs/probe.err"
}

# The load is for longer than anybody records, and is ended when that is done.
load() {
    local url=http://${address[mock]}/api/health name=bench
    taskset -c "$client_cpu" "$build/weir-bench" -c "$connections" -p "$pipeline" -d 24h --cpu "$client_cpu" \
        --no-progress "$url" >/dev/null 2>"$out/logs/$name.err" </dev/null &
    pid[$name]=$! reaped[$name]=$!
    await_gauge mock mock_connections_active "$connections"
}

ulimit -n "$(ulimit -Hn)"
progress "loading weir-mock: $connections connections, pipeline $pipeline"
choose_event
start mock "$build/weir-mock" --listen 127.0.0.1:0 --max-concurrency 0 --latency 0
load
declare -A program=([server]=mock [client]=bench)
progress "recording weir-${program[$side]} for $seconds s"
perf_record record "$event" -p "${pid[${program[$side]}]}" -- sleep "$seconds" ||
    failed 'perf record' "$out/logs/record.err"
for name in mock bench; do
    # With a load that broke off, the graph would be one of waiting.
    kill -0 "${pid[$name]}" 2>/dev/null || failed 'the load' /dev/null
done
stop bench
stop mock

progress 'drawing'
# Inlined functions count for the one that holds them: not every perf can tell them, and some take minutes to.
run script "$out/script" perf script --no-inline -i "$out/record.data" -F comm,pid,tid,event,ip,sym,dso ||
    failed 'perf script' "$out/logs/script.err"
run fold "$out/folded" python3 perf/flame/flame.py fold "$out/script" || failed 'flame.py fold' "$out/logs/fold.err"
about="GET /api/health for $seconds s; weir-mock on CPU $server_cpu, weir-bench on CPU $client_cpu; $freq Hz; "
about+="$("$build/weir-bench" --version)$commit, $(uname -srm)"
run draw "$out/graph.svg" python3 perf/flame/flame.py draw "$out/folded" --note "$about" \
    --title "weir-${program[$side]}: $connections connections, pipeline $pipeline" ||
    failed 'flame.py draw' "$out/logs/draw.err"
mv "$out/graph.svg" "$svg"
[ -z "$folded" ] || mv "$out/folded" "$folded"
progress ''
echo "$svg"
