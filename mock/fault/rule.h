/* SPDX-License-Identifier: MIT */
/*
 * A fault rule: which requests it is for, which of them it strikes, and what happens to those.
 *
 * Rules are an ordered list; for each request the first one that strikes counts, unless it says
 * `continue`. A rule never changes once it is parsed, but for its counts, which all threads share.
 *
 * A rule strikes a request when it matches (the request is of the sort the rule speaks of) and all
 * of its conditions (`when`) hold. They are decided by
 *
 *   i       the request's index, from 0: its number, if the client numbers its requests (the digits
 *           at the end of X-Mock-Key), else how many requests the rule has matched before
 *   u       chance: weir_random_unit(the rule's seed, the request's key, a constant)
 *   t       the time since the rule began to count: at the start, its creation, a reset
 *   p       `probability`
 *
 *   after       i >= after
 *   first       i < after + first
 *   every       (i - after) % every == every - 1: not the first one behind `after`, but the n-th
 *   bernoulli   u < p
 *   even        error diffusion: floor((i + 1) p + phase) > floor(i p + phase), so that any n
 *               requests in a row have floor(n p) or ceil(n p) that are struck. The phase is made
 *               of the seed. Computed in integers: i may be as large as it likes
 *   start, end  start <= t < end
 *   ramp        p grows from 0 to its value while t goes from start to start + ramp. With `even` a
 *               share of those that would be struck without a ramp, which share u decides
 *   duty        (t - start) % period < duty * period
 *   max_active  fewer requests than that are struck and not over yet
 *
 * u and the phase are pure functions: with numbered keys the same keys are struck whatever the
 * threads and the order of arrival. A rule without a seed gets one made of the configuration's and
 * of its own id, so that two rules of 1 % each strike different requests.
 */
#ifndef MOCK_FAULT_RULE_H
#define MOCK_FAULT_RULE_H

#include <weir/base.h>
#include <weir/dist.h>

#include <jansson.h>
#include <stdatomic.h>

#define FAULT_RULES_MAX   64 /* as many as a mask has bits */
#define FAULT_HEADERS_MAX 8
#define FAULT_ID_BYTES    48 /* with its NUL */
#define FAULT_FOREVER     UINT64_MAX
#define FAULT_NUMBERS_MAX 1024 /* ids in the life of a process */

/* XX(symbol, name in the configuration) */
#define FAULT_KINDS(XX)                                                                            \
    XX(NONE, "none")                                                                               \
    XX(STATUS, "status")                                                                           \
    XX(RESET, "reset")                                                                             \
    XX(FIN, "fin")                                                                                 \
    XX(EMPTY, "empty")                                                                             \
    XX(TRUNCATE, "truncate")                                                                       \
    XX(GARBAGE, "garbage")                                                                         \
    XX(BAD_CHUNK, "bad_chunk")                                                                     \
    XX(BAD_JSON, "bad_json")                                                                       \
    XX(BAD_SSE, "bad_sse")                                                                         \
    XX(DUP_FRAME, "dup_frame")                                                                     \
    XX(DROP_DONE, "drop_done")                                                                     \
    XX(SPLIT, "split")                                                                             \
    XX(COALESCE, "coalesce")                                                                       \
    XX(WRONG_LENGTH, "wrong_length")                                                               \
    XX(PARTIAL_HEADERS, "partial_headers")                                                         \
    XX(STALL, "stall")                                                                             \
    XX(DRIBBLE, "dribble")                                                                         \
    XX(BANDWIDTH, "bandwidth")                                                                     \
    XX(SLOW_CLOSE, "slow_close")                                                                   \
    XX(HALF_CLOSE, "half_close")                                                                   \
    XX(ACCEPT_DELAY, "accept_delay")                                                               \
    XX(REFUSE, "refuse")                                                                           \
    XX(DELAY, "delay")                                                                             \
    XX(STATUS_IN_STREAM, "status_in_stream")

enum fault_kind {
#define XX(symbol, name) FAULT_##symbol,
    FAULT_KINDS(XX)
#undef XX
        FAULT_KIND_COUNT
};

/* Where in the answer a reset, fin, truncate, stall or half_close happens. */
enum fault_at {
    FAULT_AT_ACCEPT,         /* before anything is read */
    FAULT_AT_BEFORE_HEADERS, /* instead of the answer, when it is due */
    FAULT_AT_AFTER_HEADERS,
    FAULT_AT_BYTES,   /* behind that many bytes of the body */
    FAULT_AT_TOKENS,  /* behind that many tokens of a stream */
    FAULT_AT_FRACTION /* of the body's bytes; of a stream's tokens */
};

