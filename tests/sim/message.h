/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 as the scripted peers speak it: a reader of whole messages, simple and strict, that
 * shares nothing with the codec under test.
 */
#ifndef WEIR_TESTS_SIM_MESSAGE_H
#define WEIR_TESTS_SIM_MESSAGE_H

#include "plan.h"

/* Bytes that were received, or wait to be sent. */
struct sim_text {
    uint8_t *at;
    size_t len, cap;
    size_t taken; /* of them, from the front */
};

void sim_text_add(struct sim_text *text, const void *data, size_t bytes);
void sim_text_print(struct sim_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_text_free(struct sim_text *text);
static inline struct weir_slice sim_text_rest(const struct sim_text *text)
{
    return (struct weir_slice){ text->at + text->taken, text->len - text->taken };
}
/* `body` in chunks of random sizes, with extensions, and the last one. */
void sim_text_add_chunked(struct sim_text *text, struct sim_world *world, struct weir_slice body);

struct sim_message {
    int status;                       /* responses */
    struct weir_slice method, target; /* requests */
    bool close;
    int64_t length;         /* Content-Length; -1: none */
    struct weir_slice body; /* decoded in place */
};

enum sim_taken {
    SIM_TAKEN_NONE, /* more is needed */
    SIM_TAKEN_ONE,
    SIM_TAKEN_WRONG
};

/*
 * Take the next message off the front of `text`. `bodyless`: the answer to HEAD. `ended`: no more
 * bytes will come, which ends a body without a length.
 */
enum sim_taken sim_message_take(struct sim_message *out, struct sim_text *text, bool bodyless,
                                bool ended);

#endif
