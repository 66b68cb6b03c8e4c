/* flusher - when the log is to be synced, and which replies may leave: the flush policies, apart
 * from files and threads.
 *
 *   always    a reply leaves once what it tells of is durable. One sync is under way at a time, and takes
 *             all that was written before it. Whoever was let go by the last one is likely to come back at
 *             once: the next one waits for as many requests, but no longer than a part of the time a sync
 *             takes. So a crowd that asks in turns shares each sync, and who asks alone never waits.
 *   interval  replies leave at once, syncs are asked for twice an interval; but while something written
 *             longer than an interval ago is not durable, replies wait as under always: a power loss
 *             never takes more than an interval's worth of acknowledged writes, however slow the disk
 *   never     replies leave at once; syncs only on demand
 *
 *   Y1  durable <= written.
 *   Y2  under always and interval, a sync is under way or about to be asked for whenever something is
 *       written that is not durable.
 *   Y3  what flusher_oldest_us tells is never younger than the oldest write that is not durable.
 *
 * "Written" is when write(2) has returned: that much survives the process under every policy.
 * Pure: time comes in, in microseconds on a clock that never goes back. Owner: the node's thread. */
#ifndef KVDB_NODE_FLUSHER_H
#define KVDB_NODE_FLUSHER_H

#include "schema/status.h"

#include <stdint.h>

typedef enum { FLUSH_ALWAYS, FLUSH_INTERVAL, FLUSH_NEVER, FLUSH_OFF } flush_policy_t;

#define FLUSH_POLICIES "always|interval|never|off"

/* "always" ...; false if it is none of them. */
bool flush_policy_read (const char *name, flush_policy_t *policy);
const char *flush_policy_name (flush_policy_t policy);

enum { FLUSHER_MARKS = 64 };

/* What was written in one stretch of time. */
typedef struct {
    int64_t first_us;
    uint64_t lsn; /* behind it */
} flusher_mark_t;

typedef struct {
    flush_policy_t policy; /* not FLUSH_OFF: then there is no log */
    int64_t interval_us;   /* FLUSH_INTERVAL: 1 or more */
    uint64_t written, durable;
    uint64_t asked;              /* the last sync asked for; under way while durable < asked */
    uint64_t held;               /* replies that have begun to wait, ever */
    uint64_t asked_held, let_go; /* ... when that sync was asked for; and those that wait no more */
    uint64_t group;              /* replies that the last sync has let go */
    int64_t took_us, durable_us; /* that sync: how long, and when it was done */
    uint64_t wanted;             /* on demand, by flusher_demand */
    int64_t asked_us;
    flusher_mark_t marks[FLUSHER_MARKS]; /* of what is not durable, oldest first */
    uint32_t mark_count;
} flusher_t;

/* Of a log that is durable up to `lsn`. */
flusher_t flusher_make (flush_policy_t policy, int64_t interval_us, uint64_t lsn);

void flusher_on_written (flusher_t *self, uint64_t lsn, int64_t now_us);
void flusher_on_durable (flusher_t *self, uint64_t lsn, int64_t now_us);

/* One more reply waits for what is not durable. */
void flusher_on_held (flusher_t *self);

/* Under any policy: sync up to `lsn` as soon as possible (SAVE, a stop, an epoch that opens). */
void flusher_demand (flusher_t *self, uint64_t lsn);

/* Whether a sync is to be asked for now: then up to where. It counts as asked for. */
bool flusher_ask (flusher_t *self, int64_t now_us, uint64_t *lsn);

/* When it will be so under always, though nothing else happens; INT64_MAX: not before a sync has ended, or
 * something was written. */
int64_t flusher_due_us (const flusher_t *self);

/* Replies that wait for lsns up to this one may leave; UINT64_MAX: all. */
uint64_t flusher_releasable (const flusher_t *self, int64_t now_us);

/* For how long the oldest write that is not durable has been waiting; 0: there is none. */
int64_t flusher_lag_us (const flusher_t *self, int64_t now_us);

#endif
