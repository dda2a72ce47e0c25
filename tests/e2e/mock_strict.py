#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""Requests that two parsers could understand differently: refused with the right status, and then the end.

Behind each of them a second request follows on the same connection, or hides inside the first. It asks for
/api/models, which nothing else here does: when the server has ever answered that, a payload became a request.
"""
import time

import lib
from lib import Mock, Raw, check, equal, request, test

HIDDEN = b"GET /api/models HTTP/1.1\r\nHost: a\r\n\r\n"
# What the limits of the server are: see struct weir_server_config.
HEAD_BYTES, TARGET_BYTES, FIELDS = 16384, 8192, 100


def get(*lines, line=b"GET /api/health HTTP/1.1", host=b"Host: a\r\n"):
    return line + b"\r\n" + host + b"".join(text + b"\r\n" for text in lines) + b"\r\n"


def post(*lines, body=b""):
    return get(*lines, line=b"POST /api/infer HTTP/1.1") + body


def te(value, body=b"0\r\n\r\n"):
    return post(b"Transfer-Encoding: " + value, body=body)


def cl(value, body=b"xxxxx"):
    return post(b"Content-Length: " + value, body=body)


def chunks(body):
    return te(b"chunked", body)


# name: (bytes, status or statuses)
REFUSED = {
    # Both lengths, in either order and in any case.
    "length, then chunked": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "chunked, then length": (post(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n"), 400),
    "both, length 0": (post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"5\r\nxxxxx\r\n0\r\n\r\n"), 400),
    # Transfer-Encoding.
    "chunked is not last": (te(b"chunked, gzip"), (400, 501)),
    "identity": (te(b"identity"), (400, 501)),
    "unknown coding": (te(b"gzip"), (400, 501)),
    "unknown coding, then chunked": (te(b"gzip, chunked"), 501),
    "unknown coding in a field of its own": (post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked",
                                                  body=b"0\r\n\r\n"), 501),
    "chunked twice": (te(b"chunked, chunked"), 400),
    "chunked in two fields": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                   body=b"0\r\n\r\n"), 400),
    "chunked with a parameter": (te(b"chunked;q=1"), 400),
    "chunked behind obs-text": (te(b"\xa0chunked"), 400),
    "chunked behind VT": (te(b"\x0bchunked"), 400),
    "chunked in quotes": (te(b'"chunked"'), 400),
    "xchunked": (te(b"xchunked"), (400, 501)),
    "empty first element": (te(b",chunked"), 400),
    "empty last element": (te(b"chunked,"), 400),
    "empty coding": (te(b""), 400),
    "chunked in HTTP/1.0": (get(b"Transfer-Encoding: chunked", line=b"POST /api/infer HTTP/1.0") + b"0\r\n\r\n", 400),
    # Content-Length.
    **{f"length {value!r}": (cl(value), 400) for value in (
        b"+5", b"-5", b"0x5", b"5_0", b"5x", b"5 5", b"", b"5,", b",5", b"5, 5", b"5,6", b"5;", b"5.0", b"\xb2", b"five",
        b"18446744073709551616", b"18446744073709551621", b"99999999999999999999999999", b"9223372036854775808")},
    "lengths that differ": (post(b"Content-Length: 5", b"Content-Length: 6", body=b"xxxxx"), 400),
    "the same length twice": (post(b"Content-Length: 5", b"Content-Length: 5", body=b"xxxxx"), 400),
    "a length over the limit": (cl(b"9223372036854775807"), 413),
    # Chunks.
    **{f"chunk size {size!r}": (chunks(size + b"\r\nxxxxx\r\n0\r\n\r\n"), 400) for size in (
        b"0x5", b"+5", b"-5", b"5_", b" 5", b"\t5", b"", b"5 ", b"5\t", b"g", b"5x", b"10000000000000005",
        b"ffffffffffffffff", b"8000000000000000", b"0000000000000000000000005")},
    "a chunk over the limit": (chunks(b"7fffffffffffffff\r\n" + b"x" * 65536), (400, 413)),
    "chunk line ended by LF": (chunks(b"5\nxxxxx\r\n0\r\n\r\n"), 400),
    "chunk line ended by CR": (chunks(b"5\rxxxxxx\r\n0\r\n\r\n"), 400),
    "CR in an extension": (chunks(b"5;a\rb\r\nxxxxx\r\n0\r\n\r\n"), 400),
    "LF in an extension": (chunks(b"5;a\nb\r\nxxxxx\r\n0\r\n\r\n"), 400),
    "NUL in an extension": (chunks(b"5;a\0b\r\nxxxxx\r\n0\r\n\r\n"), 400),
    "an extension without end": (chunks(b"5;" + b"a" * 20000 + b"\r\nxxxxx\r\n0\r\n\r\n"), (400, 413)),
    "a chunk that spills": (chunks(b"5\r\nxxxxxyy0\r\n\r\n"), 400),
    "a chunk ended by LF": (chunks(b"5\r\nxxxxx\n0\r\n\r\n"), 400),
    "a chunk ended by CR": (chunks(b"5\r\nxxxxx\r0\r\n\r\n"), 400),
    "last chunk ended by LF": (chunks(b"5\r\nxxxxx\r\n0\n\n"), 400),
    "trailers ended by LF": (chunks(b"0\r\na: b\n\r\n"), 400),
    "a trailer without colon": (chunks(b"0\r\nab\r\n\r\n"), 400),
    "a trailer that begins with a blank": (chunks(b"0\r\n a: b\r\n\r\n"), 400),
    "a trailer with NUL": (chunks(b"0\r\na: \0\r\n\r\n"), 400),
    "trailers without end": (chunks(b"0\r\n" + b"a: b\r\n" * 20000), (400, 413, 431)),
    # Ends of lines and bytes that do not belong there.
    "bare LF everywhere": (b"GET /api/health HTTP/1.1\nHost: a\n\n", 400),
    "bare LF after the request line": (b"GET /api/health HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF after a field": (b"GET /api/health HTTP/1.1\r\nHost: a\n\r\n", 400),
    "bare LF as the end": (b"GET /api/health HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare LF first": (b"\nGET /api/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bare CR first": (b"\rGET /api/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bare CR in a value": (get(b"A: b\rc"), 400),
    "bare CR that hides a field": (get(b"A: b\rContent-Length: 5"), 400),
    "bare CR in a name": (get(b"A\rB: c"), 400),
    "bare CR in the request line": (get(line=b"GET /api\rhealth HTTP/1.1"), 400),
    "CR CR LF": (b"GET /api/health HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    "CR X as the end": (b"GET /api/health HTTP/1.1\r\nHost: a\r\n\rX", 400),
    "NUL in a value": (get(b"A: b\0c"), 400),
    "NUL in a name": (get(b"A\0: b"), 400),
    "NUL in the target": (get(line=b"GET /api\0 HTTP/1.1"), 400),
    **{f"byte {byte:#x} in a value": (get(b"A: b%cc" % byte), 400)
       for byte in [*range(1, 9), 11, 12, *range(14, 32), 127]},
    # Fields.
    "no colon": (get(b"Abc"), 400),
    "empty name": (get(b": a"), 400),
    **{f"byte {byte:#x} in a name": (get(b"A%cb: c" % byte), 400) for byte in b'"(),/;<=>?@[\\]{}\x80\xff\x7f'},
    "blank before the colon": (get(b"Content-Length : 5"), 400),
    "tab before the colon": (get(b"Transfer-Encoding\t: chunked"), 400),
    "folded value": (get(b"A: b", b" c"), 400),
    "folded with a tab": (get(b"A: b", b"\tc"), 400),
    "folded Transfer-Encoding": (post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), 400),
    "blank before the first field": (get(host=b" Host: a\r\n"), 400),
    # The request line.
    "two blanks": (get(line=b"GET  /api/health HTTP/1.1"), 400),
    "two blanks before the version": (get(line=b"GET /api/health  HTTP/1.1"), 400),
    "tab": (get(line=b"GET\t/api/health HTTP/1.1"), 400),
    "tab before the version": (get(line=b"GET /api/health\tHTTP/1.1"), 400),
    "form feed": (get(line=b"GET\x0c/api/health HTTP/1.1"), 400),
    "blank at the end": (get(line=b"GET /api/health HTTP/1.1 "), 400),
    "blank first": (get(line=b" GET /api/health HTTP/1.1"), 400),
    "no target": (get(line=b"GET HTTP/1.1"), 400),
    "no method": (get(line=b"/api/health HTTP/1.1"), 400),
    "method that is no token": (get(line=b"G(ET /api/health HTTP/1.1"), 400),
    "method with obs-text": (get(line=b"G\xc3\x89T /api/health HTTP/1.1"), 400),
    "method longer than any": (get(line=b"M" * 1000 + b" /api/health HTTP/1.1"), (400, 501)),
    "target without a slash": (get(line=b"GET api/health HTTP/1.1"), 400),
    "authority as the target": (get(line=b"GET a:80 HTTP/1.1"), 400),
    "asterisk without OPTIONS": (get(line=b"GET * HTTP/1.1"), 400),
    "fragment": (get(line=b"GET /api/health#a HTTP/1.1"), 400),
    "obs-text in the target": (get(line=b"GET /\xc3\xa4 HTTP/1.1"), 400),
    "control in the target": (get(line=b"GET /\x01 HTTP/1.1"), 400),
    "absolute target without a host": (get(line=b"GET http:///api/health HTTP/1.1"), 400),
    "absolute target with user": (get(line=b"GET http://u@a/api/health HTTP/1.1"), 400),
    "CONNECT with a path": (get(line=b"CONNECT /api/health HTTP/1.1"), 400),
    # The version.
    "HTTP/0.9": (b"GET /api/health\r\n", 400),
    "HTTP/2.0": (get(line=b"GET /api/health HTTP/2.0"), 505),
    "HTTP/0.9 spelled out": (get(line=b"GET /api/health HTTP/0.9"), 505),
    "HTTP/3": (get(line=b"GET /api/health HTTP/3"), (400, 505)),
    "HTTP/1": (get(line=b"GET /api/health HTTP/1"), 400),
    "HTTP/1.10": (get(line=b"GET /api/health HTTP/1.10"), 400),
    "HTTP/11.1": (get(line=b"GET /api/health HTTP/11.1"), 400),
    "http/1.1": (get(line=b"GET /api/health http/1.1"), 400),
    "HTTP /1.1": (get(line=b"GET /api/health HTTP /1.1"), 400),
    "HTTP/1,1": (get(line=b"GET /api/health HTTP/1,1"), 400),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32, 400),
    # Host.
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(b"Host: b"), 400),
    "the same Host twice": (get(b"Host: a"), 400),
    "empty Host": (get(host=b"Host:\r\n"), 400),
    **{f"Host {value!r}": (get(host=b"Host: " + value + b"\r\n"), 400) for value in (
        b"a,b", b"a b", b"u@a", b"a/b", b"http://a", b"a:b", b"a:80:80", b"a:99999", b"[::1", b"[g]", b"a\\b", b":80",
        b"a?b", b"a#b", b"\xe4")},
    "no Host beside an absolute target": (get(line=b"GET http://a/api/health HTTP/1.1", host=b""), 400),
    # Limits.
    "target over the limit": (get(line=b"GET /" + b"a" * TARGET_BYTES + b" HTTP/1.1"), 414),
    "too many fields": (get(*[b"A: b"] * FIELDS), 431),
    "head over the limit": (get(b"A: " + b"b" * HEAD_BYTES), 431),
    "many empty lines": (b"\r\n" * 1000 + get(), 400),
    # Expect.
    "unknown expectation": (get(b"Expect: 200-ok"), 417),
}

# name: (bytes, statuses in order, HEAD?) - followed by one more request, which is answered 200
ACCEPTED = {
    "length with leading zeros is decimal": (cl(b"0000000010", b'{"x":"yz"}'), [400]),
    "length in blanks": (cl(b" \t2\t ", b"{}"), [400]),
    "CHUNKED": (te(b"CHUNKED", b"2\r\n{}\r\n0\r\n\r\n"), [400]),
    "chunked in blanks": (te(b" \tchunked \t", b"2\r\n{}\r\n0\r\n\r\n"), [400]),
    "chunk size in capitals": (chunks(b"A\r\n{\"x\":\"yz\"}\r\n0\r\n\r\n"), [400]),
    "chunk size with zeros": (chunks(b"0002\r\n{}\r\n0000\r\n\r\n"), [400]),
    "extensions": (chunks(b'2;a;b=c;d="e\\"f;\t"\r\n{}\r\n0;last\r\n\r\n'), [400]),
    "blanks around the parts of an extension": (chunks(b'2 ; a = b\r\n{}\r\n0\r\n\r\n'), [400]),
    "trailers": (chunks(b"2\r\n{}\r\n0\r\nA: b\r\nC: d\r\n\r\n"), [400]),
    "a length in a trailer is no length": (chunks(b"2\r\n{}\r\n0\r\nContent-Length: 77\r\n\r\n"), [400]),
    "obs-text in a value": (get(b"A: \x80\xff\xa0"), [200]),
    "tab in a value": (get(b"A: b\tc"), [200]),
    "empty value": (get(b"A:", b"B: ", b"C:\t"), [200]),
    "every byte of a token in a name": (get(b"!#$%&'*+-.^_`|~09AZaz: b"), [200]),
    "underscore is no dash": (post(b"Content_Length: 9", b"Transfer_Encoding: chunked", b"Content-Length: 2",
                                   body=b"{}"), [400]),
    "empty lines first": (b"\r\n\r\n" + get(), [200]),
    "absolute target": (get(line=b"GET http://a:80/api/health?x HTTP/1.1"), [200]),
    "absolute target and another Host": (get(line=b"GET http://b/api/health HTTP/1.1"), [200]),
    "OPTIONS *": (get(line=b"OPTIONS * HTTP/1.1"), [404]),
    "CONNECT": (get(line=b"CONNECT a:80 HTTP/1.1"), [404]),
    "HTTP/1.9 speaks 1.1": (get(line=b"GET /api/health HTTP/1.9"), [200]),
    "unknown method": (get(line=b"BREW /api/health HTTP/1.1"), [405]),
    "method in small letters": (get(line=b"get /api/health HTTP/1.1"), [405]),
    "GET with a body": (get(b"Content-Length: %d" % len(HIDDEN)) + HIDDEN, [200]),
    "GET with a chunked body": (get(b"Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
                                [200]),
    "DELETE with a body": (get(b"Content-Length: %d" % len(HIDDEN), line=b"DELETE /x HTTP/1.1") + HIDDEN, [404]),
    "body of a wrong method": (get(b"Content-Length: %d" % len(HIDDEN), line=b"PUT /api/health HTTP/1.1") + HIDDEN,
                               [405]),
    "requests inside a body": (cl(b"%d" % (3 * len(HIDDEN)), HIDDEN * 3), [400]),
    "requests inside a chunk": (chunks(b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)), [400]),
    "a request inside a quoted extension": (chunks(b'2;a="GET /api/models HTTP/1.1"\r\n{}\r\n0\r\n\r\n'), [400]),
    "Upgrade is ignored": (get(b"Upgrade: h2c, websocket", b"Connection: Upgrade, HTTP2-Settings"), [200]),
    "Connection with odd elements": (get(b"Connection: , foo ,,keep-alive"), [200]),
    "Host with a port": (get(host=b"Host: example.com:65535\r\n"), [200]),
    "Host as IPv6": (get(host=b"Host: [::1]:80\r\n"), [200]),
    "target of the longest length": (get(line=b"GET /" + b"a" * (TARGET_BYTES - 1) + b" HTTP/1.1"), [404]),
    "as many fields as there may be": (get(*[b"A: b"] * (FIELDS - 1)), [200]),
    "every printable byte in the target": (
        get(line=b"GET /" + bytes(byte for byte in range(0x21, 0x7f) if byte != 0x23) + b" HTTP/1.1"), [404]),
}


def untouched(mock):
    check("/api/models" not in mock.stats()["endpoints"], "what was hidden in a payload became a request")


def cuts(bytes_):
    """The bytes as one piece, as two, and - when there are few - one by one."""
    yield [bytes_]
    yield [bytes_[:len(bytes_) // 2], bytes_[len(bytes_) // 2:]]
    if len(bytes_) <= 200:
        yield [bytes([byte]) for byte in bytes_]


@test
def refused():
    mock = Mock("--max-body", "32KiB")
    for name, (bytes_, statuses) in REFUSED.items():
        statuses = statuses if isinstance(statuses, tuple) else (statuses,)
        for pieces in cuts(bytes_):
            what = f"{name}, in {len(pieces)} pieces"
            with Raw(mock.address) as raw:
                raw.send(*pieces, HIDDEN, HIDDEN)
                lib.wait_until(lambda: lib.select_readable(raw.socket), f"an answer to {what}")
                answer = raw.response()
                check(answer.status in statuses, f"{what}: expected {statuses}, got {answer.status}")
                equal(answer.fields.get("connection"), "close", f"Connection, {what}")
                equal(raw.rest(), b"", f"behind the answer, {what}")
        untouched(mock)
    print(f"{len(REFUSED)} kinds of bad requests")
    mock.stop()


@test
def accepted():
    mock = Mock()
    following = request("GET", "/admin/stats")
    for name, (bytes_, statuses) in ACCEPTED.items():
        for pieces in cuts(bytes_):
            what = f"{name}, in {len(pieces)} pieces"
            with Raw(mock.address) as raw:
                raw.send(*pieces, following)
                for status in statuses:
                    equal(raw.response().status, status, what)
                answer = raw.response()
                equal((answer.status, "uptime_s" in answer.json()), (200, True), f"the request behind, {what}")
                raw.shutdown()
                equal(raw.rest(), b"", f"behind both, {what}")
        untouched(mock)
    mock.stop()


@test
def the_status_survives_what_is_still_sent():
    """A reset must not overtake the answer while the client is still sending."""
    mock = Mock()
    for name, head, status in (("bad length", post(b"Content-Length: x"), 400),
                               ("too long", post(b"Content-Length: 10000000"), 413),
                               ("bad chunk", chunks(b"zz\r\n"), 400),
                               ("not found", get(b"Content-Length: 60000", line=b"POST /nowhere HTTP/1.1"), 404),
                               ("bad version", get(line=b"GET / HTTP/2.0"), 505)):
        with Raw(mock.address) as raw:
            raw.send(head, *[HIDDEN + b"x" * (1000 - len(HIDDEN))] * 60)
            equal(raw.response().status, status, name)
            raw.shutdown()
            equal(raw.rest(), b"", f"behind the answer, {name}")
            check(not raw.reset, f"a clean end, {name}")
    untouched(mock)
    mock.stop()


@test
def bodies_cut_off():
    """A body that ends early is never taken for a whole one."""
    mock = Mock()
    for name, bytes_ in (("length", cl(b"100", b'{"model_id":"a","prompt":"b"}')),
                         ("chunk", chunks(b'1d\r\n{"model_id":"a","prompt":"b"}\r\n')),
                         ("last chunk", chunks(b'1d\r\n{"model_id":"a","prompt":"b"}\r\n0\r\n')),
                         ("trailers", chunks(b'1d\r\n{"model_id":"a","prompt":"b"}\r\n0\r\nA: b\r\n'))):
        with Raw(mock.address) as raw:
            raw.send(bytes_)
            raw.shutdown()
            equal(raw.response().status, 400, f"cut off in {name}")
            equal(raw.rest(), b"", "behind the answer")
    with Raw(mock.address) as raw:
        raw.send(get()[:-2])
        raw.shutdown()
        equal(raw.rest(), b"", "cut off in the head: there is no request to answer")
    with Raw(mock.address) as raw:
        raw.shutdown()
        equal(raw.rest(), b"", "nothing asked, nothing answered")
    codes = lib.answered(mock.metrics())
    check(("/api/infer", "POST", 200) not in codes, f"infer was answered: {codes}")
    mock.stop()


@test
def too_slow():
    """A head that does not end is refused after its time, and costs the others nothing meanwhile."""
    mock = Mock()
    slow = [Raw(mock.address) for _ in range(20)]
    began = time.monotonic()
    for raw in slow:
        raw.send(b"GET /api/health HTTP/1.1\r\nHost: a\r\nA: ")
    with Raw(mock.address) as other:
        def drip():
            """One more byte each, and a good request in between, until the first is refused."""
            for raw in slow:
                if not lib.select_readable(raw.socket):
                    raw.send(b"b")
            equal(other.ask(request("GET", "/api/health")).status, 200, "the others")
            return any(lib.select_readable(raw.socket) for raw in slow)
        lib.wait_until(drip, "the refusal")
    for raw in slow:
        equal(raw.response().status, 408, "status of a slow head")
        equal(raw.rest(), b"", "behind it")
        raw.close()
    lib.at_least(time.monotonic() - began, 5, "seconds that a head may take")
    mock.stop()


if __name__ == "__main__":
    lib.main()
