/* SPDX-License-Identifier: MIT */
#include "proto/http/batch_size.h"
#include "core/assert.h"
#include "core/base.h"

void weir_batch_size_init(struct weir_batch_size *size, const struct weir_batcher_config *cfg)
{
    *size = (struct weir_batch_size){
        .items_max = cfg->items_max,
        .adaptive = cfg->adaptive,
        .wait_ns = cfg->wait_ns,
        .target_ns = cfg->target_ns,
        .aim = cfg->adaptive ? 1 : cfg->items_max,
    };
}

enum weir_batch_flush weir_batch_size_decide(const struct weir_batch_size *size,
                                             const struct weir_batch_view *view)
{
    if (view->waiting == 0)
        return WEIR_BATCH_HOLD;
    if (view->waiting >= size->aim)
        return WEIR_BATCH_SIZE;
    if (view->bytes_full)
        return WEIR_BATCH_BYTES;
    if (view->demanded)
        return WEIR_BATCH_DEMAND;
    if (view->held_ns >= size->wait_ns)
        return WEIR_BATCH_TIME;
    if (size->adaptive && view->in_flight == 0)
        return WEIR_BATCH_IDLE;
    return WEIR_BATCH_HOLD;
}

uint64_t weir_batch_size_sent(struct weir_batch_size *size)
{
    return ++size->sent;
}

uint64_t weir_batch_size_target_ns(const struct weir_batch_size *size)
{
    if (size->target_ns != 0)
        return size->target_ns;
    if (size->smallest_ns == 0 || size->smallest_ns > (UINT64_MAX - size->wait_ns) / 2)
        return UINT64_MAX;
    return 2 * size->smallest_ns + size->wait_ns;
}

static void learn_smallest(struct weir_batch_size *size, const struct weir_batch_sample *sample)
{
    uint64_t latency_ns = weir_max_u64(sample->latency_ns, 1); /* 0 is "none yet" */
    if (size->smallest_ns == 0 || latency_ns < size->smallest_ns)
        size->smallest_ns = latency_ns;
    else if (sample->items == 1)
        size->smallest_ns += (latency_ns - size->smallest_ns) / 8;
}

void weir_batch_size_learn(struct weir_batch_size *size, const struct weir_batch_sample *sample)
{
    WEIR_ASSERT(sample->items >= 1 && sample->items <= size->items_max);
    WEIR_ASSERT(sample->number >= 1 && sample->number <= size->sent);
    learn_smallest(size, sample);
    if (!size->adaptive)
        return;
    uint32_t half =
        (uint32_t)weir_min_u64((sample->outstanding + UINT64_C(1)) / 2, size->items_max);
    if (half == 0)
        half = 1;
    if (sample->latency_ns > weir_batch_size_target_ns(size)) {
        if (sample->number > size->shrunk_at) {
            size->aim -= size->aim > 1 ? (size->aim + 3) / 4 : 0;
            size->shrunk_at = size->sent;
        }
    } else if (size->aim < half && sample->items >= sample->aim) {
        size->aim++;
    }
    if (size->aim > half)
        size->aim -= (size->aim - half + 3) / 4;
    WEIR_ASSERT(size->aim >= 1 && size->aim <= size->items_max);
}
