/* SPDX-License-Identifier: MIT */
#include "settings.h"

#define RULES_MOST 5

typedef unsigned long long ull; /* for %llu */

static bool one_in(struct sim_world *w, uint64_t n)
{
    return sim_below(w, n) == 0;
}

static const char *pick(struct sim_world *w, const char *const *from, size_t count)
{
    return from[sim_below(w, count)];
}
#define PICK(w, ...)                                                                               \
    pick(w, (const char *const[]){ __VA_ARGS__ },                                                  \
         sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

void sim_settings_draw(struct sim_settings *out, struct sim_world *w, bool strict)
{
    *out = (struct sim_settings){ .plain = one_in(w, 6) };
    if (out->plain)
        return;
    out->changes = one_in(w, 3);
    out->resets = one_in(w, 6);
    out->overrides = one_in(w, 4);
    out->limits = one_in(w, 3);
    out->models = one_in(w, 4);
    out->batch = one_in(w, 3);
    out->faults = !one_in(w, 3);
    if (!out->faults)
        return;
    out->damages = one_in(w, 2);
    out->breaks = one_in(w, 2);
    out->holds = out->breaks && one_in(w, 4);
    out->accepts = one_in(w, 8);
    out->taints = out->breaks && one_in(w, strict ? 8 : 4);
}

/* ---- Times ------------------------------------------------------------------------------- */

static void put_latency(struct text *out, struct sim_world *w, uint64_t most_us)
{
    ull us = 1 + sim_below(w, 1 + sim_below(w, most_us)), most = 4 * us;
    switch (sim_below(w, 10)) {
    case 0:
        text_put(out, "\"0\"");
        break;
    case 1:
        text_printf(out, "\"uniform:min=%lluus,max=%lluus\"", us, most);
        break;
    case 2:
        text_printf(out, "\"normal:mean=%lluus,stddev=%lluus,max=%lluus\"", us, us / 4 + 1, most);
        break;
    case 3:
        text_printf(out, "\"lognormal:median=%lluus,p99=%lluus,max=%lluus\"", us, 3 * us, most);
        break;
    case 4:
        text_printf(out, "\"exponential:mean=%lluus,max=%lluus\"", us, most);
        break;
    case 5:
        text_printf(out, "\"gamma:mean=%lluus,shape=2,max=%lluus\"", us, most);
        break;
    case 6:
        text_printf(out, "\"mix:0.9*fixed:%lluus;0.1*uniform:min=%lluus,max=%lluus\"", us, us,
                    most);
        break;
    case 7:
        text_printf(out, "{\"dist\":\"pareto\",\"min_us\":%llu,\"alpha\":2.5,\"max_us\":%llu}", us,
                    most);
        break;
    default:
        text_printf(out, "\"%lluus\"", us);
        break;
    }
}

static void put_latencies(struct text *out, struct sim_world *w)
{
    text_put(out, "\"latency\":{\"delay\":");
    put_latency(out, w, 20000);
    text_printf(out, ",\"multiplier\":{\"health\":%llu,\"infer\":%llu.5}", (ull)sim_below(w, 2),
                (ull)sim_below(w, 3));
    text_put(out, ",\"ttft\":");
    if (one_in(w, 2))
        put_latency(out, w, 50000);
    else
        text_put(out, "null");
    text_put(out, ",\"itl\":");
    put_latency(out, w, 5000);
    text_put(out, ",\"prefill\":");
    if (one_in(w, 3))
        put_latency(out, w, 200);
    else
        text_put(out, "null");
    text_put(out, "}");
}

/* ---- Engines, limits, models ------------------------------------------------------------- */

static void put_batch(struct text *out, struct sim_world *w)
{
    ull seqs = sim_between(w, 1, 6), block = 1ull << sim_below(w, 6);
    ull blocks = sim_between(w, 2, one_in(w, 2) ? 20 : 400);
    ull length = weir_max_u64(2, sim_between(w, 1 + blocks * block / 2, blocks * block));
    text_printf(out, "\"engine\":{\"preset\":null,\"kind\":\"batch\",\"batch\":{\"base_us\":%llu",
                one_in(w, 4) ? 0 : (ull)sim_below(w, 20000));
    text_printf(out, ",\"per_seq_us\":%llu,\"per_ctx_token_us\":%llu,\"per_prefill_token_us\":%llu",
                (ull)sim_below(w, 300), (ull)sim_below(w, 3), (ull)sim_below(w, 100));
    text_printf(out, ",\"enqueue_us\":%llu,\"enqueue_per_token_us\":%llu", (ull)sim_below(w, 1000),
                (ull)sim_below(w, 50));
    text_printf(out, ",\"max_num_seqs\":%llu,\"max_num_batched_tokens\":%llu", seqs,
                seqs + sim_below(w, 64));
    text_printf(out, ",\"max_model_len\":%llu,\"waiting_max\":%llu", length,
                (ull)sim_below(w, one_in(w, 2) ? 4 : 64));
    text_printf(out, ",\"blocks\":%llu,\"block_size\":%llu,\"watermark_blocks\":%llu", blocks,
                block, (ull)sim_below(w, blocks));
    text_printf(out, ",\"prefix_cache\":%s}}", one_in(w, 2) ? "true" : "false");
}

static void put_engine(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    if (s->batch && !one_in(w, 3)) {
        put_batch(out, w);
        return;
    }
    if (one_in(w, 3)) {
        text_printf(out,
                    "\"engine\":{\"preset\":null,\"kind\":\"linear\",\"linear\":{\"ttft_base_us\":"
                    "%llu,\"ttft_per_prompt_token_us\":%llu,\"itl_base_us\":%llu,"
                    "\"itl_per_running_us\":%llu}}",
                    (ull)sim_below(w, 30000), (ull)sim_below(w, 100), (ull)sim_below(w, 5000),
                    (ull)sim_below(w, 1000));
        return;
    }
    text_put(out, "\"engine\":{\"preset\":null,\"kind\":\"fixed\"}");
}

static void put_limits(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    text_printf(out, "\"limits\":{\"max_concurrency\":%llu,\"order\":\"%s\"",
                (ull)sim_below(w, one_in(w, 2) ? 4 : 200), PICK(w, "fifo", "lifo"));
    if (s->limits)
        text_printf(out,
                    ",\"queue_depth\":%lld,\"queue_timeout_us\":%llu,\"overflow\":\"%s\","
                    "\"retry_after_s\":%llu,\"rpm\":%llu,\"tpm\":%llu",
                    (long long)sim_below(w, 5) - 1, one_in(w, 2) ? 0 : (ull)sim_below(w, 100000),
                    PICK(w, "wait", "429", "503"), (ull)sim_below(w, 3),
                    one_in(w, 2) ? 0 : (ull)sim_below(w, 60),
                    one_in(w, 2) ? 0 : (ull)sim_below(w, 6000));
    text_put(out, "}");
}

static void put_models(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    static const char *const ids[] = { "bitnet-7b", "llama-13b", "third", "fourth" };
    uint64_t count = sim_between(w, 2, sizeof ids / sizeof ids[0]);
    text_put(out, "\"models\":[");
    for (uint64_t i = 0; i < count; i++) {
        /* The order changes, and what is in it: requests that are being served name them. */
        text_printf(out, "%s{\"id\":\"%s\"", i == 0 ? "" : ",", ids[i < 2 ? i ^ (count & 1) : i]);
        if (s->models) {
            text_printf(out, ",\"memory_bytes\":%llu,\"loaded\":%s,\"pinned\":%s,\"load\":",
                        1000 * (ull)sim_below(w, 4), one_in(w, 3) ? "true" : "false",
                        one_in(w, 4) ? "true" : "false");
            put_latency(out, w, 40000);
        }
        text_put(out, "}");
    }
    text_printf(out, "],\"require_loaded\":%s", s->models && one_in(w, 2) ? "true" : "false");
    ull memory = s->models && one_in(w, 2) ? 12000 + 1000 * sim_below(w, 4) : 0;
    text_printf(out, ",\"memory\":{\"capacity_bytes\":%llu,\"overflow\":\"%s\"}", memory,
                PICK(w, "refuse", "evict"));
}

/* ---- Faults ------------------------------------------------------------------------------ */

bool sim_settings_kind_breaks(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_RESET:
    case FAULT_FIN:
    case FAULT_EMPTY:
    case FAULT_TRUNCATE:
    case FAULT_GARBAGE:
    case FAULT_BAD_CHUNK:
    case FAULT_WRONG_LENGTH:
    case FAULT_PARTIAL_HEADERS:
    case FAULT_HALF_CLOSE:
        return true;
    default:
        return false;
    }
}

