/* router_load - what the router holds, against its bounds. The intake adds pieces, the router takes
 * them off.
 *
 *   L1  queued[shard]  pieces HELD or SENT for the shard
 *   L2  bytes          the sum of pending->bytes over all live requests
 *   L3  held_bytes     the same over those with a piece that is HELD
 *
 * Pure. Owner: the router. */
#ifndef KVDB_BROKER_ROUTER_LOAD_H
#define KVDB_BROKER_ROUTER_LOAD_H

#include "broker/router_parts.h"

enum {
    ROUTER_RETRY_MS = 50,         /* the hint that goes with BUSY */
    ROUTER_KEPT_RESULT_BYTES = 64 /* there is always room to keep a result of this size */
};

typedef struct {
    bool *open;          /* owned [nodes]: may be sent to */
    uint32_t *queued;    /* owned [shards], L1 */
    uint64_t bytes;      /* L2 */
    uint64_t held_bytes; /* L3 */
} router_load_t;

/* How many pieces of a live request are held now. */
static inline void load_set_held (router_load_t *self, pending_t *pending, uint32_t held)
{
    if (pending->held > 0)
        self->held_bytes -= pending->bytes;
    pending->held = held;
    if (held > 0)
        self->held_bytes += pending->bytes; // L3
}

/* A live request takes more memory. */
static inline void load_charge (router_load_t *self, pending_t *pending, uint64_t bytes)
{
    pending->bytes += bytes;
    self->bytes += bytes; // L2
    if (pending->held > 0)
        self->held_bytes += bytes; // L3
}

#endif
