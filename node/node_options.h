/* node_options - a checked copy of what a program has given the node actor.
 *
 *   E2  (kvdb_broker.h) nothing of the original is used once node_options_new has returned, but the
 *       log and its context.
 *
 * Owner: the node actor. */
#ifndef KVDB_NODE_NODE_OPTIONS_H
#define KVDB_NODE_NODE_OPTIONS_H

#include "actors/log.h"
#include "node/kvdb_node.h"

typedef struct {
    kv_node_options_t set; /* complete: no field says "default"; what it points to is owned */
    log_t log;
} node_options_t;

/* KV_CONFIG, and what is wrong, in `why`. */
KV_CHECK_RESULT kv_status_t node_options_new (const kv_node_options_t *given, node_options_t **out,
                                              char *why, size_t why_bytes);
void node_options_destroy (node_options_t **self_p);

#endif
