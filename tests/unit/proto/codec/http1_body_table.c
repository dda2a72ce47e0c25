/* SPDX-License-Identifier: MIT */
/* The tables of the automaton, against the classes of bytes that the rest of the codec uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/codec/http1_body.c"

static void test_kinds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t c = (uint8_t)i;
        const unsigned kind = lexemes[c] >> 4;
        assert_in_range(kind, 0, KIND_COUNT - 1);
        assert_int_equal(http1_hex(c), kind == KIND_HEX ? lexemes[c] : -1);
        assert_int_equal(http1_is(c, HTTP1_TCHAR), kind == KIND_HEX || kind == KIND_TCHAR);
        assert_int_equal(http1_is(c, HTTP1_VALUE), kind < KIND_CR);
        assert_int_equal(http1_is_blank(c), kind == KIND_BLANK);
        assert_int_equal(c == ';', kind == KIND_SEMICOLON);
        assert_int_equal(c == '=', kind == KIND_EQUALS);
        assert_int_equal(c == ':', kind == KIND_COLON);
        assert_int_equal(c == '"', kind == KIND_QUOTE);
        assert_int_equal(c == '\\', kind == KIND_BACKSLASH);
        assert_int_equal(c == '\r', kind == KIND_CR);
        assert_int_equal(c == '\n', kind == KIND_LF);
    }
}

static bool takes_bytes(unsigned st)
{
    return st >= ST_SIZE_FIRST && st < ST_DONE;
}

/* LF is good only behind CR, CR only before LF, and control bytes nowhere. */
static void test_rows(void **state)
{
    (void)state;
    for (unsigned st = 0; st < ST_COUNT; st++) {
        if (!takes_bytes(st))
            continue;
        const bool after_cr =
            st == ST_SIZE_LF || st == ST_DATA_LF || st == ST_TRAILER_LF || st == ST_END_LF;
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
            const uint8_t next = next_state[st][kind];
            if ((next & REFUSED) != 0) {
                assert_in_range(next & ~REFUSED, WEIR_HTTP1_E_NONE + 1, WEIR_HTTP1_E_COUNT - 1);
                continue;
            }
            assert_in_range(next, ST_DATA, ST_DONE);
            assert_int_equal(kind == KIND_LF, after_cr);
            assert_int_not_equal(kind, KIND_BAD);
            if (kind == KIND_CR)
                assert_int_equal(next_state[next][KIND_LF] & REFUSED, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
