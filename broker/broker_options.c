#include "broker/broker_options.h"

#include "actors/actor_options.h"
#include "actors/cluster_options.h"
#include "actors/handover.h"
#include "broker/broker_settings.h"

enum { NO_PORT = -2 }; /* neither it nor the next is a node's */

static void s_check_numbers (option_check_t *check, kv_broker_options_t *set)
{
    const kv_option_t *cluster = cluster_options_rows;
    const kv_option_t *broker = broker_settings_rows;
    set->shards =
        (uint32_t)option_check_number (check, cluster, "shards", set->shards, KV_SHARDS_DEFAULT);
    set->replicas = (uint32_t)option_check_number (check, cluster, "replicas", set->replicas, 0);
    set->max_value_bytes = option_check_number (check, cluster, "max_value_bytes",
                                                set->max_value_bytes, KV_VALUE_BYTES_DEFAULT);
    set->beacon_ms = (uint32_t)option_check_number (check, cluster, "beacon_ms", set->beacon_ms,
                                                    KV_BEACON_MS_DEFAULT);
    set->lease_ms = (uint32_t)option_check_number (check, cluster, "lease_ms", set->lease_ms,
                                                   KV_LEASE_MS_DEFAULT);
    set->grace_ms = (uint32_t)option_check_number (check, cluster, "grace_ms", set->grace_ms,
                                                   KV_GRACE_MS_DEFAULT);
    set->deadline_ms = (uint32_t)option_check_number (check, broker, "deadline_ms",
                                                      set->deadline_ms, KV_DEADLINE_MS_DEFAULT);
    set->queue_bytes = (uint64_t)option_check_number (
        check, broker, "queue_bytes", (int64_t)set->queue_bytes, (int64_t)KV_QUEUE_BYTES_DEFAULT);
    set->shard_queue_commands =
        (uint32_t)option_check_number (check, broker, "shard_queue_commands",
                                       set->shard_queue_commands, KV_SHARD_QUEUE_COMMANDS_DEFAULT);
    set->client_output_bytes =
        option_check_number (check, broker, "client_output_bytes", set->client_output_bytes,
                             (int64_t)KV_CLIENT_OUTPUT_BYTES_DEFAULT);
    set->output_bytes = option_check_number (check, broker, "output_bytes", set->output_bytes,
                                             (int64_t)KV_OUTPUT_BYTES_DEFAULT);
    set->connections = (int)option_check_number (check, broker, "connections", set->connections,
                                                 KV_CONNECTIONS_DEFAULT);
}

static void s_free_nodes (const kv_broker_node_t *nodes, size_t count)
{
    for (size_t i = 0; nodes && i < count; i++) {
        free ((void *)(uintptr_t)nodes[i].id);
        free ((void *)(uintptr_t)nodes[i].host);
    }
    free ((void *)(uintptr_t)nodes);
}

/* Puts a copy in the place of the given list. */
static void s_copy_nodes (option_check_t *check, kv_broker_options_t *set)
{
    const kv_broker_node_t *given = set->nodes;
    set->nodes = NULL;
    if (!given || set->node_count < 1 || set->node_count > KV_NODES_MAX) {
        option_check_fault (check, "%zu nodes are given; list 1 to %d", set->node_count,
                            KV_NODES_MAX);
        return;
    }
    kv_broker_node_t *nodes = calloc (set->node_count, sizeof *nodes);
    KV_ASSERT (nodes != NULL);
    set->nodes = nodes;
    for (size_t i = 0; i < set->node_count; i++) {
        const char *host = given[i].host ? given[i].host : "127.0.0.1";
        if (!given[i].id)
            option_check_fault (check, "nodes[%zu].id is required", i);
        if (strlen (host) > KV_HOST_BYTES_MAX)
            option_check_fault (check, "nodes[%zu].host is longer than %d bytes", i,
                                KV_HOST_BYTES_MAX);
        nodes[i] = (kv_broker_node_t){.id = option_copy_text (given[i].id),
                                      .host = option_copy_text (host),
                                      .port = given[i].port};
    }
}

/* What the cluster file is held against (K1-K4 of cluster_options.h). */
static void s_check_cluster (option_check_t *check, const kv_broker_options_t *set)
{
    if (check->status || !set->nodes)
        return;
    cluster_node_t *items = calloc (set->node_count, sizeof *items);
    KV_ASSERT (items != NULL);
    for (size_t i = 0; i < set->node_count; i++)
        items[i] = (cluster_node_t){.id = (char *)(uintptr_t)set->nodes[i].id,
                                    .host = (char *)(uintptr_t)set->nodes[i].host,
                                    .port = set->nodes[i].port};
    char broker_host[] = "127.0.0.1";
    cluster_options_t cluster = {.nodes = {.items = items, .count = set->node_count},
                                 .broker_host = broker_host,
                                 .broker_port = NO_PORT,
                                 .shards = set->shards,
                                 .replicas = set->replicas,
                                 .max_value_bytes = set->max_value_bytes,
                                 .beacon_ms = set->beacon_ms,
                                 .lease_ms = set->lease_ms,
                                 .grace_ms = set->grace_ms};
    cluster_fault_t fault;
    kv_status_t status = cluster_options_check (&cluster, &fault);
    if (status && fault.item != SIZE_MAX)
        option_check_fault (check, "nodes[%zu].%s: %s", fault.item, fault.field, fault.text);
    else if (status)
        option_check_fault (check, "%s: %s", fault.name, fault.text);
    free (items);
}

static void s_copy_endpoint (option_check_t *check, const char *field, const char **endpoint,
                             bool anywhere)
{
    char text[OPTION_ENDPOINT_BYTES];
    option_check_endpoint (check, field, *endpoint, text);
    if (!anywhere)
        option_check_loopback (check, field, text);
    *endpoint = option_copy_text (text);
}

kv_status_t broker_options_new (const kv_broker_options_t *given, broker_options_t **out, char *why,
                                size_t why_bytes)
{
    option_check_t check = {.why = why, .why_bytes = why_bytes};
    *out = NULL;
    if (!given) {
        option_check_fault (&check, "options are required: a kv_broker_options_t");
        return check.status;
    }
    broker_options_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->set = *given;
    self->log = (log_t){.write = given->log, .context = given->log_context, .least = KV_LOG_INFO};
    bool anywhere = given->allow_unauthenticated;
    s_copy_endpoint (&check, "client_endpoint", &self->set.client_endpoint, anywhere);
    s_copy_endpoint (&check, "node_endpoint", &self->set.node_endpoint, anywhere);
    self->set.data_dir = option_copy_text (given->data_dir);
    s_check_numbers (&check, &self->set);
    s_copy_nodes (&check, &self->set);
    s_check_cluster (&check, &self->set);
    if (check.status)
        broker_options_destroy (&self);
    handover_give ((void *)(uintptr_t)given); // E2
    *out = self;
    return check.status;
}

void broker_options_destroy (broker_options_t **self_p)
{
    broker_options_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free ((void *)(uintptr_t)self->set.client_endpoint);
    free ((void *)(uintptr_t)self->set.node_endpoint);
    free ((void *)(uintptr_t)self->set.data_dir);
    s_free_nodes (self->set.nodes, self->set.node_count);
    free (self);
}
