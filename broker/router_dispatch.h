/* router_dispatch - sends what is held and may go: as the client sent it if all of it is for one
 * open node, else as one part per node, in the router's own words.
 *
 * Pure. Owner: the router. */
#ifndef KVDB_BROKER_ROUTER_DISPATCH_H
#define KVDB_BROKER_ROUTER_DISPATCH_H

#include "broker/router.h"
#include "broker/router_effects.h"
#include "broker/router_load.h"

typedef struct dispatch dispatch_t;

/* Where parts come from and go to; all of it borrowed. */
typedef struct {
    const shard_map_t *map;
    router_load_t *load;
    router_stats_t *stats;
    part_table_t *parts;
    effect_queue_t *effects;
} dispatch_options_t;

dispatch_t *dispatch_new (const dispatch_options_t *options);
void dispatch_destroy (dispatch_t **self_p);

/* Sends every piece of a live request that is HELD and whose node is open. */
void dispatch_send (dispatch_t *self, pending_t *pending);

#endif
