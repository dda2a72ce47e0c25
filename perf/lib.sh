# SPDX-License-Identifier: MIT
# What perf/bench.sh, perf/engine.sh and perf/flame.sh start, stop and read. Sourced; expects argv, out, records,
# server_cpu, client_cpu.
# shellcheck shell=bash disable=SC2154

declare -A pid=()     # of each process that was started, by name
declare -A reaped=()  # of each, what to wait for when it is not the same process
declare -A address=() # of each server, as 127.0.0.1:PORT

progress() {
    if [ -t 2 ]; then
        printf '\r\033[K%s' "$*" >&2
    elif [ -n "$*" ]; then
        printf '%s\n' "$*" >&2
    fi
}

failed() { # WHAT LOG
    progress ''
    printf '%s: %s failed:\n' "${0##*/}" "$1" >&2
    tail -n 20 "$2" >&2
    exit 1
}

record() { # TABLE CELL SUBJECT ROUND JSON
    printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$records"
}

stop() { # NAME
    local name=$1 child=${pid[$1]:-} parent=${reaped[$1]:-}
    [ -n "$child" ] || return 0
    unset "pid[$name]" "reaped[$name]" "address[$name]"
    kill "$parent" 2>/dev/null || true
    # A server that drains for ever would keep the script: after 3 s it is over.
    local i
    for ((i = 0; i < 150; i++)); do
        kill -0 "$parent" 2>/dev/null || break
        sleep 0.02
    done
    kill -KILL "$parent" 2>/dev/null || true
    wait "$parent" 2>/dev/null || true
}

stop_all() {
    local name
    for name in "${!pid[@]}"; do
        stop "$name"
    done
}

# In the order of a round: the list, turned by one place each time.
rotated() { # ROUND ITEM...
    local round=$1
    shift
    local i n=$#
    for ((i = 0; i < n; i++)); do
        local at=$(((i + round) % n + 1))
        echo "${!at}"
    done
}

# Run a server on the servers' CPU until it says where it listens.
start() { # NAME COMMAND...
    local name=$1 log=$out/logs/$1.out err=$out/logs/$1.err i
    shift
    : >"$log"
    taskset -c "$server_cpu" "$@" >"$log" 2>"$err" </dev/null &
    pid[$name]=$! reaped[$name]=$!
    for ((i = 0; i < 500; i++)); do
        address[$name]=$(sed -n 's/^listening on //p' "$log" | head -n 1)
        [ -z "${address[$name]}" ] || return 0
        kill -0 "${pid[$name]}" 2>/dev/null || break
        sleep 0.01
    done
    failed "$1" "$err"
}

nginx_conf() { # PORT HEALTH-BODY INFER-BODY FURTHER-LINES
    local user=''
    [ "$(id -u)" != 0 ] || user="user $(id -un) $(id -gn);"
    cat <<CONF
$user
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid nginx.pid;
error_log logs/nginx.err;
events { worker_connections 16384; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path tmp_body;
    proxy_temp_path tmp_proxy;
    fastcgi_temp_path tmp_fastcgi;
    uwsgi_temp_path tmp_uwsgi;
    scgi_temp_path tmp_scgi;
    default_type application/json;
    server {
        listen 127.0.0.1:$1 backlog=4096;
        location = /api/health { return 200 '$(cat "$2")'; }
        location = /api/infer { return 200 '$(cat "$3")'; }
        $4
    }
}
CONF
}

# nginx cannot be given port 0: the kernel is asked for a free one, and once more when somebody else was faster.
start_nginx() { # HEALTH-BODY INFER-BODY [FURTHER-LINES]
    local dir=$out/nginx err=$out/logs/nginx.start.err port try i worker
    mkdir -p "$dir/logs"
    if grep -q "['\$\\\\]" "$1" "$2"; then
        printf "nginx.conf cannot hold a body with ', \$ or \\\\\n" >"$err"
        failed nginx "$err"
    fi
    for try in 1 2 3; do
        port=$(python3 perf/tables.py port)
        nginx_conf "$port" "$1" "$2" "${3:-}" >"$dir/nginx.conf"
        taskset -c "$server_cpu" nginx -p "$dir" -c "$dir/nginx.conf" >"$err" 2>&1 </dev/null &
        pid[nginx]=$! reaped[nginx]=$!
        for ((i = 0; i < 200; i++)); do
            kill -0 "${reaped[nginx]}" 2>/dev/null || break
            worker=$(pgrep -P "${reaped[nginx]}" || true)
            if [ -n "$worker" ] && python3 perf/tables.py get "127.0.0.1:$port" /api/health >/dev/null 2>&1; then
                pid[nginx]=$worker
                address[nginx]=127.0.0.1:$port
                return 0
            fi
            sleep 0.02
        done
        stop nginx
    done
    failed "nginx (after $try tries)" "$err"
}

