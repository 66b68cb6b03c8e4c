/* replica - one copy of a shard's log, as whoever keeps it takes part in replication: the epoch it is bound
 * to, how far it goes, what it takes from an owner's stream and what it says of itself. Positions only:
 * records and files are the caller's. Nodes have one for each shard whose data they have, an owner
 * included; the secondary WAL has one for each shard it stands in for.
 *
 *   promised  the highest epoch seen; nothing is done under it before it is durable (R5)
 *   last      the newest record of the log;   received: written up to there;   durable: synced
 *   matched   whether all of the log, as it is, is in that of the owner of `promised`
 *   committed up to there all members have it, as far as this one knows
 *
 *   PLAIN --an epoch above promised--> PROMISING --durable--> PLAIN       (a higher one may come meanwhile)
 *   PLAIN --what the owner does not have--> CUTTING --durable--> PLAIN    (an epoch seen meanwhile is promised
 *                                                                          after it)
 *
 *   C1  durable <= received <= last, all in this log.
 *   C2  nothing of an epoch below the highest seen is taken, acknowledged or granted (R5).
 *   C3  an acknowledgement is given only while matched, and tells of no record that was not received (R2).
 *   C4  a record is cut only if the owner of the promised epoch, asked about this very log, has said that
 *       it is not in its own (R2). What was cut is never told of again.
 *   C5  committed <= last. It never goes back, and no cut reaches below it; a message that asks for that is
 *       refused, as STREAM_DIFFERS. (After a restart it is not known: 0.)
 *   C6  a grant is given only for the promised epoch, and told as granted_us: a promoted member waits for
 *       the grace since then (R5).
 *
 * Pure: time comes in, microseconds of a clock that never goes back and counts suspension.
 * Owner: its holder's thread. */
#ifndef KVDB_ACTORS_REPLICA_H
#define KVDB_ACTORS_REPLICA_H

#include "actors/epoch_history.h"
#include "schema/configuration.h"

typedef enum { REPLICA_PLAIN, REPLICA_PROMISING, REPLICA_CUTTING } replica_state_t;

typedef struct {
    uint32_t shard;
    replica_state_t state;
    uint64_t promised; /* durable, but for PROMISING: then `seen` is what becomes it */
    uint64_t seen;     /* the highest epoch seen; >= promised */
    uint64_t last, received, durable, committed;
    uint64_t told_committed; /* by the owner: the log may not go as far */
    bool matched;
    uint64_t cut_to, cut_epoch; /* CUTTING: behind which record, and whose owner has asked for it */
    int64_t
        granted_us; /* the last beacon of an owner that was answered; INT64_MIN: none in this life */
    epoch_history_t history;                /* owned */
    uint64_t acked_received, acked_durable; /* as told last, under `promised` */
} replica_t;

/* What a message of a stream says of one shard. */
typedef struct {
    uint32_t shard;
    uint64_t epoch;    /* under which it is sent: the fence */
    uint64_t previous; /* the position before the first record in it */
    uint64_t
        last; /* of the last record in it; previous: there is none, it asks how far the log goes */
    uint64_t
        cut_from; /* not 0: whoever has this as its last position is to cut back to `previous` first */
    uint64_t committed; /* all members have it */
    uint64_t durable;   /* of the owner's own log */
} stream_head_t;

typedef enum {
    STREAM_OLD,   /* its epoch is over: tell its sender which one there is (`seen`) */
    STREAM_LATER, /* not now: a promise or a cut is on its way to the disk; it will be sent again */
    STREAM_PROMISE, /* its epoch is new: make it durable (replica_promised) */
    STREAM_CUT,     /* log a TRUNCATE to cut_to, make it durable (replica_was_cut) */
    STREAM_DIFFERS, /* this log does not go on there: tell its last position and its history */
    STREAM_KNOWN,   /* nothing in it is new; acknowledge */
    STREAM_TAKE     /* append its records from the one after `last` on, then replica_append */
} stream_verdict_t;

/* A copy as recovery found it: written and synced up to its end, promised at least the epoch of its last
 * record. Takes the history over. An empty one: all 0. */
replica_t replica_make (uint32_t shard, uint64_t promised, uint64_t last, epoch_history_t *history);
void replica_free (replica_t *self);

/* An epoch was learnt of, from the coordinator or from a configured owner. True: it is new, and to be made
 * durable; until then nothing is taken or granted under any. */
bool replica_see (replica_t *self, uint64_t epoch);

/* The epoch is durable. Whether the log is the owner's is not known from now on. */
void replica_promised (replica_t *self, uint64_t epoch);

/* What to do with a message of a stream. STREAM_PROMISE and STREAM_CUT have changed the state already. */
stream_verdict_t replica_judge (replica_t *self, const stream_head_t *head);

/* A record was appended to the log (by an owner, too). `opens`: it opens the epoch of its position.
 * KV_CORRUPT, and nothing has changed: it does not follow `last`, or is of an epoch above the promised. */
KV_CHECK_RESULT kv_status_t replica_append (replica_t *self, uint64_t previous, uint64_t position,
                                            bool opens);

/* The log is written, and synced, up to these positions; either may have been told before. To be called
 * before replica_was_cut, if one sync has made both true. */
void replica_reached (replica_t *self, uint64_t received, uint64_t durable);

/* The TRUNCATE is durable: the log ends at cut_to. */
void replica_was_cut (replica_t *self);

/* The log begins anew behind a position that the owner of the promised epoch has named, with its history up
 * to there (taken over): a full copy is complete, or the secondary WAL gets its base. It is part of the
 * owner's log, durable, and committed up to `committed`. */
void replica_rebase (replica_t *self, uint64_t last, epoch_history_t *history, uint64_t committed);

/* This copy's log is what counts from now on: it owns the shard under its promised epoch. */
void replica_own (replica_t *self);

/* All members have it up to there, as far as the owner knows. Only while matched. */
void replica_commit (replica_t *self, uint64_t committed);

/* Whether a beacon from the owner of that epoch is to be answered with a grant (C6). */
bool replica_grant (replica_t *self, uint64_t epoch, int64_t now_us);

/* What there is to acknowledge. False: nothing that was not told. `again`: tell it all the same. */
bool replica_ack (replica_t *self, bool again, uint64_t *received, uint64_t *durable);

/* C1, C5, and that history and last agree. */
bool replica_is_valid (const replica_t *self);

#endif
