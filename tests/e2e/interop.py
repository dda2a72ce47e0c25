#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""Clients that others wrote, many at a time: curl, Python's http.client and urllib, Node's http, wrk."""
import concurrent.futures
import http.client
import json
import os
import urllib.request

import lib
from lib import Mock, equal, need, test

INFER = json.dumps({"model_id": "bitnet-7b", "prompt": "hi"})


@test
def curl_parallel():
    mock = Mock("--latency", "5ms")
    out = os.path.join(lib.temp_dir(), "body")
    lib.curl("--parallel", "--parallel-max", "50", "--parallel-immediate", "--fail", "-o", f"{out}.#1",
             mock.url("/api/models?[1-200]"))
    for i in range(1, 201):
        with open(f"{out}.{i}", encoding="utf-8") as file:
            equal([model["id"] for model in json.load(file)], ["bitnet-7b", "llama-13b"], f"body {i}")
    equal(mock.stats()["endpoints"]["/api/models"]["by_status"], {"200": 200}, "the mock's count")
    mock.stop()


@test
def curl_uploads():
    mock = Mock()
    path = os.path.join(lib.temp_dir(), "body")
    for size in (0, 1, 4095, 4096, 4097, 65536, 1000000):
        with open(path, "w", encoding="ascii") as file:
            file.write('{"model_id":"bitnet-7b","prompt":"%s"}' % ("x" * size))
        for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"], ["--http1.0"]):
            status = lib.curl("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", f"@{path}", *extra,
                              mock.url("/api/infer"))
            equal(status, "200", f"{size} bytes, {extra}")
    mock.stop()


@test
def python_in_threads():
    mock = Mock("--threads", "2", "--latency", "1ms")

    def ask(index):
        client = http.client.HTTPConnection(*mock.address, timeout=lib.DEADLINE_S)
        for i in range(25):
            client.request("POST", "/api/infer", json.dumps({"model_id": f"m{index}", "prompt": "x" * i}))
            equal(json.load(client.getresponse())["tokens"], 100, f"answer {i} of thread {index}")
        client.close()

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(20)))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(mock.url("/api/health"), timeout=lib.DEADLINE_S) as answer:
        equal(json.load(answer)["status"], "healthy", "urllib")
    equal(mock.stats()["endpoints"]["/api/infer"]["by_status"], {"200": 500}, "the mock's count")
    mock.stop()


NODE = r"""
const http = require('http');
const [host, port] = [process.argv[1], Number(process.argv[2])];
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
function ask(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path, agent, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => resolve({ status: answer.statusCode, text }));
      answer.on('error', reject);
    });
    request.on('error', reject);
    if (headers.Expect) request.on('continue', () => request.end(body));
    else if (headers['Transfer-Encoding']) { for (const byte of body) request.write(byte); request.end(); }
    else request.end(body);
  });
}
async function main() {
  const infer = JSON.stringify({ model_id: 'bitnet-7b', prompt: 'hi' });
  const all = [];
  for (let i = 0; i < 100; i++) {
    all.push(ask('GET', '/api/models'), ask('POST', '/api/infer', infer),
             ask('POST', '/api/infer', infer, { 'Transfer-Encoding': 'chunked' }),
             ask('POST', '/api/infer', infer, { Expect: '100-continue', 'Content-Length': infer.length }),
             ask('HEAD', '/api/models'), ask('POST', '/api/infer', '{'), ask('DELETE', '/api/health'));
  }
  const count = {};
  for (const answer of await Promise.all(all)) count[answer.status] = (count[answer.status] || 0) + 1;
  agent.destroy();
  console.log(JSON.stringify(count));
}
main().catch((error) => { console.error(error); process.exit(1); });
"""


@test
def node():
    binary = need("node")
    mock = Mock("--latency", "1ms")
    program = lib.run([binary, "-e", NODE, mock.address[0], str(mock.address[1])])
    equal((program.process.returncode, program.stderr), (0, ""), "node")
    equal(json.loads(program.stdout), {"200": 500, "400": 100, "405": 100}, "statuses")
    equal(mock.stats()["connections"]["total"], 9, "connections: its 8, and the one that asks")
    mock.stop()


@test
def wrk():
    binary = need("wrk")
    mock = Mock()
    program = lib.run([binary, "-t", "1", "-c", "20", "-d", "1s", mock.url("/api/health")])
    equal(program.process.returncode, 0, f"wrk: {program.stderr}")
    lib.check("Non-2xx" not in program.stdout and "Socket errors" not in program.stdout, program.stdout)
    lib.at_least(mock.stats()["endpoints"]["/api/health"]["requests"], 100, "requests")
    mock.stop()


@test
def nginx_as_a_proxy():
    """A proxy in front: its own way to write requests, and connections that it keeps."""
    mock = Mock()
    nginx = lib.Nginx('location / { proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; }',
                      http=f"upstream mock {{ server {mock.text}; keepalive 8; }}")
    for method, path, body, word in (("GET", "/api/models", None, "llama"), ("POST", "/api/infer", INFER, "tokens"),
                                     ("GET", "/nowhere", None, "not_found"), ("GET", "/metrics", None, "# HELP")):
        for _ in range(5):
            data = ["-d", body] if body else []
            out = lib.curl("-X", method, *data, nginx.url(path))
            lib.check(word in out, f"{path}: {out}")
    run = lib.bench("-c", "8", "-n", "400", nginx.url("/api/health"))
    equal((run["requests"], run["errors"]), (400, 0), "load through the proxy")
    nginx.stop()
    mock.stop()


if __name__ == "__main__":
    lib.main()
