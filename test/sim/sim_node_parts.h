/* sim_node_parts - the state of a simulated node, for the files it is made of. Nobody else includes this.
 * Owner: the cluster. */
#ifndef KVDB_TEST_SIM_SIM_NODE_PARTS_H
#define KVDB_TEST_SIM_SIM_NODE_PARTS_H

#include "sim_identity.h"
#include "sim_node.h"

#include "node/reply_gate.h"
#include "schema/bundle.h"

/* A reply in the next bundle, or held, and the records that it tells of: those behind from_lsn. */
typedef struct {
    uint64_t tag;
    size_t bytes;
    uint64_t from_lsn, to_lsn;
} sim_reply_t;

typedef struct {
    sim_reply_t *items; /* owned */
    size_t head, count, capacity;
} sim_held_t;

struct sim_node {
    sim_node_options_t options;
    sim_random_t random;
    char id[KV_NODE_ID_BYTES_MAX + 1];
    char name[32];
    uint32_t host;
    executor_t *executor;
    uint64_t incarnation;
    bool ended, paused;
    int64_t now_ms, now_us; /* of its clock, both */
    int64_t next_call_ms, next_tick_ms, stop_ms;
    int64_t turn_us;      /* when the next turn is due; SIM_NEVER_US: none is */
    uint64_t turn_number; /* of that turn: an event for another is void */
    /* The directory: */
    bool opened, locks; /* it has looked for its directory; and has it */
    sim_identity_t identity;
    sim_log_t *log; /* owned; NULL: the data are in memory only */
    bool loading, loaded;
    int64_t load_us; /* the next step of it */
    /* The control lane: */
    sim_wire_t *control;
    bool welcomed, opening, serving;
    uint32_t beacon_ms;
    uint64_t epoch, beacon;
    /* Requests and replies: */
    sim_wire_t *data;
    bool leaving, blocked, has_part;
    uint64_t tag;
    kv_slice_t part; /* the request to run next */
    bundle_t work;   /* what of the bundle in work_frames has not run yet */
    blob_t *work_frames[KV_BUNDLE_FRAMES_MAX];
    kv_slice_t work_bytes[KV_BUNDLE_FRAMES_MAX];
    size_t work_count; /* frames; 0: there is no such bundle */
    writer_t replies;
    reply_gate_t *gate; /* owned: replies that wait for the log */
    sim_held_t held;    /* of those, in the same order */
    uint32_t part_count;
    sim_reply_t parts[KV_BUNDLE_PARTS_MAX]; /* of `replies` */
};

/* It ends by itself. */
void sim_node_end (sim_node_t *self, sim_end_t how, const char *reason);

void sim_node_send (sim_wire_t *wire, const message_t *message);

/* ---- sim_node_control ---- */

void sim_node_call (sim_node_t *self);       /* READY */
void sim_node_call_again (sim_node_t *self); /* as if nothing had been said yet */
void sim_node_beacon (sim_node_t *self);
void sim_node_attach (sim_node_t *self); /* everything that is to be durable before it serves is */
void sim_node_drain_control (sim_node_t *self);

/* Whether the log has space for the records that open all epochs. */
bool sim_node_may_open (sim_node_t *self);

/* ---- sim_node_requests ---- */

/* Whether there may be more to do at once. */
bool sim_node_drain_data (sim_node_t *self);

void sim_node_drop_work (sim_node_t *self);       /* the bundle in hand */
void sim_node_release_replies (sim_node_t *self); /* what waited for the disk */
void sim_node_leave (sim_node_t *self);           /* says the last word behind the last reply */

#endif
