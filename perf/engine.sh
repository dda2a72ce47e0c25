#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures the engine: waiting, its twins, connections, bodies, threads, assertions.
#
#   perf/engine.sh [--quick] [--rounds N] [--cpus SERVER,CLIENT] [--out DIR] [--only TABLE]
#
#   --quick                2 short rounds: done within three minutes, and good for a first look only
#   --rounds N             how often each program is run (default 5)
#   --cpus SERVER,CLIENT   where servers and clients are pinned (default 0,1)
#   --out DIR              where results, environment record and logs go (default perf/out/engine-<UTC time>)
#   --only TABLE           waiting, idle, floor, connections, bodies, threads or assertions
#   --no-build             measure what is in build/ as it is
#
# As perf/bench.sh: what is compared is run in turns, a ratio is taken within each round, and the median of the rounds
# is shown with their range. The exit status is 0 when everything ran, 1 when a program failed, 2 on wrong usage.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
argv="$0 $*"
quick='' rounds='' out='' cpus=0,1 build=1 only=''

usage() {
    sed -n '3,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

wrong() {
    echo "engine.sh: $*" >&2
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
tables=(waiting idle floor connections bodies threads assertions)
[ -z "$only" ] || [[ " ${tables[*]} " == *" $only "* ]] || wrong "--only '$only': expected one of ${tables[*]}"

cd "$root"
if [ -n "$build" ]; then
    ./bootstrap build bench
    make -j"$(nproc)" all >/dev/null
    make -j"$(nproc)" NO_ASSERT=1 bins >/dev/null
fi
PATH=$PATH:/usr/sbin
out=${out:-perf/out/engine-$(date -u +%Y%m%dT%H%M%SZ)}
mkdir -p "$out/logs"
out=$(cd "$out" && pwd)
records=$out/records.tsv
: >"$records"
# shellcheck source=perf/lib.sh
source perf/lib.sh
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
ulimit -n "$(ulimit -Hn)"
write_env >"$out/env.txt"
short_s=${quick:+0.3} long_s=${quick:+0.4} idle_s=${quick:+1}
: "${short_s:=0.5}" "${long_s:=0.7}" "${idle_s:=3}"
mock=(--listen 127.0.0.1:0 --max-concurrency 0)

rotated() { # ROUND ITEM...
    local round=$1 i n
    shift
    n=$#
    for ((i = 0; i < n; i++)); do
        local at=$(((i + round) % n + 1))
        echo "${!at}"
    done
}

# ---- Runs ----------------------------------------------------------------------------------------------

ask() { # TABLE CELL SUBJECT ROUND SERVER CONNECTIONS PIPELINE: the bare client
    run_client "$1" "$2" "$3" "$4" build/floor-client --connect "${address[$5]}" -c "$6" -p "$7" -d "$long_s" \
        --warmup 0.15 --server-pid "${pid[$5]}" --json
}

# ---- Tables --------------------------------------------------------------------------------------------

table_waiting() {
    local round how conns
    for ((round = 0; round < rounds; round++)); do
        progress "waiting, round $((round + 1)) of $rounds"
        for conns in 1 2 4 8 16 64 256; do
            for how in $(rotated "$round" adaptive spin sleep); do
                start mock build/weir-mock "${mock[@]}" --wait "$how"
                run_client waiting "$conns" "$how" "$round" build/weir-bench -c "$conns" -d "${short_s}s" \
                    --warmup 0.1s --wait "$how" --cpu "$client_cpu" --server-pid "${pid[mock]}" --json - \
                    "http://${address[mock]}/api/health"
                stop mock
            done
        done
    done
}

table_idle() {
    local round before begin load
    for ((round = 0; round < rounds; round++)); do
        progress "idle, round $((round + 1)) of $rounds"
        start mock build/weir-mock "${mock[@]}"
        hold idlers 100 "${address[mock]}"
        for load in 0 100; do
            begin=$(date +%s%N) before=$(cpu_ns "${pid[mock]}")
            taskset -c "$client_cpu" python3 perf/engine_report.py pace "${address[mock]}" "$load" "$idle_s"
            record idle "$load" mock "$round" "{\"cpu_ns\": $(($(cpu_ns "${pid[mock]}") - before)), \
                \"wall_ns\": $(($(date +%s%N) - begin))}"
        done
        stop idlers
        stop mock
    done
}

table_floor() {
    local round subject pipeline
    start mock build/weir-mock "${mock[@]}"
    start epoll build/weir-mock "${mock[@]}" --ring epoll
    python3 perf/tables.py answer "${address[mock]}" GET /api/health '' "$out/logs/health"
    start floor build/floor-server --listen 127.0.0.1:0 --response-bytes-file "$out/logs/health.http"
    for ((round = 0; round < rounds; round++)); do
        progress "the floor and the twins, round $((round + 1)) of $rounds"
        for pipeline in 1 16; do
            for subject in $(rotated "$round" mock epoll floor); do
                ask floor "$pipeline" "$subject" "$round" "$subject" 64 "$pipeline"
            done
        done
    done
    stop_all
}

table_connections() {
    local round subject
    # Spinning is CPU time, too, and the client is the slower one here: for the price of a connection the server sleeps.
    start mock build/weir-mock "${mock[@]}" --wait sleep
    start adaptive build/weir-mock "${mock[@]}"
    python3 perf/tables.py answer "${address[mock]}" GET /api/health '' "$out/logs/health"
    start floor build/floor-server --listen 127.0.0.1:0 --response-bytes-file "$out/logs/health.http"
    start_nginx "$out/logs/health.body" "$out/logs/health.body"
    for ((round = 0; round < rounds; round++)); do
        progress "a connection for each request, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" mock adaptive floor nginx); do
            run_client connections 64 "$subject" "$round" build/floor-knock --connect "${address[$subject]}" \
                --server-pid "${pid[$subject]}" -d "$long_s"
        done
    done
    stop_all
}

run_bodies_wrk() { # CELL SUBJECT ROUND SERVER PATH
    local log=$out/logs/wrk.txt before
    before=$(cpu_ns "${pid[$4]}")
    local TIMEFORMAT='client_cpu_s %U %S'
    { time taskset -c "$client_cpu" wrk -t1 -c16 -d1s --latency "http://${address[$4]}$5"; } >"$log" 2>&1 ||
        failed wrk "$log"
    echo "server_cpu_ns $(($(cpu_ns "${pid[$4]}") - before))" >>"$log"
    record bodies "$1" "$2" "$3" "$(python3 perf/tables.py wrk "$log" | tr -d '\n')"
}

table_bodies() {
    local round subject bytes
    echo '{}' >"$out/logs/small.body"
    start_nginx "$out/logs/small.body" "$out/logs/small.body" "$(files_location)"
    for bytes in 65536 1048576; do
        head -c "$bytes" /dev/zero | tr '\0' x >"$out/nginx/www/$bytes"
        start body build/examples/body --listen 127.0.0.1:0 --bytes "$bytes"
        start floor build/floor-server --listen 127.0.0.1:0 --body-bytes "$bytes"
        for ((round = 0; round < rounds; round++)); do
            progress "bodies of $bytes bytes, round $((round + 1)) of $rounds"
            for subject in $(rotated "$round" body floor nginx); do
                run_bodies_wrk "$bytes" "$subject" "$round" "$subject" "/$bytes"
            done
        done
        stop body
        stop floor
    done
    stop_all
}

files_location() {
    mkdir -p "$out/nginx/www"
    echo "sendfile on; tcp_nopush on; open_file_cache max=16; root $out/nginx/www;"
}

table_threads() {
    local round n
    for ((round = 0; round < rounds; round++)); do
        progress "threads, round $((round + 1)) of $rounds"
        for n in $(rotated "$round" 1 2); do
            # Two threads need two CPUs: the client has to share one of them, here and with one thread.
            build/weir-mock "${mock[@]}" --threads "$n" --cpu "$([ "$n" = 1 ] && echo "$server_cpu" || echo "$cpus")" \
                >"$out/logs/mock.out" 2>"$out/logs/mock.err" </dev/null &
            pid[mock]=$! reaped[mock]=$!
            await_address mock
            run_client threads 64 "$n" "$round" build/weir-bench -c 64 -d "${long_s}s" --warmup 0.1s \
                --cpu "$client_cpu" --server-pid "${pid[mock]}" --json - "http://${address[mock]}/api/health"
            stop mock
        done
    done
}

await_address() { # NAME
    local i
    for ((i = 0; i < 500; i++)); do
        address[$1]=$(sed -n 's/^listening on //p' "$out/logs/$1.out" | head -n 1)
        [ -z "${address[$1]}" ] || return 0
        sleep 0.01
    done
    failed "$1" "$out/logs/$1.err"
}

table_assertions() {
    local round subject pipeline
    start with build/weir-mock "${mock[@]}"
    start without build/noassert/weir-mock "${mock[@]}"
    for ((round = 0; round < rounds; round++)); do
        progress "assertions, round $((round + 1)) of $rounds"
        for pipeline in 1 16; do
            for subject in $(rotated "$round" with without); do
                ask assertions "$pipeline" "$subject" "$round" "$subject" 64 "$pipeline"
            done
        done
    done
    stop_all
}

for table in "${tables[@]}"; do
    [ -n "$only" ] && [ "$only" != "$table" ] || "table_$table"
done
progress ''
python3 perf/engine_report.py report "$out" ${quick:+quick}
