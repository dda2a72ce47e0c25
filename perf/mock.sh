#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures weir-mock: how exactly it keeps its times, how many streams it holds, what reading and writing costs it,
# against WireMock, memory.
#
#   perf/mock.sh [--quick] [--rounds N] [--cpus SERVER,CLIENT] [--out DIR] [--only TABLE]
#
#   --quick                2 short rounds: good for a first look only
#   --rounds N             how often each program is run (default 5)
#   --cpus SERVER,CLIENT   where servers and clients are pinned (default 0,1)
#   --out DIR              where results, environment record and logs go (default perf/out/mock-<UTC time>)
#   --only TABLE           schedule, streams, tokens, infer, drift, wiremock or memory
#   --no-build             measure what is in build/ as it is
#
# As perf/engine.sh: what is compared is run in turns, a ratio is taken within each round, and the median of the rounds
# is shown with their range. A missed bar is shown as MISSED and is no failure of this script: the exit status is 0 when
# everything ran, 1 when a program failed, 2 on wrong usage.
#
# WireMock is installed by npm into build/wiremock when it is not there; its table is left out, and said to be, where
# npm, java or wrk are not.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
argv="$0 $*"
tables=(schedule streams tokens infer drift wiremock memory)
cd "$root"
# shellcheck source=perf/tables.sh
source perf/tables.sh
trap stop_all EXIT
short_s=${quick:+0.6} stream_s=${quick:+2} warm_s=${quick:+5}
: "${short_s:=2}" "${stream_s:=5}" "${warm_s:=25}"
timers=${quick:+100}
: "${timers:=400}"
stream_counts=(1000 1500 2000 4000)
unix_counts=(2000 3000 4000 5000)
few=100000 many=${quick:+1000000}
: "${many:=10000000}"
mock=(--listen 127.0.0.1:0 --max-concurrency 0)

infer='{"model_id":"bitnet-7b","prompt":"Say what time it is, and how you know.","max_tokens":16}'

stream_body() { # TOKENS
    echo '{"model_id":"bitnet-7b","prompt":"Say what time it is, and how you know.","max_tokens":'"$1"',"stream":true}'
}

# ---- Runs: each adds a record ---------------------------------------------------------------------------

run_floor_client() { # TABLE CELL SUBJECT ROUND SERVER OPTION...
    local key=("${@:1:4}") server=$5
    shift 5
    run_client "${key[@]}" build/floor-client --connect "${address[$server]}" --server-pid "${pid[$server]}" --json "$@"
}

ask() { # COMMAND...: the mock's side of perf/mock_report.py, on the client's CPU
    local err=$out/logs/ask.err
    taskset -c "$client_cpu" python3 perf/mock_report.py "$@" 2>"$err" || failed "mock_report.py $*" "$err"
}

# The mock's books. By the lightest of clients: it takes its time from the CPU of the client that is measured.
books() { # METHOD PATH
    local err=$out/logs/books.err to=${address[mock]} socket=()
    if [[ $to == unix:* ]]; then
        socket=(--unix-socket "${to#unix:}") to=localhost
    fi
    taskset -c "$client_cpu" curl -sSf "${socket[@]}" -X "$1" "http://$to$2" 2>"$err" || failed "$1 $2" "$err"
}

# A client that goes on for longer than the mock's own books are looked at: they are emptied once it is at full speed,
# and read before it ends. What both said is one record.
run_watched() { # TABLE CELL ROUND BEGIN-SECONDS SECONDS OPTION...
    local key=("$1" "$2" mock "$3") begin=$4 seconds=$5 client log=$out/logs/watched.json err=$out/logs/watched.err
    local own since
    shift 5
    taskset -c "$client_cpu" "${client_policy[@]}" build/floor-client --connect "${address[mock]}" --json \
        --server-pid "${pid[mock]}" -d "$(awk "BEGIN { print $seconds + 0.5 }")" "$@" >"$log" 2>"$err" &
    client=$!
    pid[watched]=$client reaped[watched]=$client
    sleep "$begin"
    books POST /admin/reset >/dev/null
    since=$(date +%s%N)
    sleep "$seconds"
    own=$(books GET /admin/stats)
    since=$(($(date +%s%N) - since))
    wait "$client" || failed floor-client "$err"
    unset "pid[watched]" "reaped[watched]"
    record "${key[@]}" "{\"client\": $(cat "$log"), \"own\": $own, \"watched_ns\": $since}"
}