# Connections that stay open until their holder is stopped. It would end with its standard input: a pipe that this
# shell keeps open both ways, and so never ends before it.
hold() { # NAME CONNECTIONS ADDRESS FLOOR-HOLD-OPTION...
    local name=$1 count=$2 to=$3 log=$out/logs/hold.$1.out err=$out/logs/hold.$1.err i
    shift 3
    if [ -z "${hold_input:-}" ]; then
        mkfifo "$out/logs/hold.in"
        exec {hold_input}<>"$out/logs/hold.in"
        rm "$out/logs/hold.in"
    fi
    : >"$log"
    taskset -c "$client_cpu" build/floor-hold --connect "$to" -c "$count" "$@" >"$log" 2>"$err" \
        <&"$hold_input" &
    pid[$name]=$! reaped[$name]=$!
    for ((i = 0; i < 1500; i++)); do
        ! grep -q '^holding ' "$log" || return 0
        kill -0 "${pid[$name]}" 2>/dev/null || break
        sleep 0.02
    done
    failed "floor-hold" "$err"
}

# A client that prints JSON, on the clients' CPU.
run_client() { # TABLE CELL SUBJECT ROUND COMMAND...
    local key=("${@:1:4}") json err=$out/logs/client.err
    shift 4
    json=$(taskset -c "$client_cpu" "$@" 2>"$err" | tr -d '\n') || failed "$*" "$err"
    record "${key[@]}" "$json"
}

# CPU time of a process and its live threads.
cpu_ns() { # PID
    awk '{ sum += $1 } END { printf "%.0f\n", sum }' /proc/"$1"/task/*/schedstat
}

rss_bytes() { # PID
    awk '$1 == "Rss:" { print $2 * 1024 }' /proc/"$1"/smaps_rollup
}

# Wait until the server itself says that it has as many as it should: what is connected may not be accepted yet, and
# memory per request means nothing when the requests never came.
await_gauge() { # NAME GAUGE COUNT
    local log=$out/logs/gauge.txt i value=0
    for ((i = 0; i < 100; i++)); do
        python3 perf/tables.py get "${address[$1]}" /metrics >"$log"
        value=$(awk -v name="$2" '$1 == name { print $2 }' "$log")
        [ "${value:-0}" -lt "$3" ] || return 0
        sleep 0.1
    done
    echo "$2 is ${value:-missing}, $3 expected" >"$log"
    failed "$1" "$log"
}

# Read until nothing has changed for 0.25 s.
settled_rss_bytes() { # PID
    local before='' now same=0 i
    for ((i = 0; i < 200 && same < 5; i++)); do
        now=$(rss_bytes "$1")
        if [ "$now" = "$before" ]; then same=$((same + 1)); else same=0; fi
        before=$now
        sleep 0.05
    done
    echo "$now"
}

write_env() {
    local cpufreq=/sys/devices/system/cpu/cpu$server_cpu/cpufreq/scaling_governor flaw
    echo "time: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "command: $argv"
    echo "commit: $(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null || echo unknown)"
    echo "kernel: $(uname -srvm)"
    echo "mitigations: $(grep -o 'mitigations=[^ ]*' /proc/cmdline 2>/dev/null || echo "the kernel's default")"
    echo "cpu: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) usable"
    echo "memory: $(awk '$1 == "MemTotal:" { print $2, $3 }' /proc/meminfo)"
    echo "governor: $(cat "$cpufreq" 2>/dev/null || echo 'none (not visible)')"
    echo "hypervisor: $(grep -qw hypervisor /proc/cpuinfo && echo yes || echo no)"
    for flaw in /sys/devices/system/cpu/vulnerabilities/*; do
        [ ! -r "$flaw" ] || echo "mitigation_$(basename "$flaw"): $(cat "$flaw")"
    done
    echo "pinned: servers to CPU $server_cpu, clients to CPU $client_cpu"
    echo "weir: $(build/weir-bench --version)"
    echo "nginx: $(nginx -v 2>&1)"
    echo "wrk: $(wrk -v 2>&1 | head -n 1)"
    dpkg-query -W -f 'package: ${Package} ${Version} ${db:Status-Status}\n' gcc liburing-dev liburing2 \
        libjansson4 libc6 nginx nginx-core nginx-light wrk 2>/dev/null | sed -n 's/ installed$//p' || true
}
