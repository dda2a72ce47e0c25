/* SPDX-License-Identifier: MIT */
/*
 * The reference model: what every exchange of a run asks and answers, as functions of seed and
 * number, so that either side knows what the other must have sent.
 */
#ifndef WEIR_TESTS_SIM_PLAN_H
#define WEIR_TESTS_SIM_PLAN_H

#include "core/list.h"
#include "world.h"

#include <weir/weir.h>

#define SIM_EXCHANGES_MAX 48
#define SIM_ENDPOINTS_MAX 3
#define SIM_HEALTH_TARGET "/health"
/* Times a call may meet a connection that was closed, and is sent again for that. */
#define SIM_REPLAYS_MAX 8
#define SIM_BODY_MAX    (640u << 10)

enum sim_answer {
    SIM_ANSWER_COPY,   /* one piece, copied */
    SIM_ANSWER_BORROW, /* one piece, borrowed */
    SIM_ANSWER_STREAM, /* begun, written in pieces, finished */
    SIM_ANSWER_PIECES, /* the same, of borrowed pieces */
    SIM_ANSWER_FIN,    /* begun and aborted in order */
    SIM_ANSWER_RST,    /* aborted by a reset */
    SIM_ANSWER_NEVER
};

/* How a request's body is given to the client. */
enum sim_upload {
    SIM_UPLOAD_WHOLE,
    SIM_UPLOAD_LENGTH, /* made while it is sent, its length known before */
    SIM_UPLOAD_CHUNKS  /* not known */
};

/* Where a call is given up besides at a time. */
enum sim_give_up { SIM_GIVE_UP_NOWHERE, SIM_GIVE_UP_IN_HEAD, SIM_GIVE_UP_IN_BODY };

struct sim_plan {
    struct weir_slice method;
    bool idempotent;    /* the client may send it twice */
    uint32_t ask_bytes; /* body of the request */
    enum sim_upload upload;
    bool rewinds;      /* a body that is made can be made again */
    bool source_fails; /* or breaks off in the middle */
    bool stops;        /* whoever asks wants no more of the answer, for a while, again and again */
    enum sim_give_up give_up;
    uint32_t refusals; /* times it is answered 503 before it is answered */
    uint32_t answer_bytes;
    uint16_t status;
    enum sim_answer how;
    bool early;           /* answered before the request's body was read */
    bool close;           /* and the connection ends with it */
    bool empty;           /* the answer has no body on the wire */
    uint32_t pad_bytes;   /* of the request's head */
    bool pauses;          /* the answer is given in bits, with time between them */
    uint64_t start_ns;    /* after the beginning of the run */
    uint64_t delay_ns;    /* from the request to its answer */
    uint64_t deadline_ns; /* of the call; 0 = none */
    uint64_t cancel_ns;   /* after its start; 0 = never */
};

struct sim_exchange {
    struct sim_plan plan;
    uint32_t id;
    /* the asking side */
    bool started, done;
    int err;
    /* the answering side */
    uint32_t asked, ended; /* times */
    uint32_t refused;
    bool answered;
    int end_err;
};

enum sim_scene {
    SIM_SCENE_WEIR,   /* client and server */
    SIM_SCENE_DIALER, /* scripted clients and the server */
    SIM_SCENE_ORIGIN, /* the client and a scripted server */
    SIM_SCENE_MOCK,   /* the client and weir-mock */
    SIM_SCENE_COUNT
};

/* What a run is like. Strict: nothing happens that could end an exchange with an error, unless
 * somebody asked for it. */
struct sim_config {
    enum sim_scene scene;
    bool strict;
    bool calm; /* nothing happens that could hold anything up either */
    uint32_t exchanges_count;
    uint32_t body_bytes_max;
    uint32_t dialers_count;
    uint32_t dialer_resets_per_million;
    uint32_t hold_per_million;
    uint32_t endpoints_count; /* scripted servers of the one service */
    bool closes_unused;       /* these close connections that are unused, unannounced */
    bool health;              /* and are asked how they are */
    bool timeouts;
    bool one_engine;                     /* client and server share one */
    bool end_early;                      /* server and client are closed in the middle */
    uint64_t end_ns;                     /* then */
    bool drain;                          /* the server is drained, not only closed */
    uint64_t drain_ns;                   /* then, or when all is done */
    struct weir_engine_config engine[2]; /* of the client, the server */
    struct weir_client_config client;
    struct weir_server_config server;
};

/* Things one run consists of: each is stepped in turn, between the passes of the engines. */
struct sim_actor {
    /* @return did anything happen? */
    bool (*step)(struct sim_actor *actor);
    bool (*done)(const struct sim_actor *actor);
};

#define SIM_ACTORS_MAX 24

/* What was found right of weir-mock's answers. */
struct sim_tally {
    uint64_t answers, streams, timed; /* with the times that were configured */
    uint64_t struck;                  /* by a fault, and ended as it may */
    uint64_t excused;                 /* ended with an error that there is a reason for */
    uint64_t changes;                 /* of the configuration */
};

struct sim_run {
    struct sim_world *world;
    struct sim_config config;
    struct sim_exchange exchanges[SIM_EXCHANGES_MAX];
    struct weir_engine *engines[2]; /* of the client, the server; both may be the same */
    struct sim_actor *actors[SIM_ACTORS_MAX];
    uint32_t actors_count;
    uint64_t begin_ns;
    struct sim_tally tally;
    bool blind; /* do not look into the engines */
};

/* A configuration and a plan of exchanges from the world's seed. `scene` SIM_SCENE_COUNT: any. */
void sim_plan_make(struct sim_run *run, enum sim_scene scene);

/* Text of a number, "/x/NUMBER"; and back: -1 when it is none. */
struct weir_slice sim_target(char out[16], uint32_t id);
int sim_target_id(struct weir_slice target);

enum sim_side { SIM_ASK, SIM_ANSWER };
/* Where the body of that exchange and side lies from `offset` on: SIM_BODY_MAX bytes. */
const uint8_t *sim_content(const struct sim_run *run, uint32_t id, enum sim_side side);
/* Does `piece` continue it at `offset`? */
bool sim_content_is(const struct sim_run *run, const struct sim_exchange *x, enum sim_side side,
                    uint64_t offset, struct weir_slice piece);

/* The method of a plan. */
bool sim_method_is(const struct sim_plan *plan, const char *name);

/* How an exchange ended, for the one who asked: what is allowed. */
void sim_exchange_done(struct sim_run *run, struct sim_exchange *x, int err);

#endif