# Streams of 100 tokens, 2 s each: in that time they begin, one after the other, and so they go on.
streams=(--ramp 2.0137 --warmup 1 --stream --schedule 20000,20000,100 --method POST --path /api/infer
    --body "$(stream_body 100)")

run_streams() { # TABLE CELL ROUND COUNT [LISTEN]
    start mock build/weir-mock "${mock[@]}" --listen "${5:-127.0.0.1:0}" --ttft 20ms --itl 20ms
    run_watched "$1" "$2" "$3" 3 "$stream_s" -c "$4" "${streams[@]}"
    stop mock
}

# The bare sender gives the pieces of one such stream of the mock, with the same times.
run_pace() { # TABLE CELL ROUND COUNT [LISTEN]
    local key=("$1" "$2" pace "$3") stream=$out/logs/paced.http log=$out/logs/pace.json err=$out/logs/pace.client.err
    if [ ! -e "$stream" ]; then
        start mock build/weir-mock "${mock[@]}" --ttft 20ms --itl 20ms
        ask capture "${address[mock]}" /api/infer "$(stream_body 100)" "$stream"
        stop mock
    fi
    start pace build/floor-pace --listen "${5:-127.0.0.1:0}" --response-bytes-file "$stream" --warmup-s 3 \
        --for-s "$stream_s"
    taskset -c "$client_cpu" build/floor-client --connect "${address[pace]}" --json --server-pid "${pid[pace]}" \
        -d "$(awk "BEGIN { print $stream_s + 0.5 }")" -c "$4" "${streams[@]}" >"$log" 2>"$err" ||
        failed floor-client "$err"
    stop pace
    record "${key[@]}" "{\"client\": $(cat "$log"), \"own\": $(tail -n 1 "$out/logs/pace.out")}"
}

# wrk counts in whole seconds.
run_wrk() { # TABLE CELL SUBJECT ROUND SERVER SECONDS PATH OPTION...
    local key=("${@:1:4}") server=$5 seconds=$6 path=$7 log=$out/logs/wrk.txt before json
    shift 7
    before=$(cpu_ns "${pid[$server]}")
    local TIMEFORMAT='client_cpu_s %U %S'
    if ! { time taskset -c "$client_cpu" wrk -t1 -c64 -d"${seconds}s" --latency "$@" \
        "http://${address[$server]}$path"; } >"$log" 2>&1; then
        failed wrk "$log"
    fi
    echo "server_cpu_ns $(($(cpu_ns "${pid[$server]}") - before))" >>"$log"
    json=$(python3 perf/tables.py wrk "$log")
    record "${key[@]}" "$json"
}

run_delayed() { # CELL ROUND
    run_watched schedule "$1" "$2" 0.5 "$stream_s" -c 256 --rate 10000 --varying --path /api/models
}

# ---- Tables ---------------------------------------------------------------------------------------------

