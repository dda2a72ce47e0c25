/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include "mock/api/api.h"
#include "office.h"

#include <weir/random.h>

#include <jansson.h>
#include <string.h>

/* What passes between the moment at which something is due and its arrival when nothing is in the
 * way: passes of two engines, and the network. */
#define CALM_SLACK_NS  SIM_MS
#define CALM_BYTES_MAX 16384u

/* The journal has microseconds here and there. */
#define ROUNDING_NS 1000u

/* The last record of the request; NULL: there is none, or no more. */
static const struct journal_record *record_of(const struct sim_visit *v)
{
    const struct journal *journal = &v->office->app.journal;
    const struct journal_record *found = NULL;
    uint64_t key = weir_random_key((struct weir_slice){ (const uint8_t *)v->key, strlen(v->key) });
    /* Where some are missing, what is there may be of an earlier time that it was sent. */
    bool again = v->call.attempts > 1 || v->call.replays > 0;
    if (journal->recorded > journal->capacity || (again && v->office->settings.resets))
        return NULL;
    for (uint64_t i = 0; i < journal->recorded; i++) {
        const struct journal_record *record = &journal->records[i];
        if (record->keyed && record->key == key && (found == NULL || record->seq > found->seq))
            found = record;
    }
    return found;
}

/* ---- Streams ----------------------------------------------------------------------------- */

static void token_came(struct sim_visit *v, uint32_t choice)
{
    if (choice >= SIM_CHOICES_MAX) {
        v->malformed = true;
        return;
    }
    if (choice == 0 && v->tokens[0] < SIM_TIMES_MAX)
        v->times_ns[v->tokens[0]] = v->office->run->world->now_ns;
    v->tokens[choice]++;
}

static void infer_event(struct sim_visit *v, const json_t *event)
{
    const json_t *index = json_object_get(event, "index");
    const json_t *tokens = json_object_get(event, "tokens");
    if (json_is_string(json_object_get(event, "token"))) {
        v->malformed |= !json_is_integer(index) || json_integer_value(index) != v->tokens[0];
        token_came(v, 0);
    } else if (json_is_string(json_object_get(event, "finish_reason"))) {
        v->finishes++;
        v->told_tokens = (uint32_t)json_integer_value(tokens);
    } else {
        v->malformed = true;
    }
}

static void choice_event(struct sim_visit *v, const json_t *choice)
{
    uint32_t number = (uint32_t)json_integer_value(json_object_get(choice, "index"));
    const json_t *delta = json_object_get(choice, "delta");
    const json_t *text =
        delta != NULL ? json_object_get(delta, "content") : json_object_get(choice, "text");
    bool role = delta != NULL && json_object_get(delta, "role") != NULL;
    if (json_is_string(json_object_get(choice, "finish_reason")))
        v->finishes++;
    else if (json_is_string(text) && !role)
        token_came(v, number);
    else if (!role)
        v->malformed = true;
}

static void openai_event(struct sim_visit *v, const json_t *event)
{
    const json_t *choices = json_object_get(event, "choices");
    const json_t *usage = json_object_get(event, "usage");
    if (!json_is_array(choices)) {
        v->malformed = true;
        return;
    }
    for (size_t i = 0; i < json_array_size(choices); i++)
        choice_event(v, json_array_get(choices, i));
    if (json_is_object(usage)) {
        v->told_usages++;
        v->told_tokens = (uint32_t)json_integer_value(json_object_get(usage, "completion_tokens"));
    }
}

static void event_came(struct sim_visit *v)
{
    static const char data[] = "data: ", done[] = "[DONE]";
    size_t skip = sizeof data - 1;
    if (v->event_bytes < skip || memcmp(v->event, data, skip) != 0 || v->dones > 0) {
        v->malformed = true;
        return;
    }
    size_t len = v->event_bytes - skip;
    if (len == sizeof done - 1 && memcmp(v->event + skip, done, len) == 0) {
        v->dones++;
        return;
    }
    json_t *event = json_loadb(v->event + skip, len, JSON_REJECT_DUPLICATES, NULL);
    if (event == NULL)
        v->malformed = true;
    else if (v->endpoint == ENDPOINT_INFER)
        infer_event(v, event);
    else
        openai_event(v, event);
    json_decref(event);
}

void sim_judge_piece(struct sim_visit *v, struct weir_slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (v->event_bytes == sizeof v->event) {
            v->malformed = true;
            v->event_bytes = 0;
        }
        v->event[v->event_bytes++] = (char)piece.ptr[i];
        if (v->event_bytes < 2 || memcmp(v->event + v->event_bytes - 2, "\n\n", 2) != 0)
            continue;
        v->event_bytes -= 2;
        event_came(v);
        v->event_bytes = 0;
    }
}

