/* router_effects - the queue of what the router wants done.
 *
 * Pure. Owner: the router. */
#ifndef KVDB_BROKER_ROUTER_EFFECTS_H
#define KVDB_BROKER_ROUTER_EFFECTS_H

#include "broker/router.h"
#include "broker/router_parts.h"

typedef struct {
    uint32_t node; /* TO_NODE */
    uint64_t tag;
    blob_t *body;       /* TO_NODE, owned; NULL for one that was recalled */
    pending_t *pending; /* TO_CLIENT: finished, owned */
} effect_t;

typedef struct {
    effect_t *effects; /* effects[at..count) */
    size_t at, count, capacity;
    pending_t *consumed; /* owned: the one whose envelope the last effect lent out */
} effect_queue_t;

void effect_queue_free (effect_queue_t *self);

/* Takes the body over. */
void effect_queue_to_node (effect_queue_t *self, uint32_t node, uint64_t tag, blob_t *body);

/* Takes the finished request over. */
void effect_queue_to_client (effect_queue_t *self, pending_t *pending);

/* As router_next_effect. */
bool effect_queue_next (effect_queue_t *self, router_effect_t *out);

/* Takes back one effect for that node that has not been fetched, the next from `*from` on (start
 * with 0); false: there is none. */
bool effect_queue_recall (effect_queue_t *self, uint32_t node, size_t *from, uint64_t *tag);

#endif
