#include "broker/broker_commands.h"

#include "schema/command_answer.h"
#include "schema/limits.h"
#include "schema/request.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Whoever knows a living process's incarnation can speak in its name at the nodes' door. So clients
 * are shown its upper bits only: enough to see that it has changed. (It has 63 bits.) */
enum { INCARNATION_HIDDEN_BITS = 43 };

static void s_line (writer_t *text, const char *format, ...) KV_PRINTF (2, 3);
static void s_line (writer_t *text, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start (arguments, format);
    int length = vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    KV_ASSERT (length >= 0 && (size_t)length < sizeof line);
    writer_raw (text, kv_slice (line, (size_t)length));
    writer_raw (text, kv_slice_text ("\r\n"));
}

static void s_info_server (const broker_view_t *view, writer_t *text)
{
    s_line (text, "kvdb_version:%s", view->version);
    s_line (text, "role:broker");
    s_line (text, "process_id:%" PRId64, view->process_id);
    s_line (text, "max_value_bytes:%" PRId64, view->max_value_bytes);
    s_line (text, "uptime_in_seconds:%" PRId64, (view->now_ms - view->started_ms) / 1000);
}

static void s_info_clients (const broker_view_t *view, writer_t *text)
{
    if (view->doors_info)
        writer_raw (text, kv_slice_text (view->doors_info));
}

static void s_info_stats (const broker_view_t *view, writer_t *text)
{
    router_stats_t stats = router_stats (view->router);
    s_line (text, "total_requests_received:%" PRIu64, stats.requests);
    s_line (text, "total_commands_processed:%" PRIu64, stats.commands);
    s_line (text, "requests_forwarded_whole:%" PRIu64, stats.forwarded_whole);
    s_line (text, "requests_refused:%" PRIu64, stats.refused_requests);
    s_line (text, "requests_dropped:%" PRIu64, stats.dropped_requests);
    s_line (text, "requests_expired:%" PRIu64, stats.expired_requests);
    s_line (text, "commands_refused_busy:%" PRIu64, stats.busy_commands);
    s_line (text, "commands_outcome_unknown:%" PRIu64, stats.unknown_outcomes);
    s_line (text, "pieces_resent:%" PRIu64, stats.resent_pieces);
    s_line (text, "late_replies:%" PRIu64, stats.late_replies);
    s_line (text, "waiting_requests:%" PRIu64, stats.waiting_requests);
    s_line (text, "waiting_bytes:%" PRIu64, stats.waiting_bytes);
}

/* Whether what the node's last beacon said of its data is still so. */
static bool s_counts (const node_t *node)
{
    return node->state == NODE_UP || node->state == NODE_SUSPECT || node->state == NODE_STOPPING;
}

static void s_info_memory (const broker_view_t *view, writer_t *text)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < coordinator_node_count (view->coordinator); i++) {
        const node_t *node = coordinator_node (view->coordinator, i);
        bytes += s_counts (node) ? node->bytes : 0;
    }
    s_line (text, "used_memory_of_nodes:%" PRIu64, bytes);
}

static void s_info_keyspace (const broker_view_t *view, writer_t *text)
{
    uint64_t keys = 0;
    for (uint32_t i = 0; i < coordinator_node_count (view->coordinator); i++) {
        const node_t *node = coordinator_node (view->coordinator, i);
        keys += s_counts (node) ? node->keys : 0;
    }
    s_line (text, "keys:%" PRIu64, keys);
    if (keys)
        s_line (text, "db0:keys=%" PRIu64, keys);
}

static void s_info_commands (const broker_view_t *view, writer_t *text)
{
    router_stats_t stats = router_stats (view->router);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (stats.by_command[i] == 0)
            continue;
        char lower[KV_COMMAND_NAME_BYTES_MAX + 1] = {0};
        const char *name = command_spec ((command_id_t)i)->name;
        for (size_t c = 0; name[c]; c++)
            lower[c] = (char)(name[c] | 32);
        s_line (text, "cmdstat_%s:calls=%" PRIu64, lower, stats.by_command[i]);
    }
}

