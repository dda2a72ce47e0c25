#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs beside others.
"""The rules of docs/http1.md as libweir's client keeps them, one test for each, seen through weir-bench.

A server that answers to order gives, in turn, the answer of a case and a good one. weir-bench has one connection: a bad
answer must cost that connection (the server leaves it open), so that the good one behind it goes over a new one; behind
an accepted answer it goes over the same. Each answer comes at once and byte by byte. What weir-bench cannot see - the
payload, idle connections, answers before their request - is in rules.c.
"""
import lib
from lib import BENCH, check, equal, test
from scripted import Scripted, ok

GOOD = ok(b"good")
HIDDEN = ok(b"hidden", status=b"299 Hidden")  # an answer in a payload: nobody may ever take it for one


def answer(*lines, body=b"", line=b"HTTP/1.1 200 OK"):
    return line + b"\r\n" + b"".join(text + b"\r\n" for text in lines) + b"\r\n" + body


def cl(value, body=b"xxxxx"):
    return answer(b"Content-Length: " + value, body=body)


def te(value, body=b"0\r\n\r\n"):
    return answer(b"Transfer-Encoding: " + value, body=body)


def chunks(body):
    return te(b"chunked", body)


def chunk(payload, size=None):
    return (size or b"%x" % len(payload)) + b"\r\n" + payload + b"\r\n0\r\n\r\n"


def ways(bytes_):
    """At once, and byte by byte; in some pieces where that would be thousands."""
    size = 1 if len(bytes_) <= 600 else len(bytes_) // 100
    return [(bytes_,), tuple(bytes_[at:at + size] for at in range(0, len(bytes_), size))]


def exchange(scripts, *options):
    """weir-bench on one connection, a request for each of the scripts: the run, and the connections it needed."""
    with Scripted({"/": list(scripts)}) as server:
        program = lib.run([BENCH, "--json", "-", "-c", "1", "-n", str(len(scripts)), *options, server.url()])
        run = lib.BenchRun(program)
        check(run.report, f"weir-bench: {run.stderr}")
        equal(len(server.requests), len(scripts), "requests at the server: none was repeated, none went astray")
        check("299" not in run["status"], "what was hidden in a payload became an answer")
        return run, server.connections


def refused(cases, *options, kind="protocol"):
    """Each is an error of that kind, and its connection is not used again."""
    for name, bytes_ in cases.items():
        scripts = [script for way in ways(bytes_) for script in (way, GOOD)]
        run, connections = exchange(scripts, *options)
        equal((run.kinds(), run["errors"]), ({kind: 2}, 2), name)
        equal(run["status"].get("200"), 2, f"the good answers behind, {name}")
        equal(connections, 3, f"connections, {name}")


def accepted(cases, *options, status="200"):
    """Each is an answer with that status, and its connection is used again."""
    for name, bytes_ in cases.items():
        scripts = [script for way in ways(bytes_) for script in (way, cases.get("good", GOOD))]
        run, connections = exchange(scripts, *options)
        expected = {"200": 4} if status == "200" else {"200": 2, status: 2}
        equal((run["status"], connections), (expected, 1), name)


# ---- Two lengths, Transfer-Encoding, Content-Length ---------------------------------------------------------------

