/* SPDX-License-Identifier: MIT */
/**
 * JSON (RFC 8259) taken apart in place: a strict check of a text, and walks over the elements of an array and the members
 * of an object that hand out views into it.
 *
 * Usable without an engine. No allocation, no recursion, no global state; O(bytes), any thread. Strict: UTF-8 only
 * (RFC 3629), no byte order mark, no comma behind the last element, nothing but blanks behind the value. What the grammar
 * allows is taken as it is: numbers of any size, escapes of lone surrogates, members of the same name.
 */
#ifndef WEIR_JSON_H
#define WEIR_JSON_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How deep arrays and objects may nest: deeper is WEIR_E_LIMIT (RFC 8259 section 9 allows such a limit). */
#define WEIR_JSON_DEPTH_MAX 256

/** A walk over a text: where it is. Private, but `at`: behind an error it points at the byte that was refused. */
struct weir_json_walk {
    const uint8_t *at, *end;
    bool first; /* no element was handed out yet */
};

/**
 * Is `text` exactly one JSON value, with or without blanks around it?
 * @return 0; -EINVAL: it is not; WEIR_E_LIMIT: it nests deeper than WEIR_JSON_DEPTH_MAX
 */
WEIR_API WEIR_MUST_USE int weir_json_check(struct weir_slice text);

/** Begin a walk over the array that `text` is; it must stay in place. @return 0; -EINVAL: it does not begin with '[' */
WEIR_API WEIR_MUST_USE int weir_json_array_begin(struct weir_json_walk *walk,
                                                 struct weir_slice text);

/**
 * The next element, as it stands in the text, without the blanks around it.
 * @return 1; 0: that was all of the array, and of the text; -EINVAL, WEIR_E_LIMIT: as weir_json_check(), the walk is over
 */
WEIR_API WEIR_MUST_USE int weir_json_array_next(struct weir_json_walk *walk,
                                                struct weir_slice *element);

/** Begin a walk over the object that `text` is; it must stay in place. @return 0; -EINVAL: it does not begin with '{' */
WEIR_API WEIR_MUST_USE int weir_json_object_begin(struct weir_json_walk *walk,
                                                  struct weir_slice text);

/**
 * The next member: what stands between the quotes of its name, escapes and all, and its value as weir_json_array_next()
 * hands out an element. @return as weir_json_array_next()
 */
WEIR_API WEIR_MUST_USE int weir_json_object_next(struct weir_json_walk *walk,
                                                 struct weir_slice *name, struct weir_slice *value);

#ifdef __cplusplus
}
#endif

#endif
