#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""10^5 requests that end in every way there is leave nothing behind: no descriptor, thread, slot, or memory.

Each connection carries a random stream of requests, cut off at a random byte, and ends in a random way. Under
sanitizers the same is checked again by LeakSanitizer, when the server ends.
"""
import lib
from lib import MOCK, Mock, Raw, at_least, at_most, equal, request, test

KIB = 1024
REQUESTS = 100000
BATCH = 40
INFER = b'{"model_id":"bitnet-7b","prompt":"hi"}'
LOAD = b'{"model_id":"llama-13b"}'
REST_FIELDS = ["Transfer-Encoding: chunked"]

# Streams are made of these. Those that end the connection are rare, else little would come after them.
COMMON = [
    request("GET", "/api/models"),
    request("GET", "/api/health"),
    request("HEAD", "/api/models"),
    request("POST", "/api/infer", INFER),
    request("POST", "/api/infer", INFER, ["Expect: 100-continue"]),
    request("POST", "/api/infer", headers=REST_FIELDS) + b"".join(b"1\r\n%c\r\n" % byte for byte in INFER) + b"0\r\n\r\n",
    request("POST", "/api/infer", b'{"model_id":1}'),
    request("POST", "/api/infer", b"{"),
    request("POST", "/api/infer", b'{"model_id":"a","prompt":"%s"}' % (b"x" * 9000)),
    request("POST", "/api/models/load", LOAD),
    request("POST", "/api/models/unload", LOAD),
    request("GET", "/nowhere"),
    request("PUT", "/api/health", b"body"),
    request("GET", "/metrics"),
    request("GET", "/admin/requests?limit=3"),
    request("POST", "/api/infer", b'{"model_id":"a","prompt":"b","max_tokens":20,"stream":true}'),
    request("POST", "/v1/chat/completions", b'{"model":"a","messages":[{"role":"user","content":"b"}],"max_tokens":5,'
            b'"stream":true,"n":2}', ["X-Mock-Key: k"]),
    request("POST", "/v1/completions", b'{"model":"a","prompt":["b","c"],"max_tokens":9}'),
    request("GET", "/v1/models"),
]
RARE = [
    request("GET", "/api/health", headers=["Connection: close"]),
    request("GET", "/api/models", version="HTTP/1.0"),
    b"rubbish\r\n\r\n",
    b"GET /api/health HTTP/1.1\r\n\r\n",
    b"POST /api/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
    request("POST", "/api/infer", headers=REST_FIELDS) + b"zz\r\n",
]


def stream(rng):
    parts = [rng.choice(RARE if rng.random() < 0.01 else COMMON) for _ in range(rng.randint(1, 64))]
    whole = b"".join(parts)
    return whole[:rng.randint(0, len(whole))] if rng.random() < 0.6 else whole


def end(rng, raw):
    """One of the ways a client goes."""
    way = rng.randrange(5)
    if way == 0:
        raw.abort()
        return
    if way == 1:
        raw.shutdown()
        raw.rest()
    elif way == 2:
        for _ in range(rng.randint(0, 4)):
            if lib.select_readable(raw.socket):
                raw.fill()
        raw.abort()
        return
    elif way == 3:
        raw.shutdown()
    raw.close()


def seen(mock):
    """Requests the server knows of: answered, or given up by their client."""
    stats = mock.stats()
    return stats["requests_total"] + sum(stats["client_disconnects"].values())


def mixed_load(mock, rng, count):
    wanted, last = seen(mock) + count, None
    while (last := seen(mock)) < wanted:
        batch = [Raw(mock.address) for _ in range(BATCH)]
        for raw in batch:
            raw.send(stream(rng))
        rng.shuffle(batch)
        for raw in batch:
            end(rng, raw)
    return last


def settle(mock, descriptors):
    """Until nothing is open or in flight but the request that asks, and then not that either. @return bytes in use"""
    def settled():
        stats = mock.stats()
        return stats["connections"]["active"] == 1 and stats["concurrency"] == {
            "limit": 20, "active": 0, "in_flight": 0} and stats["queue"]["depth"] == 0
    lib.wait_until(settled, "all requests and connections have ended")
    lib.wait_until(lambda: mock.descriptors() <= descriptors, "the descriptors are those of the start")
    return mock.resident_bytes()


@test
def mixed_outcomes():
    for threads in ("1", "2"):
        rng = lib.seeded(15 + int(threads))
        mock = Mock("--threads", threads, "--latency", "200us", "--itl", "50us", "--error-rate", "0.1", "--max-concurrency", "20",
                    "--journal", "1000", "--max-conns", "200", "--drain-timeout", "5s")
        descriptors, started = mock.descriptors(), mock.threads()
        # What is reserved becomes resident when it is first used: so first everything is used.
        mixed_load(mock, rng, REQUESTS // 5)
        before = settle(mock, descriptors)
        total = mixed_load(mock, rng, REQUESTS // (2 if not lib.SANITIZED else 10))
        after = settle(mock, descriptors)
        equal((mock.descriptors(), mock.threads()), (descriptors, started), "descriptors and threads")
        if not lib.SANITIZED:
            at_most(after - before, 1024 * KIB, "bytes that stayed")
        at_least(total, REQUESTS // (2 if not lib.SANITIZED else 10), "requests")
        metrics = mock.metrics()
        equal(metrics["mock_uring_cq_overflow_total"], 0, "completion queue overflows")
        print(f"{total} requests, {int(metrics['mock_connections_total'])} connections, "
              f"{int(sum(mock.stats()['client_disconnects'].values()))} given up by their client, "
              f"{(after - before) // KIB} KiB more")
        mock.stop()


@test
def aborted_starts():
    """A start that fails half-way leaves nothing for LeakSanitizer either."""
    holder = Mock()
    for options in (["--listen", holder.text], ["--listen", holder.text, "--threads", "3"],
                    ["--listen", "127.0.0.1:0", "--threads", "2", "--cpu", "0,1023"]):
        program = lib.run([MOCK, *options])
        equal(program.process.returncode, 1, f"exit status of {options}")
        equal(program.stderr.count("\n"), 1, f"lines on standard error: {program.stderr}")
    holder.stop()


@test
def stopped_with_everything_in_flight():
    """The end of a server that is full of half-done work: its memory is its own to free."""
    for threads in ("1", "2"):
        mock = Mock("--threads", threads, "--latency", "1h", "--max-concurrency", "4", "--drain-timeout", "0s")
        clients = [Raw(mock.address) for _ in range(30)]
        for i, raw in enumerate(clients):
            raw.send([request("GET", "/api/models") * 3, COMMON[8][:4000], b"GET / HT", COMMON[5][:150],
                      request("POST", "/api/infer", INFER) * 5, b""][i % 6])
        lib.wait_until(lambda: mock.stats()["queue"]["depth"] == 46, "the queue is full")
        mock.stop()
        for raw in clients:
            raw.close()


if __name__ == "__main__":
    lib.main()
