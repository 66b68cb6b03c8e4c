/* cluster_options - what the cluster file says, which broker and nodes share: its option table, and
 * the checks that concern more than one value.
 *
 *   K1  node ids are unique, made of letters, digits and . _ - and begin with a letter or digit;
 *       "broker" is not one (its data directory would be the broker's).
 *   K2  1 <= nodes <= shards, and replicas < nodes.
 *   K3  no two doors share host and port (as written; a node with port 0 has none): nodes' among each other, or with the
 *       broker's two, broker_port for clients and the next for nodes.
 *   K4  beacon_ms * 3 <= lease_ms < grace_ms: a lost beacon loses no lease, and a shard is given
 *       away only when its owner's lease has ended, clock drift included. */
#ifndef KVDB_ACTORS_CLUSTER_OPTIONS_H
#define KVDB_ACTORS_CLUSTER_OPTIONS_H

#include "schema/option.h"
#include "schema/status.h"

enum { CLUSTER_FAULT_TEXT_BYTES = 256 };

typedef struct {
    char *id;
    char *host;
    int64_t port; /* of the direct door */
    bool use_grpc;
} cluster_node_t;

typedef struct {
    kv_option_list_t nodes; /* of cluster_node_t */
    char *broker_host;
    int64_t broker_port;
    int64_t shards;
    int64_t replicas;
    int64_t max_value_bytes;
    int64_t beacon_ms;
    int64_t lease_ms;
    int64_t grace_ms;
} cluster_options_t;

extern const kv_option_t cluster_options_rows[];

/* What is wrong, and where: as config_reject takes it. */
typedef struct {
    const char *name;  /* of the row */
    size_t item;       /* index in the list, or SIZE_MAX */
    const char *field; /* in the item, or NULL */
    char text[CLUSTER_FAULT_TEXT_BYTES];
} cluster_fault_t;

/* KV_OK, or KV_CONFIG and the first thing that breaks K1-K4 or is not offered yet. Expects every
 * value within its row's range. */
KV_CHECK_RESULT kv_status_t cluster_options_check (const cluster_options_t *self,
                                                   cluster_fault_t *fault);

/* K1 for one id, but for its being the only one and not "broker". */
bool cluster_is_node_id (const char *id);

/* Whether the text could be a host name or address: it may become part of an endpoint. */
bool cluster_is_host (const char *host);

/* "tcp://HOST:PORT", with brackets around an IPv6 address. False: it does not fit. */
KV_CHECK_RESULT bool cluster_endpoint (const char *host, int64_t port, char *out, size_t out_bytes);

/* True for 127.0.0.0/8, ::1 and localhost as they are written; other names are not looked up. */
bool cluster_is_loopback (const char *host);

#endif
