/* owner - a shard's owner under its epochs: what the other copies have, what is committed, whether an answer
 * may leave, and what is to be asked of the coordinator. Beside it stands the replica_t of the owner's own log.
 *
 *   OPENING --open record committed, grace over--> SERVING --a planned move--> HOLDING --all committed--> GONE
 *      ^                                             |                                                     ^
 *      +-- a configuration with the same owner ------+        any --an epoch that somebody else owns------+
 *
 * Others are, as the owner sees them:
 *
 *   part      LEARNER --caught up, steady--> JOINER --configured--> MEMBER
 *   state     ASKED --its log is part of ours--> STREAMING       (a stream that breaks: ASKED again)
 *               +-----its log ends before ours begins---> LACKING --owner_based--> ASKED
 *
 *   W1  committed = the highest position that every MEMBER and JOINER has received, the owner included (R2);
 *       alone: that is durable here (R11). It never goes back, and moves only once it reaches the open record
 *       of the present epoch, with that record durable here (R8).
 *   W2  secured: as committed, but durable everywhere. secured <= committed.
 *   W3  acknowledgements and grants under another epoch than the present one count for nothing (R5).
 *   W4  a JOINER stays required, acknowledgement and lease, until a higher epoch is known (R10). There is no
 *       taking back: who is to be left out is dropped by a higher epoch.
 *   W5  leased: every MEMBER and JOINER but the owner has granted a lease that still runs, counted from when
 *       the answered beacon was sent, less the drift (R4). (A lease outlives a change of epoch under the
 *       same owner: who granted it waits for its grace since then, whatever the epoch.)
 *   W6  before an epoch in which it would be alone is asked for, everything logged is durable (R11).
 *   W7  requests are taken from OWNER_SERVE to OWNER_HOLD or OWNER_OVER, and never before the grace since its
 *       own copy last answered the former owner is over (R5), unless that one has relinquished (R18).
 *
 * Pure: time comes in, microseconds. What is to be done comes out of owner_next_effect, and, for the streams,
 * out of owner_stream. Owner: the node's thread. */
#ifndef KVDB_NODE_OWNER_H
#define KVDB_NODE_OWNER_H

#include "actors/replica.h"

typedef struct owner owner_t;

enum { OWNER_COPIES_MAX = 2 * KV_MEMBERS_MAX };

typedef enum { OWNER_OPENING, OWNER_SERVING, OWNER_HOLDING, OWNER_GONE } owner_state_t;
typedef enum { PART_LEARNER, PART_JOINER, PART_MEMBER } owner_part_t;
typedef enum { COPY_ASKED, COPY_STREAMING, COPY_LACKING } owner_copy_state_t;

/* All that can be set; microseconds. */
typedef struct {
    int64_t lease_us; /* how long a grant runs for its holder, the drift already taken off */
    int64_t
        stall_us; /* who is not heard, or acknowledges nothing that is outstanding, for so long, is dropped */
    int64_t steady_us;      /* contact before a learner is admitted (R10) */
    int64_t ask_us;         /* between two askings for the same thing */
    bool expects_followers; /* min (replicas, nodes - 1) >= 1: a single member is alone (R11) */
} owner_options_t;

/* How another copy stands. */
typedef struct {
    member_t member;
    owner_part_t part;
    owner_copy_state_t state;
    uint64_t received, durable; /* acknowledged under this epoch */
    uint64_t sent;              /* streamed up to there */
    uint64_t cut_from;          /* not 0: it is to cut back to `sent` first */
    int64_t leased_until_us;
    int64_t heard_us, steady_us; /* heard last; in contact without a break since */
    int64_t progress_us;         /* when it acknowledged more, or more became outstanding, last */
    int64_t asked_us;            /* when it was last sent a head that asks */
    uint64_t told_committed;
    bool disk_full;
} owner_copy_t;

