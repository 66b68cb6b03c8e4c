/* kvdb_broker - the broker of a KvDB cluster as an actor inside another czmq program.
 *
 *     zsys_handler_set (NULL);                               // keep the program's own signals
 *     kv_broker_node_t nodes[] = {{.id = "node1"}, {.id = "node2"}};
 *     kv_broker_options_t options = {.client_endpoint = "inproc://kvdb",
 *                                    .node_endpoint = "inproc://kvdb-nodes",
 *                                    .nodes = nodes,
 *                                    .node_count = 2};
 *     zactor_t *broker = zactor_new (kv_broker_actor, &options);
 *     char *word = NULL, *text = NULL;
 *     zstr_recvx (broker, &word, &text, NULL);               // "READY", or "FAILED" and the reason
 *     ...
 *     zactor_destroy (&broker);
 *
 *   E1  the first message of the actor is "READY" or "FAILED". Nothing that options, files, ports or
 *       peers can do ends the process; running out of memory, and a defect of ours, do.
 *   E2  options and all they point to are copied before zactor_new returns. Only the log's context
 *       is used until zactor_destroy has returned.
 *   E3  nothing of the process is changed: no signal handler, no signal mask but that of the actor's
 *       own thread, no limit, no environment, no working directory, nothing with atexit, no
 *       mutable globals. Only the thread of zactor_new and ZeroMQ's I/O thread are used.
 *
 * What czmq itself takes, at its first call: handlers for SIGINT and SIGTERM, unless
 * zsys_handler_set (NULL) came before anything else of czmq's (or ZSYS_SIGHANDLER=false is in the
 * environment); one function with atexit (zsys_shutdown); the seed of random(); one ZeroMQ context
 * with its two threads, in which all signals are blocked.
 *
 * Threads: in the actor's thread all signals are blocked, so that a handler of the program runs in
 * threads of the program. The actor's pipe belongs to one thread at a time, as any zactor.
 *
 *   pipe, out:  "READY", clients' endpoint, nodes' endpoint    it serves; endpoints as they are
 *                                                              bound, a port of * filled in
 *               "FAILED", reason                               it could not start, and has ended
 *               "STOPPED", reason                              it has ended after serving
 *   pipe, in:   "$TERM"   answer what is in flight, for at most a second, and end
 *
 * After FAILED or STOPPED read no more: what follows is for zactor_destroy. Stopping is
 * zactor_destroy, in any order with the nodes and clients; it returns once the actor has ended. Send
 * the actor nothing else (its pipe holds two messages of its own at most, so it never blocks).
 *
 * Sockets: 6 of ZeroMQ's beside the pipe's 2; czmq allows 1024 in a process, zsys_set_max_sockets
 * changes that. Files: data_dir only. */
#ifndef KVDB_BROKER_H
#define KVDB_BROKER_H

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

/* One line, `event=node_up node=node1 ...`, without a newline and without keys or values. It is
 * called from the actor's thread and must not block; the line is valid until it returns. */
#ifndef KVDB_LOG_FUNCTION
#define KVDB_LOG_FUNCTION
typedef void (kv_log_fn) (void *context, kv_log_level_t level, const char *line);
#endif

/* A node of the cluster. Their order decides which shards are at home where. */
typedef struct {
    const char *id;   /* unique: 1 to 63 letters, digits and . _ - ; required */
    const char *host; /* where clients reach its direct door, as they are told; NULL: 127.0.0.1 */
    uint16_t port;    /* 0: it has no direct door that others could reach */
} kv_broker_node_t;

/* 0 or NULL means the default named, in every field that is not required. */
typedef struct {
    const char *client_endpoint;   /* to bind, for clients: tcp://ADDRESS:PORT, a port of * for any
                                    * free one, or inproc://NAME; required */
    const char *node_endpoint;     /* to bind, for nodes: likewise; required */
    const kv_broker_node_t *nodes; /* required */
    size_t node_count;             /* 1..256; required */
    const char *data_dir;    /* keeps the cluster's identity; made if it is missing. NULL: a new
                                    * cluster each time, whose nodes must have no data_dir either */
    uint32_t shards;         /* nodes..16384; 64. Fixed once the cluster holds data */
    uint32_t replicas;       /* copies of a shard beside its owner's: 0 in this version */
    int64_t max_value_bytes; /* 1024..536870911, larger values are refused; 64 MiB */
    uint32_t beacon_ms;      /* 5..60000: how often nodes say that they are alive; 50 */
    uint32_t lease_ms;       /* at least 3 beacons: how long an owner may serve unheard; 250 */
    uint32_t grace_ms;       /* more than lease_ms: silence after which a node is lost; 350 */
    uint32_t deadline_ms;    /* 1..3600000: of a request that names none; 5000 */
    uint64_t queue_bytes;    /* 1 MiB or more: requests held, further ones are BUSY; 1 GiB */
    uint32_t shard_queue_commands; /* 16..16777216 held for one shard, likewise; 65536 */
    int64_t client_output_bytes;   /* 1 MiB or more: replies one client has not read; 256 MiB */
    int64_t output_bytes;          /* 1 MiB or more: replies no client has read; 1 GiB */
    int connections;               /* 1..100000 clients at a time; 10000 */
    bool allow_unauthenticated;    /* bind tcp other than loopback, though nobody authenticates */
    kv_log_fn *log;                /* NULL: no log */
    void *log_context;             /* handed to it */
} kv_broker_options_t;

/* The actor, for zactor_new; `options` is a kv_broker_options_t. */
KV_API void kv_broker_actor (zsock_t *pipe, void *options);

#ifdef __cplusplus
}
#endif

#endif
