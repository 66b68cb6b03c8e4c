/* reply_gate - replies that are made but may not leave yet: each waits for a number to be reached, an
 * lsn of the log (R3) or the number of a snapshot (SAVE).
 *
 *   V1  they leave in the order they came in; one that waits for less than the one before it waits for
 *       that one, too.
 *   V2  held bytes are those of the replies in it, their routes included.
 *
 * It has no bound itself: its user takes no further requests while much is held.
 * Pure. Owner: the node's thread. */
#ifndef KVDB_NODE_REPLY_GATE_H
#define KVDB_NODE_REPLY_GATE_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct reply_gate reply_gate_t;

/* Where a reply is to go: to the broker, as the one with that tag, or to a client at the direct door. */
typedef struct {
    uint64_t tag;
    kv_slice_t envelope; /* of the direct door; empty: to the broker */
} reply_route_t;

reply_gate_t *reply_gate_new (void);
void reply_gate_destroy (reply_gate_t **self_p);

/* Copies route and reply. */
void reply_gate_hold (reply_gate_t *self, uint64_t waits_for, const reply_route_t *route,
                      kv_slice_t reply);

/* The oldest one, if it waits for no more than `reached`; it is out then, its slices valid until the
 * next call of any function. */
bool reply_gate_next (reply_gate_t *self, uint64_t reached, reply_route_t *route,
                      kv_slice_t *reply);

size_t reply_gate_bytes (const reply_gate_t *self); /* V2; 0: it is empty */

#endif