typedef enum {
    OWNER_OPEN,      /* append a record that opens the epoch, then owner_on_log */
    OWNER_SYNC,      /* make the log durable up to `position` */
    OWNER_ASK_ADMIT, /* tell the coordinator: admit `member`; told again every ask_us */
    OWNER_ASK_DROP,  /* ...: drop it */
    OWNER_BASE, /* `member` lacks what this log no longer has: a full copy, or a base for the secondary
                         WAL; then owner_based */
    OWNER_SERVE,      /* from now on requests are taken */
    OWNER_HOLD,       /* no more of them; what was taken is still answered */
    OWNER_RELINQUISH, /* tell `member` of the next configuration, and that this owner is over (R18) */
    OWNER_OVER        /* replies that are held are dropped (R4) */
} owner_effect_kind_t;

typedef struct {
    owner_effect_kind_t kind;
    uint64_t epoch;    /* of the configuration it is asked under */
    uint64_t position; /* SYNC */
    member_t member;   /* ASK_..., BASE, RELINQUISH */
} owner_effect_t;

/* Owns the replica's shard under a configuration whose epoch the replica has promised. `serve_us`: not to
 * serve before that (W7). The replica is borrowed for the owner's life. */
owner_t *owner_new (replica_t *replica, const configuration_t *configuration, int64_t serve_us,
                    const owner_options_t *options, int64_t now_us);
void owner_destroy (owner_t **self_p);

/* A later configuration; others are ignored. If this life owns it, too, the replica has promised it. */
void owner_configure (owner_t *self, const configuration_t *configuration, int64_t now_us);

/* The replica's `last`, `received` or `durable` have moved. */
void owner_on_log (owner_t *self, int64_t now_us);

/* Somebody says how far its log goes: a learner, or a member to which a head did not fit. */
void owner_on_differs (owner_t *self, const member_t *member, uint64_t last,
                       const epoch_history_t *history, int64_t now_us);

/* What a peer says counts only as far as it can be true: a position that is not in this log is ignored. */
void owner_on_ack (owner_t *self, const member_t *member, uint64_t epoch, uint64_t received,
                   uint64_t durable, bool disk_full, int64_t now_us);
void owner_on_grant (owner_t *self, const member_t *member, uint64_t epoch, int64_t sent_us,
                     int64_t now_us);

/* The connection to that node is new: what was sent may be lost. */
void owner_on_connected (owner_t *self, uint32_t node);

/* A copy that was LACKING has been given what it lacked. */
void owner_based (owner_t *self, const member_t *member);

/* The records behind this position can still be had for streams. */
void owner_set_reach (owner_t *self, uint64_t previous);

/* Stalls, admissions, askings, the end of the grace. Call every 10 ms or so, and once the others were. */
void owner_tick (owner_t *self, int64_t now_us);

/* The next effect, oldest first; false: there is none. */
bool owner_next_effect (owner_t *self, owner_effect_t *out);

/* What is to be sent to the copy of that index now: a head, and records from behind `previous` up to `last`,
 * or as many of them as the caller sees fit; then it says so by owner_sent. False: nothing. */
bool owner_stream (const owner_t *self, uint32_t copy, int64_t now_us, stream_head_t *head);
void owner_sent (owner_t *self, uint32_t copy, uint64_t last, int64_t now_us);

/* ---- what may be answered ---- */

owner_state_t owner_state (const owner_t *self);
const configuration_t *owner_configuration (const owner_t *self);
uint64_t owner_committed (const owner_t *self);             // W1
uint64_t owner_secured (const owner_t *self);               // W2
bool owner_is_leased (const owner_t *self, int64_t now_us); // W5
bool owner_is_alone (const owner_t *self);

/* The copies, but for the owner's own. */
uint32_t owner_copy_count (const owner_t *self);
const owner_copy_t *owner_copy (const owner_t *self, uint32_t copy);

/* W1, W2 and what else a walk can check; for tests and debug builds. */
bool owner_is_valid (const owner_t *self);

#endif
