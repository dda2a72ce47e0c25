/* SPDX-License-Identifier: MIT */
/*
 * A JSON value of a request's body, looked at in place or in jansson's tree: what is made of it is
 * written once for both.
 *
 * In place costs a tenth and cannot say everything: what it is not sure of is NODE_UNUSUAL, and
 * whoever meets that, or anything else that is wrong, begins anew with the tree. So in place may
 * only be taken what jansson takes, too, and every byte of a body must be looked at: jansson
 * refuses numbers that do not fit, \u0000 and lone surrogates.
 */
#ifndef MOCK_API_NODE_H
#define MOCK_API_NODE_H

#include <weir/json.h>

#include <jansson.h>

enum node_kind {
    NODE_MISSING,
    NODE_NULL,
    NODE_FALSE,
    NODE_TRUE,
    NODE_INTEGER,
    NODE_REAL,
    NODE_STRING,
    NODE_ARRAY,
    NODE_OBJECT,
    NODE_UNUSUAL,
    NODE_KIND_COUNT
};

/* What it is was found out when it was found. */
struct node {
    enum node_kind kind;   /* NODE_MISSING: neither of both */
    bool escapes;          /* of a string in place: it has some */
    struct weir_slice raw; /* without blanks around it, and checked by the walk that found it */
    const json_t *json;
};

/* The object that `text` is, unless the walk over its members finds that it is none. @return false:
 * look at the tree */
bool node_in_place(struct node *out, struct weir_slice text);

/* The same as a tree, for node_drop_tree(). @return 0; -EINVAL: `text` is no JSON, see `at` */
int node_from_tree(struct node *out, struct weir_slice text, json_error_t *at);
void node_drop_tree(struct node *node);

/* "a string", "an integer" */
const char *node_kind_name(enum node_kind kind);

int64_t node_integer(struct node node); /* of a NODE_INTEGER */
double node_number(struct node node);   /* of a NODE_INTEGER or NODE_REAL */

/* The text of a NODE_STRING. If node.escapes, they are still in it: see node_piece(). */
struct weir_slice node_text(struct node node);

/*
 * The next piece of a text with escapes, decoded: a part of it, or what an escape stands for, in
 * `decoded`. Takes it off `rest`, which is not empty.
 */
struct weir_slice node_piece(struct weir_slice *rest, uint8_t decoded[4]);

/* Is there nothing unusual in a value that nobody will look into? */
bool node_is_usual(struct node node);

/*
 * Look up members of a NODE_OBJECT: out[i] is the value of names[i], or missing. Of the others it
 * is made sure that they are usual. Names are literals: a NUL is behind each.
 * @return false: look at the tree
 */
bool node_members(struct node object, const struct weir_slice *names, unsigned count,
                  struct node *out);

/* A walk over the elements of a NODE_ARRAY. */
struct node_walk {
    struct weir_json_walk walk;
    const json_t *array;
    size_t index;
};
void node_array_begin(struct node_walk *walk, struct node array);
/* @return 1; 0: that were all; negative: look at the tree */
int node_array_next(struct node_walk *walk, struct node *element);

#endif
