/* SPDX-License-Identifier: MIT */
#include "core/dist_table.c" /* its statics are tested too */

#include <weir/random.h>

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEED UINT64_C(0x7ab1e)

/* A draft with one empty table. */
static void draft_begin(struct weir_dist_draft *draft)
{
    *draft = (struct weir_dist_draft){ .parts_count = 1 };
    draft->parts[0].kind = WEIR_DIST_TABLE;
}

static void push(struct weir_dist_draft *draft, double u, double ns)
{
    assert_int_equal(weir_dist_table_push(draft, u, ns), 0);
}

/* What a table is at u, without a guide. */
static double plain_at(const struct weir_dist_part *part, double u)
{
    uint32_t i = part->points_count - 2;
    while (i > 0 && part->points[i].u > u)
        i--;
    const struct weir_dist_point *left = &part->points[i], *right = left + 1;
    if (u >= right->u)
        return right->ns;
    return fmin(right->ns,
                left->ns + (right->ns - left->ns) * ((u - left->u) / (right->u - left->u)));
}

static void check_against_plain(struct weir_dist_part *part, uint64_t key)
{
    static uint16_t guide[WEIR_DIST_GUIDE_CELLS + 1];
    weir_dist_table_guide(guide, part->points, part->points_count);
    part->index.guide = guide;
    for (uint64_t draw = 0; draw < 4000; draw++) {
        double u = weir_random_unit(SEED, key, draw);
        if (draw % 4 == 1) /* the tail */
            u = 1 - ldexp(u, -(int)(draw % 50));
        if (draw % 4 == 2) /* exactly a point */
            u = part->points[draw % part->points_count].u;
        if (draw % 400 == 3)
            u = (double)(draw % 800 == 3);
        double found = weir_dist_table_at(part, u), expected = plain_at(part, u);
        if (found == expected)
            continue;
        print_error("key %llu: %.17g at u %.17g, expected %.17g\n", (unsigned long long)key, found,
                    u, expected);
        fail();
    }
}

/* Tables of random points, dense at either end or spread, with steps, of 2 to 4096 points. */
static void test_guide(void **state)
{
    (void)state;
    print_message("seed %llu\n", (unsigned long long)SEED);
    for (uint64_t key = 0; key < 24; key++) {
        struct weir_dist_draft draft;
        draft_begin(&draft);
        uint32_t count = key == 0 ? 2 : key == 1 ? WEIR_DIST_POINTS_MAX : 2 + (uint32_t)(key * 13);
        double ns = 0;
        for (uint32_t i = 0; i < count; i++) {
            double u = (double)i / (count - 1);
            if (key % 3 == 1 && i < count - 1)
                u = 1 - pow(1e-12, u);
            if (key % 3 == 2)
                u = pow(u, 8);
            if (key % 4 == 3 && i % 2 == 1 && i < count - 1)
                u = draft.parts[0].points[i - 1].u; /* a step */
            ns += 1000 * weir_random_unit(SEED, key, i);
            push(&draft, u, ns);
        }
        check_against_plain(&draft.parts[0], key);
        weir_arena_close(&draft.scratch);
    }
}

static void test_cells(void **state)
{
    (void)state;
    assert_int_equal(table_cell(0), 0);
    assert_int_equal(table_cell(1), WEIR_DIST_GUIDE_CELLS - 1);
    assert_int_equal(table_cell(1 - 0x1p-53), WEIR_DIST_GUIDE_CELLS - 1);
    assert_int_equal(table_cell(0.5), 16);
    assert_int_equal(table_cell(0.75), 32);
    uint32_t last = 0;
    for (double above = 1; above > 0x1p-54; above *= 0.999) {
        assert_in_range(table_cell(1 - above), last, WEIR_DIST_GUIDE_CELLS - 1);
        last = table_cell(1 - above);
    }
}

static double area(const struct weir_dist_draft *draft, double from, double to)
{
    return weir_dist_table_area(&draft->parts[0], from, to);
}

static void test_area(void **state)
{
    (void)state;
    struct weir_dist_draft draft;
    draft_begin(&draft);
    push(&draft, 0, 100);
    push(&draft, 0.5, 200);
    push(&draft, 0.5, 300); /* a step */
    push(&draft, 1, 300);   /* flat */
    /* mean = 0.5 * 150 + 0.5 * 300 */
    assert_true(area(&draft, 0, 1e9) == 225);
    assert_true(area(&draft, 100, 1e9) == 125);
    /* At most 150: a quarter of the draws below it, 125 on average. */
    assert_true(area(&draft, 0, 150) == 0.25 * 125 + 0.75 * 150);
    assert_true(area(&draft, 250, 260) == 5);
    assert_true(area(&draft, 300, 1e9) == 0);
    assert_true(area(&draft, 40, 40) == 0);
    weir_arena_close(&draft.scratch);
}

static void test_too_many(void **state)
{
    (void)state;
    struct weir_dist_draft draft;
    draft_begin(&draft);
    for (int i = 0; i < WEIR_DIST_POINTS_MAX; i++)
        push(&draft, 0, i);
    assert_int_equal(weir_dist_table_push(&draft, 1, 1e6), -ERANGE);
    assert_string_equal(weir_error_text(), "there are more than 4096 points");
    assert_int_equal(draft.parts[0].points_count, WEIR_DIST_POINTS_MAX);
    weir_arena_close(&draft.scratch);
}

/* Several tables of one draft, as in a mixture. */
static void test_two_tables(void **state)
{
    (void)state;
    struct weir_dist_draft draft;
    draft_begin(&draft);
    push(&draft, 0, 1);
    push(&draft, 1, 2);
    draft.parts[draft.parts_count++] = (struct weir_dist_part){ .kind = WEIR_DIST_TABLE };
    push(&draft, 0, 3);
    push(&draft, 1, 4);
    assert_int_equal(draft.points_count, 4);
    assert_true(draft.parts[0].points[1].ns == 2);
    assert_true(draft.parts[1].points[0].ns == 3);
    assert_int_equal(draft.parts[1].points_count, 2);
    weir_arena_close(&draft.scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guide),      cmocka_unit_test(test_cells),
        cmocka_unit_test(test_area),       cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_two_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
