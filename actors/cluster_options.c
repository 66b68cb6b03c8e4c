#include "actors/cluster_options.h"

#include "schema/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MEMBER(name) .offset = offsetof (cluster_options_t, name)
#define FIELD(name) .offset = offsetof (cluster_node_t, name)

static const kv_option_t s_node_fields[] = {
    {.name = "id",
     .type = KV_OPTION_TEXT,
     FIELD (id),
     .min = 1,
     .max = KV_NODE_ID_BYTES_MAX,
     .help = "name of the node, unique in the cluster"},
    {.name = "host",
     .type = KV_OPTION_TEXT,
     FIELD (host),
     .min = 1,
     .max = KV_HOST_BYTES_MAX,
     .preset = "127.0.0.1",
     .help = "host name or address at which clients reach the node"},
    {.name = "port",
     .type = KV_OPTION_NUMBER,
     FIELD (port),
     .min = 1,
     .max = UINT16_MAX,
     .help = "port at which clients reach the node"},
    {.name = "useGrpc",
     .type = KV_OPTION_BOOL,
     FIELD (use_grpc),
     .preset = "false",
     .note = "all traffic is ZeroMQ",
     .help = "accepted for the sake of existing files"},
    KV_OPTION_END};

const kv_option_t cluster_options_rows[] = {
    {.name = "nodes",
     .type = KV_OPTION_LIST,
     MEMBER (nodes),
     .min = 1,
     .max = KV_NODES_MAX,
     .fields = s_node_fields,
     .item_bytes = sizeof (cluster_node_t),
     .help = "the nodes of the cluster; their order decides which shards are at home where"},
    {.name = "broker.host",
     .type = KV_OPTION_TEXT,
     MEMBER (broker_host),
     .min = 1,
     .max = KV_HOST_BYTES_MAX,
     .preset = "127.0.0.1",
     .help = "host name or address at which clients and nodes reach the broker"},
    {.name = "broker.port",
     .alias = "port",
     .type = KV_OPTION_NUMBER,
     MEMBER (broker_port),
     .min = 1,
     .max = UINT16_MAX - 1,
     .preset = "7000",
     .help = "port for clients; nodes use the next one"},
    {.name = "shards",
     .type = KV_OPTION_NUMBER,
     MEMBER (shards),
     .min = 1,
     .max = KV_SHARDS_MAX,
     .preset = "64",
     .help = "parts the keys are divided into; fixed once the cluster holds data"},
    {.name = "replicas",
     .type = KV_OPTION_NUMBER,
     MEMBER (replicas),
     .min = 0,
     .max = 2,
     .preset = "0",
     .help = "copies of each shard beside its owner's"},
    {.name = "max_value_bytes",
     .type = KV_OPTION_BYTES,
     MEMBER (max_value_bytes),
     .min = 1024,
     .max = KV_VALUE_BYTES_MAX,
     .preset = "64m",
     .unit = "bytes",
     .help = "the largest value; larger ones are refused"},
    {.name = "beacon_ms",
     .type = KV_OPTION_NUMBER,
     MEMBER (beacon_ms),
     .min = 5,
     .max = 60 * 1000,
     .preset = "50",
     .unit = "ms",
     .help = "how often a node says that it is alive"},
    {.name = "lease_ms",
     .type = KV_OPTION_NUMBER,
     MEMBER (lease_ms),
     .min = 20,
     .max = 600 * 1000,
     .preset = "250",
     .unit = "ms",
     .help = "how long an owner may serve after the broker has last heard its beacon"},
    {.name = "grace_ms",
     .type = KV_OPTION_NUMBER,
     MEMBER (grace_ms),
     .min = 30,
     .max = 900 * 1000,
     .preset = "350",
     .unit = "ms",
     .help = "silence after which a node counts as lost; more than lease_ms"},
    KV_OPTION_END};

static kv_status_t s_fault (cluster_fault_t *fault, const char *name, size_t item,
                            const char *field, const char *format, ...) KV_PRINTF (5, 6);

static kv_status_t s_fault (cluster_fault_t *fault, const char *name, size_t item,
                            const char *field, const char *format, ...)
{
    *fault = (cluster_fault_t){.name = name, .item = item, .field = field};
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (fault->text, sizeof fault->text, format, arguments);
    va_end (arguments);
    return KV_CONFIG;
}