bool sim_settings_kind_damages(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_STATUS:
    case FAULT_BAD_JSON:
    case FAULT_BAD_SSE:
    case FAULT_DUP_FRAME:
    case FAULT_DROP_DONE:
    case FAULT_STATUS_IN_STREAM:
        return true;
    default:
        return sim_settings_kind_breaks(kind);
    }
}

bool sim_settings_kind_paces(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_SPLIT:
    case FAULT_COALESCE:
    case FAULT_STALL:
    case FAULT_DRIBBLE:
    case FAULT_BANDWIDTH:
        return true;
    default:
        return false;
    }
}

static void put_place(struct text *out, struct sim_world *w, bool in_body)
{
    switch (sim_below(w, in_body ? 3 : 5)) {
    case 0:
        text_printf(out, ",\"at\":\"after_bytes:%llu\"", (ull)sim_below(w, 1 + sim_below(w, 2000)));
        break;
    case 1:
        text_printf(out, ",\"at\":\"after_tokens:%llu\"", (ull)sim_below(w, 12));
        break;
    case 2:
        text_printf(out, ",\"at\":\"fraction:0.%llu\"", (ull)sim_below(w, 100));
        break;
    case 3:
        text_put(out, ",\"at\":\"before_headers\"");
        break;
    default:
        text_put(out, ",\"at\":\"after_headers\"");
        break;
    }
}

