/* epoch_history - which epochs a shard's log went through, and where each began: what tells whether a
 * position of one log is in another (R2).
 *
 *   log        1|7  1|8  1|9  3|10  3|11  4|12        epoch|n
 *   history    (1|7 behind 0)  (3|10 behind 1|9)  (4|12 behind 3|11)
 *
 *   E1  positions of opens rise, each is behind the one before it; behind.n + 1 == open.n.
 *   E2  an epoch has one owner, which gives each of its positions once. So two logs that have the same
 *       position have the same record there, and all the same before it: a log is told by its opens
 *       and its last position.
 *
 * The history of a shard is kept for its life: 16 bytes for each change of its configuration.
 * Source: PacificA, section 2; Kafka's leader epochs (KIP-101). Pure. Owner: its holder's thread. */
#ifndef KVDB_ACTORS_EPOCH_HISTORY_H
#define KVDB_ACTORS_EPOCH_HISTORY_H

#include "schema/reader.h"
#include "schema/record.h"
#include "schema/writer.h"

typedef struct {
    uint64_t position; /* of the record that opens the epoch */
    uint64_t previous; /* the shard's record before it; 0: it is the first */
} epoch_open_t;

typedef struct {
    epoch_open_t *opens; /* owned array */
    size_t count, capacity;
} epoch_history_t;

void epoch_history_free (epoch_history_t *self);
void epoch_history_copy (epoch_history_t *self, const epoch_history_t *from);

/* An epoch was opened. KV_CORRUPT: E1 would not hold. */
KV_CHECK_RESULT kv_status_t epoch_history_add (epoch_history_t *self, uint64_t position,
                                               uint64_t previous);

/* Forgets the opens beyond a position. */
void epoch_history_cut (epoch_history_t *self, uint64_t position);

/* Whether a log with that history and last position has the position; it has 0. */
bool epoch_history_has (const epoch_history_t *self, uint64_t last, uint64_t position);

/* The highest position that both logs have: 0 if they share nothing. */
uint64_t epoch_history_fork (const epoch_history_t *a, uint64_t a_last, const epoch_history_t *b,
                             uint64_t b_last);

/* [position, previous, ...] of the newest `most` opens. A history that was cut off so is only good for
 * finding a fork: what is before it counts as not shared. */
void epoch_history_encode (writer_t *out, const epoch_history_t *self, size_t most);

/* KV_BAD_REQUEST: malformed, or E1 does not hold. `self` is replaced. */
KV_CHECK_RESULT kv_status_t epoch_history_decode (reader_t *at, epoch_history_t *self);

#endif
