/* broker_commands - the commands a broker answers by itself: those that concern no shard.
 *
 * INFO, TOPOLOGY, SHUTDOWN, which waits for the node, and those of schema/command_answer.h. Pure. */
#ifndef KVDB_BROKER_BROKER_COMMANDS_H
#define KVDB_BROKER_BROKER_COMMANDS_H

#include "broker/coordinator.h"
#include "broker/router.h"

typedef struct {
    coordinator_t *coordinator; /* borrowed */
    const router_t *router;     /* borrowed */
    const shard_map_t *map;     /* borrowed */
    uint8_t cluster_id[KV_UUID_BYTES];
    uint32_t replicas;
    int64_t max_value_bytes;
    const char *version; /* of the program */
    int64_t process_id;
    int64_t started_ms;
    int64_t now_ms;         /* set by the actor before each drain */
    int64_t wall_ms;        /* the same; milliseconds since 1970, for TIME */
    const char *doors_info; /* lines "name:value\r\n" on connections, for INFO; may be NULL */
} broker_view_t;

/* router_options_t's `local`; the context is a broker_view_t. */
router_local_t broker_local_command (void *context, const command_t *command, writer_t *result,
                                     uint32_t *node);

/* router_options_t's `node_name`; the same context. */
const char *broker_node_name (void *context, uint32_t node);

#endif
