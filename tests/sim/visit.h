/* SPDX-License-Identifier: MIT */
/* One request to weir-mock: what is asked, and what came back. */
#ifndef WEIR_TESTS_SIM_VISIT_H
#define WEIR_TESTS_SIM_VISIT_H

#include "plan.h"

#include "mock/api/endpoint.h"
#include "mock/text.h"

#define SIM_TIMES_MAX       64
#define SIM_EVENT_BYTES_MAX 2048
#define SIM_CHOICES_MAX     3

struct sim_office;

/* A request whose answer is always the same. */
struct sim_ask {
    const char *method, *target, *body;
    uint16_t status;    /* 0: any below 300 */
    const char *needle; /* a part of the answer; NULL: it has no body */
    bool endless;       /* it never ends by itself */
};

enum sim_visit_kind {
    SIM_VISIT_ASK,    /* visit->ask */
    SIM_VISIT_TOKENS, /* inference */
    SIM_VISIT_CHANGE  /* of the configuration */
};

struct sim_visit {
    struct weir_call call;
    struct sim_office *office;
    struct sim_exchange *x;
    enum sim_visit_kind kind;
    const struct sim_ask *ask;
    const char *method, *target;
    struct text body;
    struct weir_header headers[3];
    char key[16], field[24];
    bool overridden; /* says itself what is to happen */
    /* inference */
    enum endpoint endpoint;
    uint32_t tokens_max; /* 0 = does not say */
    uint32_t choices_count;
    bool stream, usage;
    /* Times; 0 = none. */
    uint64_t start_ns, cancel_ns, resume_ns;
    bool given_up;
    /* The answer. */
    uint8_t got[32768]; /* not of a stream; what does not fit is not looked at */
    size_t got_bytes;
    /* The answer as a stream of events. */
    char event[SIM_EVENT_BYTES_MAX]; /* that is not complete */
    size_t event_bytes;
    bool malformed;
    uint32_t tokens[SIM_CHOICES_MAX];  /* that came */
    uint64_t times_ns[SIM_TIMES_MAX];  /* when those of the first choice did */
    uint32_t told_tokens, told_usages; /* how many there were, as the last events say */
    uint32_t finishes, dones;
};

/* What it asks, by chance. */
void sim_visit_draw(struct sim_visit *visit, struct sim_office *office, struct sim_exchange *x);
/* What is to be done at this time. @return was there anything? */
bool sim_visit_step(struct sim_visit *visit);
void sim_visit_close(struct sim_visit *visit);

#endif
