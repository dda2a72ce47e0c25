/* SPDX-License-Identifier: MIT */
/*
 * A parser that is measured, behind one interface for all of them.
 *
 * A run is a number of passes over the bytes of a row. The loop over the passes lies inside the
 * adapter, so that what is measured holds one indirect call per block of passes and none per
 * message. A timed run leaves behind a sum that depends on what was found, or a compiler could
 * leave the work out. A verifying run besides digests every name, value and byte of body.
 */
#ifndef WEIR_PERF_CODEC_PEER_H
#define WEIR_PERF_CODEC_PEER_H

#include "perf/codec/input.h"

/* FNV-1a over what a parser found. The same for all parsers: they differ in nothing but speed. */
struct codec_digest {
    uint64_t hash;
};

#define CODEC_DIGEST_START ((struct codec_digest){ .hash = 0xcbf29ce484222325 })

/* Bytes that may come in any pieces: a body. */
static inline void codec_digest_bytes(struct codec_digest *digest, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        digest->hash = (digest->hash ^ p[i]) * 0x100000001b3;
}

/* Bytes that belong together: a name, a value. Their length is digested too. */
static inline void codec_digest_part(struct codec_digest *digest, const void *bytes, size_t len)
{
    uint64_t count = len;
    codec_digest_bytes(digest, bytes, len);
    codec_digest_bytes(digest, &count, sizeof(count));
}

static inline void codec_digest_number(struct codec_digest *digest, uint64_t number)
{
    codec_digest_bytes(digest, &number, sizeof(number));
}

enum { CODEC_FIELDS_MAX = 64 };

struct codec_job {
    const struct codec_input *input;
    uint8_t *bytes; /* a copy of the input's; after the run it holds the same as before */
    uint64_t passes;
    struct codec_digest *digest; /* NULL: timed */
    uint64_t unmeasured_ns;      /* out: to be subtracted from the time of the run */
    uint64_t sum;                /* out */
};

struct codec_peer {
    const char *name;
    bool floor;       /* parses nothing, so there is nothing to compare */
    const char *simd; /* the set of instructions it uses; NULL: not known */
    void *ctx;
    /* false: it refused the bytes. NULL: it has no parser for this kind. */
    bool (*run[CODEC_KIND_COUNT])(const struct codec_peer *peer, struct codec_job *job);
    uint64_t passes[CODEC_INPUTS_COUNT]; /* in one block, once they are known */
};

uint64_t codec_clock_ns(void);

/* The adapters. Peers live until the process ends. */
struct codec_peer *codec_peer_weir(void);
struct codec_peer *codec_peer_http_parser(void); /* where <http_parser.h> is */
struct codec_peer *codec_peer_memcpy(void);
struct codec_peer *codec_peer_memchr(void);

/* From a shared object that the user built; NULL after saying on stderr what is wrong with it. */
struct codec_peer *codec_peer_pico(const char *name, const char *path);

#endif
