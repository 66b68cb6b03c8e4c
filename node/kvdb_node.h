/* kvdb_node - a storage node of a KvDB cluster as an actor inside another czmq program.
 *
 *     zsys_handler_set (NULL);                               // keep the program's own signals
 *     kv_node_options_t options = {.id = "node1", .broker_endpoint = "inproc://kvdb-nodes"};
 *     zactor_t *node = zactor_new (kv_node_actor, &options);
 *     char *word = NULL, *text = NULL;
 *     zstr_recvx (node, &word, &text, NULL);                 // "READY", or "FAILED" and the reason
 *     ...
 *     zactor_destroy (&node);
 *
 *                 WELCOME, SHARDS            SHUTDOWN on the data lane
 *   CALLING -------------------> SERVING ----------------------------> (ended)
 *      ^  READY every 100 ms        |
 *      +--------- DISCONNECT -------+
 *
 *   pipe, out:  "READY"              the broker has accepted it and may send. It waits for its broker
 *                                    as long as it takes: a program that does not, gives its own
 *                                    waiting a limit and destroys the actor
 *               "FAILED", reason     it could not start, or the broker refused it; it has ended
 *               "STOPPED", reason    it has ended after starting: asked to, by whoever holds the pipe
 *                                    or by the command SHUTDOWN
 *   pipe, in:   "$TERM"   ask the broker to let go, answer what it had been sent, and end, within
 *                         two seconds in any case
 *
 * After FAILED or STOPPED read no more: what follows is for zactor_destroy. What <kvdb_broker.h> says
 * of errors, ownership, the process, threads, what czmq takes, and stopping (E1-E3) holds here, too.
 *
 * Sockets: 2 of ZeroMQ's beside the pipe's 2, with a direct door 5, with a log 4 more. Threads: with a
 * log 2 more. Files: data_dir and snapshot_path only. A broker that comes back is found again, over tcp
 * and inproc, if its data_dir says that it is the same. */
#ifndef KVDB_NODE_H
#define KVDB_NODE_H

#include <czmq.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef KV_API
#if defined(__GNUC__)
#define KV_API __attribute__ ((visibility ("default")))
#else
#define KV_API
#endif
#endif

/* How much a line of the log matters; ERROR means that a person must act. */
#ifndef KVDB_LOG_LEVELS
#define KVDB_LOG_LEVELS
typedef enum { KV_LOG_DEBUG, KV_LOG_INFO, KV_LOG_WARN, KV_LOG_ERROR } kv_log_level_t;
#endif

/* One line, `event=node_serves node=node1 ...`, without a newline and without keys or values. It is
 * called from the actor's thread and must not block; the line is valid until it returns. */
#ifndef KVDB_LOG_FUNCTION
#define KVDB_LOG_FUNCTION
typedef void (kv_log_fn) (void *context, kv_log_level_t level, const char *line);
#endif

/* 0 or NULL means the default named, in every field that is not required. */
typedef struct {
    const char *id;              /* as the broker's list of nodes has it; required */
    const char *broker_endpoint; /* the broker's door for nodes: tcp://HOST:PORT, inproc://NAME;
                                  * required */
    const char *host;            /* where the direct door is advertised; NULL: 127.0.0.1 */
    uint16_t port;               /* likewise; 0: nowhere */
    const char *direct_endpoint; /* to bind the direct door, where clients come without the broker:
                                  * tcp://ADDRESS:PORT, inproc://NAME; NULL: none */
    const char *data_dir;    /* the node's identity, log and snapshot; made if it is missing, and
                                  * locked. NULL: memory only, a new identity each time */
    uint32_t shards;         /* must be the broker's; 64 */
    int64_t max_value_bytes; /* should be the broker's; 64 MiB */
    int64_t max_memory;      /* bytes the data may take, tables included; 0: no bound */
    const char *max_memory_policy; /* what goes then: noeviction, allkeys-lru or volatile-ttl; NULL:
                                    * noeviction */
    const char *fsync; /* when the log is flushed: always, interval, never; off: no log. NULL:
                                  * interval, or off without data_dir */
    int64_t fsync_interval_ms; /* 1..3600000, under interval: see docs/PERSISTENCE.md; 1000 */
    const char *snapshot_path; /* the snapshot file; NULL: snapshot.dat in data_dir */
    int64_t segment_bytes;     /* 64 KiB..1 GiB: size of the log's files; 16 MiB */
    int64_t
        snapshot_log_bytes; /* 1 MiB or more: growth of the log that asks for a snapshot; 256 MiB */
    int64_t snapshot_interval_s; /* 1 or more: time after which a snapshot is due; 3600 */
    int64_t
        client_output_bytes;    /* 1 MiB or more: replies one direct client has not read; 256 MiB */
    int64_t output_bytes;       /* 1 MiB or more: replies no direct client has read; 1 GiB */
    int connections;            /* 1..100000 direct clients at a time; 10000 */
    bool allow_unauthenticated; /* bind tcp other than loopback, though nobody authenticates */
    kv_log_fn *log;             /* NULL: no log */
    void *log_context;          /* handed to it */
} kv_node_options_t;

/* The actor, for zactor_new; `options` is a kv_node_options_t. */
KV_API void kv_node_actor (zsock_t *pipe, void *options);

#ifdef __cplusplus
}
#endif

#endif