struct fault_action {
    enum fault_kind kind;
    enum fault_at at;
    uint64_t at_count;
    double at_fraction;
    uint16_t status;       /* STATUS, STATUS_IN_STREAM */
    int32_t retry_after_s; /* STATUS; -1 = no such field */
    char *body;            /* STATUS; NULL: the error of the API. GARBAGE: NULL = random bytes */
    bool rst;              /* TRUNCATE, GARBAGE, EMPTY...: ends with a reset instead of a FIN */
    bool no_headers;       /* EMPTY: not a byte at all instead of a 200 without a body */
    uint64_t duration_ns;  /* STALL, SLOW_CLOSE, HALF_CLOSE, ACCEPT_DELAY; FAULT_FOREVER */
    uint32_t bytes;        /* GARBAGE, SPLIT, DRIBBLE: how many, of a piece */
    uint32_t chunks;       /* DRIBBLE: in so many pieces; 0: of `bytes` each */
    uint32_t events; /* COALESCE: in one segment; DUP_FRAME, BAD_SSE, BAD_JSON: which, from 1 */
    uint64_t interval_ns; /* SPLIT, DRIBBLE: between pieces */
    uint64_t total_ns; /* DRIBBLE with chunks: from the first to the last; made into interval_ns */
    uint64_t bytes_per_s;    /* BANDWIDTH */
    int64_t length_delta;    /* WRONG_LENGTH: added to Content-Length */
    struct weir_dist *delay; /* DELAY; STATUS: instead of the request's own, NULL = that one */
    json_t *delay_spec;      /* what `delay` was made of */
};

enum fault_mode { FAULT_BERNOULLI, FAULT_EVEN };
enum fault_scope { FAULT_PER_REQUEST, FAULT_PER_CONNECTION };

struct fault_when {
    double probability; /* 0 ... 1 */
    enum fault_mode mode;
    enum fault_scope scope;
    uint64_t every;            /* every n-th; 0 = each */
    uint64_t after;            /* not the first n */
    uint64_t first;            /* of those behind `after` the first n only; 0 = all */
    uint64_t start_ns, end_ns; /* since the rule began to count; end 0 = never */
    uint64_t period_ns;        /* duty cycle; 0 = none */
    double duty;               /* share of each period in which it strikes */
    uint64_t ramp_ns;          /* the probability grows from 0 to its value in that time */
    uint32_t max_active;       /* requests struck at once; 0 = no limit */
};

/* Exactly this text, or, when a star was at its end, any that begins with it. NULL = any at all. */
struct fault_pattern {
    char *text; /* without the star */
    uint32_t bytes;
    bool open; /* there was a star */
};

struct fault_match {
    struct fault_pattern path, method, model; /* no star in a method */
    int8_t stream;                            /* -1 = either */
    uint32_t headers_count;
    struct {
        struct fault_pattern name, value; /* no star in a name; value NULL: the field is there */
    } headers[FAULT_HEADERS_MAX];
};

struct fault_rule {
    char id[FAULT_ID_BYTES];
    uint16_t number; /* of the id: its own for the life of the process, in journal and metrics */
    bool enabled;
    bool next_too;   /* "continue": the rules behind it are asked, too */
    bool seed_given; /* else `seed` is made of the configuration's and the id */
    uint64_t seed;
    uint64_t ttl_ns; /* it is dead that long after it began to count; 0 = never */
    struct fault_match match;
    struct fault_when when;
    struct fault_action action;
    struct {
        uint64_t share, whole, phase; /* the probability is share / whole; 0 <= phase < whole */
    } even;
    uint64_t hash; /* of the definition with its seed, given or made, without `enabled` */
    /* What follows changes. */
    atomic_uint refs;              /* configurations that have it */
    atomic_uint_fast64_t begun_ns; /* when it began to count: the start, its creation, a reset */
    atomic_uint_fast64_t matched, struck;
    atomic_uint active;
};

/*
 * What is wrong. `text` says what was expected and what was got, and leaves it to the pointer to
 * say where; but for a word of X-Mock-Fault the pointer is "" and the text names the key.
 */
struct fault_error {
    char pointer[96]; /* within the rule, RFC 6901: "/when/probability" */
    char text[400];
};

