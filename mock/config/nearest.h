/* SPDX-License-Identifier: MIT */
/*
 * Which of the names there are somebody meant, who wrote one that there is not; and how a value
 * that somebody wrote is shown in a message.
 */
#ifndef MOCK_CONFIG_NEAREST_H
#define MOCK_CONFIG_NEAREST_H

#include <jansson.h>
#include <stddef.h>

#define NEAREST_SHOWN_BYTES 64

/*
 * The one of `names` that is `name` but for a slip or two of the keyboard (a letter too much, too
 * few, another one, two exchanged: a third of the letters at most), or that `name` begins, up to an
 * underscore: "queue_timeout" is near "queue_timeout_us". NULL when none is. O(bytes of all names
 * times bytes of `name`).
 */
const char *nearest_name(const char *name, const char *const *names, size_t count);

/* `json` for people: a scalar as it is written, cut and without control characters, else "an
 * object", "an array"; "nothing" for NULL. @return out */
const char *nearest_shown(char out[NEAREST_SHOWN_BYTES], const json_t *json);

#endif
