/* SPDX-License-Identifier: MIT */
/*
 * Many small requests as few large ones: N prompts go through a batcher, and each gets its answer.
 * batch [ENDPOINT [N]]      as: batch http://127.0.0.1:8080 1000  Nothing here says how large a
 * batch shall be: the first item leaves at once, and while it is under way others gather.
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

#define ITEMS_MAX   10000
#define DEADLINE_NS UINT64_C(10000000000)

struct prompt {
    struct weir_batch_item item;
    char json[96]; /* what item.body points to: in place until on_end */
};

struct asker {
    struct weir_engine *engine;
    uint64_t left, good, bad; /* items */
    struct prompt prompts[ITEMS_MAX];
};

static void on_end(struct weir_batch_item *item, int err)
{
    struct asker *asker = item->ctx;
    /* Each has a status of its own: one bad item does not spoil the others. */
    if (err == 0 && item->status == 200) {
        asker->good++;
    } else {
        asker->bad++;
        fprintf(stderr, "batch: %s, status %u: %.*s\n", weir_strerror(err), item->status,
                (int)item->answer.len, item->answer.len > 0 ? (const char *)item->answer.ptr : "");
    }
    if (--asker->left == 0) {
        printf("the last answer: %.*s\n", (int)item->answer.len,
               item->answer.len > 0 ? (const char *)item->answer.ptr : "");
        weir_engine_stop(asker->engine);
    }
}

static int add_all(struct asker *asker, struct weir_batcher *batcher, uint64_t count)
{
    uint64_t deadline_ns = weir_clock_ns() + DEADLINE_NS;
    for (uint64_t i = 0; i < count; i++) {
        struct prompt *prompt = &asker->prompts[i];
        int len = snprintf(prompt->json, sizeof prompt->json,
                           "{\"model_id\":\"bitnet-7b\",\"prompt\":\"number %" PRIu64 "\"}", i);
        prompt->item.body = (struct weir_slice){ (const uint8_t *)prompt->json, (size_t)len };
        prompt->item.deadline_ns = deadline_ns;
        prompt->item.on_end = on_end;
        prompt->item.ctx = asker;
        int rc = weir_batcher_add(batcher, &prompt->item);
        if (rc < 0)
            return rc;
        asker->left++;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct asker asker;
    uint64_t count;
    struct weir_client *client;
    struct weir_batcher *batcher;
    struct weir_engine_config ec;
    struct weir_client_config cc;
    struct weir_batcher_config bc;
    weir_engine_config_init(&ec);
    weir_client_config_init(&cc);
    weir_batcher_config_init(&bc);
    cc.endpoint = argc > 1 ? argv[1] : "http://127.0.0.1:8080";
    cc.conns_min = 0;
    if (weir_parse_number(&count, argc > 2 ? argv[2] : "1000", 1, ITEMS_MAX) < 0)
        return fprintf(stderr, "batch: %s\n", weir_error_text()), 2;
    /* The batcher sends by the client: its connections and its limits hold. */
    if (weir_engine_open(&asker.engine, &ec) < 0 ||
        weir_client_open(&client, asker.engine, &cc) < 0 ||
        weir_batcher_open(&batcher, asker.engine, client, &bc) < 0)
        return fprintf(stderr, "batch: %s\n", weir_error_text()), 1;
    int rc = add_all(&asker, batcher, count);
    if (rc == 0)
        rc = weir_engine_run(asker.engine);
    if (rc < 0)
        fprintf(stderr, "batch: %s\n", weir_strerror(rc));
    struct weir_batcher_stats stats = { .size = sizeof stats };
    weir_batcher_stats(batcher, &stats);
    printf("%" PRIu64 " good, %" PRIu64 " bad, in %" PRIu64 " batches, %.1f in each\n", asker.good,
           asker.bad, stats.batches, stats.items_mean);
    /* In the reverse order of opening. What had not ended would end now, with WEIR_E_SHUTDOWN. */
    bool closed = weir_batcher_close(batcher, 1) == 0 && weir_client_close(client) == 0 &&
                  weir_engine_close(asker.engine) == 0;
    return rc < 0 || asker.bad > 0 || !closed;
}
