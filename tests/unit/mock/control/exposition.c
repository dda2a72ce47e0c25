/* SPDX-License-Identifier: MIT */
#include "mock/control/exposition.c"

#include "unit/mock/control/scrape.h"

static void expect_text(struct text *text, const char *expected)
{
    assert_false(text->failed);
    assert_int_equal(text->len, strlen(expected));
    assert_memory_equal(text->ptr, expected, text->len);
    text->len = 0;
}

static void test_labels(void **state)
{
    (void)state;
    struct text labels = { 0 };
    exposition_label(&labels, "a", WEIR_TEXT("plain"));
    exposition_label(&labels, "b", WEIR_TEXT("q\" b\\ n\n, {} \xc3\xa9"));
    exposition_label_number(&labels, "c", 0);
    exposition_label_number(&labels, "d", UINT64_MAX);
    exposition_label(&labels, "e", WEIR_TEXT(""));
    expect_text(&labels, "a=\"plain\",b=\"q\\\" b\\\\ n\\n, {} \xc3\xa9\",c=\"0\","
                         "d=\"18446744073709551615\",e=\"\"");
    text_free(&labels);
}

static void test_families(void **state)
{
    (void)state;
    struct text text = { 0 };
    struct exposition out = { .text = &text };
    exposition_counter(&out, "x_total", 5, "Five.");
    exposition_gauge(&out, "y_total", UINT64_MAX, "Not a counter.");
    exposition_number(&out, "z", WEIR_TEXT("a=\"b\""), 0.25);
    exposition_number(&out, "z", WEIR_TEXT(""), (double)NAN);
    exposition_end(&out);
    expect_text(&text, "# HELP x_total Five.\n# TYPE x_total counter\nx_total 5\n"
                       "# HELP y_total Not a counter.\n# TYPE y_total gauge\n"
                       "y_total 18446744073709551615\n"
                       "z{a=\"b\"} 0.250000000\nz NaN\n");
    out.open_metrics = true;
    exposition_counter(&out, "x_total", 5, "Five.");
    exposition_end(&out);
    expect_text(&text, "# HELP x Five.\n# TYPE x counter\nx_total 5\n# EOF\n");
    text_free(&text);
}

/* The same values in both kinds of histogram. */
static void write_hists(const struct exposition *out, const struct bucket_scale *scale)
{
    static const uint64_t values[] = { 1, 4000, 50000, 60000, 2500000000, 1000000000000 };
    struct weir_hist_config cfg;
    struct weir_hist *hist;
    struct buckets buckets = { 0 };
    weir_hist_config_init(&cfg);
    cfg.highest = 1000000000000;
    cfg.digits = 4;
    assert_int_equal(weir_hist_open(&hist, &cfg), 0);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        weir_hist_record(hist, values[i]);
        buckets_add(&buckets, scale, values[i], 1);
    }
    exposition_family(out, "h", EXPOSITION_HISTOGRAM, "Of a histogram.");
    exposition_hist(out, "h", WEIR_TEXT(""), hist, scale);
    exposition_family(out, "b", EXPOSITION_HISTOGRAM, "Of buckets.");
    exposition_buckets(out, "b", WEIR_TEXT("m=\"1\""), &buckets, scale);
    exposition_buckets(out, "b", WEIR_TEXT("m=\"2\""), &(struct buckets){ 0 }, scale);
    weir_hist_close(hist);
}

static void test_histograms(void **state)
{
    (void)state;
    static struct scrape scrape;
    for (int open = 0; open < 2; open++) {
        struct text text = { 0 };
        struct exposition out = { .text = &text, .open_metrics = open != 0 };
        write_hists(&out, &bucket_scale_duration);
        exposition_end(&out);
        scrape_open(&scrape, &text, open != 0);
        scrape_expect(&scrape, open ? "h_bucket{le=\"5e-05\"}" : "h_bucket{le=\"0.00005\"}", 3);
        scrape_expect(&scrape, "h_bucket{le=\"0.0001\"}", 4);
        scrape_expect(&scrape, "h_bucket{le=\"2.5\"}", 5);
        scrape_expect(&scrape, open ? "h_bucket{le=\"10.0\"}" : "h_bucket{le=\"10\"}", 5);
        scrape_expect(&scrape, "h_bucket{le=\"+Inf\"}", 6);
        scrape_expect(&scrape, "h_count", 6);
        scrape_expect(&scrape, "b_bucket{m=\"1\",le=\"0.0001\"}", 4);
        scrape_expect(&scrape, "b_bucket{m=\"1\",le=\"+Inf\"}", 6);
        scrape_expect(&scrape, "b_sum{m=\"1\"}", 1002.500114001);
        scrape_expect(&scrape, "b_count{m=\"2\"}", 0);
        scrape_close(&scrape);
        text_free(&text);
    }
}

static void test_counts_are_no_times(void **state)
{
    (void)state;
    static struct scrape scrape;
    struct text text = { 0 };
    struct exposition out = { .text = &text, .open_metrics = true };
    write_hists(&out, &bucket_scale_tokens);
    exposition_end(&out);
    scrape_open(&scrape, &text, true);
    scrape_expect(&scrape, "b_sum{m=\"1\"}", 1002500114001);
    scrape_expect(&scrape, "b_bucket{m=\"1\",le=\"1e+06\"}", 4);
    scrape_close(&scrape);
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_histograms),
        cmocka_unit_test(test_counts_are_no_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
