/* router - takes clients' requests apart, sends the pieces to the nodes that own their shards, puts
 * the answers together. The pure core of the broker: messages and time in, effects out.
 *
 *   a piece:   HELD ----node open----> SENT ----reply----> DONE
 *                |  ^                    |
 *                |  +---- node lost, it only reads ----+
 *                +-- deadline --> DONE   +-- deadline, node lost --> DONE
 *
 *   N1  every request is answered exactly once, unless its id could not be read (then never).
 *   N2  what one connection sends to one shard reaches it in the order sent (R16).
 *   N3  a piece that may have been executed is never sent a second time: it is answered
 *       OUTCOME_UNKNOWN. One that only reads may be, and is never of unknown outcome.
 *       A read that is sent again may see what its connection sent after it.
 *   N4  pieces waiting or in flight for a shard <= shard_queue_commands. The memory of all requests
 *       here, with what has been answered in part, <= queue_bytes; a request alone may bring its
 *       body and list of commands besides. What is over is refused BUSY, before any of it is sent.
 *   N5  a command that is split is sent to all its shards or, refused, to none.
 *   N6  what waits for nodes that are not open takes half of queue_bytes at most: one dead node
 *       does not make the others busy. (Not counted: what its death brought back.)
 *
 * A request whose commands are all for one open node travels as the client sent it, and its reply
 * goes back as the node wrote it: neither is decoded further or copied.
 *
 * Owner: the broker's thread. */
#ifndef KVDB_BROKER_ROUTER_H
#define KVDB_BROKER_ROUTER_H

#include "actors/blob.h"
#include "actors/shard_map.h"
#include "schema/command.h"

typedef struct router router_t;

typedef enum {
    ROUTER_LOCAL_DONE,  /* the result was written */
    ROUTER_LOCAL_WAITS, /* SHUTDOWN: settled when the node named in *node has left */
} router_local_t;

typedef struct {
    const shard_map_t *map; /* borrowed, may change between calls */
    int64_t max_value_bytes;
    uint64_t queue_bytes;          /* N4, N6 */
    uint32_t shard_queue_commands; /* N4 */
    uint32_t deadline_ms;          /* of requests that name none */
    uint32_t first_generation;     /* of tags; random, so that another broker's do not match */
    /* Answers a command that concerns no shard: writes one result, or asks to wait for a node. */
    router_local_t (*local) (void *context, const command_t *command, writer_t *result,
                             uint32_t *node);
    /* Names a node in an error text; static or long-lived. */
    const char *(*node_name) (void *context, uint32_t node);
    void *context;
} router_options_t;

typedef struct {
    enum { ROUTER_TO_CLIENT, ROUTER_TO_NODE } kind;
    uint32_t node;       /* TO_NODE */
    uint64_t tag;        /* TO_NODE: comes back with the reply */
    kv_slice_t envelope; /* TO_CLIENT: valid until the next call of any router function */
    blob_t *body;        /* the receiver of the effect owns the reference */
} router_effect_t;

router_t *router_new (const router_options_t *options, int64_t now_ms);
void router_destroy (router_t **self_p);

/* A client's message. Takes the body's reference over. */
void router_request (router_t *self, kv_slice_t envelope, blob_t *body, int64_t now_ms);

/* A node may be sent to: what was held for its shards goes out, oldest request first. */
void router_node_open (router_t *self, uint32_t node);

/* A node is silent, or stops: nothing more is sent to it, what it has been sent may still be
 * answered. Effects for it that have not been fetched are taken back: they were not sent. */
void router_node_hold (router_t *self, uint32_t node);

/* A node is gone, or has forgotten what it was sent (N3): it is held, too. */
void router_node_lost (router_t *self, uint32_t node);

/* A node's process has ended, or said that it stops: as lost, and what waited for it is settled. */
void router_node_left (router_t *self, uint32_t node);

/* The effect with that tag could not be handed to the node: its pieces are held again, with
 * those of effects for the node that have not been fetched, and so is the node until it opens (N2).
 * Whatever else has been fetched for the node after it must not be handed on either. */
void router_unsent (router_t *self, uint64_t tag);

/* A node's answer to `tag`: `part` lies in `frame`. Answers nobody waits for are counted. */
void router_reply (router_t *self, uint32_t node, uint64_t tag, blob_t *frame, kv_slice_t part);

/* Deadlines. Call every TIMER_WHEEL_TICK_MS or so. */
void router_tick (router_t *self, int64_t now_ms);

/* The next effect, oldest first; false: there is none. */
bool router_next_effect (router_t *self, router_effect_t *out);

typedef struct {
    uint64_t requests, commands;        /* received, ever */
    uint64_t refused_requests;          /* malformed, but answered */
    uint64_t dropped_requests;          /* not even an id to answer to */
    uint64_t busy_commands;             /* N4 */
    uint64_t expired_requests;          /* passed their deadline */
    uint64_t unknown_outcomes;          /* commands */
    uint64_t forwarded_whole;           /* requests that travelled uncopied */
    uint64_t resent_pieces;             /* reads sent again */
    uint64_t late_replies;              /* nobody waited any more */
    uint64_t waiting_requests;          /* now */
    uint64_t waiting_bytes;             /* now, as N4 counts them */
    uint64_t by_command[COMMAND_COUNT]; /* taken, those refused for their form not counted */
} router_stats_t;
router_stats_t router_stats (const router_t *self);

/* Checks the invariants that a walk can check; for tests and debug builds. */
bool router_is_valid (const router_t *self);

#endif
