/* sessions - which commands of which clients a shard has executed, and how they were answered: so that a
 * retry is answered again and not executed again (R17, R19).
 *
 *   session     16 random bytes, made by each start of a client
 *     floor     the first sequence number that the client has no answer to yet
 *     expiry    the latest of its requests'
 *     kept      sequence -> result, expiry; in the order of the sequence
 *   shard time T  what has expired by it is forgotten, and refused
 *
 *   sequence     1 ......... floor ......................... floor + window .......
 *                 OLD         | kept: DUPLICATE, else NEW     | BUSY
 *
 * Who does what. The owner asks before it assigns a position (sessions_ask). What is NEW it executes,
 * appends the completion to that command's record, and stores it before it asks again, so that a copy of
 * the request finds it at once. Replay, followers and copies ask nothing and store what records bear; they
 * do not know the bounds below. Every answer but that to a NEW request tells what the table is now, so it
 * waits, as a failed NX does, for the shard's last position (R3).
 *
 * How floor and T get into the log. Each completion bears the session's floor and the request's expiry
 * (schema/record.h). Whoever is told BUSY may have a floor that is not known here yet: the owner then logs
 * it alone, a completion of sequence 0. T is a field of any record, and is raised by the owner alone, to its
 * wall clock, once sessions_earliest_ms says that this lets go of something. What is logged is stored by
 * sessions_store and sessions_raise_time, by the owner too.
 *
 *   S1  a session's floor never goes back while T has not passed its expiry, nor does T ever.
 *   S2  a session's kept completions rise by sequence, and none is below its floor.
 *   S3  a completion is dropped only by a floor or by T; a session only by T.
 *   S4  the same completions and times stored in any order, and any number of times, answer the same; only
 *       a floor among sequence numbers that T refuses anyway may differ.
 *   S5  bytes is the sum of what the kept completions count: SESSIONS_COMPLETION_BYTES and the result.
 *   S6  nothing kept expires before earliest_ms.
 *
 * What a client has to see to: the expiry of a sequence number is fixed when it is first sent, and no
 * sequence number expires before a lower one. Then whatever a forgotten session had executed, or had below
 * its floor, is refused by T. The caller admits no expiry far beyond its own clock, or a session would stay
 * for good; and a result that could be larger than bytes_max would be BUSY for ever: that is for the caller
 * to refuse as TOO_LARGE.
 *
 * After T has risen, memory is given back by sessions_sweep in bounded steps. What it has not reached yet
 * counts against the bounds, and is otherwise as good as gone.
 *
 * Source: Lee, Park, Kejriwal, Matsushita and Ousterhout, "Implementing linearizability at large scale and
 * low latency" (RIFL), SOSP 2015. Pure. Out of memory aborts. Owner: the node's thread. */
#ifndef KVDB_NODE_SESSIONS_H
#define KVDB_NODE_SESSIONS_H

#include "node/siphash.h"
#include "schema/record.h"

typedef struct sessions sessions_t;

enum { SESSIONS_COMPLETION_BYTES = 32 };

/* Bounds of what sessions_ask admits; from a checked configuration. */
typedef struct {
    uint64_t window;       /* sequence numbers from the floor on, >= 1 */
    uint32_t sessions_max; /* reserved ones included, >= 1 */
    uint32_t reserved;     /* of these, places that only brokers' sessions take; <= sessions_max */
    uint64_t bytes_max;    /* of all that is kept (S5); <= RECORD_RESULT_BYTES_MAX */
    siphash_key_t secret;  /* sessions come from outside: nobody may aim at a bucket */
} sessions_options_t;

typedef enum {
    SESSIONS_NEW,       /* execute it */
    SESSIONS_DUPLICATE, /* it was executed: its result is at hand */
    SESSIONS_OLD, /* below the floor, expired by T, or no sequence number at all: never executed now */
    SESSIONS_BUSY, /* beyond the window, or its result might not fit: later */
    SESSIONS_FULL  /* no place for a session that is not known yet: later */
} sessions_verdict_t;

typedef struct {
    completion_t completion; /* as it would be logged, but for the result; any numbers */
    size_t result_bytes_max; /* no result of the command is larger */
    bool of_broker;          /* the session is one of a broker's own */
} sessions_request_t;

sessions_t *sessions_new (const sessions_options_t *options);
void sessions_destroy (sessions_t **self_p);

/* What becomes of a request. `result` is set for a DUPLICATE, and valid until the next change. */
sessions_verdict_t sessions_ask (const sessions_t *self, const sessions_request_t *request,
                                 kv_slice_t *result);

/* Stores what a record bears (D4 holds). Lets go of at most what the floor has passed. */
void sessions_store (sessions_t *self, const completion_t *completion);

/* T is at least time_ms, Unix milliseconds, from now on. */
void sessions_raise_time (sessions_t *self, int64_t time_ms);
int64_t sessions_time (const sessions_t *self); /* 0: never raised */

/* The session's floor; 0: it is not known. */
uint64_t sessions_floor (const sessions_t *self, const uint8_t session[RECORD_SESSION_BYTES]);

/* If T were raised to that, something could be let go of (S6): perhaps, as a floor may have done so
 * already. INT64_MAX: there is nothing. */
int64_t sessions_earliest_ms (const sessions_t *self);

/* Gives back what T has passed, looking at about `budget` completions (1 or more), and at no more than
 * one session's beyond that. Whether there is, perhaps, more. */
bool sessions_sweep (sessions_t *self, size_t budget);

/* A walk over all of it, for snapshots and copies; begins as {0}. */
typedef struct {
    uint32_t place;
    uint64_t sequence;
} sessions_cursor_t;

/* The next completion, valid until the next change; KV_END after the last. First of each session comes its
 * floor alone, with the session's expiry. What T has passed is left out, but walked past. A table in which
 * T was raised to the same and all of them are stored is the same; the table may change between
 * two calls if what is stored meanwhile is stored there, too. */
KV_CHECK_RESULT kv_status_t sessions_next (const sessions_t *self, sessions_cursor_t *cursor,
                                           completion_t *completion);

size_t sessions_count (const sessions_t *self);   /* sessions, those not yet swept included */
uint64_t sessions_bytes (const sessions_t *self); /* S5 */

/* Memory held, all included. */
size_t sessions_memory (const sessions_t *self);

/* S2, S5, S6 and the table's own links by a full walk. */
bool sessions_is_valid (const sessions_t *self);

#endif
