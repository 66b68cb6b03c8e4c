/* broker_actor - the broker's shell: sockets and timers around the router and the coordinator.
 *
 * A zactor: zactor_new (kv_broker_actor, options). It decides nothing.
 *
 *   pipe, out:  "READY", clients' endpoint, nodes' endpoint    it serves
 *               "FAILED", reason                               it could not start; it has ended
 *               "STOPPED", reason                              it has ended after serving
 *   pipe, in:   "$TERM"    answer what is in flight (for at most a second), then end
 *
 * Owns both ROUTER doors. One wake-up: drain the nodes' door, drain the clients' door, then send
 * what came of it: one bundle per node, one message per client's request. */
#ifndef KVDB_BROKER_BROKER_ACTOR_H
#define KVDB_BROKER_BROKER_ACTOR_H

#include "actors/log.h"
#include "schema/message.h"

#include <czmq.h>

typedef struct {
    const char *id;
    const char *host; /* where its direct door is advertised */
    uint16_t port;
} broker_node_t;

typedef struct {
    const char *client_endpoint; /* to bind: "tcp://127.0.0.1:7000" */
    const char *node_endpoint;   /* to bind */
    const broker_node_t *nodes;
    size_t node_count; /* 1 .. KV_NODES_MAX */
    uint8_t cluster_id[KV_UUID_BYTES];
    uint32_t shards;
    uint32_t replicas;
    int64_t max_value_bytes;
    uint32_t beacon_ms;
    uint32_t grace_ms;
    uint32_t deadline_ms;
    uint64_t queue_bytes;
    uint32_t shard_queue_commands;
    int64_t client_output_bytes;
    int64_t output_bytes;
    int connections;
    const log_t *log;
} broker_options_t;

/* The actor; `args` is a broker_options_t, borrowed until the actor has ended. */
void kv_broker_actor (zsock_t *pipe, void *args);

#endif
