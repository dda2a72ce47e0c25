/* SPDX-License-Identifier: MIT */
/* The models that the mock pretends to have, and which of them are loaded. Shared by all threads.
 */
#ifndef MOCK_MODELS_H
#define MOCK_MODELS_H

#include <weir/base.h>

#include <stdatomic.h>

#define MODELS_COUNT  2
#define MODEL_UNKNOWN (-1)

struct models {
    atomic_uint loaded; /* bit i: model i is loaded */
    /* The answer to a listing for each state of `loaded`, made once: a listing costs a lookup. */
    char *lists[1U << MODELS_COUNT];
    struct weir_slice bodies[1U << MODELS_COUNT];
};

/* All unloaded. @return 0 or -ENOMEM */
int models_open(struct models *models);
void models_close(struct models *models);

/* Index of the model called `id`, or MODEL_UNKNOWN. */
int models_find(struct weir_slice id);
const char *models_id(int model);

/* No effect for MODEL_UNKNOWN. Any thread. */
void models_set_loaded(struct models *models, int model, bool loaded);
bool models_is_loaded(const struct models *models, int model);

/* Back to the state after models_open(). Any thread. */
void models_reset(struct models *models);

/* The JSON array of all models as they are now; valid until models_close(). Any thread. */
struct weir_slice models_list(const struct models *models);

#endif