/*
 * Check one rule, every key of it, and make it. `seed`: the configuration's. `now_ns`: it begins to
 * count. An id that is missing becomes "rule-N" with its place `index`, from 1.
 * @return 0; -EINVAL with `err`; -ENOSPC: FAULT_NUMBERS_MAX; -ENOMEM
 */
int fault_rule_open(struct fault_rule **out, const json_t *json, uint32_t index, uint64_t seed,
                    uint64_t now_ns, struct fault_error *err);
/* The same without a number: it gets one, if there is one left, when it is sure to count. */
int fault_rule_make(struct fault_rule **out, const json_t *json, uint32_t index, uint64_t seed,
                    uint64_t now_ns, struct fault_error *err);
/* @return 0, -ENOSPC with `err` */
int fault_rule_number(struct fault_rule *rule, struct fault_error *err);

struct fault_rule *fault_rule_hold(struct fault_rule *rule);
void fault_rule_drop(struct fault_rule *rule);

/* The whole definition, defaults left out, as fault_rule_open() reads it. @return new reference */
json_t *fault_rule_json(const struct fault_rule *rule);

/* The same, with {"number","matched","struck","active","alive"} under "state". */
json_t *fault_rule_json_state(const struct fault_rule *rule, uint64_t now_ns);

/* The id that has this number, "" for 0 and for those not given yet. Valid for ever. Any thread. */
const char *fault_number_id(uint16_t number);
const char *fault_kind_name(enum fault_kind kind);

/*
 * Does it happen when a connection is accepted: REFUSE, ACCEPT_DELAY, FAULT_AT_ACCEPT? Such a rule
 * has no `match` and its scope is the connection: it is asked by fault_rule_strikes() with a
 * subject that has nothing but the connection's key, and released at once: max_active never holds
 * it back. It matches the head of no request.
 */
bool fault_action_is_accept(const struct fault_action *action);

/*
 * Can it only happen to a stream: BAD_SSE, DUP_FRAME, DROP_DONE, COALESCE, STATUS_IN_STREAM? A rule
 * with such an action matches nothing else.
 */
bool fault_action_is_stream(const struct fault_action *action);

/* Counts back to 0, time begins anew. */
void fault_rule_reset(struct fault_rule *rule, uint64_t now_ns);

/* What is known of a request when its head is complete. */
struct fault_head {
    struct weir_slice path, method;
    /* A field of the request, {NULL, 0} if there is none. */
    struct weir_slice (*header)(const void *ctx, struct weir_slice name);
    const void *ctx;
};

/* Does the rule speak of such requests, as far as the head tells? */
bool fault_rule_matches_head(const struct fault_rule *rule, const struct fault_head *head);

/* What else must be known to decide. */
struct fault_subject {
    struct weir_slice model; /* empty: names none */
    bool stream;
    uint64_t key;    /* of the request; of its connection for FAULT_PER_CONNECTION */
    bool numbered;   /* `number` counts: the client gave it, or it is the connection's */
    uint64_t number; /* of the key; for FAULT_PER_CONNECTION of the connection, from 0 */
    uint64_t now_ns;
};

/*
 * Asked once for each request whose head matches and whose body is known. Counts it as matched if
 * the rule is enabled and alive and the rest matches, too. Any thread.
 * @return true: strikes; fault_rule_release() must follow when the request is over
 */
bool fault_rule_strikes(struct fault_rule *rule, const struct fault_subject *subject);
void fault_rule_release(struct fault_rule *rule);

/*
 * The number at the end of a key: "42", "user-7", "a0012" (12). @return false: there is none, or it
 * has more than 18 digits
 */
bool fault_key_number(struct weir_slice key, uint64_t *out);

/*
 * One action as a word, for the request field X-Mock-Fault: KIND[=VALUE][@PLACE][,KEY=VALUE]...
 *
 *   status=429,retry_after=2     reset@tokens=10     stall@bytes=100,duration=2s     delay=5ms
 *
 * The value behind the kind is that of its main key. Keys are those of the configuration, but
 * durations have a unit instead of _us: duration (there "us"), total, interval; retry_after is in
 * seconds. A key without a value is true. A delay and a body go on to the end of the word, commas
 * and all. PLACE: before_headers, after_headers, bytes=N, tokens=N, fraction=F. What happens when a
 * connection is accepted cannot be asked for by a request, and is refused.
 * @return 0; -EINVAL with `err`; -ENOMEM. On error *out holds nothing. fault_action_close()
 *         releases what it holds
 */
int fault_action_parse(struct fault_action *out, struct weir_slice text, struct fault_error *err);
void fault_action_close(struct fault_action *action);

#endif
