#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures the engine: how it waits, what it costs over the bare server, its twins, connections, large bodies, threads,
# assertions.
#
#   perf/engine.sh [--quick] [--rounds N] [--cpus SERVER,CLIENT] [--out DIR] [--only TABLE]
#
#   --quick                2 short rounds: done within two minutes, and good for a first look only
#   --rounds N             how often each program is run (default 5)
#   --cpus SERVER,CLIENT   where servers and clients are pinned (default 0,1)
#   --out DIR              where results, environment record and logs go (default perf/out/engine-<UTC time>)
#   --only TABLE           wait, idle, floor, twins, connections, bodies, threads or assertions
#   --no-build             measure what is in build/ as it is
#
# As perf/bench.sh: what is compared is run in turns, a ratio is taken within each round, and the median of the rounds
# is shown with their range. A missed bar is shown as MISSED and is no failure of this script: the exit status is 0 when
# everything ran, 1 when a program failed, 2 on wrong usage.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
argv="$0 $*"
tables=(wait idle floor twins connections bodies threads assertions)
cd "$root"
# shellcheck source=perf/tables.sh
source perf/tables.sh
www=''
trap 'stop_all; [ -z "$www" ] || rm -r "$www"' EXIT
[ -z "$build" ] || [ "${only:-assertions}" != assertions ] || make -j"$(nproc)" NO_ASSERT=1 bins >/dev/null
short_s=${quick:+0.3} long_s=${quick:+0.4} idle_s=${quick:+1}
: "${short_s:=0.5}" "${long_s:=0.7}" "${idle_s:=3}"
mock=(--listen 127.0.0.1:0 --max-concurrency 0)

# ---- Runs: each adds a record ---------------------------------------------------------------------------

run_floor_client() { # TABLE CELL SUBJECT ROUND SERVER CONNECTIONS PIPELINE [SECONDS]
    run_client "$1" "$2" "$3" "$4" build/floor-client --connect "${address[$5]}" -c "$6" -p "$7" -d "${8:-$long_s}" \
        --warmup 0.15 --server-pid "${pid[$5]}" --json
}

run_weir_bench() { # TABLE CELL SUBJECT ROUND CONNECTIONS SECONDS OPTION...: against the server that is called mock
    local key=("${@:1:4}") conns=$5 seconds=$6
    shift 6
    run_client "${key[@]}" build/weir-bench -c "$conns" -d "${seconds}s" --warmup 0.1s "$@" --cpu "$client_cpu" \
        --server-pid "${pid[mock]}" --json - "http://${address[mock]}/api/health"
}

# wrk counts in whole seconds.
run_wrk() { # CELL SUBJECT ROUND
    local log=$out/logs/wrk.txt before json
    before=$(cpu_ns "${pid[$2]}")
    local TIMEFORMAT='client_cpu_s %U %S'
    if ! { time taskset -c "$client_cpu" wrk -t1 -c16 -d1s --latency "http://${address[$2]}/$1"; } >"$log" 2>&1; then
        failed wrk "$log"
    fi
    echo "server_cpu_ns $(($(cpu_ns "${pid[$2]}") - before))" >>"$log"
    json=$(python3 perf/tables.py wrk "$log")
    record bodies "$1" "$2" "$3" "$json"
}

# ---- Tables ---------------------------------------------------------------------------------------------

# A server that spins would take its CPU from the next one, so each is ended after its turn.
table_wait() {
    local round how conns
    for ((round = 0; round < rounds; round++)); do
        progress "wait, round $((round + 1)) of $rounds"
        for conns in 1 2 4 8 16 64 256; do
            for how in $(rotated "$round" adaptive spin sleep); do
                start mock build/weir-mock "${mock[@]}" --wait "$how"
                run_weir_bench wait "$conns" "$how" "$round" "$conns" "$short_s" --wait "$how"
                run_floor_client wait_server "$conns" "$how" "$round" mock "$conns" 1 "$short_s"
                stop mock
            done
        done
    done
}

table_idle() {
    local round before begin
    for ((round = 0; round < rounds; round++)); do
        progress "idle, round $((round + 1)) of $rounds"
        start mock build/weir-mock "${mock[@]}"
        hold idlers 100 "${address[mock]}"
        await_gauge mock mock_connections_active 100
        begin=$(date +%s%N) before=$(cpu_ns "${pid[mock]}")
        sleep "$idle_s"
        record idle 0 mock "$round" \
            "{\"cpu_ns\": $(($(cpu_ns "${pid[mock]}") - before)), \"wall_ns\": $(($(date +%s%N) - begin))}"
        run_client idle 100 mock "$round" build/floor-client --connect "${address[mock]}" -c 1 --rate 100 \
            -d "$idle_s" --warmup 0.15 --server-pid "${pid[mock]}" --json
        stop idlers
        stop mock
    done
}

