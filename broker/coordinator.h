/* coordinator - who is in the cluster, who is alive, who owns what. The pure core beside the
 * router: control messages and time in, control messages and verdicts on nodes out.
 *
 *            READY           ATTACH        silent > grace
 *   ABSENT --------> JOINING ------> UP --------------------> SUSPECT
 *                     ^  |           |  <---- any input -----    |
 *                     |  | left      | stop                      | stop
 *               READY |  v           v                           |
 *                     +- DOWN <-- STOPPING <---------------------+
 *                          last word, or left (from any state)
 *
 * A READY of a node that is not DOWN leads to JOINING, too: what it was sent is lost first, and if
 * it comes from a new process, the former one has left. A repeated READY, same process and same
 * connection, only gets its answers again. A node that is JOINING and does not attach leaves after
 * JOIN_GRACES graces, silent or not, and is told to say READY.
 *
 * When a node stops, no request is lost: the router holds the node's shards, SHUTDOWN follows the
 * last request on the data lane, and DISCONNECT follows the last reply on it. So while a node is
 * STOPPING, the end of its control lane means nothing: the last replies are on the other.
 *
 *   K1  a node is open to the router iff it is UP.
 *   K2  a READY from another process than the one that is alive under that id is refused until
 *       that one has been silent for a grace, or its connection has ended (R6).
 *   K3  a node of another cluster, or one that is not in the cluster file, is refused (R6).
 *   K4  any input from a node is a sign of life; a beacon is answered.
 *   K5  a process that was told to stop is not opened again: if it has to join anew, it goes from
 *       JOINING to STOPPING and is told again. One process and lane is told once.
 *   K6  a node has a control lane iff it is neither ABSENT nor DOWN, and a data lane iff it is UP,
 *       SUSPECT or STOPPING. Nobody can attach to a node that has one.
 *
 *   K7  a process that joins for the first time gets its shards under a new epoch, which is above every
 *       epoch of its data, and of anything this broker has given: no position is ever given twice (R6).
 *       So does one whose data has an epoch that only another broker can have given. All are told.
 *
 * Owner: the broker's thread. */
#ifndef KVDB_BROKER_COORDINATOR_H
#define KVDB_BROKER_COORDINATOR_H

#include "actors/blob.h"
#include "actors/log.h"
#include "actors/shard_map.h"
#include "schema/limits.h"
#include "schema/message.h"

typedef struct coordinator coordinator_t;

typedef enum {
    NODE_ABSENT,
    NODE_JOINING,
    NODE_UP,
    NODE_SUSPECT,
    NODE_STOPPING,
    NODE_DOWN
} node_state_t;

/* A connection's identity, as the ROUTER socket names it. */
typedef struct {
    uint8_t bytes[255];
    uint8_t size; /* 0: none */
} lane_t;

typedef struct {
    char id[KV_NODE_ID_BYTES_MAX + 1];
    char host[KV_HOST_BYTES_MAX + 1]; /* as configured */
    uint16_t port;
    node_state_t state;
    uint8_t data_uuid[KV_UUID_BYTES];
    uint64_t incarnation;
    lane_t control, data;
    int64_t ready_ms;     /* its READY */
    int64_t heard_ms;     /* the last input */
    bool told_to_stop;    /* this incarnation; it stays told if it has to join again */
    uint64_t keys, bytes; /* gauges of its last beacon */
} node_t;

typedef struct {
    uint8_t cluster_id[KV_UUID_BYTES];
    uint32_t beacon_ms;
    uint32_t grace_ms;
    const log_t *log; /* borrowed */
    shard_map_t *map; /* borrowed; its epochs rise here (K7) */
} coordinator_options_t;

typedef struct {
    enum {
        COORDINATOR_SEND, /* `body` to `lane` */
        COORDINATOR_OPEN, /* the router may send to `node` */
        COORDINATOR_HOLD, /* the node is silent */
        COORDINATOR_LOST, /* what it was sent is lost */
        COORDINATOR_LEFT  /* its process has ended, or is about to */
    } kind;
    uint32_t node;
    lane_t lane;
    blob_t *body; /* SEND: the receiver of the effect owns the reference */
} coordinator_effect_t;

coordinator_t *coordinator_new (const coordinator_options_t *options);
void coordinator_destroy (coordinator_t **self_p);

/* Adds a node of the cluster file, before the first event. Returns its index. */
uint32_t coordinator_add_node (coordinator_t *self, const char *id, const char *host,
                               uint16_t port);

uint32_t coordinator_node_count (const coordinator_t *self);
const node_t *coordinator_node (const coordinator_t *self, uint32_t node);
const char *node_state_name (node_state_t state); /* lower case: "up" */

/* The index of the node with that id; false: there is none. */
bool coordinator_find (const coordinator_t *self, kv_slice_t id, uint32_t *node);

/* A control message, or one that is no bundle, from a connection. */
void coordinator_message (coordinator_t *self, kv_slice_t lane, kv_slice_t bytes, int64_t now_ms);

/* A bundle from a connection: a sign of life. False: no UP or SUSPECT node has that data lane. */
bool coordinator_data (coordinator_t *self, kv_slice_t lane, uint32_t *node, int64_t now_ms);

/* A connection has ended, or cannot be reached. */
void coordinator_gone (coordinator_t *self, kv_slice_t lane);

/* Asks a node to stop: KV_UNAVAILABLE if it is not there. */
KV_CHECK_RESULT kv_status_t coordinator_stop (coordinator_t *self, uint32_t node);

/* The broker ends: nodes are told, and say READY to the next. */
void coordinator_close (coordinator_t *self);

/* Silence. Call at least every beacon_ms. */
void coordinator_tick (coordinator_t *self, int64_t now_ms);

/* The next effect, oldest first; false: there is none. */
bool coordinator_next_effect (coordinator_t *self, coordinator_effect_t *out);

typedef struct {
    uint64_t joins, refusals, silences, departures, malformed;
} coordinator_stats_t;
coordinator_stats_t coordinator_stats (const coordinator_t *self);

#endif
