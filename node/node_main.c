/* kvdb-node - reads the node's file, the cluster file, flags and environment, and runs the node
 * actor. */
#include "actors/cluster_options.h"
#include "actors/process.h"
#include "config/config.h"
#include "node/data_tools.h"
#include "node/kvdb_node.h"
#include "node/flusher.h"
#include "node/eviction.h"
#include "node/node_settings.h"
#include "schema/limits.h"

#include <unistd.h>

enum { CLUSTER_FILE = 1, NODE_FILE = 2, EXIT_USAGE = 2, ENDPOINT_BYTES = KV_HOST_BYTES_MAX + 16 };

static const char s_usage[] =
    "usage: kvdb-node --config NODE.yaml|NODE.properties --cluster CLUSTER.yaml --id ID [FLAG...]\n"
    "       kvdb-node --check DIR | --repair DIR | --dump DIR [--dump-log]\n"
    "                 [--persistence-filepath FILE]\n"
    "\n"
    "Holds the shards of one node of a cluster, and serves what the broker sends. Or looks at the "
    "data\n"
    "directory of a node that is not running: exit status 0 sound or done, 1 faults, 2 not "
    "begun.\n";

typedef struct {
    cluster_options_t cluster;
    node_settings_t settings;
    const cluster_node_t *node;    /* this one, in the cluster file */
    char endpoint[ENDPOINT_BYTES]; /* of the broker's door for nodes */
    char direct_endpoint[ENDPOINT_BYTES];
    char *data_dir; /* owned */
} program_t;

static int s_print (char *text)
{
    fputs (text, stdout);
    free (text);
    return 0;
}

static int s_refuse (const char *reason)
{
    fprintf (stderr, "kvdb-node: %s\n", reason);
    return EXIT_USAGE;
}

static kv_status_t s_find_node (program_t *self, config_t *config)
{
    const cluster_node_t *nodes = self->cluster.nodes.items;
    for (size_t i = 0; i < self->cluster.nodes.count; i++) {
        if (streq (nodes[i].id, self->settings.id)) {
            self->node = &nodes[i];
            return KV_OK;
        }
    }
    return config_reject (config, "id", CONFIG_NO_ITEM, NULL,
                          "the cluster file lists no node '%s'; give one of those it lists",
                          self->settings.id);
}

/* HOST:PORT of --broker, or what the cluster file says; nodes connect to the port after it. */
static kv_status_t s_find_broker (program_t *self, config_t *config)
{
    char host[KV_HOST_BYTES_MAX + 9];
    int64_t port = self->cluster.broker_port;
    snprintf (host, sizeof host, "%s", self->cluster.broker_host);
    if (self->settings.broker) {
        snprintf (host, sizeof host, "%s", self->settings.broker);
        char *colon = strrchr (host, ':');
        char *end = NULL;
        port = colon ? strtol (colon + 1, &end, 10) : 0;
        if (!colon || colon == host || *end != '\0' || port < 1 || port > 65534)
            return config_reject (config, "broker", CONFIG_NO_ITEM, NULL,
                                  "'%s' is no HOST:PORT; the port is 1 to 65534",
                                  self->settings.broker);
        *colon = '\0';
    }
    if (!cluster_endpoint (host, port + 1, self->endpoint, sizeof self->endpoint))
        return config_reject (config, "broker", CONFIG_NO_ITEM, NULL, "the address is too long");
    return KV_OK;
}

/* Where the direct door is bound. */
static kv_status_t s_find_door (program_t *self, config_t *config)
{
    const char *host = self->settings.bind ? self->settings.bind : self->node->host;
    if (!self->settings.allow_unauthenticated && !cluster_is_loopback (host))
        return config_reject (config, "kvdb.direct.bind", CONFIG_NO_ITEM, NULL,
                              "%s is no loopback address and clients are not authenticated; bind "
                              "127.0.0.1, or say --allow-unauthenticated",
                              host);
    if (!cluster_endpoint (host, self->node->port, self->direct_endpoint,
                           sizeof self->direct_endpoint))
        return config_reject (config, "kvdb.direct.bind", CONFIG_NO_ITEM, NULL,
                              "the address is too long");
    return KV_OK;
}

static kv_status_t s_check (program_t *self, config_t *config)
{
    cluster_fault_t fault;
    if (cluster_options_check (&self->cluster, &fault))
        return config_reject (config, fault.name, fault.item, fault.field, "%s", fault.text);
    kv_status_t status = s_find_node (self, config);
    if (status == KV_OK)
        status = s_find_door (self, config);
    return status ? status : s_find_broker (self, config);
}

static bool s_is_tool (const node_settings_t *settings)
{
    return settings->check || settings->repair || settings->dump || settings->dump_log;
}

/* A tool needs no cluster: all it takes of the node's options is where the snapshot is. */
static kv_status_t s_configure_tool (const node_settings_t *settings, config_t *config)
{
    int count = (settings->check != NULL) + (settings->repair != NULL) + (settings->dump != NULL);
    kv_status_t status = config_environment (config, environ);
    if (status == KV_OK && settings->config)
        status = config_load (config, settings->config, NODE_FILE);
    if (status)
        return status;
    if (count > 1)
        return config_reject (config, settings->repair ? "repair" : "check", CONFIG_NO_ITEM, NULL,
                              "one of --check, --repair and --dump at a time");
    if (settings->dump_log && !settings->dump)
        return config_reject (config, "dump_log", CONFIG_NO_ITEM, NULL, "it goes with --dump DIR");
    return KV_OK;
}