static void put_harmless(struct text *out, struct sim_world *w)
{
    ull us = 1 + sim_below(w, 1 + sim_below(w, 30000));
    switch (sim_below(w, 9)) {
    case 0:
        text_put(out, "\"kind\":\"none\"");
        break;
    case 1:
        text_printf(out, "\"kind\":\"split\",\"bytes\":%llu,\"interval_us\":%llu",
                    (ull)sim_between(w, 5, 400), one_in(w, 2) ? 0 : us / 10);
        break;
    case 2:
        text_printf(out, "\"kind\":\"coalesce\",\"events\":%llu", (ull)sim_between(w, 2, 9));
        break;
    case 3:
        text_printf(out, "\"kind\":\"dribble\",\"chunks\":%llu,\"total_us\":%llu",
                    (ull)sim_between(w, 2, 9), us);
        break;
    case 4:
        text_printf(out, "\"kind\":\"dribble\",\"bytes\":%llu,\"interval_us\":%llu",
                    (ull)sim_between(w, 20, 400), us / 10 + 1);
        break;
    case 5:
        text_printf(out, "\"kind\":\"bandwidth\",\"bytes_per_s\":%llu",
                    (ull)sim_between(w, 3000, 1000000));
        break;
    case 6:
        text_printf(out, "\"kind\":\"slow_close\",\"us\":%llu", us);
        break;
    case 7:
        text_printf(out, "\"kind\":\"stall\",\"us\":%llu", us);
        put_place(out, w, false);
        break;
    default:
        text_put(out, "\"kind\":\"delay\",\"delay\":");
        put_latency(out, w, 30000);
        break;
    }
}

static void put_damage(struct text *out, struct sim_world *w)
{
    switch (sim_below(w, 4)) {
    case 0:
        text_printf(out, "\"kind\":\"%s\",\"events\":%llu",
                    PICK(w, "bad_json", "bad_sse", "dup_frame"), (ull)sim_between(w, 1, 9));
        break;
    case 1:
        text_put(out, "\"kind\":\"drop_done\"");
        break;
    case 2:
        text_printf(out, "\"kind\":\"status_in_stream\",\"at\":\"after_tokens:%llu\"",
                    (ull)sim_below(w, 12));
        break;
    default:
        text_printf(out, "\"kind\":\"status\",\"status\":%s",
                    PICK(w, "500", "503", "429", "404", "200", "418", "204"));
        if (one_in(w, 2)) {
            text_put(out, ",\"delay\":");
            put_latency(out, w, 30000);
        }
        if (one_in(w, 3))
            text_put(out, ",\"body\":\"oops\"");
        if (one_in(w, 3))
            text_printf(out, ",\"retry_after_s\":%llu", (ull)sim_below(w, 2));
        break;
    }
}