/* How many shards each node owns, in one pass over the map: it may have 16384. */
static void s_count_shards (const shard_map_t *map, uint32_t counts[KV_NODES_MAX])
{
    memset (counts, 0, KV_NODES_MAX * sizeof counts[0]);
    for (uint32_t shard = 0; shard < map->shards; shard++)
        counts[map->owners[shard]]++;
}

static void s_info_cluster (const broker_view_t *view, writer_t *text)
{
    uint32_t shards[KV_NODES_MAX];
    s_count_shards (view->map, shards);
    coordinator_stats_t stats = coordinator_stats (view->coordinator);
    s_line (text, "cluster_shards:%u", view->map->shards);
    s_line (text, "cluster_replicas:%u", view->replicas);
    s_line (text, "cluster_epoch:%" PRIu64, view->map->epoch);
    s_line (text, "cluster_nodes:%u", coordinator_node_count (view->coordinator));
    s_line (text, "node_joins:%" PRIu64, stats.joins);
    s_line (text, "node_refusals:%" PRIu64, stats.refusals);
    s_line (text, "node_silences:%" PRIu64, stats.silences);
    s_line (text, "node_departures:%" PRIu64, stats.departures);
    for (uint32_t i = 0; i < coordinator_node_count (view->coordinator); i++) {
        const node_t *node = coordinator_node (view->coordinator, i);
        s_line (text, "node%u:id=%s,state=%s,shards=%u,keys=%" PRIu64 ",bytes=%" PRIu64, i,
                node->id, node_state_name (node->state), shards[i], node->keys, node->bytes);
    }
}

/* A section that nobody gets who does not ask for it, or for all. */
static const char s_commandstats[] = "COMMANDSTATS";

static const struct {
    const char *word; /* how a client asks for it, upper case */
    const char *title;
    void (*write) (const broker_view_t *view, writer_t *text);
} s_sections[] = {
    {"SERVER", "# Server\r\n", s_info_server},
    {"CLIENTS", "# Clients\r\n", s_info_clients},
    {"MEMORY", "# Memory\r\n", s_info_memory},
    {"STATS", "# Stats\r\n", s_info_stats},
    {s_commandstats, "# Commandstats\r\n", s_info_commands},
    {"KEYSPACE", "# Keyspace\r\n", s_info_keyspace},
    {"CLUSTER", "# Cluster\r\n", s_info_cluster},
};

static bool s_wants_section (const command_t *command, const char *word)
{
    bool by_default = word != s_commandstats;
    if (command->argc == 1)
        return by_default;
    for (uint32_t i = 1; i < command->argc; i++) {
        kv_slice_t asked = command->argv[i];
        if (kv_slice_is_word (asked, word) || kv_slice_is_word (asked, "ALL") ||
            kv_slice_is_word (asked, "EVERYTHING") ||
            (kv_slice_is_word (asked, "DEFAULT") && by_default))
            return true;
    }
    return false;
}

static void s_info (const broker_view_t *view, const command_t *command, writer_t *result)
{
    writer_t text = writer_make (SIZE_MAX);
    for (size_t i = 0; i < sizeof s_sections / sizeof s_sections[0]; i++) {
        if (!s_wants_section (command, s_sections[i].word))
            continue;
        if (text.size)
            writer_raw (&text, kv_slice_text ("\r\n"));
        writer_raw (&text, kv_slice_text (s_sections[i].title));
        s_sections[i].write (view, &text);
    }
    result_bytes (result, kv_slice (text.data, text.size));
    writer_free (&text);
}

