/* node_parts - the state of a node actor, for the files it is made of: node_actor (its life and its turns),
 * node_control (the control lane: who owns what), node_requests (what it is asked, and what it answers).
 * Nobody else includes this. Owner: the actor's thread. */
#ifndef KVDB_NODE_NODE_PARTS_H
#define KVDB_NODE_NODE_PARTS_H

#include "actors/door.h"
#include "actors/identity.h"
#include "node/executor.h"
#include "node/kvdb_node.h"
#include "node/node_info.h"
#include "node/node_options.h"
#include "node/outbox.h"
#include "node/persistence.h"
#include "schema/bundle.h"
#include "schema/limits.h"

typedef struct {
    node_options_t *given; /* what follows is of it */
    const kv_node_options_t *options;
    const log_t *log;
    zsock_t *pipe;
    void *control, *data; /* raw DEALER sockets */
    door_t *door;         /* the direct door, or NULL */
    executor_t *executor;
    identity_t identity;
    uint64_t incarnation;
    bool is_inproc;  /* the broker is in this process */
    bool welcomed;   /* the broker has said WELCOME on this connection */
    bool told_ready; /* the pipe has been told */
    bool serving;    /* attached: the data lane may carry requests */
    uint32_t beacon_ms;
    uint64_t epoch;    /* of the newest SHARDS */
    uint64_t beacon;   /* the last beacon's number */
    int64_t asked_us;  /* when a request was there last, clock_us */
    int64_t tended_us; /* when the disk was tended last */
    int64_t spare_us;  /* what a snapshot may take of the node's time until it is used up */
    int64_t now_ms, next_call_ms, next_tick_ms, next_tend_ms;
    int64_t taken_since_ms; /* 0: not refused; else since when, because the id is taken */
    int64_t stop_ms;        /* 0: not stopping; else when it ends in any case */
    outbox_t *outbox;
    files_t *files;             /* of the data directory, locked; NULL without one */
    persistence_t *persistence; /* NULL: the data is in memory only */
    bool loading;               /* recovering: nothing is served yet */
    int64_t tell_space_ms; /* ... as the log has no space: when to tell; 0: it has not waited */
    bool opening;          /* owns its shards, whose epochs are not durable yet */
    bool leaving;          /* the broker's SHUTDOWN was there: the last word is due */
    bool blocked;          /* a request waits for space in the log */
    bool has_part,
        has_direct; /* of the bundle in hand, and of the direct door: the request to run next */
    uint64_t tag;
    kv_slice_t part;
    door_message_t direct;
    bundle_t work; /* what of the bundle in work_frames has not run yet */
    blob_t *work_frames[KV_BUNDLE_FRAMES_MAX];
    kv_slice_t work_bytes[KV_BUNDLE_FRAMES_MAX];
    size_t work_count;    /* frames; 0: there is no such bundle */
    uint64_t undecodable; /* requests at the direct door that had not even an id */
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    node_info_t info;
    char info_text[NODE_INFO_BYTES + PERSISTENCE_INFO_BYTES];
    bool ended;
    bool failed;
    char reason[FILES_ERROR_BYTES + 192]; /* why it ended */
} node_t;

/* Ends it, with what its pipe is told. The first reason stays. */
void node_end (node_t *self, bool failed, const char *reason);

/* ---- node_control ---- */

kv_status_t node_connect (const kv_node_options_t *options, void **control, void **data, char *why,
                          size_t why_bytes);

/* One message on a lane. */
KV_CHECK_RESULT kv_status_t node_send (void *socket, const message_t *message);

/* The same for what is said again anyway: it may be lost while the broker is not there. */
void node_tell (void *socket, const message_t *message);

void node_call (node_t *self);       /* READY */
void node_call_again (node_t *self); /* as if nothing had been said yet */
void node_beacon (node_t *self);
void node_attach (node_t *self); /* everything that is to be durable before it serves is */
void node_drain_control (node_t *self);

/* Whether the log has space for the records that open all epochs. */
bool node_may_open (node_t *self);

/* ---- node_requests ---- */

/* Takes requests as far as the turn goes; whether there may be more to do at once. */
bool node_drain_data (node_t *self);
bool node_drain_door (node_t *self);

void node_drop_work (node_t *self);        /* the bundle in hand */
void node_release_replies (node_t *self);  /* what waited for the disk */
bool node_is_stalled (const node_t *self); /* no request is run for now */
void node_leave (node_t *self);            /* says the last word behind the last reply */

#endif
