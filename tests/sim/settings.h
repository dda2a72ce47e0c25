/* SPDX-License-Identifier: MIT */
/* Random configurations of weir-mock, and what may happen to a client of one. */
#ifndef WEIR_TESTS_SIM_SETTINGS_H
#define WEIR_TESTS_SIM_SETTINGS_H

#include "world.h"

#include "mock/fault/rule.h"
#include "mock/text.h"

/* What the configurations of one run may have in them, the first one and those that replace it. */
struct sim_settings {
    bool plain;     /* no times, no limits, no faults: as fast as it can be */
    bool changes;   /* it is replaced while requests are served */
    bool resets;    /* the counts and the journal are forgotten meanwhile */
    bool overrides; /* requests say what they want to suffer */
    bool limits;    /* some requests are refused: 429, 503 */
    bool models;    /* some models are not loaded: 404, 409, 507 */
    bool batch;     /* an engine that may be full, or too small: 503, 400 */
    bool faults;
    bool damages; /* faults give wrong answers, */
    bool breaks;  /* end connections, */
    bool holds;   /* keep back an answer for ever, */
    bool accepts; /* end connections before there is a request, */
    bool taints;  /* or leave bytes behind that the next answer begins with */
};

void sim_settings_draw(struct sim_settings *out, struct sim_world *world, bool strict);

/* A whole configuration, or a patch of one, as JSON. */
void sim_settings_write(struct text *out, const struct sim_settings *settings,
                        struct sim_world *world);
void sim_settings_write_patch(struct text *out, const struct sim_settings *settings,
                              struct sim_world *world);

/* One fault rule. `id`: NULL = it says none. */
void sim_settings_write_rule(struct text *out, const struct sim_settings *settings,
                             struct sim_world *world, const char *id);
/* One of the few ids that rules have: their numbers last as long as the process. */
const char *sim_settings_rule_id(struct sim_world *world);

/* A value of X-Mock-Fault. */
const char *sim_settings_fault_word(const struct sim_settings *settings, struct sim_world *world);

/* Does such a fault end connections; does it give an answer that is not the regular one, or give it
 * slowly? */
bool sim_settings_kind_breaks(enum fault_kind kind);
bool sim_settings_kind_damages(enum fault_kind kind);
bool sim_settings_kind_paces(enum fault_kind kind);

#endif