/* ---- Content ----------------------------------------------------------------------------- */

static uint32_t words_of(const char *text)
{
    uint32_t count = 0;
    for (const char *at = text; *at != '\0'; count++) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return count;
}

/* Is `count` how many tokens each choice may have? */
static void count_check(const struct sim_visit *v, uint32_t count)
{
    const struct sim_office *o = v->office;
    const struct config *config = o->configs[0];
    bool drawn = config->output_tokens != NULL || config->engine.kind == CONFIG_ENGINE_BATCH;
    uint32_t standard = v->tokens_max != 0 ? v->tokens_max : config->tokens;
    SIM_CHECK(count > 0, "exchange %u got no tokens", v->x->id);
    if (v->overridden || o->settings.changes)
        return;
    SIM_CHECK(v->tokens_max == 0 || count <= v->tokens_max, "exchange %u got %u tokens of %u",
              v->x->id, count, v->tokens_max);
    SIM_CHECK(drawn || count == standard, "exchange %u got %u tokens, not %u", v->x->id, count,
              standard);
}

static void stream_check(const struct sim_visit *v)
{
    bool infer = v->endpoint == ENDPOINT_INFER;
    SIM_CHECK(!v->malformed && v->event_bytes == 0, "exchange %u got a broken stream", v->x->id);
    SIM_CHECK(v->dones == 1 && v->finishes == v->choices_count,
              "exchange %u: %u streams ended, %u times was it said", v->x->id, v->finishes,
              v->dones);
    for (uint32_t i = 0; i < v->choices_count; i++)
        SIM_CHECK(v->tokens[i] == v->tokens[0], "exchange %u: choice %u has %u tokens of %u",
                  v->x->id, i, v->tokens[i], v->tokens[0]);
    SIM_CHECK(v->told_usages == v->usage, "exchange %u: %u usages", v->x->id, v->told_usages);
    if (infer || v->usage)
        SIM_CHECK(v->told_tokens == v->tokens[0] * v->choices_count,
                  "exchange %u got %u tokens, and is told of %u", v->x->id, v->tokens[0],
                  v->told_tokens);
    count_check(v, v->tokens[0]);
}

static uint32_t choice_tokens(const struct sim_visit *v, const json_t *choice)
{
    const json_t *message = json_object_get(choice, "message");
    const json_t *text = json_object_get(choice, "text");
    if (message != NULL)
        text = json_object_get(message, "content");
    SIM_CHECK(json_is_string(text) && json_is_string(json_object_get(choice, "finish_reason")),
              "exchange %u got a choice without text", v->x->id);
    return words_of(json_string_value(text));
}

static void whole_check(const struct sim_visit *v)
{
    uint32_t count = 0;
    if (v->got_bytes == sizeof v->got)
        return;
    json_t *answer = json_loadb((const char *)v->got, v->got_bytes, JSON_REJECT_DUPLICATES, NULL);
    SIM_CHECK(answer != NULL, "exchange %u is answered: %.*s", v->x->id, (int)v->got_bytes, v->got);
    if (v->endpoint == ENDPOINT_INFER) {
        count = (uint32_t)json_integer_value(json_object_get(answer, "tokens"));
        SIM_CHECK(choice_tokens(v, answer) == count, "exchange %u: not %u words", v->x->id, count);
    } else {
        const json_t *choices = json_object_get(answer, "choices");
        const json_t *usage = json_object_get(answer, "usage");
        uint64_t all = (uint64_t)json_integer_value(json_object_get(usage, "completion_tokens"));
        SIM_CHECK(json_array_size(choices) == v->choices_count, "exchange %u has %zu choices",
                  v->x->id, json_array_size(choices));
        count = (uint32_t)(all / v->choices_count);
        for (uint32_t i = 0; i < v->choices_count; i++)
            SIM_CHECK(choice_tokens(v, json_array_get(choices, i)) == count,
                      "exchange %u: choice %u has not %u words", v->x->id, i, count);
    }
    json_decref(answer);
    count_check(v, count);
}

