/* sample_tables - option tables for the tests and fuzzers of the config engine: one row of every
 * type, the original's names among them. The modules' own tables are not needed for this. */
#ifndef KVDB_TEST_SAMPLE_TABLES_H
#define KVDB_TEST_SAMPLE_TABLES_H

#include "config/config.h"

enum { SAMPLE_CLUSTER = 1, SAMPLE_NODE = 2 };

typedef struct {
    char *id;
    char *host;
    int64_t port;
    bool use_grpc;
    char *peer_host;
    int64_t peer_port;
} sample_item_t;

typedef struct {
    kv_option_list_t nodes;
    char *broker_host;
    int64_t broker_port;
    int64_t replicas;
} sample_cluster_t;

typedef struct {
    char *config;
    char *id;
    char *file_path;
    int file_type;
    bool auto_flush;
    int64_t auto_flush_s;
    int fsync;
    int64_t max_memory_bytes;
    char *comment;
    bool legacy;
    int64_t offset;
} sample_node_t;

static const kv_option_t sample_fields[] = {{.name = "id",
                                             .type = KV_OPTION_TEXT,
                                             .offset = offsetof (sample_item_t, id),
                                             .min = 1,
                                             .max = 63,
                                             .help = "Name of the node"},
                                            {.name = "host",
                                             .type = KV_OPTION_TEXT,
                                             .offset = offsetof (sample_item_t, host),
                                             .min = 1,
                                             .max = 255,
                                             .preset = "127.0.0.1",
                                             .help = "Where the node is reached"},
                                            {.name = "port",
                                             .type = KV_OPTION_NUMBER,
                                             .offset = offsetof (sample_item_t, port),
                                             .min = 1,
                                             .max = 65535,
                                             .help = "Its direct door"},
                                            {.name = "useGrpc",
                                             .type = KV_OPTION_BOOL,
                                             .offset = offsetof (sample_item_t, use_grpc),
                                             .preset = "false",
                                             .help = "Accepted for old files",
                                             .note = "all traffic is ZeroMQ"},
                                            {.name = "peer.host",
                                             .type = KV_OPTION_TEXT,
                                             .offset = offsetof (sample_item_t, peer_host),
                                             .max = 255,
                                             .preset = "",
                                             .help = "Address for the other nodes"},
                                            {.name = "peer.port",
                                             .type = KV_OPTION_NUMBER,
                                             .offset = offsetof (sample_item_t, peer_port),
                                             .min = 0,
                                             .max = 65535,
                                             .preset = "0",
                                             .help = "Door for the other nodes"},
                                            KV_OPTION_END};

static const kv_option_t sample_cluster_rows[] = {
    {.name = "nodes",
     .type = KV_OPTION_LIST,
     .offset = offsetof (sample_cluster_t, nodes),
     .min = 1,
     .max = 4,
     .help = "The nodes of the cluster",
     .fields = sample_fields,
     .item_bytes = sizeof (sample_item_t)},
    {.name = "broker.host",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (sample_cluster_t, broker_host),
     .min = 1,
     .max = 255,
     .preset = "127.0.0.1",
     .help = "Address the broker binds"},
    {.name = "broker.port",
     .alias = "port",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (sample_cluster_t, broker_port),
     .min = 1,
     .max = 65535,
     .preset = "7000",
     .help = "Port for clients"},
    {.name = "replicas",
     .alias = "r",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (sample_cluster_t, replicas),
     .min = 0,
     .max = 8,
     .preset = "1",
     .help = "Followers of a shard"},
    KV_OPTION_END};

