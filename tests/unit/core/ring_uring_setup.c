/* SPDX-License-Identifier: MIT */
/* What an opened io_uring twin can do, and what it is kept from doing. */
#include "core/ring_uring_setup.c"

#include "unit/io/rig.h"

static struct weir_arena arena;
static uint8_t *bufs;

static struct weir_ring_config ring_config(const char *disable)
{
    return (struct weir_ring_config){ .sq_entries = 64,
                                      .cq_entries = 128,
                                      .ops_max = 256,
                                      .bufs_count = 16,
                                      .buf_bytes = 1024,
                                      .buf_stride = 1088,
                                      .disable = disable };
}

static struct weir_uring *ring_open(const char *disable)
{
    struct weir_ring_config cfg = ring_config(disable);
    struct weir_ring *ring = NULL;
    uint64_t bufs_bytes = (uint64_t)cfg.bufs_count * cfg.buf_stride;
    assert_int_equal(
        weir_arena_open(&arena, weir_ring_uring.bytes(&cfg) + bufs_bytes + 2 * WEIR_PAGE), 0);
    bufs = weir_arena_take(&arena, bufs_bytes, WEIR_PAGE);
    cfg.bufs = bufs;
    int rc = weir_ring_uring.open(&ring, &arena, &cfg);
    if (rc < 0)
        print_error("%s\n", weir_error_text());
    assert_int_equal(rc, 0);
    return weir_uring_of(ring);
}

static void ring_close(struct weir_uring *u)
{
    u->base.ops->close(&u->base);
    weir_arena_close(&arena);
}

/* Submit one entry made by hand. @return its result */
static int submit(struct weir_uring *u, uint8_t opcode, uint8_t flags)
{
    struct io_uring_sqe *sqe = &u->ring.sq.sqes[u->ring.sq.sqe_tail & *u->ring.sq.kring_mask];
    u->ring.sq.sqe_tail++;
    *sqe = (struct io_uring_sqe){ .opcode = opcode, .flags = flags, .fd = -1, .user_data = 77 };
    struct weir_cqe cqe;
    assert_int_equal(test_await(u, &cqe), 0);
    assert_int_equal(cqe.user_data, 77);
    return cqe.res;
}

/* Opening a file, running a command, linking: this ring does none of it for anybody. */
static void test_restrictions(void **state)
{
    (void)state;
    struct weir_uring *u = ring_open(NULL);
    assert_true(weir_uring_has(u, FEATURE_RESTRICTIONS));
    const uint8_t forbidden[] = { IORING_OP_NOP,      IORING_OP_OPENAT,   IORING_OP_OPENAT2,
                                  IORING_OP_WRITE,    IORING_OP_UNLINKAT, IORING_OP_RENAMEAT,
                                  IORING_OP_SPLICE,   IORING_OP_SOCKET,   IORING_OP_MSG_RING,
                                  IORING_OP_URING_CMD };
    for (size_t i = 0; i < sizeof forbidden; i++)
        assert_int_equal(submit(u, forbidden[i], 0), -EACCES);
    assert_int_equal(submit(u, IORING_OP_SEND, IOSQE_ASYNC), -EACCES);
    assert_int_equal(submit(u, IORING_OP_SEND, IOSQE_FIXED_FILE), -EACCES);
    assert_int_equal(submit(u, IORING_OP_SEND, 0), -EBADF); /* allowed: it is the descriptor */
    int fd = 0;
    assert_int_equal(io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_FILES, &fd, 1),
                     -EACCES);
    ring_close(u);
    u = ring_open("restrictions");
    assert_false(weir_uring_has(u, FEATURE_RESTRICTIONS));
    assert_int_equal(submit(u, IORING_OP_NOP, 0), 0);
    ring_close(u);
}

static void test_features(void **state)
{
    (void)state;
    struct weir_slice bad;
    assert_true(weir_ring_uring_features_valid(NULL, &bad));
    assert_true(weir_ring_uring_features_valid(weir_ring_uring_features, &bad));
    const char *at = weir_ring_uring_features;
    for (int i = 0; i < FEATURE_COUNT; i++) {
        size_t len = strcspn(at, ",");
        assert_int_equal(len, strlen(feature_names[i]));
        assert_memory_equal(at, feature_names[i], len);
        at += len + (at[len] == ',');
    }
    assert_int_equal(*at, '\0');
    struct weir_uring *u = ring_open(weir_ring_uring_features);
    assert_int_equal(u->features, 0);
    assert_int_equal(u->base.abilities & ~(uint32_t)WEIR_RING_SPIN, 0);
    ring_close(u);
}

/* The self-test leaves nothing behind: buffers, completions, counters. */
static void test_nothing_left(void **state)
{
    (void)state;
    struct weir_uring *u = ring_open(NULL);
    const struct weir_cqe *cqe;
    assert_int_equal(u->base.ops->enter(&u->base, NULL), 0);
    assert_int_equal(u->base.ops->peek(&u->base, &cqe), 0);
    assert_int_equal(u->base.counters.sqes, 0);
    assert_int_equal(u->bufs_pending, 0);
    /* All buffers can be had. */
    int fds[2];
    rig_unix_pair(fds);
    u->base.ops->recv(&u->base, fds[0], true, 5);
    for (unsigned i = 0; i < 16; i++) {
        struct weir_cqe got;
        assert_int_equal(send(fds[1], "x", 1, 0), 1);
        const struct weir_ring_wait wait = { weir_clock_ns() + RIG_WAIT, 1, 0 };
        assert_int_equal(u->base.ops->enter(&u->base, &wait), 0);
        assert_true(u->base.ops->peek(&u->base, &cqe) > 0);
        got = *cqe;
        u->base.ops->advance(&u->base, 1);
        assert_int_equal(got.res, 1);
    }
    close(fds[1]);
    ring_close(u);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restrictions),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
