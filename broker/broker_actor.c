#include "broker/kvdb_broker.h"

#include "actors/bundle_io.h"
#include "actors/clock.h"
#include "actors/door.h"
#include "actors/data_directory.h"
#include "actors/process.h"
#include "actors/timer_wheel.h"
#include "broker/broker_commands.h"
#include "broker/broker_options.h"
#include "broker/placement.h"

enum {
    POLL_MS = 10,   /* deadlines and silences are noticed this late at most */
    TEND_MS = 20,   /* how often the doors look after their connections */
    STOP_MS = 1000, /* what a stopping broker gives the requests in flight */
    NODE_FRAME_BYTES_SLACK = 16 * 1024 * 1024,
    STRANGER_BYTES_MAX = 64 * 1024, /* more than a READY and an ATTACH; see O2 of actors/door.h */
    /* Beside one largest frame: empty frames cost libzmq 32 times their bytes on the wire. */
    PENDING_SLACK_BYTES = 4 * 1024 * 1024,
    INPROC_HIGH_WATER_MARK = 10000,
};

typedef struct {
    broker_options_t *given; /* what follows is of it */
    const kv_broker_options_t *options;
    const log_t *log;
    files_t *files;      /* of the data directory, locked; NULL without one */
    identity_t identity; /* the cluster's */
    zsock_t *pipe;
    door_t *clients;
    door_t *nodes;
    shard_map_t *map;
    coordinator_t *coordinator;
    router_t *router;
    broker_view_t view;
    bundle_out_t *bundles[KV_NODES_MAX]; /* what goes to each node next */
    char doors_info[1024];
    int64_t now_ms;
    int64_t tended_ms;
    int64_t stop_ms; /* 0: serving; else when a stopping broker ends */
    bool ended;
} broker_t;

/* ---- sending ------------------------------------------------------------------------------- */

static kv_slice_t s_lane_slice (const lane_t *lane)
{
    return kv_slice (lane->bytes, lane->size);
}

/* One message with all that has come together for a node; what cannot be sent is held again. */
static void s_flush_node (broker_t *self, uint32_t node)
{
    if (bundle_out_is_empty (self->bundles[node]))
        return;
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count = bundle_out_finish (self->bundles[node], self->map->epoch, frames);
    const lane_t *lane = &coordinator_node (self->coordinator, node)->data;
    kv_status_t status = KV_UNAVAILABLE;
    if (lane->size)
        status = door_send_frames (self->nodes, s_lane_slice (lane), frames, count);
    else
        for (size_t i = 0; i < count; i++)
            blob_unref (&frames[i]);
    if (status == KV_OK)
        return;
    router_node_hold (self->router, node);
    uint32_t parts = bundle_out_finished_count (self->bundles[node]);
    for (uint32_t i = 0; i < parts; i++)
        router_unsent (self->router, bundle_out_finished_tag (self->bundles[node], i));
    lane_t gone = *lane;
    coordinator_gone (self->coordinator, s_lane_slice (&gone));
}

static void s_to_node (broker_t *self, const router_effect_t *effect)
{
    blob_t *body = effect->body;
    if (!bundle_out_add (self->bundles[effect->node], effect->tag, &body)) {
        s_flush_node (self, effect->node);
        bool added = bundle_out_add (self->bundles[effect->node], effect->tag, &body);
        KV_ASSERT (added);
    }
}

static void s_flush_router (broker_t *self)
{
    router_effect_t effect;
    while (router_next_effect (self->router, &effect)) {
        if (effect.kind == ROUTER_TO_NODE) {
            s_to_node (self, &effect);
            continue;
        }
        /* A client that is gone or does not read is the door's to count; there is no one to tell. */
        kv_status_t status = door_send (self->clients, effect.envelope, effect.body);
        (void)status;
    }
    for (uint32_t node = 0; node < self->map->nodes; node++)
        s_flush_node (self, node);
}

static void s_node_opens (broker_t *self, uint32_t index)
{
    const node_t *node = coordinator_node (self->coordinator, index);
    door_trust (self->nodes, s_lane_slice (&node->control));
    door_trust (self->nodes, s_lane_slice (&node->data));
    router_node_open (self->router, index);
}

