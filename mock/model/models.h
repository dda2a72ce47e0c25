/* SPDX-License-Identifier: MIT */
/*
 * The models of the configuration and what is loaded of them: mock/model/residency.h for all
 * threads, with names and with the listing.
 *
 * A model is called by its number, which is not its index in a configuration: it stays the same
 * when the configuration is replaced, so that a request that began before gives back what it used,
 * and is given to no other model, so that what was written down of it stays true.
 *
 * Time is virtual, as in residency.h, but threads may be apart in it: what is earlier than the
 * latest time that was told counts as that one.
 */
#ifndef MOCK_MODELS_H
#define MOCK_MODELS_H

#include "mock/config/config.h"
#include "mock/model/residency.h"
#include "mock/text.h"

#include <pthread.h>

#define MODEL_UNKNOWN      (-1)
#define MODELS_NUMBERS_MAX 1024 /* configured ones, and former ones that are still used */

/* An id that was given out: it stays until the end, whatever becomes of its number. */
struct models_label {
    struct models_label *next;
    char id[CONFIG_NAME_BYTES];
};

/* What stands under one number. */
struct models_entry {
    char id[CONFIG_NAME_BYTES]; /* "": nothing ever did */
    char name[CONFIG_NAME_BYTES];
    _Atomic(struct models_label *) label; /* the id for those who have no lock */
    uint32_t uses_count;
    bool configured;
    uint8_t index; /* in the configuration */
};

struct models {
    pthread_mutex_t lock;
    /* Under the lock. */
    struct residency residency; /* by index in the configuration */
    struct models_entry entries[MODELS_NUMBERS_MAX];
    uint16_t numbers[CONFIG_MODELS_MAX]; /* of the models of the configuration, in its order */
    uint32_t numbers_next;               /* where the search for a free one begins */
    uint64_t now_ns;                     /* the latest time that was told */
    struct models_label *labels;         /* all of them */
    struct text list;                    /* as of the last change, */
    uint64_t list_until_ns;              /* and right before this time */
};

/* @return 0; -EINVAL: the models loaded from the beginning exceed the memory; -errno */
int models_open(struct models *models, const struct config *config);
void models_close(struct models *models);

/*
 * Another configuration: models of the same id keep their state, whatever else is new about them;
 * those that are gone leave their memory at once; those that are new and loaded from the beginning
 * are loaded at once if the memory suffices. A smaller memory throws nobody out. @return 0; -EINVAL
 * as models_open(); -ENOSPC: MODELS_NUMBERS_MAX ids were seen. On error nothing has changed
 */
int models_reconfigure(struct models *models, const struct config *config, uint64_t now_ns);

/* Back to what was after models_open() with the present configuration, the totals too; only what is
 * used at present still is. */
void models_reset(struct models *models);

/* The number of the model called `id`, or MODEL_UNKNOWN. */
int models_find(struct models *models, struct weir_slice id);

/* The number of the model `index` of `config`, which may be older than the present one; or
 * MODEL_UNKNOWN when there is no such model any more, or index is negative. */
int models_number(struct models *models, const struct config *config, int index);

/*
 * As residency_load() and so on, by number. One that is configured no more is RESIDENCY_ABSENT.
 * MODEL_UNKNOWN is loaded and unloaded as one that needs no memory, and nothing of it is kept; to
 * use it is RESIDENCY_ABSENT.
 *
 * `load_ns` 0: DONE at once, unless evictions take time. Else ACCEPTED, and the caller answers so
 * or when it is ready_ns.
 */
struct residency_answer models_load(struct models *models, int model, uint64_t now_ns,
                                    uint64_t load_ns);
struct residency_answer models_unload(struct models *models, int model, uint64_t now_ns,
                                      uint64_t unload_ns);
struct residency_answer models_use(struct models *models, int model, uint64_t now_ns);
void models_release(struct models *models, int model, uint64_t now_ns);

/* @return when the next transition ends, or RESIDENCY_NEVER */
uint64_t models_advance(struct models *models, uint64_t now_ns);

/* UNLOADED for one that is unknown or not configured any more. */
enum residency_state models_state(struct models *models, int model, uint64_t now_ns);

/* "unloaded", "loading", "loaded", "unloading" */
const char *models_state_name(enum residency_state state);

/* The id under a number; NULL when there is none. Valid until models_close(). Any thread. */
const char *models_name(const struct models *models, int model);

/* All ids by number. */
struct models_names {
    const char *names[MODELS_NUMBERS_MAX];
    uint32_t count;
};
void models_names(struct models_names *out, const struct models *models);

/* A copy, as of `now_ns`. */
void models_residency(struct residency *out, struct models *models, uint64_t now_ns);

/* Add the JSON array of all models, the answer of GET /api/models. It is kept until something
 * changes, and copied here. @return 0 or -ENOMEM */
int models_list(struct models *models, uint64_t now_ns, struct text *out);

struct models_view_entry {
    char id[CONFIG_NAME_BYTES];
    enum residency_state state;
    uint64_t memory_bytes;
    uint32_t uses_count;
};

/* All of it at one moment, in the order of the configuration. */
struct models_view {
    struct models_view_entry entries[CONFIG_MODELS_MAX];
    uint32_t entries_count, loaded_count;
    uint64_t used_bytes, capacity_bytes; /* 0 = no limit */
    struct residency_stats stats;
};
void models_view(struct models_view *out, struct models *models, uint64_t now_ns);

#endif
