/* SPDX-License-Identifier: MIT */
/* The reader of heads with NEON against the scalar one. */
#include "unit/proto/codec/http1_read_rig.h"

static void test_whole(void **state)
{
    (void)state;
    read_test_whole(WEIR_SIMD_NEON, 1);
}

static void test_pieces(void **state)
{
    (void)state;
    read_test_pieces(WEIR_SIMD_NEON, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, read_setup, read_teardown);
}