static int s_run_tool (const node_settings_t *settings)
{
    if (settings->check)
        return data_tool_run (DATA_CHECK, settings->check, settings->filepath);
    if (settings->repair)
        return data_tool_run (DATA_REPAIR, settings->repair, settings->filepath);
    return data_tool_run (settings->dump_log ? DATA_DUMP_LOG : DATA_DUMP, settings->dump,
                          settings->filepath);
}

static kv_status_t s_configure (program_t *self, config_t *config, int argc, char **argv)
{
    config_add (config, (config_table_t){node_settings_rows, &self->settings, NODE_FILE, "Node"});
    config_add (config,
                (config_table_t){cluster_options_rows, &self->cluster, CLUSTER_FILE, "Cluster"});
    config_foreign (config, "broker", CLUSTER_FILE);
    kv_status_t status = config_flags (config, argc, argv, NULL);
    if (status || config_wants_help (config) || config_wants_version (config))
        return status;
    if (s_is_tool (&self->settings))
        return s_configure_tool (&self->settings, config);
    if ((status = config_environment (config, environ)) != KV_OK ||
        (status = config_require (config, "config")) != KV_OK ||
        (status = config_require (config, "cluster")) != KV_OK ||
        (status = config_require (config, "id")) != KV_OK ||
        (status = config_load (config, self->settings.config, NODE_FILE)) != KV_OK ||
        (status = config_load (config, self->settings.cluster, CLUSTER_FILE)) != KV_OK)
        return status;
    return s_check (self, config);
}

static void s_log_notices (const config_t *config, const log_t *log)
{
    char *notice;
    for (size_t i = 0; (notice = config_notice (config, i)) != NULL; i++) {
        log_event (log, KV_LOG_WARN, "event=option_without_effect %s", notice);
        free (notice);
    }
}

/* The original's switch counts where nobody has named a policy. */
static flush_policy_t s_flush_policy (const program_t *self, const config_t *config)
{
    size_t row;
    bool found = config_find (config, "kvdb.persistence.fsync", &row);
    KV_ASSERT (found);
    if (config_source (config, row) == CONFIG_DEFAULT && !self->settings.enable_auto_flush)
        return FLUSH_NEVER;
    return (flush_policy_t)self->settings.fsync;
}

static int s_serve (program_t *self, const config_t *config, const log_t *log)
{
    char beside[KV_NODE_ID_BYTES_MAX + 8];
    snprintf (beside, sizeof beside, "data/%s", self->settings.id);
    self->data_dir = self->settings.data ? strdup (self->settings.data)
                                         : config_beside (self->settings.config, beside);
    kv_node_options_t options = {.id = self->settings.id,
                                 .broker_endpoint = self->endpoint,
                                 .host = self->node->host,
                                 .port = (uint16_t)self->node->port,
                                 .direct_endpoint = self->direct_endpoint,
                                 .connections = (int)self->settings.connections,
                                 .client_output_bytes = self->settings.client_output_bytes,
                                 .output_bytes = self->settings.output_bytes,
                                 .shards = (uint32_t)self->cluster.shards,
                                 .max_value_bytes = self->cluster.max_value_bytes,
                                 .max_memory = self->settings.max_memory,
                                 .max_memory_policy = eviction_policy_name (
                                     (eviction_policy_t)self->settings.max_memory_policy),
                                 .data_dir = self->data_dir,
                                 .fsync = flush_policy_name (s_flush_policy (self, config)),
                                 .fsync_interval_ms = self->settings.auto_flush_interval * 1000,
                                 .snapshot_path = self->settings.filepath,
                                 .segment_bytes = self->settings.segment_bytes,
                                 .snapshot_log_bytes = self->settings.snapshot_log_bytes,
                                 .snapshot_interval_s = self->settings.snapshot_interval,
                                 .allow_unauthenticated = self->settings.allow_unauthenticated,
                                 .log = log->write,
                                 .log_context = log->context};
    return process_run (kv_node_actor, &options, log);
}

int main (int argc, char **argv)
{
    static program_t self;
    int exit_status;
    process_begin ();
    log_t log = process_log (KV_LOG_INFO);
    config_t *config = config_new ();
    if (s_configure (&self, config, argc, argv)) {
        exit_status = s_refuse (config_error (config));
    } else if (config_wants_help (config)) {
        exit_status = s_print (config_help (config, s_usage));
    } else if (config_wants_version (config)) {
        exit_status = s_print (strdup ("kvdb-node " KVDB_VERSION "\n"));
    } else if (s_is_tool (&self.settings)) {
        exit_status = s_run_tool (&self.settings);
    } else {
        s_log_notices (config, &log);
        exit_status = s_serve (&self, config, &log);
    }
    free (self.data_dir);
    config_destroy (&config);
    return exit_status;
}