static void ask_check(const struct sim_visit *v)
{
    const struct sim_ask *ask = v->ask;
    uint16_t status = v->call.status;
    SIM_CHECK(ask->status == 0 ? status < 300 : status == ask->status, "%s %s is answered %u: %.*s",
              v->method, v->target, status, (int)v->got_bytes, v->got);
    if (ask->needle == NULL)
        SIM_CHECK(v->got_bytes == 0, "%s %s has a body", v->method, v->target);
    else
        SIM_CHECK(memmem(v->got, v->got_bytes, ask->needle, strlen(ask->needle)) != NULL,
                  "%s %s is answered: %.*s", v->method, v->target, (int)v->got_bytes, v->got);
}

/* ---- Time -------------------------------------------------------------------------------- */

static uint64_t drawn(const struct sim_visit *v, const struct weir_dist *dist, uint64_t key,
                      uint64_t draw)
{
    return weir_dist_draw_ns(dist, v->office->configs[0]->seed, key, draw);
}

/* From its slot to the first token, or to an answer of one piece that is not made of tokens. */
static uint64_t first_ns(const struct sim_visit *v, const struct journal_record *record)
{
    const struct config *config = v->office->configs[0];
    const struct config_latency *latency = &config->latency;
    bool tokens =
        v->endpoint != ENDPOINT_INFER || v->stream || config->engine.kind != CONFIG_ENGINE_FIXED;
    if (tokens && config->engine.kind == CONFIG_ENGINE_LINEAR)
        return pace_linear_ttft(&config->engine.linear, record->prompt_tokens);
    double delay = (double)drawn(v, latency->delay, record->key, API_DRAW_DELAY);
    uint64_t ns = (uint64_t)(delay * latency->multiplier[CONFIG_INFER] + 0.5);
    if (tokens && latency->ttft != NULL)
        ns = drawn(v, latency->ttft, record->key, API_DRAW_TTFT);
    if (tokens && latency->prefill != NULL)
        ns += drawn(v, latency->prefill, record->key, API_DRAW_PREFILL) * record->prompt_tokens;
    return ns;
}

/* To token `index` from the one before. Of a linear engine: no less than that. */
static uint64_t gap_ns(const struct sim_visit *v, const struct journal_record *record,
                       uint32_t index)
{
    const struct config *config = v->office->configs[0];
    if (config->engine.kind == CONFIG_ENGINE_LINEAR)
        return pace_linear_itl(&config->engine.linear, 1);
    return drawn(v, config->latency.itl, record->key, API_DRAW_ITL + index);
}

/* Could nothing but the mock itself hold up this answer? A long one waits for its client. */
static bool is_calm(const struct sim_visit *v, const struct journal_record *record)
{
    return v->office->run->config.calm && record->answer_bytes < CALM_BYTES_MAX &&
           !sim_settings_kind_paces((enum fault_kind)record->fault_kind);
}

/* Tokens come when they are due: not before, and, when nothing is in the way, not later. */
static void stream_time_check(const struct sim_visit *v, const struct journal_record *record)
{
    const struct config *config = v->office->configs[0];
    uint64_t due = record->start_ns + record->queue_us * 1000ull + first_ns(v, record);
    bool exact = is_calm(v, record) && config->engine.kind == CONFIG_ENGINE_FIXED &&
                 record->fault_kind == FAULT_NONE;
    uint32_t count = (uint32_t)weir_min_u64(v->tokens[0], SIM_TIMES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        due += i == 0 ? 0 : gap_ns(v, record, i);
        SIM_CHECK(v->times_ns[i] >= due, "token %u of exchange %u came %llu ns before it was due",
                  i, v->x->id, (unsigned long long)(due - v->times_ns[i]));
        SIM_CHECK(!exact || v->times_ns[i] <= due + CALM_SLACK_NS,
                  "token %u of exchange %u came %llu ns after it was due", i, v->x->id,
                  (unsigned long long)(v->times_ns[i] - due));
    }
}

static void time_check(const struct sim_visit *v, const struct journal_record *record)
{
    const struct config *config = v->office->configs[0];
    uint64_t queue_ns = record->queue_us * 1000ull;
    bool fixed = config->engine.kind == CONFIG_ENGINE_FIXED;
    bool tokens = v->endpoint != ENDPOINT_INFER || v->stream || !fixed;
    uint64_t asked = first_ns(v, record);
    uint32_t count = record->output_tokens / v->choices_count;
    SIM_CHECK(record->delivered_ns + ROUNDING_NS >= record->asked_ns + queue_ns,
              "exchange %u was answered %llu ns too early", v->x->id,
              (unsigned long long)(record->asked_ns + queue_ns - record->delivered_ns));
    SIM_CHECK(!is_calm(v, record) ||
                  record->delivered_ns <= record->asked_ns + queue_ns + CALM_SLACK_NS + ROUNDING_NS,
              "exchange %u was answered %llu ns too late", v->x->id,
              (unsigned long long)(record->delivered_ns - record->asked_ns - queue_ns));
    if (config->engine.kind == CONFIG_ENGINE_BATCH)
        return;
    if (v->stream)
        stream_time_check(v, record);
    for (uint32_t i = 1; i < count && tokens; i++)
        asked += gap_ns(v, record, i);
    bool exact = fixed && record->fault_kind == FAULT_NONE;
    SIM_CHECK(exact ? record->asked_ns == asked : record->asked_ns >= asked,
              "exchange %u was to take %llu ns, not %llu", v->x->id,
              (unsigned long long)record->asked_ns, (unsigned long long)asked);
}