# 10,000 requests a second by the clock, as they come from many clients that know nothing of each other: a late answer
# does not keep the next request back. The same with real-time threads, where they are permitted; the client's, too:
# what is held up by an ordinary thread and catches up asks for many answers in one instant. And 1,000 streams that began
# one after the other.
table_schedule() {
    local round what log=$out/logs/timer.json
    for ((round = 0; round < rounds; round++)); do
        progress "schedule, round $((round + 1)) of $rounds"
        for what in $(rotated "$round" timer delay ${realtime:+realtime} streams); do
            case $what in
            timer)
                taskset -c "$server_cpu" build/floor-timer --json -n "$timers" >"$log" \
                    2>"$out/logs/timer.err" || failed floor-timer "$out/logs/timer.err"
                record schedule timer machine "$round" "$(cat "$log")"
                ;;
            delay)
                start mock build/weir-mock "${mock[@]}" --latency 5ms
                run_delayed delay "$round"
                stop mock
                ;;
            realtime)
                start mock build/weir-mock "${mock[@]}" --latency 5ms --realtime
                client_policy=(chrt --fifo 1)
                run_delayed realtime "$round"
                client_policy=()
                stop mock
                ;;
            streams)
                run_streams schedule streams "$round" 1000
                run_pace schedule streams "$round" 1000
                ;;
            esac
        done
    done
}

table_streams() {
    local round count socket=$out/stream.sock
    for ((round = 0; round < rounds; round++)); do
        for count in "${stream_counts[@]}"; do
            progress "streams, round $((round + 1)) of $rounds, $count"
            run_streams streams "$count" "$round" "$count"
            run_pace streams "$count" "$round" "$count"
        done
        for count in "${unix_counts[@]}"; do
            progress "streams over a unix socket, round $((round + 1)) of $rounds, $count"
            run_streams streams_unix "$count" "$round" "$count" "unix:$socket"
            rm -f "$socket"
            run_pace streams_unix "$count" "$round" "$count" "unix:$socket"
            rm -f "$socket"
        done
    done
}

# The bare server sends the very bytes of one answer of the mock, in one piece.
table_tokens() {
    local round subject body
    body=$(stream_body 500)
    start mock build/weir-mock "${mock[@]}"
    ask capture "${address[mock]}" /api/infer "$body" "$out/logs/stream.http"
    start floor build/floor-server --listen 127.0.0.1:0 --response-bytes-file "$out/logs/stream.http"
    for ((round = 0; round < rounds; round++)); do
        progress "tokens, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" mock floor); do
            run_floor_client tokens 500 "$subject" "$round" "$subject" -c 64 -d "$short_s" --stream --method POST \
                --path /api/infer --body "$body"
        done
    done
    stop_all
}

table_infer() {
    local round what wrk_lua=$out/logs/infer.lua
    cat >"$wrk_lua" <<LUA
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '$infer'
LUA
    start mock build/weir-mock "${mock[@]}"
    for ((round = 0; round < rounds; round++)); do
        progress "infer, round $((round + 1)) of $rounds"
        for what in $(rotated "$round" infer health); do
            case $what in
            infer)
                run_floor_client infer floor infer "$round" mock -c 64 -d "$short_s" --varying --method POST \
                    --path /api/infer --header 'Content-Type: application/json' --body "$infer"
                [ -z "$wrk" ] || run_wrk infer wrk infer "$round" mock 1 /api/infer -s "$wrk_lua"
                ;;
            health)
                run_floor_client infer floor health "$round" mock -c 64 -d "$short_s" --varying --path /api/health
                [ -z "$wrk" ] || run_wrk infer wrk health "$round" mock 1 /api/health
                ;;
            esac
        done
    done
    stop_all
}

# 10 streams at a time, half a second apart: the first token after 10 ms, the last one 4.99 s later.
table_drift() {
    local round
    for ((round = 0; round < rounds; round++)); do
        progress "drift, round $((round + 1)) of $rounds"
        start mock build/weir-mock "${mock[@]}" --ttft 10ms --itl 10ms
        run_floor_client drift 500 mock "$round" mock -c 10 -d 5.2 --ramp 5 --stream --schedule 10000,10000,500 \
            --method POST --path /api/infer --body "$(stream_body 500)"
        stop mock
    done
}