static void s_topology_node (const broker_view_t *view, uint32_t index, uint32_t shards,
                             writer_t *result)
{
    const node_t *node = coordinator_node (view->coordinator, index);
    bool seen = node->state != NODE_ABSENT;
    writer_map (result, 9);
    writer_cstr (result, "id");
    writer_cstr (result, node->id);
    writer_cstr (result, "host");
    writer_cstr (result, node->host);
    writer_cstr (result, "port");
    writer_uint (result, node->port);
    writer_cstr (result, "state");
    writer_cstr (result, node_state_name (node->state));
    writer_cstr (result, "incarnation");
    writer_uint (result, node->incarnation >> INCARNATION_HIDDEN_BITS);
    writer_cstr (result, "shards");
    writer_uint (result, shards);
    writer_cstr (result, "beacon_age_ms");
    writer_int (result, seen ? view->now_ms - node->heard_ms : -1);
    writer_cstr (result, "keys");
    writer_uint (result, node->keys);
    writer_cstr (result, "bytes");
    writer_uint (result, node->bytes);
}

static void s_topology (const broker_view_t *view, writer_t *result)
{
    uint32_t nodes = coordinator_node_count (view->coordinator);
    uint32_t shards[KV_NODES_MAX];
    s_count_shards (view->map, shards);
    result_value (result);
    writer_map (result, 8);
    writer_cstr (result, "cluster");
    writer_bin (result, kv_slice (view->cluster_id, KV_UUID_BYTES));
    writer_cstr (result, "epoch");
    writer_uint (result, view->map->epoch);
    writer_cstr (result, "shards");
    writer_uint (result, view->map->shards);
    writer_cstr (result, "replicas");
    writer_uint (result, view->replicas);
    writer_cstr (result, "version");
    writer_cstr (result, view->version);
    writer_cstr (result, "uptime_ms");
    writer_int (result, view->now_ms - view->started_ms);
    writer_cstr (result, "nodes");
    writer_array (result, nodes);
    for (uint32_t i = 0; i < nodes; i++)
        s_topology_node (view, i, shards[i], result);
    writer_cstr (result, "owners");
    writer_array (result, view->map->shards);
    for (uint32_t shard = 0; shard < view->map->shards; shard++)
        writer_uint (result, view->map->owners[shard]);
}

static router_local_t s_shutdown (broker_view_t *view, const command_t *command, writer_t *result,
                                  uint32_t *node)
{
    kv_slice_t id = command->argv[1];
    int quoted = id.size < KV_NODE_ID_BYTES_MAX ? (int)id.size : KV_NODE_ID_BYTES_MAX;
    if (!coordinator_find (view->coordinator, id, node)) {
        result_errorf (result, KV_BAD_VALUE,
                       "ERR no node '%.*s' in this cluster; TOPOLOGY lists those there are", quoted,
                       (const char *)id.data);
        return ROUTER_LOCAL_DONE;
    }
    if (coordinator_stop (view->coordinator, *node) != KV_OK) {
        result_errorf (result, KV_UNAVAILABLE, "UNAVAILABLE node '%.*s' is not running", quoted,
                       (const char *)id.data);
        return ROUTER_LOCAL_DONE;
    }
    return ROUTER_LOCAL_WAITS;
}

router_local_t broker_local_command (void *context, const command_t *command, writer_t *result,
                                     uint32_t *node)
{
    broker_view_t *view = context;
    if (command_answer (command, view->wall_ms, result))
        return ROUTER_LOCAL_DONE;
    switch (command->spec->id) {
    case COMMAND_INFO: s_info (view, command, result); return ROUTER_LOCAL_DONE;
    case COMMAND_TOPOLOGY: s_topology (view, result); return ROUTER_LOCAL_DONE;
    case COMMAND_SHUTDOWN: return s_shutdown (view, command, result, node);
    default: break;
    }
    KV_UNREACHABLE ("a command that concerns no shard");
}

const char *broker_node_name (void *context, uint32_t node)
{
    const broker_view_t *view = context;
    return coordinator_node (view->coordinator, node)->id;
}