/* ---- The end ----------------------------------------------------------------------------- */

bool sim_judge_excuses(const struct sim_visit *v, int err)
{
    const struct sim_settings *s = &v->office->settings;
    const struct journal_record *record = record_of(v);
    if (err == 0 || s->accepts || s->taints)
        return true;
    const struct weir_client_config *client = &v->office->run->config.client;
    if (err == WEIR_E_DEADLINE)
        return s->holds;
    /* An answer that the client does not want, because it asks again, may take its connection with
     * it, and others' answers. */
    if (client->pipeline_max > 1 && client->retry.attempts_max > 1 &&
        (s->limits || s->batch || s->damages))
        return true;
    /* So may one that announces its connection's end, the calls behind it that must not be sent
     * twice. */
    if (client->pipeline_max > 1 && v->kind == SIM_VISIT_CHANGE && s->faults)
        return true;
    if (!s->breaks)
        return false;
    if (record != NULL && sim_settings_kind_breaks((enum fault_kind)record->fault_kind))
        return true;
    /* It may have met a connection that another one's fault ended. */
    return client->pipeline_max > 1 || v->kind == SIM_VISIT_CHANGE || s->resets || record == NULL;
}

/* Statuses that the configuration is a reason for. */
static bool status_excused(const struct sim_visit *v)
{
    const struct sim_settings *s = &v->office->settings;
    const struct sim_run *run = v->office->run;
    switch (v->call.status) {
    case 408: /* time passes at once */
        return !run->config.strict;
    case 429:
        return s->limits;
    case 503:
        return s->limits || s->batch || v->office->draining || !run->config.strict;
    case 400:
        return s->batch;
    case 409: /* others load and unload it, too */
        return s->models || s->changes || strncmp(v->target, "/api/models/", 12) == 0;
    case 404:
    case 507:
        return s->models || s->changes;
    default:
        return false;
    }
}

/* Is it for something that no fault strikes? */
static bool out_of_reach(const struct sim_visit *v)
{
    return strncmp(v->target, "/admin", 6) == 0 || strcmp(v->target, "/metrics") == 0 ||
           strcmp(v->target, "/health") == 0;
}

void sim_judge_end(struct sim_visit *v, int err)
{
    const struct sim_settings *s = &v->office->settings;
    const struct journal_record *record = record_of(v);
    enum fault_kind fault = record != NULL ? (enum fault_kind)record->fault_kind : FAULT_NONE;
    bool certain = record != NULL || !s->faults || out_of_reach(v);
    struct sim_tally *tally = &v->office->run->tally;
    tally->struck += fault != FAULT_NONE;
    tally->excused += err < 0 && v->office->run->config.strict;
    if (err < 0 || s->taints || sim_settings_kind_damages(fault) || !certain)
        return;
    if (v->kind == SIM_VISIT_CHANGE) {
        tally->changes += v->call.status < 300;
        SIM_CHECK(v->call.status < 500 || status_excused(v), "%s %s %.*s is answered %u: %.*s",
                  v->method, v->target, (int)v->body.len, v->body.ptr, v->call.status,
                  (int)v->got_bytes, v->got);
        return;
    }
    if (v->call.status != 200 && status_excused(v))
        return;
    tally->answers++;
    if (v->kind == SIM_VISIT_ASK) {
        ask_check(v);
        return;
    }
    SIM_CHECK(v->call.status == 200, "%s %.*s is answered %u: %.*s", v->target, (int)v->body.len,
              v->body.ptr, v->call.status, (int)v->got_bytes, v->got);
    tally->streams += v->stream;
    if (v->stream)
        stream_check(v);
    else
        whole_check(v);
    if (record == NULL || record->end != JOURNAL_ANSWERED || s->changes || v->overridden)
        return;
    tally->timed++;
    time_check(v, record);
}