static const kv_option_t sample_node_rows[] = {
    {.name = "config",
     .type = KV_OPTION_PATH,
     .offset = offsetof (sample_node_t, config),
     .min = 1,
     .max = 4000,
     .help = "The node's file",
     .command_line = 1},
    {.name = "id",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (sample_node_t, id),
     .min = 1,
     .max = 63,
     .help = "Name of this node",
     .command_line = 1},
    {.name = "kvdb.persistence.filepath",
     .type = KV_OPTION_PATH,
     .offset = offsetof (sample_node_t, file_path),
     .max = 4000,
     .preset = "data/kvstore.dat",
     .help = "Where the data is kept"},
    {.name = "kvdb.persistence.filetype",
     .type = KV_OPTION_CHOICE,
     .offset = offsetof (sample_node_t, file_type),
     .choices = "dat",
     .preset = "dat",
     .help = "Format of the data"},
    {.name = "kvdb.persistence.enableAutoFlush",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (sample_node_t, auto_flush),
     .preset = "true",
     .help = "Flush by time"},
    {.name = "kvdb.persistence.autoFlushInterval",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (sample_node_t, auto_flush_s),
     .min = 1,
     .max = 3600,
     .preset = "1",
     .unit = "s",
     .help = "Time between two flushes"},
    {.name = "kvdb.persistence.fsync",
     .type = KV_OPTION_CHOICE,
     .offset = offsetof (sample_node_t, fsync),
     .choices = "always|interval|never|off",
     .preset = "interval",
     .help = "When the log reaches the disk"},
    {.name = "kvdb.max_memory",
     .type = KV_OPTION_BYTES,
     .offset = offsetof (sample_node_t, max_memory_bytes),
     .min = 1024 * 1024,
     .max = INT64_C (1) << 40,
     .preset = "1g",
     .unit = "bytes",
     .help = "Memory for data"},
    {.name = "kvdb.comment",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (sample_node_t, comment),
     .max = 40,
     .help = "Shown in INFO"},
    {.name = "kvdb.legacy",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (sample_node_t, legacy),
     .preset = "no",
     .help = "A relic",
     .note = "it went with the old format"},
    {.name = "kvdb.offset",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (sample_node_t, offset),
     .min = INT64_MIN,
     .max = INT64_MAX,
     .preset = "-5",
     .help = "Any number at all"},
    KV_OPTION_END};

/* An engine with both tables, as the node's main would make it. */
typedef struct {
    config_t *config;
    sample_cluster_t cluster;
    sample_node_t node;
} sample_t;

static inline void sample_start (sample_t *self)
{
    self->config = config_new ();
    config_add (self->config,
                (config_table_t){sample_cluster_rows, &self->cluster, SAMPLE_CLUSTER, "Cluster"});
    config_add (self->config, (config_table_t){sample_node_rows, &self->node, SAMPLE_NODE, "Node"});
    config_foreign (self->config, "broker", SAMPLE_CLUSTER);
    config_foreign (self->config, "client.tuning", SAMPLE_CLUSTER);
}

static inline void sample_stop (sample_t *self)
{
    config_destroy (&self->config);
}

/* E4: whatever was read, what stands in the targets obeys the rows. */
static inline bool sample_is_valid (const sample_t *self)
{
    const sample_cluster_t *cluster = &self->cluster;
    const sample_node_t *node = &self->node;
    const sample_item_t *items = cluster->nodes.items;
    if (cluster->nodes.count > 4 || cluster->broker_port < 1 || cluster->broker_port > 65535)
        return false;
    if (strlen (cluster->broker_host) < 1 || strlen (cluster->broker_host) > 255)
        return false;
    for (size_t i = 0; i < cluster->nodes.count; i++) {
        if (!items[i].id || !items[i].host || !items[i].peer_host || strlen (items[i].id) > 63)
            return false;
        if (items[i].port < 1 || items[i].port > 65535 || items[i].peer_port < 0)
            return false;
    }
    if (cluster->replicas < 0 || cluster->replicas > 8 || node->file_type != 0)
        return false;
    if (node->auto_flush_s < 1 || node->auto_flush_s > 3600 || node->fsync < 0 || node->fsync > 3)
        return false;
    if (node->max_memory_bytes < 1024 * 1024 || node->max_memory_bytes > INT64_C (1) << 40)
        return false;
    return node->file_path && (!node->comment || strlen (node->comment) <= 40);
}

/* E3: an error is one printable line that begins with `origin:LINE:COLUMN: ` and says what is
 * allowed after a semicolon. */
static inline bool sample_error_is_valid (const char *error, const char *origin)
{
    size_t size = strlen (origin);
    if (strncmp (error, origin, size) != 0)
        return false;
    const char *at = error + size;
    for (int i = 0; i < 2; i++) {
        if (*at++ != ':' || *at < '1' || *at > '9')
            return false;
        at += strspn (at, "0123456789");
    }
    if (strncmp (at, ": ", 2) != 0 || !strstr (at, "; ") || strlen (error) > 2000)
        return false;
    for (; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    }
    return true;
}

#endif
