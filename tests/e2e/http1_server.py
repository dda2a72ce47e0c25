#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""The rules of docs/http1.md as weir-mock keeps them, one test for each: what breaks a rule, and what may look like it.

Most messages are those of mock_strict.py, which sends them in few pieces; this adds the ones in which a request hides
in the payload itself. Each goes out at once, with 60 KiB more of requests behind it, and once more in short pieces.
What is refused gets its one status, `Connection: close` and an orderly end, even though the client goes on sending. And
nothing that was hidden in a payload, or sent behind a refusal, becomes a request: /admin/stats counts them.
"""
import socket

import lib
import mock_strict
from lib import Mock, Raw, at_most, check, equal, request, wait_until
from mock_strict import HIDDEN, chunks, cl, get, post, te

lib._tests.clear()  # those of mock_strict.py are its own script's
test = lib.test

BODY_BYTES = 32 * 1024  # --max-body
FOLLOWING = request("GET", "/admin/stats")
TCP_CLOSE = 7  # linux/tcp_states.h

# Where mock_strict.py leaves a choice, this is what weir answers.
STATUS = {"chunked is not last": 400, "identity": 501, "unknown coding": 501, "xchunked": 501,
          "an extension without end": 400, "HTTP/3": 505, "preface of HTTP/2": 505}


def chunk(payload, size=None):
    """`payload` as one chunk and the end."""
    return (size or b"%x" % len(payload)) + b"\r\n" + payload + b"\r\n0\r\n\r\n"


def strict(*names):
    """Refused messages of mock_strict.py; a name that ends with * takes all that begin with it."""
    found = {}
    for name in names:
        matching = [key for key in mock_strict.REFUSED
                    if (key.startswith(name[:-1]) if name.endswith("*") else key == name)]
        check(matching, f"mock_strict.py has no {name}")
        for key in matching:
            bytes_, status = mock_strict.REFUSED[key]
            found[key] = (bytes_, STATUS.get(key, status))
    return found


def fine(*names):
    """Accepted messages of mock_strict.py."""
    return {name: mock_strict.ACCEPTED[name] for name in names}


def bad(status, **messages):
    return {name.replace("_", " "): (bytes_, status) for name, bytes_ in messages.items()}


def good(*statuses, **messages):
    return {name.replace("_", " "): (bytes_, list(statuses)) for name, bytes_ in messages.items()}


def short_pieces(bytes_):
    """Single bytes, or some two hundred pieces where that would take too long."""
    size = 1 if len(bytes_) <= 400 else len(bytes_) // 200
    return [bytes_[at:at + size] for at in range(0, len(bytes_), size)]


def asked(mock):
    """How many requests there were for anything but /admin, once all connections but that of the question are gone."""
    stats = wait_until(lambda: (stats := mock.stats())["connections"]["active"] == 1 and stats, "the connection is gone")
    endpoints = stats["endpoints"]
    check("/api/models" not in endpoints, "what was hidden in a payload became a request")
    return sum(endpoint["requests"] for path, endpoint in endpoints.items() if not path.startswith("/admin/"))


def ended_in_order(raw, what):
    """The peer has sent its FIN and takes ours: a reset at any time would have left its mark on the socket."""
    equal((raw.rest(), raw.reset), (b"", False), f"behind the answer, {what}")
    raw.shutdown()
    wait_until(lambda: raw.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE,
               f"both directions are closed, {what}")
    equal(raw.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0, f"a reset, {what}")


def refuse(mock, name, bytes_, status):
    # All of it fits into what a server reads while it lingers: 64 KiB.
    more = HIDDEN * ((60 * 1024 if len(bytes_) < 2048 else 16 * 1024) // len(HIDDEN))
    for how, pieces in (("at once", [bytes_ + HIDDEN, more]), ("in short pieces", [*short_pieces(bytes_), HIDDEN])):
        what, before = f"{name}, {how}", asked(mock)
        with Raw(mock.address) as raw:
            raw.send(*pieces)
            answer = raw.response()
            equal((answer.status, answer.fields.get("connection")), (status, "close"), what)
            ended_in_order(raw, what)
        at_most(asked(mock) - before, 1, f"requests, {what}")  # the one whose body was refused


def accept(mock, name, bytes_, statuses):
    """`statuses` are the answers, and the next request on the connection is understood as what it is."""
    for how, pieces in (("at once", [bytes_ + FOLLOWING]), ("in short pieces", [*short_pieces(bytes_), FOLLOWING])):
        what, before = f"{name}, {how}", asked(mock)
        with Raw(mock.address) as raw:
            raw.send(*pieces)
            equal([raw.response().status for _ in statuses], statuses, what)
            answer = raw.response()
            equal((answer.status, "uptime_s" in answer.json()), (200, True), f"the request behind, {what}")
            raw.shutdown()
            equal((raw.rest(), raw.reset), (b"", False), f"behind both, {what}")
        equal(asked(mock) - before, len(statuses), f"requests, {what}")


def rule(name, refused=None, accepted=None):
    """The test of one rule."""
    def run():
        mock = Mock("--max-body", str(BODY_BYTES))
        for case, (bytes_, status) in (refused or {}).items():
            refuse(mock, case, bytes_, status)
        for case, (bytes_, statuses) in (accepted or {}).items():
            accept(mock, case, bytes_, statuses)
        mock.stop()
    run.__name__ = name
    test(run)


# ---- Two lengths, Transfer-Encoding -------------------------------------------------------------------------------

BOTH = [b"Content-Length: 5", b"Transfer-Encoding: chunked"]
rule("rule_01_length_and_te", {
    **strict("length, then chunked", "chunked, then length", "both, length 0"),
    **bad(400, a_request_behind_the_last_chunk=post(b"Content-Length: %d" % (5 + len(HIDDEN)), BOTH[1],
                                                    body=b"0\r\n\r\n" + HIDDEN),
          a_request_in_a_chunk=post(*BOTH, body=chunk(HIDDEN)),
          both_of_a_GET=get(*BOTH) + chunk(HIDDEN),
          with_a_coding_nobody_knows=post(BOTH[0], b"Transfer-Encoding: \x0bchunked", body=chunk(HIDDEN)))})
rule("rule_02_te_not_chunked_last", {
    **strict("chunked is not last", "identity", "unknown coding"),
    **bad(400, chunked_then_identity=te(b"chunked, identity", chunk(HIDDEN)),
          in_two_fields=post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", body=chunk(HIDDEN)))})
rule("rule_04_te_malformed", {
    **strict("chunked twice", "chunked in two fields", "chunked with a parameter", "chunked behind obs-text",
             "chunked behind VT", "chunked in quotes", "xchunked", "empty coding"),
    **bad(400, chunked_before_obs_text=te(b"chunked\x85", chunk(HIDDEN)),
          two_words=te(b"chunked foo", chunk(HIDDEN)),
          other_separator=te(b"gzip; chunked", chunk(HIDDEN)),
          NUL_in_it=te(b"chun\0ked", chunk(HIDDEN)))},
     fine("CHUNKED", "chunked in blanks"))
rule("rule_05_te_empty_element", {
    **strict("empty first element", "empty last element"),
    **bad(400, only_a_comma=te(b",", chunk(HIDDEN)), blank_element=te(b" \t, chunked", chunk(HIDDEN)))})
rule("rule_06_te_in_1_0", {
    **strict("chunked in HTTP/1.0"),
    **bad(400, kept_alive=get(b"Transfer-Encoding: chunked", b"Connection: keep-alive",
                              line=b"POST /api/infer HTTP/1.0") + chunk(HIDDEN),
          with_a_length=get(*BOTH, line=b"POST /api/infer HTTP/1.0") + chunk(HIDDEN),
          unknown_coding=get(b"Transfer-Encoding: gzip", line=b"POST /api/infer HTTP/1.0") + HIDDEN)})
rule("rule_07_te_unknown_coding", {
    **strict("unknown coding, then chunked", "unknown coding in a field of its own"),
    **bad(501, a_request_in_a_chunk=te(b"deflate, chunked", chunk(HIDDEN)))})

# ---- Content-Length -----------------------------------------------------------------------------------------------

rule("rule_08_length_malformed", {
    **strict(*(f"length {value!r}" for value in (b"+5", b"-5", b"0x5", b"5_0", b"5x", b"5 5", b"", b"5,", b",5", b"5;",
                                                 b"5.0", b"\xb2", b"five"))),
    **bad(400, behind_obs_text=cl(b"\xa05"), behind_VT=cl(b"\x0b5"), in_quotes=cl(b'"5"'), minus_zero=cl(b"-0", HIDDEN),
          exponent=cl(b"1e1"), of_a_GET=get(b"Content-Length: +%d" % len(HIDDEN)) + HIDDEN)})
rule("rule_09_lengths_differ", {
    **strict("lengths that differ", "length b'5,6'"),
    **bad(400, one_of_them_zero=post(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
          the_last_is_zero=post(b"Content-Length: %d" % len(HIDDEN), b"Content-Length: 0", body=HIDDEN),
          in_another_case=post(b"content-length: 0", b"CONTENT-LENGTH: %d" % len(HIDDEN), body=HIDDEN),
          the_same_in_other_digits=post(b"Content-Length: 5", b"Content-Length: 05", body=b"xxxxx"))})
rule("rule_10_length_repeated", {
    **strict("the same length twice", "length b'5, 5'"),
    **bad(400, thrice=post(*[b"Content-Length: %d" % len(HIDDEN)] * 3, body=HIDDEN))})
rule("rule_11_length_leading_zeros", accepted={
    **fine("length with leading zeros is decimal", "length in blanks"),
    # Read as octal, 8 or 32 bytes short, the body would begin a request.
    **good(400, no_octal=cl(b"010", b"\r\n" * 4 + b"\r\n"), no_octal_either=cl(b"0%d" % len(HIDDEN), HIDDEN),
           longer_than_any_number=cl(b"0" * 100 + b"%d" % len(HIDDEN), HIDDEN))})
rule("rule_12_length_huge", {
    **strict("length b'18446744073709551616'", "length b'18446744073709551621'", "length b'9223372036854775808'",
             "length b'99999999999999999999999999'", "a length over the limit", "chunk size b'10000000000000005'",
             "chunk size b'ffffffffffffffff'", "chunk size b'8000000000000000'",
             "chunk size b'0000000000000000000000005'"),
    **bad(400, around_to_the_hidden=cl(b"%d" % (2 ** 64 + len(HIDDEN)), HIDDEN),
          around_in_32_bits_of_a_chunk=chunks(chunk(HIDDEN, b"10000000000000000%x" % len(HIDDEN)))),
    **bad(413, more_than_32_bits=cl(b"%d" % (2 ** 32 + 5), b"xxxxx"))})

# ---- Chunks -------------------------------------------------------------------------------------------------------

rule("rule_13_chunk_size_malformed", {
    **strict(*(f"chunk size {value!r}" for value in (b"0x5", b"+5", b"-5", b"5_", b" 5", b"\t5", b"", b"g", b"5x"))),
    **bad(400, prefix_0x_of_a_request=chunks(chunk(HIDDEN, b"0x%x" % len(HIDDEN))),
          digit_of_another_script=chunks(chunk(HIDDEN, b"\xb2")),
          quoted=chunks(chunk(HIDDEN, b'"5"')), empty_last=chunks(b"2\r\n{}\r\n\r\n"))},
     fine("chunk size in capitals", "chunk size with zeros"))
rule("rule_14_blank_after_chunk_size", {
    **strict("chunk size b'5 '", "chunk size b'5\\t'"),
    **bad(400, of_the_last=chunks(b"2\r\n{}\r\n0 \r\n\r\n"),
          a_request_in_it=chunks(chunk(HIDDEN, b"%x  " % len(HIDDEN))))},
     fine("blanks around the parts of an extension"))
rule("rule_15_chunk_line_end", {
    **strict("chunk line ended by LF", "chunk line ended by CR", "CR in an extension", "LF in an extension",
             "NUL in an extension", "last chunk ended by LF"),
    # One reads an extension up to CR LF, the other a line that has ended at the LF.
    **bad(400, LF_ends_an_empty_extension=chunks(b"5;\nxxxxx\r\n0\r\n\r\n" + HIDDEN),
          a_request_behind_the_LF=chunks(b"2;\n{}\r\n%x\r\n" % (len(HIDDEN) + 5) + b"0\r\n\r\n" + HIDDEN),
          a_request_in_an_extension=chunks(b"2;a=" + HIDDEN + b"\r\n{}\r\n0\r\n\r\n"),
          CR_CR_LF=chunks(b"2\r\r\n{}\r\n0\r\n\r\n"),
          LF_in_quotes=chunks(b'2;a="\n"\r\n{}\r\n0\r\n\r\n'))},
     fine("a request inside a quoted extension"))
rule("rule_16_chunk_spills", {
    **strict("a chunk that spills", "a chunk ended by LF", "a chunk ended by CR"),
    **bad(400, two_bytes_for_the_line_end=chunks(b"2\r\n{}XX" + chunk(HIDDEN)),
          LF_CR=chunks(b"2\r\n{}\n\r0\r\n\r\n"),
          a_request_spills=chunks(b"2\r\n{}" + HIDDEN))},
     fine("requests inside a chunk"))
LONG_EXTENSION = b"a" * 16000
rule("rule_17_chunk_extensions", {
    **strict("an extension without end"),
    **bad(400, many_small_ones=chunks(b"1;a=b\r\nx\r\n" * 5000),
          more_framing_than_payload=chunks((b"1;" + b"a" * 30 + b"\r\nx\r\n") * 1500),
          without_a_name=chunks(b"2;=b\r\n{}\r\n0\r\n\r\n"), without_a_value=chunks(b"2;a=\r\n{}\r\n0\r\n\r\n"),
          nothing_behind_the_semicolon=chunks(b"2;\r\n{}\r\n0\r\n\r\n"),
          open_quotes=chunks(b'2;a="b\r\n{}\r\n0\r\n\r\n'), something_behind_quotes=chunks(b'2;a="b"c\r\n{}\r\n0\r\n\r\n'))},
     {**fine("extensions"), **good(400, a_long_one=chunks(b"2;" + LONG_EXTENSION + b"\r\n{}\r\n0\r\n\r\n"))})


@test
def rule_18_body_cut_off():
    """Beside what mock_strict.bodies_cut_off() has: what came of the body begins like a request, and stays a body."""
    mock = Mock()
    cases = {"length": cl(b"1000", HIDDEN * 2), "in a chunk": chunks(b"fff\r\n" + HIDDEN * 2),
             "between chunks": chunks(chunk(HIDDEN)[:-5]), "in a chunk's size": chunks(b"2\r\n{}\r\n0"),
             "behind the last chunk": chunks(chunk(HIDDEN)[:-2]), "in its line end": chunks(chunk(HIDDEN)[:-1]),
             "nothing came": cl(b"5", b"")}
    for name, bytes_ in cases.items():
        for pieces in ([bytes_], short_pieces(bytes_)):
            what, before = f"cut off {name}, in {len(pieces)} pieces", asked(mock)
            with Raw(mock.address) as raw:
                raw.send(*pieces)
                raw.shutdown()
                answer = raw.response()
                equal((answer.status, answer.fields.get("connection")), (400, "close"), what)
                equal((raw.rest(), raw.reset), (b"", False), f"behind the answer, {what}")
            at_most(asked(mock) - before, 1, what)
    mock.stop()


rule("rule_19_trailers", {
    **strict("trailers ended by LF", "a trailer without colon", "a trailer that begins with a blank",
             "a trailer with NUL"),
    **bad(400, without_end=chunks(b"0\r\n" + b"a: b\r\n" * 3000), one_without_end=chunks(b"0\r\na: " + b"b" * 17000),
          blank_before_the_colon=chunks(b"0\r\nA : b\r\n\r\n"), folded=chunks(b"0\r\nA: b\r\n c\r\n\r\n"),
          CR_in_a_value=chunks(b"0\r\nA: b\rc\r\n\r\n"), no_name=chunks(b"0\r\n: b\r\n\r\n"),
          a_request_as_a_trailer=chunks(b"0\r\n" + HIDDEN), one_too_many=chunks(b"0\r\n" + b"a:b\r\n" * 129 + b"\r\n"))},
     {**fine("trailers", "a length in a trailer is no length"),
      **good(400, as_many_as_there_may_be=chunks(b"0\r\n" + b"a:b\r\n" * 128 + b"\r\n"),
             coding_and_host_in_trailers=chunks(
          b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\nHost: b\r\nHost: c\r\nConnection: close\r\n\r\n"))})

# ---- Lines and bytes of a head ------------------------------------------------------------------------------------

rule("rule_20_bare_lf", {
    **strict("bare LF*"),
    **bad(400, a_request_behind_two_LF=get(b"A: b\n\nGET /api/models HTTP/1.1"),
          a_length_behind_an_LF=post(b"A: b\nContent-Length: %d" % len(HIDDEN), body=HIDDEN))})
rule("rule_21_bare_cr", {
    **strict("bare CR*", "CR CR LF", "CR X as the end"),
    **bad(400, a_request_behind_two_CR=get(b"A: b\r\rGET /api/models HTTP/1.1"),
          CR_before_the_colon=get(b"Content-Length\r: 5"), CR_as_a_name=get(b"\rContent-Length: 5"),
          LF_CR=get(b"A: b\n\rC: d"))})
rule("rule_22_nul", {
    **strict("NUL in a value", "NUL in a name", "NUL in the target"),
    **bad(400, in_the_method=get(line=b"G\0T /api/health HTTP/1.1"), in_the_version=get(line=b"GET /api/health HTTP/1.1\0"),
          at_the_end_of_a_value=get(b"A: b\0"), in_Host=get(host=b"Host: a\0b\r\n"), first=b"\0" + get())})
rule("rule_23_controls", {
    **{name: case for name, case in strict("byte 0x*").items() if name.endswith("in a value")},
    **bad(400, in_a_length=cl(b"\x0c5"), in_a_coding=te(b"chunked\x1f", chunk(HIDDEN)), in_Host=get(host=b"Host: a\x7f\r\n"))})
rule("rule_24_obs_text", accepted={
    **fine("obs-text in a value", "tab in a value", "empty value"),
    **good(200, every_byte_of_it=get(b"A: " + bytes(range(0x80, 0x100))),
           no_line_end_in_UTF_8=get(b"A: \xc4\x8d\xc4\x8aGET /api/models HTTP/1.1"))})
rule("rule_25_field_names", {
    **strict("no colon", "empty name"),
    **{name: case for name, case in strict("byte 0x*").items() if name.endswith("in a name")},
    **bad(400, a_request_line_as_a_field=get(b"GET /api/models HTTP/1.1"), obs_text=get(b"\xc3\x84: b"),
          only_an_end=get(b":"), blank_inside=get(b"Content Length: 5"))},
     fine("every byte of a token in a name"))
rule("rule_26_space_before_colon", {
    **strict("blank before the colon", "tab before the colon"),
    **bad(400, of_Host=get(host=b"Host : a\r\n"), of_an_unknown_field=get(b"A : b"),
          a_length_with_it=post(b"Content-Length : %d" % len(HIDDEN), body=HIDDEN))})
rule("rule_27_folded", {
    **strict("folded*"),
    **bad(400, a_length=post(b"Content-Length:", b" %d" % len(HIDDEN), body=HIDDEN),
          by_a_blank_alone=get(b"A: b", b" "), of_Host=get(b" b"))})
rule("rule_28_blank_before_first_field", {
    **strict("blank before the first field"),
    **bad(400, tab=get(host=b"\tHost: a\r\n"), blank_line=get(host=b" \r\nHost: a\r\n"),
          a_length=b"POST /api/infer HTTP/1.1\r\n Content-Length: 5\r\nHost: a\r\n\r\nxxxxx")})
rule("rule_29_underscore", accepted={
    **fine("underscore is no dash"),
    **good(200, nothing_but_underscores=get(b"Content_Length: 9", b"Transfer_Encoding: chunked", b"Connection_: close",
                                            b"Expect_: x", b"Host_: b"))})

# ---- The request line ---------------------------------------------------------------------------------------------

rule("rule_30_request_line_blanks", {
    **strict("two blanks", "two blanks before the version", "tab", "tab before the version", "form feed",
             "blank at the end", "blank first", "no target", "no method"),
    **bad(400, VT=get(line=b"GET\x0b/api/health HTTP/1.1"), CR=get(line=b"GET\r/api/health HTTP/1.1"),
          obs_text_blank=get(line=b"GET\xa0/api/health HTTP/1.1"), tab_at_the_end=get(line=b"GET /api/health HTTP/1.1\t"),
          blank_in_the_target=get(line=b"GET /api/health /api/models HTTP/1.1"),
          nothing_but_a_blank=get(line=b" "))})
rule("rule_31_methods", strict("method that is no token", "method with obs-text"),
     {**fine("unknown method", "method in small letters", "body of a wrong method"),
      **good(405, of_64_bytes=get(line=b"M" * 64 + b" /api/health HTTP/1.1"),
             other_bytes_of_a_token=get(line=b"!#$%&'*+-.^_`|~ /api/health HTTP/1.1"))})
rule("rule_32_target_forms", {
    **strict("target without a slash", "authority as the target", "asterisk without OPTIONS",
             "absolute target without a host", "absolute target with user", "CONNECT with a path",
             "no Host beside an absolute target"),
    **bad(400, CONNECT_without_a_port=get(line=b"CONNECT a HTTP/1.1"), CONNECT_absolute=get(line=b"CONNECT http://a/ HTTP/1.1"),
          CONNECT_port_zero_digits=get(line=b"CONNECT a: HTTP/1.1"), asterisk_and_more=get(line=b"OPTIONS *a HTTP/1.1"),
          scheme_without_slashes=get(line=b"GET http:a HTTP/1.1"), digit_before_the_scheme=get(line=b"GET 1http://a/ HTTP/1.1"),
          two_authorities=get(line=b"GET http://a,b/api/health HTTP/1.1"))},
     {**fine("absolute target", "absolute target and another Host", "OPTIONS *", "CONNECT"),
      **good(200, another_scheme=get(line=b"GET HTTPS://a/api/health HTTP/1.1"),
             absolute_to_a_bracket_address=get(line=b"GET http://[::1]:80/api/health HTTP/1.1"))})
rule("rule_33_target_bytes", {
    **strict("fragment", "obs-text in the target", "control in the target"),
    **{f"byte {byte:#x}": (get(line=b"GET /a%cb HTTP/1.1" % byte), 400)
       for byte in [0, 9, 11, 12, 27, 31, 0x7f, 0x80, 0x85, 0xa0, 0xff]}},
     fine("every printable byte in the target"))
rule("rule_34_version", {
    **strict("HTTP/2.0", "HTTP/0.9 spelled out", "HTTP/3", "HTTP/1", "HTTP/1.10", "HTTP/11.1", "http/1.1", "HTTP /1.1",
             "HTTP/1,1", "preface of HTTP/2"),
    **bad(400, mixed_case=get(line=b"GET /api/health Http/1.1"), no_minor=get(line=b"GET /api/health HTTP/1."),
          letters=get(line=b"GET /api/health HTTP/x.y"), sign=get(line=b"GET /api/health HTTP/+1.1"),
          other_protocol=get(line=b"GET /api/health ICAP/1.1"), another_slash=get(line=b"GET /api/health HTTP//1.1")),
    **bad(505, HTTP_9=get(line=b"GET /api/health HTTP/9.9"))},
     {**fine("HTTP/1.9 speaks 1.1"),
      **good(200, HTTP_1_0_kept_alive=b"GET /api/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
             HTTP_1_2=get(line=b"GET /api/health HTTP/1.2"))})
rule("rule_35_http_0_9", {
    **strict("HTTP/0.9", "TLS"),
    **bad(400, without_a_line_behind=b"GET /\r\n" + HIDDEN, blank_for_the_version=b"GET / \r\n\r\n")})

# ---- Host ---------------------------------------------------------------------------------------------------------

rule("rule_36_host", {
    **strict("no Host", "two Hosts", "the same Host twice", "Host b'*", "no Host beside an absolute target"),
    **bad(400, in_another_case=get(b"hOST: b"), two_beside_an_absolute_target=get(b"Host: a", line=b"GET http://a/ HTTP/1.1"),
          bad_beside_an_absolute_target=get(line=b"GET http://a/ HTTP/1.1", host=b"Host: a b\r\n"),
          half_an_escape=get(host=b"Host: a%2\r\n"), of_HTTP_1_0=b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
          tab_inside=get(host=b"Host: a\tb\r\n"), a_request_inside=get(host=b"Host: a GET /api/models HTTP/1.1\r\n"))},
     {**fine("Host with a port", "Host as IPv6"),
      **good(200, none_in_HTTP_1_0=b"GET /api/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
             empty_port=get(host=b"Host: a:\r\n"), in_blanks=get(host=b"Host:\t a \t\r\n"))})
rule("rule_37_host_empty", {
    **strict("empty Host"),
    **bad(400, blanks=get(host=b"Host: \t \r\n"), of_HTTP_1_0=b"GET / HTTP/1.0\r\nHost:\r\n\r\n")})

# ---- Around the messages ------------------------------------------------------------------------------------------

rule("rule_38_empty_lines", {
    **strict("many empty lines"),
    **bad(400, nine=b"\r\n" * 9 + get(), nine_behind_a_request=b"\r\n" * 9 + HIDDEN,
          CR_alone=b"\r\r\n" + get(), LF_alone=b"\r\n\n" + get(), a_blank_in_it=b" \r\n" + get())},
     {**fine("empty lines first"), **good(200, eight=b"\r\n" * 8 + get(), four_of_a_request=b"\r\n\r\n" + get()),
      **good(200, 400, between_requests=b"\r\n" + get() + b"\r\n" * 8 + cl(b"2", b"{}"))})


@test
def rule_40_answers_without_a_body():
    """What answers HEAD says how long it would be and carries nothing; 100 carries no field about a body.

    204 and 304, which weir-mock never gives: rules.c.
    """
    mock = Mock()
    for path in ("/api/health", "/nowhere", "/api/models/load"):
        with Raw(mock.address) as raw:
            got = raw.ask(request("GET", path))
            head = raw.ask(request("HEAD", path), head=True)
            # Of 405 the bodies may differ, as Allow tells.
            equal((head.status, "content-length" in head.fields), (got.status, True), f"HEAD {path}")
            equal(raw.ask(FOLLOWING).status, 200, "still in step")
    with Raw(mock.address) as raw:
        raw.send(post(b"Content-Length: 2", b"Expect: 100-continue"))
        equal(raw.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue", "all there is of an interim answer")
        raw.send(b"{}")
        equal(raw.response().status, 400, "the final answer")
    mock.stop()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UPGRADE = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]
rule("rule_41_upgrade", accepted={
    **fine("Upgrade is ignored"),
    **good(200, to_websocket=get(b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
           with_a_body=get(*UPGRADE, b"Content-Length: %d" % len(HIDDEN)) + HIDDEN),
    **good(200, 200, a_request_behind=get(*UPGRADE) + get())})


@test
def rule_41_upgrade_is_not_switched():
    """Bytes of the other protocol behind the request are one more request, and a bad one."""
    mock = Mock()
    for bytes_, status in ((PREFACE, 505), (b"\x81\x05hello", 400)):
        for pieces in ([get(*UPGRADE) + bytes_], short_pieces(get(*UPGRADE) + bytes_)):
            with Raw(mock.address) as raw:
                raw.send(*pieces, HIDDEN)
                equal([raw.response().status for _ in range(2)], [200, status], f"{bytes_!r} in {len(pieces)} pieces")
                ended_in_order(raw, f"{bytes_!r}")
            asked(mock)
    mock.stop()


EXPECT = b"Expect: 100-continue"
rule("rule_42_unknown_expectation", {
    **strict("unknown expectation"),
    **bad(417, with_a_body=post(b"Expect: 100-continue, x", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
          empty=get(b"Expect:"), parameter=get(b"Expect: 100-continue;q=1")),
    **bad(413, larger_than_the_limit=post(EXPECT, b"Content-Length: %d" % (BODY_BYTES + 1), body=HIDDEN))})


@test
def rule_42_continue():
    mock = Mock()
    with Raw(mock.address) as raw:
        for framing, body in ((b"Content-Length: %d" % len(HIDDEN), HIDDEN), (b"Transfer-Encoding: chunked", chunk(HIDDEN))):
            for spelled in (EXPECT, b"EXPECT: 100-CONTINUE"):
                raw.send(post(framing, spelled))
                equal(raw.response().status, 100, "before the body is there")
                raw.send(*short_pieces(body))
                equal(raw.response().status, 400, "behind the body, which is no JSON")
        # Decided without the body: the final answer alone. What the client sends all the same is still a body.
        raw.send(get(b"Content-Length: %d" % len(HIDDEN), EXPECT, line=b"POST /nowhere HTTP/1.1"))
        equal(raw.response().status, 404, "instead of 100")
        raw.send(HIDDEN, FOLLOWING)
        equal(raw.response().status, 200, "the request behind the body")
        # The body is there already, or there is none to wait for, or HTTP/1.0 asks: no 100.
        equal(raw.ask(post(b"Content-Length: 2", EXPECT, body=b"{}")).status, 400, "with the body")
        equal(raw.ask(get(EXPECT)).status, 200, "without a body")
        raw.send(get(b"Content-Length: 2", EXPECT, b"Connection: keep-alive", line=b"POST /api/infer HTTP/1.0"))
        raw.send(b"{}")
        equal(raw.response().status, 400, "HTTP/1.0")
    asked(mock)
    mock.stop()


@test
def rule_43_early_answer():
    """A final answer while the body still comes: what is left of it is read and dropped, or the connection ends."""
    mock = Mock("--max-body", "1MiB")
    for count, closes in ((60000, False), (200000, True)):
        body = (HIDDEN * (count // len(HIDDEN) + 1))[:count]
        with Raw(mock.address) as raw:
            raw.send(get(b"Content-Length: %d" % count, line=b"POST /nowhere HTTP/1.1"))
            answer = raw.response()
            equal((answer.status, answer.fields.get("connection") == "close"), (404, closes), f"{count} bytes to come")
            if closes:
                raw.send(body[:50000])
                ended_in_order(raw, "50000 of 200000 bytes sent")
            else:
                raw.send(*short_pieces(body), FOLLOWING)
                equal(raw.response().status, 200, "the request behind the body")
        asked(mock)
    with Raw(mock.address) as raw:
        raw.send(get(b"Transfer-Encoding: chunked", line=b"POST /nowhere HTTP/1.1"))
        equal(raw.response().status, 404, "before the first chunk")
        raw.send(chunk(HIDDEN), FOLLOWING)
        equal(raw.response().status, 200, "the request behind the chunks")
        raw.send(get(b"Transfer-Encoding: chunked", line=b"POST /nowhere HTTP/1.1"))
        equal(raw.response().status, 404, "before the first chunk")
        raw.send(b"zz\r\n" + HIDDEN)
        ended_in_order(raw, "a bad chunk behind the answer: there is nothing left to say")
    asked(mock)
    mock.stop()


def head_of(count):
    """A request whose head has `count` bytes."""
    return get(b"A: " + b"b" * (count - len(get(b"A: "))))


HEAD, TARGET, FIELDS = mock_strict.HEAD_BYTES, mock_strict.TARGET_BYTES, mock_strict.FIELDS
rule("rule_44_limits", {
    **strict("target over the limit", "too many fields", "head over the limit"),
    **bad(431, one_byte_more=head_of(HEAD + 1), many_small_fields=get(*[b"A:"] * 5000)),
    **bad(414, one_byte_more_of_the_target=get(line=b"GET /" + b"a" * TARGET + b" HTTP/1.1"),
          absolute=get(line=b"GET http://a/" + b"a" * TARGET + b" HTTP/1.1")),
    **bad(413, body=cl(b"%d" % (BODY_BYTES + 1), HIDDEN), chunks=chunks(chunk(HIDDEN * (BODY_BYTES // len(HIDDEN) + 1))))},
     {**fine("target of the longest length", "as many fields as there may be"),
      **good(200, head=head_of(HEAD)), **good(400, body=cl(b"%d" % BODY_BYTES, b"x" * BODY_BYTES),
                                              chunks=chunks(chunk(b"x" * BODY_BYTES)))})
rule("rule_45_body_of_any_method", accepted={
    **fine("GET with a body", "GET with a chunked body", "DELETE with a body", "body of a wrong method"),
    **good(404, OPTIONS=get(b"Content-Length: %d" % len(HIDDEN), line=b"OPTIONS * HTTP/1.1") + HIDDEN,
           TRACE=get(b"Content-Length: %d" % len(HIDDEN), line=b"TRACE /x HTTP/1.1") + HIDDEN,
           CONNECT=get(b"Content-Length: %d" % len(HIDDEN), line=b"CONNECT a:1 HTTP/1.1") + HIDDEN),
    **good(405, unknown=get(b"Transfer-Encoding: chunked", line=b"BREW /api/health HTTP/1.1") + chunk(HIDDEN))})


@test
def rule_46_pipelining():
    """Answers in the order of the requests, though the later ones are ready first, and more of them than are taken at once."""
    mock = Mock("--latency", "5ms")
    slow = post(b"Content-Length: 38", body=b'{"model_id":"bitnet-7b","prompt":"hi"}')
    kinds = [(slow, 200, b"finish_reason"), (get(), 200, b"healthy"), (get(line=b"GET /nowhere HTTP/1.1"), 404, b""),
             (get(line=b"BREW /api/health HTTP/1.1"), 405, b"")]
    order = lib.seeded(46).choices(kinds, k=200)
    bytes_ = b"".join(kind[0] for kind in order)
    for pieces in ([bytes_], short_pieces(bytes_)):
        with Raw(mock.address) as raw:
            raw.send(*pieces)
            for index, (_, status, word) in enumerate(order):
                answer = raw.response()
                check(answer.status == status and word in answer.body, f"answer {index}: {answer.status} {answer.body!r}")
            raw.shutdown()
            equal(raw.rest(), b"", "behind the last")
    equal(asked(mock), 400, "requests")
    mock.stop()


@test
def rule_47_behind_close():
    """After a request with Connection: close nothing is a request any more."""
    mock = Mock()
    cases = {"close": get(b"Connection: close"), "in a list": get(b"Connection: keep-alive, CLOSE"),
             "in two fields": get(b"Connection: x", b"Connection: close"),
             "HTTP/1.0": get(line=b"GET /api/health HTTP/1.0"),
             "with a body": post(b"Connection: close", b"Content-Length: 2", body=b"{}")}
    for name, bytes_ in cases.items():
        before = asked(mock)
        with Raw(mock.address) as raw:
            raw.send(bytes_ + HIDDEN * 1000)
            answer = raw.response()
            equal(answer.fields.get("connection"), "close", name)
            ended_in_order(raw, name)
        with Raw(mock.address) as raw:
            raw.send(*short_pieces(bytes_ + HIDDEN))  # the client was told, and need not be listened to
            equal(raw.response().fields.get("connection"), "close", name)
        equal(asked(mock) - before, 2, f"requests, {name}")
    mock.stop()


@test
def rule_48_refused_behind_others():
    """Those before a refused request are answered, then comes its status, then the end."""
    mock = Mock("--latency", "5ms")
    slow = post(b"Content-Length: 38", body=b'{"model_id":"bitnet-7b","prompt":"hi"}')
    more = HIDDEN * (60 * 1024 // len(HIDDEN))
    for name, bytes_, status in (("head", get(b"A : b"), 400), ("version", get(line=b"GET / HTTP/2.0"), 505),
                                 ("body", chunks(chunk(HIDDEN, b"zz")), 400), ("limit", cl(b"9999999"), 413)):
        for pieces in ([slow * 3 + bytes_, more], [*short_pieces(slow * 3 + bytes_), more]):
            with Raw(mock.address) as raw:
                raw.send(*pieces)
                equal([raw.response().status for _ in range(4)], [200, 200, 200, status], name)
                ended_in_order(raw, name)
            asked(mock)
    mock.stop()


if __name__ == "__main__":
    lib.main()
