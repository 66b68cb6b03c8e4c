/* router_intake - takes a client's message apart: a request on its way, or its answer at once.
 *
 * Each command is answered on the spot (it is wrong, the broker serves it by itself, there is no
 * room for it) or becomes pieces that are counted as held for their shards.
 *
 *   I1  nothing of a request that is refused as a whole is counted anywhere.
 *   I2  a refused command leaves nothing behind but its error (N5).
 *   I3  once a command has been refused for lack of memory, so is every later one of its request
 *       that concerns a shard: what is small does not overtake what is large.
 *
 * Pure. Owner: the router. */
#ifndef KVDB_BROKER_ROUTER_INTAKE_H
#define KVDB_BROKER_ROUTER_INTAKE_H

#include "broker/router.h"
#include "broker/router_load.h"

typedef struct router_intake router_intake_t;

/* All three are borrowed. */
router_intake_t *router_intake_new (const router_options_t *options, router_load_t *load,
                                    router_stats_t *stats);
void router_intake_destroy (router_intake_t **self_p);

/* Takes the body over. The request, whose pieces are in load->queued but whose bytes are not yet
 * counted; or one that is finished, its reply set; or NULL, if there is no one to answer to. */
pending_t *router_intake_take (router_intake_t *self, kv_slice_t envelope, blob_t *body,
                               uint32_t *deadline_ms);

#endif