# WireMock cannot say which port the kernel chose before it is ready, so it is given a free one, and another when
# somebody else was faster.
start_wiremock() { # ROOT-DIR
    local jar err=$out/logs/wiremock.err log=$out/logs/wiremock.out port try i
    jar=$(echo build/wiremock/node_modules/wiremock/build/wiremock-standalone-*.jar)
    for try in 1 2 3; do
        port=$(python3 perf/tables.py port)
        taskset -c "$server_cpu" java -jar "$jar" --bind-address 127.0.0.1 --port "$port" --root-dir "$1" \
            --no-request-journal --disable-banner --use-chunked-encoding never >"$log" 2>"$err" </dev/null &
        pid[wiremock]=$! reaped[wiremock]=$!
        for ((i = 0; i < 200; i++)); do
            kill -0 "${pid[wiremock]}" 2>/dev/null || break
            if python3 perf/tables.py get "127.0.0.1:$port" /api/models >/dev/null 2>&1; then
                address[wiremock]=127.0.0.1:$port
                return 0
            fi
            sleep 0.05
        done
        stop wiremock
    done
    failed "WireMock (after $try tries)" "$err"
}

install_wiremock() {
    local err=$out/logs/npm.err
    mkdir -p build/wiremock
    cp perf/peer/wiremock/package.json perf/peer/wiremock/package-lock.json build/wiremock/
    (cd build/wiremock && npm ci --no-audit --no-fund) >"$err" 2>&1 || failed npm "$err"
}

# The same answer to the same request, each on one core; the virtual machine has had its time to compile.
table_wiremock() {
    local round subject dir=$out/wiremock pipeline=$out/logs/pipeline.lua
    if [ -z "$wrk" ] || ! command -v java >/dev/null || ! command -v npm >/dev/null; then
        progress "wiremock: left out, it needs npm, java and wrk"
        return
    fi
    install_wiremock
    {
        echo "java: $(java -version 2>&1 | head -n 1)"
        echo "wiremock: $(basename build/wiremock/node_modules/wiremock/build/wiremock-standalone-*.jar .jar)"
    } >>"$out/env.txt"
    start mock build/weir-mock "${mock[@]}"
    mkdir -p "$dir/mappings"
    python3 perf/tables.py answer "${address[mock]}" GET /api/models '' "$out/logs/models"
    ask mapping "$out/logs/models.http" /api/models >"$dir/mappings/models.json"
    # Request by request wrk is as busy as the mock, and its own limit is measured. With 16 at a time it is not.
    cat >"$pipeline" <<LUA
function init(args)
    local batch = string.rep(wrk.format(), 16)
    request = function()
        return batch
    end
end
LUA
    start_wiremock "$dir"
    progress "wiremock, warming up for $warm_s s"
    run_wrk wiremock_warm 64 wiremock 0 wiremock "$warm_s" /api/models
    for ((round = 0; round < rounds; round++)); do
        progress "wiremock, round $((round + 1)) of $rounds"
        for subject in $(rotated "$round" mock wiremock); do
            run_wrk wiremock 64 "$subject" "$round" "$subject" 3 /api/models
            run_wrk wiremock pipelined "$subject" "$round" "$subject" 3 /api/models -s "$pipeline"
        done
    done
    stop_all
}

# Pipelined, as it is not speed that counts here.
table_memory() {
    local err=$out/logs/memory.err count done=0
    start mock build/weir-mock "${mock[@]}"
    for count in "$few" "$many"; do
        progress "memory, $count requests"
        taskset -c "$client_cpu" build/weir-bench -c 64 -p 16 -n $((count - done)) --no-progress -b "$infer" \
            "http://${address[mock]}/api/infer" >/dev/null 2>"$err" || failed weir-bench "$err"
        done=$count
        record memory "$count" mock 0 "{\"rss_bytes\": $(settled_rss_bytes "${pid[mock]}")}"
    done
    stop_all
}

wrk=$(command -v wrk || true)
realtime=$(chrt --fifo 1 true 2>/dev/null && echo yes || true) # may threads be real-time here?
client_policy=()
for table in "${tables[@]}"; do
    if [ "${only:-$table}" = "$table" ]; then
        "table_$table"
    fi
done
progress ''
python3 perf/mock_report.py report "$out" ${quick:+quick}
