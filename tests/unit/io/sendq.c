/* SPDX-License-Identifier: MIT */
/* Queues of copied and borrowed bytes against the stream they must hold. */
#include "io/sendq.h"

#include "rig.h"

#define SEED  20240623u
#define STEPS 30000u
#define SEGS  64u

static struct weir_engine *engine;

static int setup(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.send_bytes_max = 1u << 16;
    engine = rig_open(&cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(engine);
    return 0;
}

static struct weir_slice stream_slice(uint64_t offset, size_t bytes)
{
    return (struct weir_slice){ rig_stream(offset), bytes };
}

/* The queue holds the stream from `offset` on, and says how much of it. */
static void check_holds(const struct weir_sendq *q, uint64_t offset)
{
    uint64_t at = offset;
    for (const struct weir_seg *s = q->first; s != NULL; s = s->next) {
        assert_true(rig_stream_take(&at, s->ptr, s->len));
        assert_int_equal(s->next == NULL, s == q->last);
    }
    assert_int_equal(at - offset, q->bytes);
    assert_int_equal(q->first == NULL, q->last == NULL);
}

static uint32_t chunks_used(void)
{
    return rig_stats(engine).send_chunks_now;
}

static void test_copy(void **state)
{
    (void)state;
    struct weir_sendq q = { 0 };
    assert_true(weir_sendq_empty(&q));
    assert_int_equal(weir_sendq_copy(engine, &q, (struct weir_slice){ NULL, 0 }), 0);
    assert_true(weir_sendq_empty(&q));
    for (size_t n = 0, at = 0; n < 8000; at += n, n = n * 2 + 1) {
        assert_int_equal(weir_sendq_copy(engine, &q, stream_slice(at, n)), 0);
        check_holds(&q, 0);
    }
    assert_int_equal(chunks_used(), (q.bytes + WEIR_CHUNK_ROOM - 1) / WEIR_CHUNK_ROOM);
    weir_sendq_clear(engine, &q);
    assert_true(weir_sendq_empty(&q));
    assert_int_equal(chunks_used(), 0);
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    struct weir_sendq q = { 0 };
    uint32_t chunks = engine->chunks.count;
    size_t all = chunks * WEIR_CHUNK_ROOM;
    assert_true(weir_sendq_has_room(engine, &q, all));
    assert_false(weir_sendq_has_room(engine, &q, all + 1));
    size_t at = 0;
    for (; at < all - 100; at += 100)
        assert_int_equal(weir_sendq_copy(engine, &q, stream_slice(at, 100)), 0);
    size_t left = all - at;
    assert_true(weir_sendq_has_room(engine, &q, left));
    assert_int_equal(weir_sendq_copy(engine, &q, stream_slice(at, left + 1)), -ENOBUFS);
    assert_int_equal(q.bytes, at);
    check_holds(&q, 0);
    assert_int_equal(rig_stats(engine).send_memory_short, 1);
    assert_int_equal(weir_sendq_copy(engine, &q, stream_slice(at, left)), 0);
    check_holds(&q, 0);
    assert_null(weir_sendq_reserve(engine, &q, 1));
    assert_int_equal(rig_stats(engine).send_memory_short, 2);
    /* One chunk sent makes room for one chunk. */
    weir_sendq_consume(engine, &q, WEIR_CHUNK_ROOM);
    assert_non_null(weir_sendq_reserve(engine, &q, WEIR_CHUNK_ROOM));
    weir_sendq_clear(engine, &q);
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    struct weir_sendq q = { 0 };
    uint8_t *p = weir_sendq_reserve(engine, &q, 100);
    assert_non_null(p);
    memcpy(p, rig_stream(0), 60);
    weir_sendq_commit(&q, 60); /* less than was reserved */
    assert_ptr_equal(weir_sendq_reserve(engine, &q, 1), p + 60);
    weir_sendq_commit(&q, 0);
    check_holds(&q, 0);
    /* What does not fit behind goes to a chunk of its own; nothing committed to it yet. */
    p = weir_sendq_reserve(engine, &q, WEIR_CHUNK_ROOM);
    assert_non_null(p);
    assert_int_equal(chunks_used(), 2);
    check_holds(&q, 0);
    struct iovec parts[WEIR_SEND_PARTS_MAX];
    uint64_t bytes;
    assert_int_equal(weir_sendq_gather(&q, parts, &bytes, SIZE_MAX), 1);
    assert_int_equal(bytes, 60);
    /* An empty chunk goes with the last bytes before it. */
    weir_sendq_consume(engine, &q, 60);
    assert_true(weir_sendq_empty(&q));
    assert_int_equal(chunks_used(), 0);
}

static void test_borrow(void **state)
{
    (void)state;
    struct weir_sendq q = { 0 };
    struct weir_seg segs[2];
    memset(segs, 0xff, sizeof segs);
    assert_int_equal(weir_sendq_copy(engine, &q, stream_slice(0, 10)), 0);
    weir_sendq_borrow(&q, &segs[0], stream_slice(10, 5000), NULL);
    /* Bytes copied behind borrowed ones take a new chunk, not the borrowed memory. */
    assert_int_equal(weir_sendq_copy(engine, &q, stream_slice(5010, 10)), 0);
    weir_sendq_borrow(&q, &segs[1], stream_slice(5020, 7), NULL);
    check_holds(&q, 0);
    assert_int_equal(chunks_used(), 2);
    assert_false(weir_sendq_has_room(engine, &q, engine->chunks.count * WEIR_CHUNK_ROOM));
    weir_sendq_consume(engine, &q, 5009);
    check_holds(&q, 5009);
    assert_int_equal(chunks_used(), 1);
    assert_int_equal(segs[0].len, 1);
    weir_sendq_consume(engine, &q, 1);
    assert_int_equal(q.first->len, 10);
    weir_sendq_clear(engine, &q);
}

static void test_splice(void **state)
{
    (void)state;
    struct weir_sendq into = { 0 }, from = { 0 };
    weir_sendq_splice(&into, &from);
    assert_true(weir_sendq_empty(&into));
    assert_int_equal(weir_sendq_copy(engine, &from, stream_slice(0, 3000)), 0);
    weir_sendq_splice(&into, &from);
    assert_true(weir_sendq_empty(&from));
    assert_int_equal(from.bytes, 0);
    check_holds(&into, 0);
    assert_int_equal(weir_sendq_copy(engine, &from, stream_slice(3000, 300)), 0);
    weir_sendq_splice(&into, &from);
    weir_sendq_splice(&into, &from);
    assert_int_equal(weir_sendq_copy(engine, &into, stream_slice(3300, 3000)), 0);
    check_holds(&into, 0);
    weir_sendq_consume(engine, &into, 6300);
    assert_true(weir_sendq_empty(&into));
}

static void test_gather_limit(void **state)
{
    (void)state;
    struct weir_sendq q = { 0 };
    struct weir_seg segs[WEIR_SEND_PARTS_MAX + 2];
    struct iovec parts[WEIR_SEND_PARTS_MAX];
    uint64_t bytes;
    assert_int_equal(weir_sendq_gather(&q, parts, &bytes, SIZE_MAX), 0);
    assert_int_equal(bytes, 0);
    for (unsigned i = 0; i < WEIR_SEND_PARTS_MAX + 2; i++)
        weir_sendq_borrow(&q, &segs[i], stream_slice(100 * i, 100), NULL);
    assert_int_equal(weir_sendq_gather(&q, parts, &bytes, SIZE_MAX), WEIR_SEND_PARTS_MAX);
    assert_int_equal(bytes, 100 * WEIR_SEND_PARTS_MAX);
    weir_sendq_consume(engine, &q, 750);
    assert_int_equal(weir_sendq_gather(&q, parts, &bytes, SIZE_MAX), 3);
    assert_ptr_equal(parts[0].iov_base, rig_stream(750));
    assert_int_equal(parts[0].iov_len, 50);
    assert_int_equal(bytes, 250);
    weir_sendq_clear(engine, &q);
}

/* Random appends of all kinds, and sends that take random parts. */
static void test_random(void **state)
{
    (void)state;
    struct weir_sendq q = { 0 };
    static struct weir_seg segs[SEGS];
    uint64_t head = 0, tail = 0;
    unsigned borrowed = 0;
    print_message("seed %u\n", SEED);
    for (uint64_t step = 0; step < STEPS; step++) {
        uint64_t random = weir_random_u64(SEED, step, 0);
        size_t n = (size_t)(random >> 32) % ((random & 8) ? 5000 : 50);
        struct weir_sendq aside = { 0 };
        switch (random % 8) {
        case 0: /* borrowed segments are used again only after the queue was empty */
            if (n > 0 && borrowed < SEGS) {
                weir_sendq_borrow(&q, &segs[borrowed++], stream_slice(tail, n), NULL);
                tail += n;
            }
            break;
        case 1:
            if (weir_sendq_copy(engine, &aside, stream_slice(tail, n)) == 0)
                tail += n;
            weir_sendq_splice(&q, &aside);
            break;
        case 2:
        case 3:
            if (weir_sendq_copy(engine, &q, stream_slice(tail, n)) == 0)
                tail += n;
            break;
        default: {
            struct iovec parts[WEIR_SEND_PARTS_MAX];
            uint64_t bytes, at = head;
            uint32_t count = weir_sendq_gather(&q, parts, &bytes, SIZE_MAX);
            for (uint32_t i = 0; i < count; i++)
                assert_true(rig_stream_take(&at, parts[i].iov_base, parts[i].iov_len));
            assert_int_equal(at - head, bytes);
            /* In turn more is appended than sent, until memory is short, and the other way round.
             */
            uint64_t take = bytes == 0 || (random & 16) ? bytes : (random >> 40) % bytes;
            if (step >> 10 & 1)
                take /= 16;
            weir_sendq_consume(engine, &q, take);
            head += take;
            break;
        }
        }
        assert_int_equal(q.bytes, tail - head);
        if (q.bytes == 0)
            borrowed = 0;
        if (step % 16 == 0)
            check_holds(&q, head);
    }
    assert_true(head > 1u << 20);
    assert_true(rig_stats(engine).send_memory_short > 0);
    weir_sendq_clear(engine, &q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve_and_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_borrow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_splice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gather_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