static void s_flush_coordinator (broker_t *self)
{
    coordinator_effect_t effect;
    while (coordinator_next_effect (self->coordinator, &effect)) {
        switch (effect.kind) {
        case COORDINATOR_SEND:
            if (door_send_frames (self->nodes, s_lane_slice (&effect.lane), &effect.body, 1))
                coordinator_gone (self->coordinator, s_lane_slice (&effect.lane));
            break;
        case COORDINATOR_OPEN: s_node_opens (self, effect.node); break;
        case COORDINATOR_HOLD: router_node_hold (self->router, effect.node); break;
        case COORDINATOR_LOST: router_node_lost (self->router, effect.node); break;
        case COORDINATOR_LEFT: router_node_left (self->router, effect.node); break;
        }
    }
}

/* The router's effects go first: what was routed before a node was told to stop must precede its
 * SHUTDOWN on the data lane. Either may cause more of the other. */
static void s_flush (broker_t *self)
{
    for (int round = 0; round < 3; round++) {
        s_flush_router (self);
        s_flush_coordinator (self);
    }
    s_flush_router (self);
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void s_take_replies (broker_t *self, uint32_t node, bundle_t *bundle, blob_t **frames)
{
    uint64_t tag;
    kv_slice_t part;
    size_t frame;
    while (bundle_next (bundle, &tag, &part, &frame) == KV_OK)
        router_reply (self->router, node, tag, frames[frame], part);
}

static void s_node_message (broker_t *self, kv_slice_t identity, blob_t **frames, size_t count)
{
    kv_slice_t slices[KV_BUNDLE_FRAMES_MAX];
    bundle_t bundle;
    uint32_t node;
    for (size_t i = 0; i < count; i++)
        slices[i] = blob_bytes (frames[i]);
    if (count > 1) {
        if (coordinator_data (self->coordinator, identity, &node, self->now_ms) &&
            bundle_open (&bundle, slices, count) == KV_OK && bundle.type == MESSAGE_REPLIES)
            s_take_replies (self, node, &bundle, frames);
        return;
    }
    if (count == 1)
        coordinator_message (self->coordinator, identity, slices[0], self->now_ms);
}

static bool s_drain_nodes (broker_t *self)
{
    uint8_t identity[255];
    size_t identity_bytes;
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX; i++) {
        if (door_receive_frames (self->nodes, identity, &identity_bytes, frames,
                                 KV_BUNDLE_FRAMES_MAX, &count))
            break;
        s_node_message (self, kv_slice (identity, identity_bytes), frames, count);
        for (size_t f = 0; f < count; f++)
            blob_unref (&frames[f]);
    }
    return i == KV_MESSAGES_PER_DRAIN_MAX;
}

static bool s_drain_clients (broker_t *self)
{
    door_message_t message;
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX; i++) {
        if (door_receive (self->clients, &message))
            break;
        router_request (self->router, kv_slice (message.envelope, message.envelope_bytes),
                        message.body, self->now_ms);
    }
    return i == KV_MESSAGES_PER_DRAIN_MAX;
}

static void s_handle_pipe (broker_t *self)
{
    char *command = zstr_recv_nowait (self->pipe);
    if (command && streq (command, "$TERM") && !self->stop_ms) {
        self->stop_ms = self->now_ms + STOP_MS;
        log_event (self->log, KV_LOG_INFO, "event=broker_stopping waiting_requests=%" PRIu64,
                   router_stats (self->router).waiting_requests);
    }
    zstr_free (&command);
}

/* ---- looking after the doors --------------------------------------------------------------- */

static void s_describe_door (const char *name, const door_t *door, char *text, size_t bytes)
{
    door_stats_t stats = door_stats (door);
    snprintf (text, bytes,
              "%s_connected:%" PRIu64 "\r\n%s_connections_received:%" PRIu64
              "\r\n%s_connections_refused:%" PRIu64 "\r\n%s_connections_shut_down:%" PRIu64
              "\r\n%s_messages_dropped_in:%" PRIu64 "\r\n%s_messages_dropped_out:%" PRIu64
              "\r\n%s_output_bytes:%" PRIu64 "\r\n",
              name, stats.connections, name, stats.accepted, name, stats.refused, name,
              stats.shut_down, name, stats.dropped_in, name, stats.dropped_out, name,
              stats.output_bytes);
}

