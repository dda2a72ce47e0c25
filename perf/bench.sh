#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures weir: the modelled load, the speed on the wire against the bare programs, nginx and wrk, and memory.
#
#   perf/bench.sh [--quick] [--rounds N] [--cpus SERVER,CLIENT] [--out DIR]
#
#   --quick                fewer loads, 2 rounds: done within a minute, and good for a first look only
#   --rounds N             how often each program is run (default 5)
#   --cpus SERVER,CLIENT   where servers and clients are pinned (default 0,1)
#   --out DIR              where results, environment record and logs go (default perf/out/<UTC time>)
#   --no-build             measure what is in build/ as it is
#
# Absolute figures drift from minute to minute on most machines, above all on virtual ones. So everything that is
# compared is run in turns (A B C, B C A, ...), a ratio is taken within each round, and the median of the rounds is
# shown with their range. A missed bar is shown as MISSED and is no failure of this script: the exit status is 0 when
# everything ran, 1 when a program failed, 2 on wrong usage.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
argv="$0 $*"
quick='' rounds='' out='' cpus=0,1 build=1

usage() {
    sed -n '3,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

wrong() {
    echo "bench.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --no-build) build='' ;;
    --rounds | --cpus | --out)
        [ $# -ge 2 ] || wrong "$1: a value is missing"
        case $1 in
        --rounds) rounds=$2 ;;
        --cpus) cpus=$2 ;;
        --out) out=$2 ;;
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

cd "$root"
if [ -n "$build" ]; then
    ./bootstrap build bench
    make -j"$(nproc)" all >/dev/null
fi
PATH=$PATH:/usr/sbin
out=${out:-perf/out/$(date -u +%Y%m%dT%H%M%SZ)}
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

# What all runs of a kind have in common. wrk counts in whole seconds.
if [ -n "$quick" ]; then
    warmup_s=0.1 short_s=0.4 long_s=0.5 modelled_s=0.5
    server_cells=(health:1:1 health:64:1 health:64:16 infer:64:1)
    client_cells=(health:64:1 health:64:16)
else
    warmup_s=0.1 short_s=0.4 long_s=1 modelled_s=0.7
    server_cells=({health,infer}:{1:1,16:1,64:1,256:1} health:64:16)
    client_cells=(health:{1:1,16:1,64:1,256:1,64:16} infer:{64:1,64:16})
fi
connections=(1 5 10 20 50 100 200 500)
latency_us=5000
infer_body='{"model_id":"bitnet-7b","prompt":"What is a weir?","max_tokens":100,"temperature":0.7,"top_p":0.9}'

# The cells that bars are about are measured longer than the rest.
seconds_of() { # KIND:CONNECTIONS:PIPELINE
    case $1 in
    health:64:*) echo "$long_s" ;;
    *) echo "$short_s" ;;
    esac
}

path_of() { # KIND
    echo "/api/$1"
}

# ---- Runs: each adds a record ---------------------------------------------------------------------------

run_floor_client() { # TABLE CELL SUBJECT ROUND SERVER
    local kind conns pipeline request=()
    IFS=: read -r kind conns pipeline <<<"$2"
    [ "$kind" != infer ] || request=(--method POST --header 'Content-Type: application/json' --body "$infer_body")
    # No two answers of the mock to an infer request are alike, and one at a time is the only way to read such.
    [ "$1:$kind" != servers:infer ] || request+=(--varying)
    run_client "$1" "$2" "$3" "$4" build/floor-client --connect "${address[$5]}" -c "$conns" -p "$pipeline" \
        -d "$(seconds_of "$2")" --warmup "$warmup_s" --path "$(path_of "$kind")" "${request[@]}" \
        --server-pid "${pid[$5]}" --json
}

run_weir_bench() { # TABLE CELL SUBJECT ROUND SERVER
    local kind conns pipeline request=()
    IFS=: read -r kind conns pipeline <<<"$2"
    [ "$kind" != infer ] || request=(-H 'Content-Type: application/json' -b "$infer_body")
    run_client "$1" "$2" "$3" "$4" build/weir-bench -c "$conns" -p "$pipeline" -d "$(seconds_of "$2")s" \
        --warmup "${warmup_s}s" "${request[@]}" --cpu "$client_cpu" --server-pid "${pid[$5]}" --json - \
        "http://${address[$5]}$(path_of "$kind")"
}

