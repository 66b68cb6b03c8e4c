/* kvdb-broker - reads the cluster file, flags and environment, and runs the broker actor. */
#include "actors/cluster_options.h"
#include "actors/process.h"
#include "broker/broker_settings.h"
#include "broker/kvdb_broker.h"
#include "config/config.h"
#include "schema/limits.h"

#include <unistd.h>

enum { CLUSTER_FILE = 1, EXIT_USAGE = 2, ENDPOINT_BYTES = KV_HOST_BYTES_MAX + 16 };

static const char s_usage[] =
    "usage: kvdb-broker --config CLUSTER.yaml [FLAG...]\n"
    "\n"
    "Routes clients' commands to the nodes of a cluster. Clients connect to broker.port, nodes to\n"
    "the next one.\n";

typedef struct {
    cluster_options_t cluster;
    broker_settings_t settings;
    kv_broker_node_t nodes[KV_NODES_MAX];
    char client_endpoint[ENDPOINT_BYTES];
    char node_endpoint[ENDPOINT_BYTES];
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
    fprintf (stderr, "kvdb-broker: %s\n", reason);
    return EXIT_USAGE;
}

static kv_status_t s_check (program_t *self, config_t *config)
{
    cluster_fault_t fault;
    if (cluster_options_check (&self->cluster, &fault))
        return config_reject (config, fault.name, fault.item, fault.field, "%s", fault.text);
    const char *host = self->settings.bind ? self->settings.bind : self->cluster.broker_host;
    const char *named = self->settings.bind ? "broker.bind" : "broker.host";
    if (!self->settings.allow_unauthenticated && !cluster_is_loopback (host))
        return config_reject (config, named, CONFIG_NO_ITEM, NULL,
                              "%s is no loopback address and clients are not authenticated; bind "
                              "127.0.0.1, or say --allow-unauthenticated",
                              host);
    if (!cluster_endpoint (host, self->cluster.broker_port, self->client_endpoint,
                           sizeof self->client_endpoint) ||
        !cluster_endpoint (host, self->cluster.broker_port + 1, self->node_endpoint,
                           sizeof self->node_endpoint))
        return config_reject (config, named, CONFIG_NO_ITEM, NULL, "the address is too long");
    return KV_OK;
}

static kv_status_t s_configure (program_t *self, config_t *config, int argc, char **argv)
{
    config_add (config,
                (config_table_t){broker_settings_rows, &self->settings, CLUSTER_FILE, "Broker"});
    config_add (config,
                (config_table_t){cluster_options_rows, &self->cluster, CLUSTER_FILE, "Cluster"});
    kv_status_t status = config_flags (config, argc, argv, NULL);
    if (status || config_wants_help (config) || config_wants_version (config))
        return status;
    if ((status = config_environment (config, environ)) != KV_OK ||
        (status = config_require (config, "config")) != KV_OK ||
        (status = config_load (config, self->settings.config, CLUSTER_FILE)) != KV_OK)
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

static int s_serve (program_t *self, const log_t *log)
{
    self->data_dir = self->settings.data ? strdup (self->settings.data)
                                         : config_beside (self->settings.config, "data/broker");
    const cluster_node_t *nodes = self->cluster.nodes.items;
    for (size_t i = 0; i < self->cluster.nodes.count; i++)
        self->nodes[i] = (kv_broker_node_t){nodes[i].id, nodes[i].host, (uint16_t)nodes[i].port};
    const broker_settings_t *settings = &self->settings;
    kv_broker_options_t options = {.client_endpoint = self->client_endpoint,
                                   .node_endpoint = self->node_endpoint,
                                   .nodes = self->nodes,
                                   .node_count = self->cluster.nodes.count,
                                   .data_dir = self->data_dir,
                                   .shards = (uint32_t)self->cluster.shards,
                                   .replicas = (uint32_t)self->cluster.replicas,
                                   .max_value_bytes = self->cluster.max_value_bytes,
                                   .beacon_ms = (uint32_t)self->cluster.beacon_ms,
                                   .lease_ms = (uint32_t)self->cluster.lease_ms,
                                   .grace_ms = (uint32_t)self->cluster.grace_ms,
                                   .deadline_ms = (uint32_t)settings->deadline_ms,
                                   .queue_bytes = (uint64_t)settings->queue_bytes,
                                   .shard_queue_commands = (uint32_t)settings->shard_queue_commands,
                                   .client_output_bytes = settings->client_output_bytes,
                                   .output_bytes = settings->output_bytes,
                                   .connections = (int)settings->connections,
                                   .allow_unauthenticated = settings->allow_unauthenticated,
                                   .log = log->write,
                                   .log_context = log->context};
    return process_run (kv_broker_actor, &options, log);
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
        exit_status = s_print (strdup ("kvdb-broker " KVDB_VERSION "\n"));
    } else {
        s_log_notices (config, &log);
        exit_status = s_serve (&self, &log);
    }
    free (self.data_dir);
    config_destroy (&config);
    return exit_status;
}