# The bare server gives the very answer of weir-mock, as long and as typed.
save_health() {
    python3 perf/tables.py answer "${address[mock]}" GET /api/health '' "$out/logs/health"
}

table_floor() {
    local round subject pipeline
    start mock build/weir-mock "${mock[@]}"
    save_health
    start floor build/floor-server --listen 127.0.0.1:0 --response-bytes-file "$out/logs/health.http"
    for ((round = 0; round < rounds; round++)); do
        progress "floor, round $((round + 1)) of $rounds"
        for pipeline in 1 16; do
            for subject in $(rotated "$round" mock floor); do
                run_floor_client floor "$pipeline" "$subject" "$round" "$subject" 64 "$pipeline"
            done
        done
    done
    stop_all
}

table_twins() {
    local round subject
    start uring build/weir-mock "${mock[@]}" --ring uring
    start epoll build/weir-mock "${mock[@]}" --ring epoll
    for ((round = 0; round < rounds; round++)); do
        progress "twins, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" uring epoll); do
            run_floor_client twins 1 "$subject" "$round" "$subject" 64 1
        done
    done
    stop_all
}

# The client asks for the end, the server makes it, and the client resets what is left (see floor-knock): no port rests.
table_connections() {
    local round subject
    start mock build/weir-mock "${mock[@]}"
    start asleep build/weir-mock "${mock[@]}" --wait sleep
    start deferred build/weir-mock "${mock[@]}" --wait sleep --defer-accept
    save_health
    start floor build/floor-server --listen 127.0.0.1:0 --close --response-bytes-file "$out/logs/health.http"
    start_nginx "$out/logs/health.body" "$out/logs/health.body"
    for ((round = 0; round < rounds; round++)); do
        progress "connections, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" mock asleep deferred floor nginx); do
            run_client connections 64 "$subject" "$round" build/floor-knock --connect "${address[$subject]}" -c 64 \
                -d "$long_s" --server-pid "${pid[$subject]}"
        done
    done
    stop_all
}

# Where nginx finds its files: in memory where it can be, as the others send from memory.
make_www() {
    local parent=$out
    if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && [ -w /dev/shm ]; then
        parent=/dev/shm
    fi
    www=$(mktemp -d "$parent/weir-engine.XXXXXX")
    echo "nginx_files: $(stat -f -c %T "$www")" >>"$out/env.txt"
}

table_bodies() {
    local round subject bytes
    make_www
    echo '{}' >"$out/logs/small.body"
    start_nginx "$out/logs/small.body" "$out/logs/small.body" \
        "sendfile on; tcp_nopush on; open_file_cache max=16; root $www;"
    for bytes in 65536 1048576; do
        head -c "$bytes" /dev/zero | tr '\0' x >"$www/$bytes"
        start body build/examples/body --listen 127.0.0.1:0 --bytes "$bytes"
        start floor build/floor-server --listen 127.0.0.1:0 --body-bytes "$bytes"
        for ((round = 0; round < rounds; round++)); do
            progress "bodies of $bytes bytes, round $((round + 1)) of $rounds"
            for subject in $(rotated "$round" body floor nginx); do
                run_wrk "$bytes" "$subject" "$round"
            done
        done
        stop body
        stop floor
    done
    stop_all
}

table_threads() {
    local round n cpus_of
    for ((round = 0; round < rounds; round++)); do
        progress "threads, round $((round + 1)) of $rounds"
        for n in $(rotated "$round" 1 2); do
            cpus_of=$server_cpu
            [ "$n" = 1 ] || cpus_of=$server_cpu,$client_cpu
            server_cpu=$cpus_of start mock build/weir-mock "${mock[@]}" --threads "$n" --cpu "$cpus_of"
            run_weir_bench threads 64 "$n" "$round" 64 "$long_s"
            stop mock
        done
    done
}

table_assertions() {
    local round subject pipeline
    start with build/weir-mock "${mock[@]}"
    start without build/noassert/weir-mock "${mock[@]}"
    for ((round = 0; round < rounds; round++)); do
        progress "assertions, round $((round + 1)) of $rounds"
        for pipeline in 1 16; do
            for subject in $(rotated "$round" with without); do
                run_floor_client assertions "$pipeline" "$subject" "$round" "$subject" 64 "$pipeline"
            done
        done
    done
    stop_all
}

for table in "${tables[@]}"; do
    if [ "${only:-$table}" = "$table" ]; then
        "table_$table"
    fi
done
progress ''
python3 perf/engine_report.py "$out" ${quick:+quick}
