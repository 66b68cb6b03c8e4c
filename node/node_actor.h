/* node_actor - a storage node's shell: two connections to the broker and a door for clients around the
 * executor.
 *
 * A zactor: zactor_new (kv_node_actor, options). It decides nothing about data.
 *
 *                 WELCOME, SHARDS            SHUTDOWN on the data lane
 *   CALLING -------------------> SERVING ----------------------------> (ended)
 *      ^  READY every CALL_MS       |
 *      +--------- DISCONNECT -------+
 *
 *   pipe, out:  "READY"              the broker has accepted it and may send
 *               "FAILED", reason     it could not start, or the broker refused it; it has ended
 *               "STOPPED", reason    it has ended after serving
 *   pipe, in:   "$TERM"   ask the broker to let go (it then sends SHUTDOWN), and end within STOP_MS
 *                         in any case
 *
 * One wake-up: drain the data lane, run every request, send all replies as one bundle; then drain
 * the direct door, where clients come without the broker, and answer each. */
#ifndef KVDB_NODE_NODE_ACTOR_H
#define KVDB_NODE_NODE_ACTOR_H

#include "actors/identity.h"
#include "actors/log.h"
#include "schema/message.h"

#include <czmq.h>

typedef struct {
    const char *id;
    const char *broker_endpoint; /* the broker's door for nodes: "tcp://127.0.0.1:7001" */
    const char *host;            /* where the direct door is advertised */
    uint16_t port;
    const char *direct_endpoint; /* to bind the direct door: "tcp://127.0.0.1:8081"; NULL: none */
    int connections; /* the direct door's, and its replies that clients have not read: */
    int64_t client_output_bytes;
    int64_t output_bytes;
    uint32_t shards; /* as the cluster file has it; must be the broker's */
    int64_t max_value_bytes;
    const char *data_dir; /* keeps the node's identity; NULL: a new identity each time */
    const log_t *log;
} node_options_t;

/* The actor; `args` is a node_options_t, borrowed until the actor has ended. */
void kv_node_actor (zsock_t *pipe, void *args);

#endif
