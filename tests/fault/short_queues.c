/* SPDX-License-Identifier: MIT */
/*
 * Queues and buffers at their least, on both ends: two receive buffers for everybody, submission
 * and completion queues of eight, output and stash memory at their lower limits. Slower it may be;
 * every answer is right and nothing is lost.
 *
 * Server and clients share one engine, so that they take the places from each other.
 */
#include "fault/rig.h"

#define SEED    UINT64_C(20250611)
#define CONNS   64
#define FETCHES 1200
/* The first run touches code and tables of the libraries, too. */
#define SLACK   (2 * MIB)

static struct fetch fetches[FETCHES];
static uint64_t random_state;

static uint64_t random_below(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

/* Most are short, some as long as many buffers. */
static uint64_t random_bytes(void)
{
    return random_below(8) == 0 ? random_below(60000) : random_below(3000);
}

/* All fetches, as many at a time as the client's queue and the memory for output take. */
static void load(uint32_t pipeline_max)
{
    struct weir_client *client = client_open(rig.engine, CONNS, pipeline_max);
    static const enum job_kind kinds[] = { JOB_SUM, JOB_SUM, JOB_COPY, JOB_BORROW, JOB_STREAM };
    for (size_t i = 0; i < FETCHES; i++)
        fetch_init(&fetches[i], kinds[random_below(5)], random_bytes());
    size_t sent = 0;
    size_t ended = 0;
    uint64_t until_ns = weir_clock_ns() + WAIT_NS;
    while (ended < FETCHES) {
        assert_true(weir_clock_ns() < until_ns);
        while (sent < FETCHES && fetch_send(client, &fetches[sent]))
            sent++;
        turn();
        while (ended < sent && fetches[ended].ends > 0)
            ended++;
    }
    for (size_t i = 0; i < FETCHES; i++)
        fetch_right(&fetches[i]);
    struct weir_client_stats stats = { .size = sizeof stats };
    weir_client_stats(client, &stats);
    assert_int_equal(stats.calls, FETCHES);
    assert_int_equal(stats.completed, FETCHES);
    assert_int_equal(stats.in_flight_now, 0);
    assert_int_equal(stats.waiting_now, 0);
    assert_int_equal(rig.requests, FETCHES);
    assert_int_equal(weir_client_close(client), 0);
}

static struct weir_engine_stats loaded(uint32_t pipeline_max)
{
    random_state = SEED;
    rig_serve();
    load(pipeline_max);
    rig_balanced();
    assert_int_equal(rig.broken, 0);
    struct weir_engine_stats stats = engine_stats();
    print_message("%" PRIu64 " passes, %" PRIu64 " starved, %" PRIu64 " overflows, %" PRIu64
                  " partial, %" PRIu64 " short of memory\n",
                  stats.passes, stats.recv_starved, stats.cq_overflows, stats.send_partial,
                  stats.send_memory_short);
    rig_end(SLACK);
    return stats;
}

static void test_two_receive_buffers(void **state)
{
    (void)state;
    rig.engine_cfg.recv_bufs_max = 2;
    assert_true(loaded(1).recv_starved > 0);
}

static void test_two_small_receive_buffers(void **state)
{
    (void)state;
    rig.engine_cfg.recv_bufs_max = 2;
    rig.engine_cfg.recv_buf_bytes = 256;
    assert_true(loaded(8).recv_starved > 0);
}

static void test_queues_of_eight(void **state)
{
    (void)state;
    rig.engine_cfg.sq_entries = 8;
    rig.engine_cfg.cq_entries = 8;
    loaded(1);
}

static void test_queues_of_eight_pipelined(void **state)
{
    (void)state;
    rig.engine_cfg.sq_entries = 8;
    rig.engine_cfg.cq_entries = 8;
    loaded(16);
}

static void test_everything_at_its_least(void **state)
{
    (void)state;
    rig.engine_cfg.sq_entries = 8;
    rig.engine_cfg.cq_entries = 8;
    rig.engine_cfg.recv_bufs_max = 2;
    rig.engine_cfg.send_bytes_max = 256 * KIB;
    rig.engine_cfg.stash_bytes_max = 64 * KIB;
    rig.engine_cfg.stash_block_bytes = 4096;
    rig.server_cfg.head_bytes_max = 4096;
    rig.server_cfg.target_bytes_max = 1024;
    loaded(4);
}

int main(void)
{
    print_message("seed %" PRIu64 "\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_two_receive_buffers, rig_setup),
        cmocka_unit_test_setup(test_two_small_receive_buffers, rig_setup),
        cmocka_unit_test_setup(test_queues_of_eight, rig_setup),
        cmocka_unit_test_setup(test_queues_of_eight_pipelined, rig_setup),
        cmocka_unit_test_setup(test_everything_at_its_least, rig_setup),
    };
    return cmocka_run_group_tests_name("short queues", tests, pattern_fill, NULL);
}