static bool s_is_plain (char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool cluster_is_node_id (const char *id)
{
    if (!s_is_plain (id[0]))
        return false;
    for (const char *c = id; *c; c++) {
        if (!s_is_plain (*c) && !strchr ("._-", *c))
            return false;
    }
    return strlen (id) <= KV_NODE_ID_BYTES_MAX;
}

/* Letters, digits and what addresses are written with. */
bool cluster_is_host (const char *host)
{
    for (const char *c = host; *c; c++) {
        if (!s_is_plain (*c) && !strchr (".-_:%[]", *c))
            return false;
    }
    return host[0] != '\0';
}

static bool s_same_door (const char *host, int64_t port, const char *other, int64_t other_port)
{
    return port > 0 && port == other_port && strcasecmp (host, other) == 0;
}

static kv_status_t s_check_node (const cluster_options_t *self, size_t index,
                                 cluster_fault_t *fault)
{
    const cluster_node_t *nodes = self->nodes.items;
    const cluster_node_t *node = &nodes[index];
    if (!cluster_is_node_id (node->id))
        return s_fault (fault, "nodes", index, "id",
                        "\"%.64s\" is no node id; it is 1 to %d letters, digits and . _ - and "
                        "begins with a letter or digit",
                        node->id, KV_NODE_ID_BYTES_MAX);
    if (strcasecmp (node->id, "broker") == 0)
        return s_fault (fault, "nodes", index, "id",
                        "a node may not be called broker; choose another id"); // K1
    if (!cluster_is_host (node->host))
        return s_fault (fault, "nodes", index, "host",
                        "\"%.100s\" is no host; it is a name or an address", node->host);
    for (int64_t door = 0; door < 2; door++) {
        if (s_same_door (node->host, node->port, self->broker_host, self->broker_port + door))
            return s_fault (fault, "nodes", index, "port",
                            "the broker uses %" PRId64 " for clients and %" PRId64
                            " for nodes; choose another port",
                            self->broker_port, self->broker_port + 1); // K3
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp (nodes[i].id, node->id) == 0)
            return s_fault (fault, "nodes", index, "id", "two nodes are called %s; ids must differ",
                            node->id); // K1
        if (s_same_door (nodes[i].host, nodes[i].port, node->host, node->port))
            return s_fault (fault, "nodes", index, "port",
                            "%s and %s have the same host and port; choose another port",
                            nodes[i].id, node->id); // K3
    }
    return KV_OK;
}

static kv_status_t s_check_sizes (const cluster_options_t *self, cluster_fault_t *fault)
{
    int64_t nodes = (int64_t)self->nodes.count;
    if (nodes == 0)
        return s_fault (fault, "nodes", SIZE_MAX, NULL,
                        "no nodes are given; list at least one, with id, host and port");
    if (nodes > self->shards)
        return s_fault (fault, "shards", SIZE_MAX, NULL,
                        "%" PRId64 " nodes cannot share %" PRId64
                        " shards; there must be at least as many shards as nodes",
                        nodes, self->shards); // K2
    if (self->replicas >= nodes)
        return s_fault (fault, "replicas", SIZE_MAX, NULL,
                        "%" PRId64 " replicas need at least %" PRId64 " nodes, there are %" PRId64
                        "; lower replicas or add nodes",
                        self->replicas, self->replicas + 1, nodes); // K2
    if (self->replicas > 0)
        return s_fault (fault, "replicas", SIZE_MAX, NULL,
                        "replication is not in this version; set replicas: 0");
    return KV_OK;
}

static kv_status_t s_check_times (const cluster_options_t *self, cluster_fault_t *fault)
{
    if (self->lease_ms < 3 * self->beacon_ms)
        return s_fault (fault, "lease_ms", SIZE_MAX, NULL,
                        "%" PRId64 " is less than three times beacon_ms (%" PRId64
                        "): a lost beacon would end a lease; raise it to %" PRId64 " or more",
                        self->lease_ms, self->beacon_ms, 3 * self->beacon_ms); // K4
    if (self->grace_ms <= self->lease_ms)
        return s_fault (fault, "grace_ms", SIZE_MAX, NULL,
                        "%" PRId64 " is not more than lease_ms (%" PRId64
                        "): a shard would be given away while its owner may still serve it",
                        self->grace_ms, self->lease_ms); // K4
    return KV_OK;
}

kv_status_t cluster_options_check (const cluster_options_t *self, cluster_fault_t *fault)
{
    if (!cluster_is_host (self->broker_host))
        return s_fault (fault, "broker.host", SIZE_MAX, NULL,
                        "\"%.100s\" is no host; it is a name or an address", self->broker_host);
    kv_status_t status = s_check_sizes (self, fault);
    for (size_t i = 0; status == KV_OK && i < self->nodes.count; i++)
        status = s_check_node (self, i, fault);
    return status == KV_OK ? s_check_times (self, fault) : status;
}

bool cluster_endpoint (const char *host, int64_t port, char *out, size_t out_bytes)
{
    bool bare_v6 = strchr (host, ':') && host[0] != '[';
    int size = snprintf (out, out_bytes, bare_v6 ? "tcp://[%s]:%" PRId64 : "tcp://%s:%" PRId64,
                         host, port);
    return size > 0 && (size_t)size < out_bytes;
}

bool cluster_is_loopback (const char *host)
{
    unsigned a, b, c;
    char more;
    if (strcmp (host, "localhost") == 0 || strcmp (host, "::1") == 0 || strcmp (host, "[::1]") == 0)
        return true;
    bool v4 = sscanf (host, "127.%3u.%3u.%3u%c", &a, &b, &c, &more) == 3;
    return v4 && a <= UINT8_MAX && b <= UINT8_MAX && c <= UINT8_MAX;
}