static void put_break(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    const char *rst = PICK(w, "true", "false");
    uint64_t choice = sim_below(w, 8);
    if (s->taints && one_in(w, 4)) {
        text_printf(out, "\"kind\":\"wrong_length\",\"delta\":%s%llu", PICK(w, "", "-"),
                    (ull)sim_between(w, 1, 200));
    } else if (s->holds && one_in(w, 4)) {
        text_printf(out, "\"kind\":\"%s\",\"us\":\"forever\"", PICK(w, "stall", "half_close"));
        put_place(out, w, false);
    } else if (choice < 2) {
        text_printf(out, "\"kind\":\"%s\"", PICK(w, "reset", "fin"));
        put_place(out, w, false);
    } else if (choice < 4) {
        text_printf(out, "\"kind\":\"truncate\",\"rst\":%s", rst);
        put_place(out, w, true);
    } else if (choice == 4) {
        text_put(out, "\"kind\":\"bad_chunk\"");
        put_place(out, w, true);
    } else if (choice == 5) {
        text_printf(out, "\"kind\":\"empty\",\"no_headers\":%s,\"rst\":%s",
                    PICK(w, "true", "false"), rst);
    } else if (choice == 6) {
        text_printf(out, "\"kind\":\"%s\",\"bytes\":%llu,\"rst\":%s",
                    PICK(w, "garbage", "partial_headers"), (ull)sim_between(w, 1, 300), rst);
    } else {
        text_printf(out, "\"kind\":\"half_close\",\"us\":%llu", (ull)sim_below(w, 30000));
        put_place(out, w, false);
    }
}

static void put_at_accept(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    if (!s->accepts || one_in(w, 3))
        text_printf(out, "\"kind\":\"accept_delay\",\"us\":%llu", (ull)sim_between(w, 1, 20000));
    else
        text_put(out, PICK(w, "\"kind\":\"refuse\"", "\"kind\":\"reset\",\"at\":\"accept\"",
                           "\"kind\":\"fin\",\"at\":\"accept\""));
}

/* `streams`: nothing but a stream can suffer it. */
static void put_match(struct text *out, struct sim_world *w, bool streams)
{
    text_put(out, "\"match\":{");
    switch (sim_below(w, 10)) {
    case 0:
        text_printf(
            out, "\"path\":\"%s\"",
            PICK(w, "/api/infer", "/v1/*", "/api/*", "/api/health", "/v1/chat/completions"));
        break;
    case 1:
        text_printf(out, "\"stream\":%s", streams ? "true" : PICK(w, "true", "false"));
        break;
    case 2:
        text_printf(out, "\"model\":\"%s\"", PICK(w, "bitnet-7b", "llama*", "x"));
        break;
    case 3:
        text_printf(out, "\"method\":\"%s\"", PICK(w, "GET", "POST"));
        break;
    case 4:
        text_printf(out, "\"header\":{\"x-mock-key\":\"%s\"}", PICK(w, "v1*", "v-*", "v-3"));
        break;
    default:
        break;
    }
    text_put(out, "},");
}

/* The conditions that `accept` leaves out. */
static void put_when(struct text *out, struct sim_world *w, bool accept)
{
    text_printf(out, "\"when\":{\"probability\":%s", PICK(w, "1", "1", "0.5", "0.25", "0"));
    if (one_in(w, 3))
        text_put(out, ",\"mode\":\"even\"");
    if (one_in(w, 6))
        text_printf(out, ",\"after\":%llu", (ull)sim_below(w, 5));
    if (one_in(w, 8))
        text_printf(out, ",\"first\":%llu", (ull)sim_between(w, 1, 5));
    if (one_in(w, 8))
        text_printf(out, ",\"every\":%llu", (ull)sim_between(w, 1, 4));
    if (one_in(w, 12)) {
        ull from = sim_below(w, 50000);
        text_printf(out, ",\"start_us\":%llu,\"end_us\":%llu", from,
                    from + 1 + sim_below(w, 200000));
    }
    if (one_in(w, 12))
        text_printf(out, ",\"period_us\":%llu,\"duty\":0.4", (ull)sim_between(w, 1, 50000));
    if (one_in(w, 12))
        text_printf(out, ",\"ramp_us\":%llu", (ull)sim_below(w, 50000));
    if (one_in(w, 4) && !accept)
        text_printf(out, ",\"max_active\":%llu", (ull)sim_between(w, 1, 3));
    if (one_in(w, 4) && !accept)
        text_put(out, ",\"scope\":\"connection\"");
    text_put(out, "},");
}

const char *sim_settings_rule_id(struct sim_world *w)
{
    return PICK(w, "a", "b", "c", "d", "e", "f");
}