@test
def rule_01_length_and_te():
    refused({"length, then chunked": answer(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=chunk(HIDDEN)),
             "chunked, then length": answer(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
             "length 0": answer(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=chunk(HIDDEN))})


@test
def rule_03_te_not_chunked_last():
    refused({repr(value): te(value, HIDDEN) for value in (b"chunked, gzip", b"chunked, identity", b"gzip", b"identity")})


@test
def rule_04_te_malformed():
    refused({**{repr(value): te(value, chunk(HIDDEN)) for value in (
        b"chunked, chunked", b"chunked;q=1", b"\xa0chunked", b"\x0bchunked", b'"chunked"', b"xchunked", b"chunked\x85",
        b"chunked gzip", b"")},
             "two fields": answer(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=chunk(HIDDEN))})
    accepted({repr(value): te(value, chunk(HIDDEN)) for value in (b"CHUNKED", b" \tchunked \t")})


@test
def rule_05_te_empty_element():
    refused({repr(value): te(value, chunk(HIDDEN)) for value in (b",chunked", b"chunked,", b",", b"chunked ,\t")})


@test
def rule_06_te_in_1_0():
    refused({"HTTP/1.0": answer(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK", body=chunk(HIDDEN)),
             "kept alive": answer(b"Transfer-Encoding: chunked", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK",
                                  body=chunk(HIDDEN))})


@test
def rule_07_te_unknown_coding():
    refused({"one field": te(b"gzip, chunked", chunk(HIDDEN)),
             "two fields": answer(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=chunk(HIDDEN))})


@test
def rule_08_length_malformed():
    refused({repr(value): cl(value) for value in (
        b"+5", b"-5", b"0x5", b"5_0", b"5x", b"5 5", b"", b"5,", b",5", b"5;", b"5.0", b"\xb2", b"five", b"\xa05", b"\x0b5",
        b'"5"', b"1e1", b"-0")})


@test
def rule_09_lengths_differ():
    refused({"two fields": answer(b"Content-Length: 5", b"Content-Length: 6", body=b"xxxxxx"), "a list": cl(b"5,6"),
             "zero first": answer(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
             "zero last": answer(b"Content-Length: %d" % len(HIDDEN), b"content-length: 0", body=HIDDEN)})


@test
def rule_10_length_repeated():
    """The same value again is one value; written as a list it is none."""
    accepted({"twice": answer(b"Content-Length: 5", b"Content-Length: 5", body=b"xxxxx"),
              "thrice": answer(*[b"Content-Length: %d" % len(HIDDEN)] * 3, body=HIDDEN),
              "in other digits": answer(b"Content-Length: 5", b"Content-Length: 005", body=b"xxxxx")})
    refused({"a list": cl(b"5, 5")})


@test
def rule_11_length_leading_zeros():
    accepted({"no octal": cl(b"010", b"x" * 10), "many": cl(b"0" * 100 + b"%d" % len(HIDDEN), HIDDEN),
              "in blanks": cl(b" \t5\t ")})


@test
def rule_12_length_huge():
    refused({**{repr(value): cl(value) for value in (b"9223372036854775808", b"18446744073709551616",
                                                     b"18446744073709551621", b"9" * 40)},
             **{f"chunk {value!r}": chunks(chunk(b"xxxxx", value)) for value in (
                 b"8000000000000000", b"ffffffffffffffff", b"10000000000000005", b"0" * 24 + b"5")}})


# ---- Chunks -------------------------------------------------------------------------------------------------------

@test
def rule_13_chunk_size_malformed():
    refused({repr(value): chunks(chunk(b"xxxxx", value)) for value in (
        b"0x5", b"+5", b"-5", b"5_", b" 5", b"\t5", b"\r\n5", b"g", b"5x", b"\xb2", b'"5"')})
    accepted({"capitals": chunks(chunk(b"x" * 10, b"A")), "zeros": chunks(chunk(b"xxxxx", b"0005"))})


@test
def rule_14_blank_after_chunk_size():
    refused({"blank": chunks(chunk(b"xxxxx", b"5 ")), "tab": chunks(chunk(b"xxxxx", b"5\t")),
             "padded": chunks(chunk(b"xxxxx", b"5     ")), "last": chunks(b"2\r\nxx\r\n0  \r\n\r\n")})


@test
def rule_15_chunk_line_end():
    refused({"LF": chunks(b"5\nxxxxx\r\n0\r\n\r\n"), "CR": chunks(b"5\rxxxxxx\r\n0\r\n\r\n"),
             "CR CR LF": chunks(b"5\r\r\nxxxxx\r\n0\r\n\r\n"), "CR in an extension": chunks(b"5;a\rb\r\nxxxxx\r\n0\r\n\r\n"),
             "LF in an extension": chunks(b"5;a\nb\r\nxxxxx\r\n0\r\n\r\n"), "empty extension": chunks(b"5;\nxxxxx\r\n0\r\n\r\n"),
             "NUL in an extension": chunks(b"5;a\0\r\nxxxxx\r\n0\r\n\r\n"), "last": chunks(b"0\n\n" + HIDDEN)})


@test
def rule_16_chunk_spills():
    refused({"two bytes": chunks(b"5\r\nxxxxxyy0\r\n\r\n"), "LF": chunks(b"5\r\nxxxxx\n0\r\n\r\n"),
             "CR": chunks(b"5\r\nxxxxx\r0\r\n\r\n"), "LF CR": chunks(b"5\r\nxxxxx\n\r0\r\n\r\n"),
             "an answer": chunks(b"5\r\nxxxxx" + HIDDEN)})


@test
def rule_17_chunk_extensions():
    accepted({"well formed": chunks(b'5;a;b=c;d="e\\"f;\t"\r\nxxxxx\r\n0;last\r\n\r\n'),
              "blanks": chunks(b"5 ; a = b\r\nxxxxx\r\n0\r\n\r\n"),
              "an answer in quotes": chunks(b'5;a="HTTP/1.1 299 Hidden"\r\nxxxxx\r\n0\r\n\r\n'),
              "a long one": chunks(b"5;" + b"a" * 16000 + b"\r\nxxxxx\r\n0\r\n\r\n")})
    refused({"without end": chunks(b"5;" + b"a" * 20000), "many": chunks(b"1;a=b\r\nx\r\n" * 8000),
             "no name": chunks(b"5;=b\r\nxxxxx\r\n0\r\n\r\n"), "no value": chunks(b"5;a=\r\nxxxxx\r\n0\r\n\r\n"),
             "open quotes": chunks(b'5;a="b\r\nxxxxx\r\n0\r\n\r\n'), "nothing": chunks(b"5;\r\nxxxxx\r\n0\r\n\r\n")})


@test
def rule_18_body_cut_off():
    """Cut off anywhere, an answer is an error; the connection it was cut off on was the server's to end."""
    for name, bytes_ in (("chunked", chunks(b"5;a=b\r\nxxxxx\r\n0\r\nA: b\r\n\r\n")), ("length", cl(b"5"))):
        scripts = [(bytes_[:at], None) for at in range(1, len(bytes_))]
        run, connections = exchange(scripts)
        equal(run.kinds(), {"truncated": len(scripts)}, f"cut off, {name}")
        equal(connections, len(scripts), f"connections, {name}")
    run, _ = exchange([(None,), (b"HTTP/1.1 102 Processing\r\n\r\n", None)])
    equal(run.kinds(), {"closed_before_response": 1, "truncated": 1}, "nothing, and nothing but an interim answer")


@test
def rule_19_trailers():
    accepted({"fields": chunks(b"5\r\nxxxxx\r\n0\r\nA: b\r\nC: \xe4\r\n\r\n"),
              "of framing": chunks(b"5\r\nxxxxx\r\n0\r\nContent-Length: 77\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n")})
    refused({"LF": chunks(b"0\r\na: b\n\r\n"), "no colon": chunks(b"0\r\nab\r\n\r\n"), "NUL": chunks(b"0\r\na: \0\r\n\r\n"),
             "blank first": chunks(b"0\r\n a: b\r\n\r\n"), "blank before the colon": chunks(b"0\r\na : b\r\n\r\n"),
             "an answer": chunks(b"0\r\n" + HIDDEN), "without end": chunks(b"0\r\n" + b"a: b\r\n" * 20000)})


# ---- Lines and bytes of a head ------------------------------------------------------------------------------------

@test
def rule_20_bare_lf():
    refused({"status line": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "field": b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
             "end": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "everywhere": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
             "an answer behind two": answer(b"Content-Length: 0", b"A: b\n\n" + HIDDEN)})


@test
def rule_21_bare_cr():
    refused({"value": answer(b"A: b\rc", b"Content-Length: 0"), "name": answer(b"A\rB: c", b"Content-Length: 0"),
             "status line": answer(b"Content-Length: 0", line=b"HTTP/1.1 200 O\rK"),
             "CR CR LF": b"HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n", "CR X as the end": answer(b"Content-Length: 0")[:-2] + b"\rX",
             "a length": answer(b"A: b\rContent-Length: 0")})


@test
def rule_22_nul():
    refused({"value": answer(b"A: b\0c", b"Content-Length: 0"), "name": answer(b"A\0: b", b"Content-Length: 0"),
             "reason": answer(b"Content-Length: 0", line=b"HTTP/1.1 200 O\0K"), "first": b"\0" + GOOD})


@test
def rule_23_controls():
    refused({f"byte {byte:#x}": answer(b"A: b%cc" % byte, b"Content-Length: 0")
             for byte in [*range(1, 9), 11, 12, *range(14, 32), 127]})
    refused({f"byte {byte:#x} in the reason": answer(b"Content-Length: 0", line=b"HTTP/1.1 200 O%cK" % byte)
             for byte in (1, 8, 11, 12, 31, 127)})


@test
def rule_24_obs_text():
    accepted({"value": answer(b"A: " + bytes(range(0x80, 0x100)), b"Content-Length: 0"),
              "reason": answer(b"Content-Length: 0", line=b"HTTP/1.1 200 \xc3\xa4\t\xa0"),
              "no line end in UTF-8": answer(b"A: \xc4\x8d\xc4\x8aHTTP/1.1 299 Hidden", b"Content-Length: 0")})


@test
def rule_25_field_names():
    refused({"no colon": answer(b"Abc", b"Content-Length: 0"), "empty": answer(b": a", b"Content-Length: 0"),
             "a status line": answer(b"HTTP/1.1 299 Hidden", b"Content-Length: 0"),
             **{f"byte {byte:#x}": answer(b"A%cb: c" % byte, b"Content-Length: 0") for byte in b'"(),/;<=>?@[\\]{}\x80\xff\x7f'}})
    accepted({"every byte of a token": answer(b"!#$%&'*+-.^_`|~09AZaz: b", b"Content-Length: 0")})


@test
def rule_26_space_before_colon():
    refused({"length": answer(b"Content-Length : 5", body=b"xxxxx"), "coding": answer(b"Transfer-Encoding\t: chunked", body=chunk(HIDDEN)),
             "unknown": answer(b"A : b", b"Content-Length: 0")})


@test
def rule_27_folded():
    refused({"blank": answer(b"A: b", b" c", b"Content-Length: 0"), "tab": answer(b"A: b", b"\tc", b"Content-Length: 0"),
             "a length": answer(b"Content-Length:", b" 5", body=b"xxxxx"),
             "a coding": answer(b"Transfer-Encoding:", b" chunked", body=chunk(HIDDEN))})


@test
def rule_28_blank_before_first_field():
    refused({"blank": answer(b" A: b", b"Content-Length: 0"), "tab": answer(b"\tContent-Length: 0"),
             "blank line": answer(b" ", b"Content-Length: 0")})


@test
def rule_29_underscore():
    accepted({"no length": answer(b"Content_Length: 9", b"Transfer_Encoding: chunked", b"Connection_: close",
                                  b"Content-Length: 2", body=b"{}")})


# ---- The status line ----------------------------------------------------------------------------------------------

@test
def rule_34_version():
    refused({repr(line): answer(b"Content-Length: 0", line=line) for line in (
        b"HTTP/2.0 200 OK", b"HTTP/2 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1 200 OK", b"HTTP/1.10 200 OK", b"HTTP/11.1 200 OK",
        b"http/1.1 200 OK", b"HTTP/1,1 200 OK", b"HTTP /1.1 200 OK", b"ICY 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK",
        b" HTTP/1.1 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 2OO OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 OK", b"HTTP/1.1")})
    accepted({"HTTP/1.9": answer(b"Content-Length: 0", line=b"HTTP/1.9 200 OK"),
              "HTTP/1.0 kept alive": answer(b"Content-Length: 0", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"),
              "no reason": answer(b"Content-Length: 0", line=b"HTTP/1.1 200 ")})


@test
def rule_35_http_0_9():
    refused({"a body alone": b"<html>hello</html>\r\n", "rubbish": bytes(range(256)), "a request": b"GET / HTTP/1.1\r\n\r\n",
             "TLS": b"\x15\x03\x01\x00\x02\x02\x0a" + b"\0" * 32, "SSH": b"SSH-2.0-OpenSSH_9.2\r\n"})


@test
def rule_38_empty_lines():
    refused({"one": b"\r\n" + GOOD, "LF": b"\n" + GOOD, "many": b"\r\n" * 100 + GOOD})


# ---- Around the messages ------------------------------------------------------------------------------------------

INTERIM = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
           b"HTTP/1.1 199 What\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"]


@test
def rule_39_interim_answers():
    accepted({"one": INTERIM[0] + GOOD, "each": b"".join(INTERIM) + GOOD, "32": b"".join(INTERIM * 8) + GOOD})
    refused({"33": b"".join(INTERIM * 8) + INTERIM[0] + GOOD,
             "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + HIDDEN})


@test
def rule_40_answers_without_a_body():
    lengths = {"length": [b"Content-Length: 5"], "chunked": [b"Transfer-Encoding: chunked"], "nothing": [],
               "both": [b"Content-Length: 5", b"Transfer-Encoding: chunked"]}
    for status in (b"204", b"304"):
        accepted({f"{status} {name}": answer(*lines, line=b"HTTP/1.1 %s Text" % status) for name, lines in lengths.items()},
                 status=status.decode())
    for name, lines in lengths.items():
        accepted({f"HEAD {name}": answer(*lines), "good": ok(b"good")[:-4]}, "-X", "HEAD")


@test
def rule_42_no_expectation():
    """The client never waits for 100: it sends its body behind its head, and never an Expect of its own."""
    with Scripted({"/": ok()}) as server:
        equal(lib.bench("-n", "2", "-c", "1", "-b", "x" * 100000, server.url())["status"], {"200": 2}, "statuses")
        for head, body in server.requests:
            equal((b"expect" in head.lower(), len(body)), (False, 100000), "what arrived")


@test
def rule_44_limits():
    refused({"head": answer(b"A: " + b"b" * 16384, b"Content-Length: 0"), "fields": answer(*[b"A: b"] * 100, b"Content-Length: 0"),
             "reason": answer(line=b"HTTP/1.1 200 " + b"x" * 17000), "interim": INTERIM[0] + answer(b"A: " + b"b" * 17000)},
            kind="limit")
    accepted({"head": answer(b"A: " + b"b" * 16000, b"Content-Length: 0"), "fields": answer(*[b"A: b"] * 99, b"Content-Length: 0")})


@test
def rule_47_behind_the_answer():
    """Bytes behind a whole answer belong to nobody, and the connection that brought them gives no second answer.

    They come with the answer: those that come when the next request is on its way cannot be told from its answer by
    anybody. Those of an idle connection are in rules.c. A request that was given to the connection just then ends with it.
    """
    for name, bytes_ in (("an answer", HIDDEN), ("rubbish", b"xxxxx"), ("an empty line", b"\r\n"), ("one byte", b"\0")):
        for first in (ok(), chunks(chunk(b"xxxxx")), answer(b"Content-Length: 0")):
            with Scripted({"/": (first + bytes_,)}) as server:
                run = lib.bench("-c", "1", "-n", "12", server.url())
                check(set(run.kinds()) <= {"protocol", "closed_before_response", "reset"}, f"{name}: {run.kinds()}")
                equal((run["requests"], set(run["status"])), (12, {"200"}), name)
                lib.at_most(run["status"]["200"], server.connections, f"answers, one for each connection, {name}")


@test
def rule_47_close():
    """Said to be the last, an answer is: the server would take another request, and gets none."""
    last = {"close": ok(b"x", b"Connection: close"), "list": ok(b"x", b"Connection: keep-alive, CLOSE"),
            "HTTP/1.0": answer(b"Content-Length: 1", line=b"HTTP/1.0 200 OK", body=b"x")}
    for name, bytes_ in last.items():
        run, connections = exchange([script for way in ways(bytes_) for script in (way, GOOD)])
        equal((run["status"], connections), ({"200": 4}, 3), name)
    run, connections = exchange([(answer(body=HIDDEN), None), GOOD] * 2)
    equal((run["status"], connections), ({"200": 4}, 3), "until the end")


if __name__ == "__main__":
    lib.main()
