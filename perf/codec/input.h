/* SPDX-License-Identifier: MIT */
/* The rows of the codec benchmark: which bytes are parsed, how often they count, what is asked. */
#ifndef WEIR_PERF_CODEC_INPUT_H
#define WEIR_PERF_CODEC_INPUT_H

#include <weir/base.h>

/* What is done with the bytes of a row. */
enum codec_kind {
    CODEC_REQUEST,       /* request heads, one behind the other */
    CODEC_RESPONSE,      /* the same with response heads */
    CODEC_CHUNKED,       /* one body in chunks */
    CODEC_EVENTS,        /* a stream of server-sent events */
    CODEC_REQUEST_BYTES, /* one request head that arrives byte by byte */
    CODEC_KIND_COUNT,
};

/* What weir is asked to reach in a row; 0: nothing. */
struct codec_bars {
    double pico;        /* times the speed of picohttpparser */
    double http_parser; /* times the speed of libhttp-parser */
    double scalar;      /* weir without SIMD: times the speed of picohttpparser without SIMD */
    double gbs;         /* 10^9 bytes per second */
};

struct codec_input {
    const char *name;
    const char *unit; /* what the times are given for */
    uint32_t units;   /* of them in one pass over the bytes */
    enum codec_kind kind;
    struct weir_slice bytes;
    struct codec_bars bars;
};

enum { CODEC_INPUTS_COUNT = 11, CODEC_INPUT_BYTES_MAX = 1280 * 1024 };

/* All rows. Composed at the first call; static memory, the same bytes in every process. */
const struct codec_input *codec_inputs(void);

/* The row of this name, or NULL. */
const struct codec_input *codec_input_find(const char *name);

#endif