static void put_action(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    if (s->breaks && one_in(w, 2))
        put_break(out, s, w);
    else if (s->damages && one_in(w, 2))
        put_damage(out, w);
    else
        put_harmless(out, w);
}

static bool is_of_streams(const struct text *action)
{
    static const char *const names[] = { "\"coalesce", "\"bad_sse", "\"dup_frame", "\"drop_done",
                                         "\"status_in_stream" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (memmem(action->ptr, action->len, names[i], strlen(names[i])) != NULL)
            return true;
    return false;
}

void sim_settings_write_rule(struct text *out, const struct sim_settings *s, struct sim_world *w,
                             const char *id)
{
    bool accept = one_in(w, 8);
    struct text action = { 0 };
    if (accept)
        put_at_accept(&action, s, w);
    else
        put_action(&action, s, w);
    text_put(out, "{");
    if (id != NULL)
        text_printf(out, "\"id\":\"%s\",", id);
    if (one_in(w, 8))
        text_put(out, "\"enabled\":false,");
    if (one_in(w, 3))
        text_put(out, "\"continue\":true,");
    if (one_in(w, 8))
        text_printf(out, "\"ttl_us\":%llu,", (ull)sim_between(w, 1, 200000));
    if (!accept)
        put_match(out, w, is_of_streams(&action));
    put_when(out, w, accept);
    text_put(out, "\"do\":{");
    text_add(out, action.ptr, action.len);
    text_put(out, "}}");
    out->failed |= action.failed;
    text_free(&action);
}

static void put_rules(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    static const char *const ids[RULES_MOST] = { "a", "b", "c", "d", "e" };
    uint64_t count = s->faults ? sim_below(w, RULES_MOST + 1) : 0;
    text_put(out, "\"faults\":[");
    for (uint64_t i = 0; i < count; i++) {
        text_put(out, i == 0 ? "" : ",");
        sim_settings_write_rule(out, s, w, ids[i]);
    }
    text_put(out, "]");
}

const char *sim_settings_fault_word(const struct sim_settings *s, struct sim_world *w)
{
    if (s->breaks && one_in(w, 3))
        return PICK(w, "reset@tokens=2", "reset", "fin@after_headers", "fin@bytes=40",
                    "truncate@fraction=0.4,rst", "truncate@tokens=3", "garbage=40", "bad_chunk",
                    "partial_headers=9", "empty,no_headers", "half_close=5ms@bytes=30");
    if (s->damages && one_in(w, 3))
        return PICK(w, "status=503", "status=429,retry_after=1", "bad_json", "bad_sse=2",
                    "dup_frame=2", "drop_done", "status_in_stream=500@tokens=2");
    return PICK(w, "none", "delay=5ms", "split=7", "split=100,interval=1ms",
                "dribble,chunks=3,total=20ms", "stall=5ms@bytes=10", "stall=3ms@tokens=2",
                "bandwidth=9000", "slow_close=5ms", "coalesce=3");
}

/* ---- The whole --------------------------------------------------------------------------- */

static void put_section(struct text *out, const struct sim_settings *s, struct sim_world *w,
                        uint64_t number)
{
    switch (number) {
    case 0:
        put_latencies(out, w);
        break;
    case 1:
        put_engine(out, s, w);
        break;
    case 2:
        put_limits(out, s, w);
        break;
    case 3:
        put_models(out, s, w);
        break;
    case 4:
        put_rules(out, s, w);
        break;
    case 5:
        text_printf(out, "\"half_close\":%s", PICK(w, "true", "false"));
        break;
    default:
        text_printf(out, "\"tokens\":%llu,\"output_tokens\":", (ull)sim_between(w, 1, 40));
        text_put(out, PICK(w, "null", "null", "{\"min\":1,\"max\":30}",
                           "{\"mean\":10,\"stddev\":4,\"max\":40}"));
        break;
    }
}
#define SECTIONS 7

void sim_settings_write(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    text_printf(out, "{\"seed\":%llu,\"overrides\":%s", (ull)sim_below(w, 1000),
                s->overrides ? "true" : "false");
    for (uint64_t i = 0; i < SECTIONS && !s->plain; i++) {
        text_put(out, ",");
        put_section(out, s, w, i);
    }
    text_put(out, "}");
}

void sim_settings_write_patch(struct text *out, const struct sim_settings *s, struct sim_world *w)
{
    text_put(out, "{");
    put_section(out, s, w, sim_below(w, SECTIONS));
    text_put(out, "}");
}
