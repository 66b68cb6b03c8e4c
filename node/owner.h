/* owner - a shard's owner under its epochs: what the other copies have, what is committed, whether an answer
 * may leave, and what is to be asked of the coordinator. Beside it stands the replica_t of the owner's own log.
 *
 *   OPENING --open record committed, grace over--> SERVING --a planned move--> HOLDING --all committed--> OVER
 *      ^                                             |                           |
 *      +-- a configuration with the same owner ------+                           |
 *   any of them --an epoch that somebody else owns--> OVER <---------------------+
 *
 * Others are, as the owner sees them:
 *
 *   part      LEARNER --caught up, steady--> JOINER --configured--> MEMBER
 *   state     ASKED --its log is part of ours--> STREAMING       (a stream that breaks: ASKED again)
 *               +-----its log ends before ours begins---> LACKING --copied, or pulled from elsewhere--> ASKED
 *
 *   W1  committed = the highest position that every MEMBER and JOINER has received, the owner included (R2);
 *       alone: that is durable here (R11). It never goes back, and counts only once it has reached the open
 *       record of the epoch (R8).
 *   W2  secured = the highest committed position that every MEMBER and JOINER has durable.
 *   W3  acknowledgements and grants under another epoch than the present one count for nothing (R5).
 *   W4  a JOINER stays required, acknowledgement and lease, until a higher epoch is known (R10). There is no
 *       taking back: who is to be left out is dropped by a higher epoch.
 *   W5  leased: every MEMBER and JOINER but the owner has granted a lease that still runs, counted from when
 *       the answered beacon was sent, less the drift (R4).
 *   W6  before an epoch in which it would be alone is asked for, everything logged is durable (R11).
 *   W7  it serves only while SERVING: after the grace since its own copy last answered the former owner (R5),
 *       unless that has relinquished (R18).
 *
 * Pure: time comes in, microseconds. What is to be done comes out of owner_next_effect, and, for the streams,
 * out of owner_stream. Owner: the node's thread. */
#ifndef KVDB_NODE_OWNER_H
#define KVDB_NODE_OWNER_H

#include "actors/replica.h"

typedef struct owner owner_t;

typedef enum { OWNER_OPENING, OWNER_SERVING, OWNER_HOLDING, OWNER_OVER } owner_state_t;
typedef enum { PART_LEARNER, PART_JOINER, PART_MEMBER } owner_part_t;
typedef enum { COPY_ASKED, COPY_STREAMING, COPY_LACKING } owner_copy_state_t;

/* All that can be set; microseconds. */
typedef struct {
    int64_t lease_us;  /* how long a grant runs for its holder, the drift already taken off */
    int64_t grace_us;  /* how long a promoted member waits, the drift already added; > lease_us */
    int64_t stall_us;  /* acknowledgements that stand still for so long with records outstanding */
    int64_t steady_us; /* contact before a learner is admitted (R10) */
    int64_t ask_us;    /* between askings of the coordinator for the same thing */
    bool expects_followers; /* min (replicas, nodes - 1) >= 1: a single member is alone (R11) */
} owner_options_t;

/* How another copy stands, for INFO and tests. */
typedef struct {
    member_t member;
    owner_part_t part;
    owner_copy_state_t state;
    uint64_t received, durable; /* acknowledged under this epoch */
    uint64_t sent;              /* streamed up to there */
    int64_t leased_until_us;
    bool reachable;
} owner_copy_t;

typedef enum {
    OWNER_OPEN, /* append a record that opens the epoch, then call owner_appended; sync up to it */
    OWNER_SYNC, /* make the log durable up to `position` */
    OWNER_ASK_ADMIT, /* tell the coordinator: admit `member` */
    OWNER_ASK_DROP,  /* ...: drop it */
    OWNER_BASE, /* `member` lacks what this log no longer has: give it a full copy, or a base to the
                    secondary WAL; then owner_based */
    OWNER_SERVE,     /* from now on requests are taken */
    OWNER_STOP,      /* no more: HOLDING or OVER. OVER: replies that are held are dropped (R4) */
    OWNER_RELINQUISH /* to `member`: the next configuration, as this one serves no more (R18) */
} owner_effect_kind_t;

typedef struct {
    owner_effect_kind_t kind;
    uint64_t epoch, position;
    member_t member;
} owner_effect_t;

/* Owns the replica's shard under a configuration whose epoch the replica has promised. `grace`: it was
 * promoted, and waits W7. The replica is borrowed for the owner's life. */
owner_t *owner_new (replica_t *replica, const configuration_t *configuration, bool grace,
                    const owner_options_t *options, int64_t now_us);
void owner_destroy (owner_t **self_p);

/* A later configuration. With the same owner: goes on under it, once the replica has promised it, OPENING
 * again. With another, or none of this life: OVER, or, if it is planned, HOLDING. */
void owner_configure (owner_t *self, const configuration_t *configuration, int64_t now_us);

/* The replica's `last`, `received` or `durable` have moved. */
void owner_on_log (owner_t *self, int64_t now_us);

/* Somebody says how far a log goes: as a learner, in answer to an asking, or since a stream did not fit. */
void owner_on_differs (owner_t *self, const member_t *member, uint64_t epoch, uint64_t last,
                       const epoch_history_t *history, int64_t now_us);

void owner_on_ack (owner_t *self, const member_t *member, uint64_t epoch, uint64_t received,
                   uint64_t durable, bool disk_full, int64_t now_us);
void owner_on_grant (owner_t *self, const member_t *member, uint64_t epoch, int64_t sent_us,
                     int64_t now_us);

/* The connection to that node is there, or is gone: what was sent may be lost. */
void owner_on_reachable (owner_t *self, uint32_t node, bool reachable, int64_t now_us);

/* A copy that was LACKING has been given all up to `position` (its base). */
void owner_based (owner_t *self, const member_t *member, uint64_t position);

/* From where on the records of this log can be had for streams: the position before the first of them. */
void owner_set_reach (owner_t *self, uint64_t previous);

/* Stalls, admissions, askings, the end of the grace. Call about every 10 ms, and after the others. */
void owner_tick (owner_t *self, int64_t now_us);

/* The next effect, oldest first; false: there is none. */
bool owner_next_effect (owner_t *self, owner_effect_t *out);

/* What is to be sent to the copy of that index now: a head without records, whose `last` is how far they may
 * go (its `previous`: none; the head alone). False: nothing. The caller sends as many of the records as it
 * sees fit and says so by owner_sent. */
bool owner_stream (owner_t *self, uint32_t copy, stream_head_t *head);
void owner_sent (owner_t *self, uint32_t copy, uint64_t last);

/* ---- what may be answered ---- */

owner_state_t owner_state (const owner_t *self);
uint64_t owner_epoch (const owner_t *self);
uint64_t owner_committed (const owner_t *self);             // W1
uint64_t owner_secured (const owner_t *self);               // W2
bool owner_is_leased (const owner_t *self, int64_t now_us); // W5
bool owner_is_alone (const owner_t *self);

/* The copies but the owner's own, and those that get its beacons. */
uint32_t owner_copy_count (const owner_t *self);
owner_copy_t owner_copy (const owner_t *self, uint32_t copy);

/* W1 to W5 by a walk over the copies; for tests and debug builds. */
bool owner_is_valid (const owner_t *self, int64_t now_us);

#endif