static void s_tend (broker_t *self)
{
    uint8_t identity[255];
    size_t bytes;
    door_tend (self->clients);
    door_tend (self->nodes);
    while (door_next_gone (self->clients, identity, &bytes) == KV_OK)
        continue;
    while (door_next_gone (self->nodes, identity, &bytes) == KV_OK)
        coordinator_gone (self->coordinator, kv_slice (identity, bytes));
    self->tended_ms = self->now_ms;
    int size =
        snprintf (self->doors_info, sizeof self->doors_info, "connected_clients:%" PRIu64 "\r\n",
                  door_stats (self->clients).connections);
    s_describe_door ("clients", self->clients, self->doors_info + size,
                     sizeof self->doors_info / 2);
    size_t used = strlen (self->doors_info);
    s_describe_door ("nodes", self->nodes, self->doors_info + used, sizeof self->doors_info - used);
}

/* ---- life ---------------------------------------------------------------------------------- */

static kv_status_t s_open_doors (broker_t *self, char *why, size_t why_bytes)
{
    const kv_broker_options_t *options = self->options;
    int64_t frame_bytes = options->max_value_bytes + KV_MESSAGE_SLACK_BYTES;
    int64_t slack_bytes = frame_bytes < PENDING_SLACK_BYTES ? frame_bytes : PENDING_SLACK_BYTES;
    door_options_t door = {.context = zsys_init (),
                           .name = "clients",
                           .endpoint = options->client_endpoint,
                           .max_frame_bytes = frame_bytes,
                           .max_pending_bytes = frame_bytes + slack_bytes,
                           .max_output_bytes = options->client_output_bytes,
                           .max_total_output_bytes = options->output_bytes,
                           .max_connections = options->connections,
                           .inproc_high_water_mark = INPROC_HIGH_WATER_MARK,
                           .log = self->log};
    kv_status_t status = door_open (&door, &self->clients, why, why_bytes);
    if (status)
        return status;
    door.name = "nodes";
    door.endpoint = options->node_endpoint;
    door.max_frame_bytes = (int64_t)KV_REPLY_BYTES_MAX + NODE_FRAME_BYTES_SLACK;
    door.max_pending_bytes = 4 * door.max_frame_bytes;
    door.max_stranger_bytes = STRANGER_BYTES_MAX;
    door.max_connections = 4 * KV_NODES_MAX;
    door.inproc_high_water_mark = 0; /* the router bounds what is in flight */
    return door_open (&door, &self->nodes, why, why_bytes);
}

static void s_build (broker_t *self)
{
    const kv_broker_options_t *options = self->options;
    uint32_t nodes = (uint32_t)options->node_count;
    self->map = shard_map_new (options->shards, nodes);
    coordinator_options_t coordinator = {.beacon_ms = options->beacon_ms,
                                         .grace_ms = options->grace_ms,
                                         .log = self->log,
                                         .map = self->map};
    memcpy (coordinator.cluster_id, self->identity.uuid, KV_UUID_BYTES);
    self->coordinator = coordinator_new (&coordinator);
    for (uint32_t i = 0; i < nodes; i++) {
        const kv_broker_node_t *node = &options->nodes[i];
        coordinator_add_node (self->coordinator, node->id, node->host, node->port);
        self->bundles[i] = bundle_out_new (MESSAGE_REQUESTS);
    }
    router_options_t router = {.map = self->map,
                               .max_value_bytes = options->max_value_bytes,
                               .queue_bytes = options->queue_bytes,
                               .shard_queue_commands = options->shard_queue_commands,
                               .deadline_ms = options->deadline_ms,
                               .local = broker_local_command,
                               .node_name = broker_node_name,
                               .context = &self->view};
    random_bytes (&router.first_generation, sizeof router.first_generation);
    self->router = router_new (&router, self->now_ms);
    self->view = (broker_view_t){.coordinator = self->coordinator,
                                 .router = self->router,
                                 .map = self->map,
                                 .replicas = options->replicas,
                                 .max_value_bytes = options->max_value_bytes,
                                 .version = KVDB_VERSION,
                                 .started_ms = self->now_ms,
                                 .process_id = getpid (),
                                 .doors_info = self->doors_info};
    memcpy (self->view.cluster_id, self->identity.uuid, KV_UUID_BYTES);
}

