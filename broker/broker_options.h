/* broker_options - a checked copy of what a program has given the broker actor.
 *
 *   E2  (kvdb_broker.h) nothing of the original is used once broker_options_new has returned, but
 *       the log and its context.
 *
 * Owner: the broker actor. */
#ifndef KVDB_BROKER_BROKER_OPTIONS_H
#define KVDB_BROKER_BROKER_OPTIONS_H

#include "actors/log.h"
#include "broker/kvdb_broker.h"

typedef struct {
    kv_broker_options_t set; /* complete: no field says "default"; what it points to is owned */
    log_t log;
} broker_options_t;

/* KV_CONFIG, and what is wrong, in `why`. */
KV_CHECK_RESULT kv_status_t broker_options_new (const kv_broker_options_t *given,
                                                broker_options_t **out, char *why,
                                                size_t why_bytes);
void broker_options_destroy (broker_options_t **self_p);

#endif
