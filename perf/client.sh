#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures the client: against libcurl and the bare client, over TLS, batching, memory.
#
#   perf/client.sh [--quick] [--rounds N] [--cpus SERVER,CLIENT] [--out DIR] [--only TABLE]
#
#   --quick                2 short rounds: good for a first look only
#   --rounds N             how often each program is run (default 5)
#   --cpus SERVER,CLIENT   where servers and clients are pinned (default 0,1)
#   --out DIR              where results, environment record and logs go (default perf/out/client-<UTC time>)
#   --only TABLE           plain, tls, batch, single or memory
#   --no-build             measure what is in build/ as it is
#
# As perf/engine.sh: what is compared is run in turns, a ratio is taken within each round, and the median of the rounds
# is shown with their range. A missed bar is shown as MISSED and is no failure of this script: the exit status is 0 when
# everything ran, 1 when a program failed, 2 on wrong usage.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
argv="$0 $*"
tables=(plain tls batch single memory)
cd "$root"
# shellcheck source=perf/tables.sh
source perf/tables.sh
trap stop_all EXIT
seconds=${quick:+0.4} calls=${quick:+20000}
: "${seconds:=1}" "${calls:=200000}"
[ -x build/peer-curl ] || wrong "build/peer-curl is missing: it needs libcurl's headers (package libcurl4-openssl-dev)"
mock=(--listen 127.0.0.1:0 --max-concurrency 0)

item='{"model_id":"bitnet-7b","prompt":"hi","max_tokens":16}'

# ---- Runs: each adds a record ---------------------------------------------------------------------------

run_weir() { # TABLE SUBJECT ROUND URL OPTION...
    local key=("$1" 64 "$2" "$3") url=$4
    shift 4
    run_client "${key[@]}" build/weir-bench -c 64 -d "${seconds}s" --warmup 0.2s "$@" --json - "$url"
}

run_curl() { # TABLE ROUND URL
    run_client "$1" 64 curl "$2" build/peer-curl "$3" 64 0.3 "$seconds"
}

# weir-get says what it did at the end, on standard error.
run_get() { # TABLE CELL SUBJECT ROUND OPTION...
    local key=("${@:1:4}") err=$out/logs/get.err
    shift 4
    taskset -c "$client_cpu" build/weir-get --stats --json -o /dev/null "$@" >/dev/null 2>"$err" || failed "$*" "$err"
    record "${key[@]}" "$(tail -n 1 "$err")"
}

# ---- Tables ---------------------------------------------------------------------------------------------

table_plain() {
    local round subject
    start floor build/floor-server --listen 127.0.0.1:0
    for ((round = 0; round < rounds; round++)); do
        progress "plain, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" weir floor curl); do
            case $subject in
            weir) run_weir plain weir "$round" "http://${address[floor]}/" ;;
            curl) run_curl plain "$round" "http://${address[floor]}/" ;;
            floor)
                run_client plain 64 floor "$round" build/floor-client --connect "${address[floor]}" -c 64 -d "$seconds" \
                    --warmup 0.2 --json
                ;;
            esac
        done
    done
    stop_all
}

table_tls() {
    local round subject
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$out/logs/key.pem" -out "$out/logs/cert.pem" \
        2>"$out/logs/openssl.err" || failed openssl "$out/logs/openssl.err"
    start mock build/weir-mock "${mock[@]}" --tls-cert "$out/logs/cert.pem" --tls-key "$out/logs/key.pem"
    for ((round = 0; round < rounds; round++)); do
        progress "tls, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" weir curl); do
            case $subject in
            weir) run_weir tls weir "$round" "https://${address[mock]}/api/health" --cacert "$out/logs/cert.pem" ;;
            curl) run_curl tls "$round" "https://${address[mock]}/api/health" ;;
            esac
        done
    done
    stop_all
}

table_batch() {
    local round subject
    start mock build/weir-mock "${mock[@]}"
    for ((round = 0; round < rounds; round++)); do
        progress "batch, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" batched single); do
            case $subject in
            single) run_get batch 64 single "$round" -d "$item" --repeat "$calls" --concurrency 64 \
                "http://${address[mock]}/api/infer" ;;
            batched) run_get batch 64 batched "$round" -d "$item" --repeat "$calls" --concurrency 64 --batch 32 \
                "http://${address[mock]}/api/infer/batch" ;;
            esac
        done
    done
    stop_all
}

# One at a time: what waits for nobody must not wait.
table_single() {
    local round subject
    start mock build/weir-mock "${mock[@]}"
    for ((round = 0; round < rounds; round++)); do
        progress "single, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" on off); do
            case $subject in
            off) run_get single 1 off "$round" -d "[$item]" --repeat $((calls / 10)) \
                "http://${address[mock]}/api/infer/batch" ;;
            on) run_get single 1 on "$round" -d "$item" --repeat $((calls / 10)) --batch 32 --concurrency 1 \
                "http://${address[mock]}/api/infer/batch" ;;
            esac
        done
    done
    stop_all
}

# All calls in flight at once, answered after a while: what they take, the connection of each included.
table_memory() {
    local count log=$out/logs/memory.err
    start mock build/weir-mock "${mock[@]}" --latency 8s
    for count in 100 5000; do
        progress "memory, $count calls in flight"
        taskset -c "$client_cpu" build/weir-get --repeat "$count" --concurrency "$count" -o /dev/null \
            -d "$item" "http://${address[mock]}/api/infer" >/dev/null 2>"$log" &
        pid[get]=$! reaped[get]=$!
        await_gauge mock mock_inflight_requests "$count"
        record memory "$count" weir 0 "{\"rss_bytes\": $(settled_rss_bytes "${pid[get]}")}"
        stop get
    done
    stop_all
}

for table in "${tables[@]}"; do
    if [ "${only:-$table}" = "$table" ]; then
        "table_$table"
    fi
done
progress ''
python3 perf/client_report.py "$out" ${quick:+quick}