static void s_turn (broker_t *self, long timeout_ms, bool *busy)
{
    zmq_pollitem_t items[] = {{zsock_resolve (self->pipe), 0, ZMQ_POLLIN, 0},
                              {door_socket (self->nodes), 0, ZMQ_POLLIN, 0},
                              {door_socket (self->clients), 0, ZMQ_POLLIN, 0},
                              {door_monitor (self->nodes), 0, ZMQ_POLLIN, 0},
                              {door_monitor (self->clients), 0, ZMQ_POLLIN, 0}};
    zmq_poll (items, 5, timeout_ms);
    self->now_ms = clock_ms ();
    self->view.now_ms = self->now_ms;
    self->view.wall_ms = clock_wall_ms ();
    if (items[0].revents)
        s_handle_pipe (self);
    bool more_replies = s_drain_nodes (self);
    s_flush_coordinator (self); /* requests taken below meet the nodes as they are now */
    bool more_requests = !self->stop_ms && s_drain_clients (self);
    bool connections = items[3].revents || items[4].revents;
    if (connections || self->now_ms - self->tended_ms >= TEND_MS)
        s_tend (self);
    coordinator_tick (self->coordinator, self->now_ms);
    router_tick (self->router, self->now_ms);
    s_flush (self);
    *busy = more_replies || more_requests;
    if (self->stop_ms)
        self->ended =
            router_stats (self->router).waiting_requests == 0 || self->now_ms >= self->stop_ms;
}

static kv_status_t s_start (broker_t *self, const void *options, char *why, size_t why_bytes)
{
    kv_status_t status = broker_options_new (options, &self->given, why, why_bytes);
    zsock_signal (self->pipe, 0); // E2
    if (status)
        return status;
    self->options = &self->given->set;
    self->log = &self->given->log;
    if (self->options->data_dir)
        status = data_directory_open (self->options->data_dir, "cluster", &self->files,
                                      &self->identity, why, why_bytes);
    else
        identity_make (&self->identity);
    if (status == KV_OK)
        status = s_open_doors (self, why, why_bytes);
    if (status == KV_OK && self->options->data_dir)
        status = placement_keep (self->options->data_dir, self->options, why, why_bytes);
    if (status)
        return status;
    s_build (self);
    log_event (self->log, KV_LOG_INFO,
               "event=broker_serves clients=%s nodes=%s shards=%u cluster_nodes=%zu",
               door_endpoint (self->clients), door_endpoint (self->nodes), self->options->shards,
               self->options->node_count);
    return KV_OK;
}

static void s_destroy (broker_t **self_p)
{
    broker_t *self = *self_p;
    *self_p = NULL;
    for (size_t i = 0; i < KV_NODES_MAX; i++)
        bundle_out_destroy (&self->bundles[i]);
    router_destroy (&self->router);
    coordinator_destroy (&self->coordinator);
    shard_map_destroy (&self->map);
    door_close (&self->clients, STOP_MS);
    door_close (&self->nodes, STOP_MS);
    files_destroy (&self->files);
    broker_options_destroy (&self->given);
    free (self);
}

void kv_broker_actor (zsock_t *pipe, void *options)
{
    char why[512] = "";
    broker_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    process_block_signals (); // E3
    self->pipe = pipe;
    self->now_ms = clock_ms ();
    if (s_start (self, options, why, sizeof why)) {
        s_destroy (&self);
        zstr_sendx (pipe, "FAILED", why, NULL); // E1
        return;
    }
    zstr_sendx (pipe, "READY", door_endpoint (self->clients), door_endpoint (self->nodes), NULL);
    bool busy = false;
    while (!self->ended)
        s_turn (self, busy ? 0 : POLL_MS, &busy);
    coordinator_close (self->coordinator);
    s_flush (self);
    s_destroy (&self);
    zstr_sendx (pipe, "STOPPED", "it was asked to", NULL);
}