run_wrk() { # TABLE CELL SUBJECT ROUND SERVER
    local kind conns pipeline before log=$out/logs/wrk.txt
    IFS=: read -r kind conns pipeline <<<"$2"
    before=$(cpu_ns "${pid[$5]}")
    local TIMEFORMAT='client_cpu_s %U %S'
    if ! { time taskset -c "$client_cpu" wrk -t1 -c "$conns" -d1s --latency -s perf/pipeline.lua \
        "http://${address[$5]}$(path_of "$kind")" -- "$kind" "$pipeline" "$infer_body"; } >"$log" 2>&1; then
        failed "wrk" "$log"
    fi
    echo "server_cpu_ns $(($(cpu_ns "${pid[$5]}") - before))" >>"$log"
    local json
    json=$(python3 perf/tables.py wrk "$log")
    record "$1" "$2" "$3" "$4" "$json"
}

# ---- Tables ---------------------------------------------------------------------------------------------

table_modelled() {
    local round conns bytes json
    start mock build/weir-mock --listen 127.0.0.1:0 --latency "${latency_us}us" --max-concurrency 0
    for ((round = 0; round < rounds; round++)); do
        progress "modelled load, round $((round + 1)) of $rounds"
        for conns in $(rotated "$round" "${connections[@]}"); do
            run_client modelled "$conns" weir "$round" build/weir-bench -c "$conns" -d "${modelled_s}s" \
                --warmup "${warmup_s}s" --cpu "$client_cpu" --server-pid "${pid[mock]}" --json - \
                "http://${address[mock]}/api/models"
        done
    done
    bytes=$(rss_bytes "${pid[mock]}")
    record modelled_server rss weir 0 "{\"value\": $bytes}"
    python3 perf/tables.py get "${address[mock]}" /metrics >"$out/logs/metrics.txt"
    json=$(python3 perf/tables.py metric "$out/logs/metrics.txt" mock_schedule_error_seconds_median)
    record modelled_server schedule_error_s weir 0 "$json"
    stop mock
}

# The bare server and nginx give the very answer of weir-mock: the same bytes, and the same body and type.
start_servers() {
    start mock build/weir-mock --listen 127.0.0.1:0 --max-concurrency 0 --latency 0
    python3 perf/tables.py answer "${address[mock]}" GET /api/health '' "$out/logs/health"
    python3 perf/tables.py answer "${address[mock]}" POST /api/infer "$infer_body" "$out/logs/infer"
    start floor-health build/floor-server --listen 127.0.0.1:0 --response-bytes-file "$out/logs/health.http"
    start floor-infer build/floor-server --listen 127.0.0.1:0 --response-bytes-file "$out/logs/infer.http"
    start_nginx "$out/logs/health.body" "$out/logs/infer.body"
}

table_servers() {
    local round cell subject
    for ((round = 0; round < rounds; round++)); do
        progress "servers under the bare client, round $((round + 1)) of $rounds"
        for cell in "${server_cells[@]}"; do
            for subject in $(rotated "$round" mock "floor-${cell%%:*}" nginx); do
                run_floor_client servers "$cell" "${subject%-*}" "$round" "$subject"
            done
        done
    done
}

table_clients() {
    local round cell subject
    for ((round = 0; round < rounds; round++)); do
        progress "clients against the bare server, round $((round + 1)) of $rounds"
        for cell in "${client_cells[@]}"; do
            for subject in $(rotated "$round" weir_bench floor_client wrk); do
                "run_$subject" clients "$cell" "$subject" "$round" "floor-${cell%%:*}"
            done
        done
    done
}

# Two measurements of one server, at 1,000 and at 10,000 connections: what does not grow with them cancels out.
table_memory() { # CELL GAUGE FLOOR-HOLD-OPTION...
    local cell=$1 gauge=$2 few=1000 many=10000 few_bytes many_bytes
    shift 2
    progress "memory, $cell"
    start mock build/weir-mock --listen 127.0.0.1:0 --latency 60s --max-concurrency 0
    hold first "$few" "${address[mock]}" "$@"
    await_gauge mock "$gauge" "$few"
    few_bytes=$(settled_rss_bytes "${pid[mock]}")
    hold second $((many - few)) "${address[mock]}" "$@"
    await_gauge mock "$gauge" "$many"
    many_bytes=$(settled_rss_bytes "${pid[mock]}")
    record memory "$cell" weir 0 \
        "{\"few\": $few, \"few_rss_bytes\": $few_bytes, \"many\": $many, \"many_rss_bytes\": $many_bytes}"
    stop first
    stop second
    stop mock
}

table_modelled
start_servers
table_servers
table_clients
stop_all
table_memory idle mock_connections_active
table_memory in_flight mock_inflight_requests --request-path /api/models --no-wait
progress ''
python3 perf/tables.py report "$out" "$latency_us" "${quick:+quick}"
