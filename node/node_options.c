#include "node/node_options.h"

#include "actors/actor_options.h"
#include "actors/cluster_options.h"
#include "actors/handover.h"
#include "node/flusher.h"
#include "node/eviction.h"
#include "node/node_settings.h"

static void s_check_numbers (option_check_t *check, kv_node_options_t *set)
{
    const kv_option_t *cluster = cluster_options_rows;
    const kv_option_t *node = node_settings_rows;
    set->shards =
        (uint32_t)option_check_number (check, cluster, "shards", set->shards, KV_SHARDS_DEFAULT);
    set->max_value_bytes = option_check_number (check, cluster, "max_value_bytes",
                                                set->max_value_bytes, KV_VALUE_BYTES_DEFAULT);
    set->max_memory = option_check_number (check, node, "max_memory", set->max_memory, 0);
    set->client_output_bytes =
        option_check_number (check, node, "client_output_bytes", set->client_output_bytes,
                             (int64_t)KV_CLIENT_OUTPUT_BYTES_DEFAULT);
    set->output_bytes = option_check_number (check, node, "output_bytes", set->output_bytes,
                                             (int64_t)KV_OUTPUT_BYTES_DEFAULT);
    set->connections = (int)option_check_number (check, node, "connections", set->connections,
                                                 KV_CONNECTIONS_DEFAULT);
}

static void s_check_persistence (option_check_t *check, kv_node_options_t *set)
{
    const kv_option_t *node = node_settings_rows;
    flush_policy_t policy;
    set->segment_bytes = option_check_number (check, node, "segment_bytes", set->segment_bytes,
                                              (int64_t)KV_SEGMENT_BYTES_DEFAULT);
    set->snapshot_log_bytes =
        option_check_number (check, node, "snapshot_log_bytes", set->snapshot_log_bytes,
                             (int64_t)KV_SNAPSHOT_LOG_BYTES_DEFAULT);
    set->snapshot_interval_s = option_check_number (
        check, node, "snapshot_interval", set->snapshot_interval_s, KV_SNAPSHOT_INTERVAL_S_DEFAULT);
    if (set->fsync_interval_ms == 0)
        set->fsync_interval_ms = KV_FLUSH_INTERVAL_MS_DEFAULT;
    if (set->fsync_interval_ms < 1 || set->fsync_interval_ms > KV_FLUSH_INTERVAL_MS_MAX)
        option_check_fault (check, "fsync_interval_ms is %lld; it is 1 to %d",
                            (long long)set->fsync_interval_ms, KV_FLUSH_INTERVAL_MS_MAX);
    const char *fsync = set->fsync ? set->fsync : set->data_dir ? "interval" : "off";
    if (!flush_policy_read (fsync, &policy))
        option_check_fault (check, "fsync is \"%.64s\"; it is one of %s", fsync, FLUSH_POLICIES);
    else if (policy != FLUSH_OFF && !set->data_dir)
        option_check_fault (check, "fsync is \"%s\", which needs a data_dir", fsync);
    set->fsync = option_copy_text (fsync);
    set->snapshot_path = option_copy_text (set->snapshot_path);
}

static void s_check_texts (option_check_t *check, const kv_node_options_t *given)
{
    if (!given->id)
        option_check_fault (check, "id is required");
    else if (!cluster_is_node_id (given->id))
        option_check_fault (check,
                            "id is \"%.64s\"; it is 1 to %d letters, digits and . _ - and begins "
                            "with a letter or digit",
                            given->id, KV_NODE_ID_BYTES_MAX);
    eviction_policy_t policy;
    if (given->max_memory_policy && !eviction_policy_read (given->max_memory_policy, &policy))
        option_check_fault (check, "max_memory_policy is \"%.64s\"; it is one of %s",
                            given->max_memory_policy, EVICTION_POLICIES);
    if (given->host && (!cluster_is_host (given->host) || strlen (given->host) > KV_HOST_BYTES_MAX))
        option_check_fault (check, "host is \"%.100s\"; it is a name or an address", given->host);
}

static const char *s_copy_endpoint (option_check_t *check, const char *field, const char *endpoint,
                                    bool anywhere)
{
    char text[OPTION_ENDPOINT_BYTES];
    option_check_endpoint (check, field, endpoint, text);
    if (!anywhere)
        option_check_loopback (check, field, text);
    return option_copy_text (text);
}

kv_status_t node_options_new (const kv_node_options_t *given, node_options_t **out, char *why,
                              size_t why_bytes)
{
    option_check_t check = {.why = why, .why_bytes = why_bytes};
    *out = NULL;
    if (!given) {
        option_check_fault (&check, "options are required: a kv_node_options_t");
        return check.status;
    }
    node_options_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    kv_node_options_t *set = &self->set;
    *set = *given;
    self->log = (log_t){.write = given->log, .context = given->log_context, .least = KV_LOG_INFO};
    s_check_texts (&check, given);
    set->id = option_copy_text (given->id);
    set->host = option_copy_text (given->host ? given->host : "127.0.0.1");
    set->data_dir = option_copy_text (given->data_dir);
    set->max_memory_policy = option_copy_text (
        given->max_memory_policy ? given->max_memory_policy : eviction_policy_name (EVICT_NOTHING));
    set->broker_endpoint =
        s_copy_endpoint (&check, "broker_endpoint", given->broker_endpoint, true);
    if (given->direct_endpoint)
        set->direct_endpoint = s_copy_endpoint (&check, "direct_endpoint", given->direct_endpoint,
                                                given->allow_unauthenticated);
    s_check_numbers (&check, set);
    s_check_persistence (&check, set);
    if (check.status)
        node_options_destroy (&self);
    handover_give ((void *)(uintptr_t)given); // E2
    *out = self;
    return check.status;
}

void node_options_destroy (node_options_t **self_p)
{
    node_options_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free ((void *)(uintptr_t)self->set.id);
    free ((void *)(uintptr_t)self->set.host);
    free ((void *)(uintptr_t)self->set.data_dir);
    free ((void *)(uintptr_t)self->set.fsync);
    free ((void *)(uintptr_t)self->set.snapshot_path);
    free ((void *)(uintptr_t)self->set.max_memory_policy);
    free ((void *)(uintptr_t)self->set.broker_endpoint);
    free ((void *)(uintptr_t)self->set.direct_endpoint);
    free (self);
}
