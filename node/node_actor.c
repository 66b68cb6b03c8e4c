#include "node/kvdb_node.h"

#include "actors/blob.h"
#include "actors/clock.h"
#include "actors/door.h"
#include "actors/identity.h"
#include "actors/process.h"
#include "actors/wire.h"
#include "node/executor.h"
#include "node/node_info.h"
#include "node/node_options.h"
#include "node/reply_lane.h"
#include "schema/bundle.h"
#include "schema/limits.h"

#include <inttypes.h>

enum {
    CALL_MS = 100,   /* between READY messages while the broker does not answer */
    TICK_MS = 10,    /* how often expired keys are looked for */
    STOP_MS = 2000,  /* what a stopping node gives the broker */
    TAKEN_MS = 5000, /* how long another process may answer to this node's id before we give up */
    TEND_MS = 100,   /* how often the direct door looks after its connections, and INFO is made */
    /* Beside one largest frame: empty frames cost libzmq 32 times their bytes on the wire. */
    PENDING_SLACK_BYTES = 4 * 1024 * 1024,
    HIGH_WATER_MARK = 10000,
    EXPIRE_BUDGET = 256,
    TURN_MS = 20, /* how long requests are run before everything else has its turn */
    STALL_MS = 1, /* how long to wait for replies to be sent */
    UNSENT_BYTES_MAX =
        64 * 1024 * 1024 /* no requests are run while as many of replies are unsent */
};

typedef struct {
    node_options_t *given; /* what follows is of it */
    const kv_node_options_t *options;
    const log_t *log;
    zsock_t *pipe;
    void *control, *data; /* raw DEALER sockets */
    door_t *door;         /* the direct door, or NULL */
    executor_t *executor;
    identity_t identity;
    uint64_t incarnation;
    bool is_inproc;  /* the broker is in this process */
    bool welcomed;   /* the broker has said WELCOME on this connection */
    bool told_ready; /* the pipe has been told */
    bool serving;    /* attached: the data lane may carry requests */
    uint32_t beacon_ms;
    uint64_t epoch;  /* of the newest SHARDS */
    uint64_t beacon; /* the last beacon's number */
    int64_t now_ms, next_call_ms, next_tick_ms, next_tend_ms;
    int64_t taken_since_ms; /* 0: not refused; else since when, because the id is taken */
    int64_t stop_ms;        /* 0: not stopping; else when it ends in any case */
    reply_lane_t *replies;
    bundle_t work; /* what of the bundle in work_frames has not run yet */
    blob_t *work_frames[KV_BUNDLE_FRAMES_MAX];
    kv_slice_t work_bytes[KV_BUNDLE_FRAMES_MAX];
    size_t work_count;    /* frames; 0: there is no such bundle */
    uint64_t undecodable; /* requests at the direct door that had not even an id */
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    node_info_t info;
    char info_text[NODE_INFO_BYTES];
    bool ended;
    bool failed;
    char reason[512]; /* why it ended */
} node_t;

static void s_end (node_t *self, bool failed, const char *reason)
{
    self->ended = true;
    self->failed = failed;
    snprintf (self->reason, sizeof self->reason, "%s", reason);
}

/* ---- the control lane ---------------------------------------------------------------------- */

static kv_status_t s_send_message (void *socket, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    blob_t *frame = blob_from_writer (&out);
    return wire_send (socket, &frame, 1);
}

/* What is said again anyway may be lost while the broker is not there. */
static void s_tell (void *socket, const message_t *message)
{
    kv_status_t status = s_send_message (socket, message);
    (void)status;
}

static kv_status_t s_connect (const kv_node_options_t *options, void **control, void **data,
                              char *why, size_t why_bytes)
{
    const char *endpoint = options->broker_endpoint;
    kv_status_t status = wire_dealer (zsys_init (), endpoint, control, why, why_bytes);
    if (status)
        return status;
    status = wire_dealer (zsys_init (), endpoint, data, why, why_bytes);
    if (status)
        wire_close (control, 0);
    return status;
}

static void s_connect_again (node_t *self)
{
    char why[256];
    void *control, *data;
    if (s_connect (self->options, &control, &data, why, sizeof why)) {
        log_event (self->log, KV_LOG_WARN, "event=connect_failed reason=\"%s\"", why);
        return;
    }
    wire_close (&self->control, 0);
    wire_close (&self->data, 0);
    self->control = control;
    self->data = data;
}

static void s_call (node_t *self)
{
    const kv_node_options_t *options = self->options;
    message_t ready = {
        .type = MESSAGE_READY,
        .ready = {.node_id = kv_slice_text (options->id),
                  .cluster_id = kv_slice (self->identity.cluster_id,
                                          self->identity.has_cluster ? KV_UUID_BYTES : 0),
                  .data_uuid = kv_slice (self->identity.uuid, KV_UUID_BYTES),
                  .incarnation = self->incarnation,
                  .wire_min = KV_WIRE_VERSION_MIN,
                  .wire_max = KV_WIRE_VERSION_MAX,
                  .disk_min = KV_DISK_VERSION_MIN,
                  .disk_max = KV_DISK_VERSION_MAX,
                  .host = kv_slice_text (options->host),
                  .port = options->port}};
    /* Over inproc a connection does not come back by itself, and says that it is gone. */
    if (s_send_message (self->control, &ready) && self->is_inproc)
        s_connect_again (self);
    self->next_call_ms = self->now_ms + CALL_MS;
}

static void s_drop_work (node_t *self)
{
    while (self->work_count > 0)
        blob_unref (&self->work_frames[--self->work_count]);
    self->work = (bundle_t){0};
}

/* What the broker we knew has asked is nobody's any more: another one's tags may be the same. */
static void s_call_again (node_t *self)
{
    s_drop_work (self);
    self->welcomed = false;
    self->serving = false;
    self->next_call_ms = self->now_ms + CALL_MS;
}

/* The broker has no use for this connection any more. */
static void s_let_go (node_t *self)
{
    s_call_again (self);
    if (self->stop_ms)
        s_end (self, false, "it was asked to, and the broker has let it go");
}

static void s_beacon (node_t *self)
{
    executor_stats_t stats = executor_stats (self->executor);
    message_t beacon = {.type = MESSAGE_BEACON,
                        .beacon = {.sequence = ++self->beacon,
                                   .sent_ms = (uint64_t)self->now_ms,
                                   .keys = stats.keys,
                                   .bytes = stats.bytes}};
    s_tell (self->control, &beacon);
    self->next_call_ms = self->now_ms + self->beacon_ms;
}

static void s_welcome (node_t *self, const message_welcome_t *welcome)
{
    char why[256];
    if (welcome->shards != self->options->shards) {
        snprintf (why, sizeof why,
                  "the broker's cluster has %" PRIu64 " shards, this node's cluster file says %u; "
                  "give both the same file",
                  welcome->shards, self->options->shards);
        s_end (self, true, why);
        return;
    }
    kv_slice_t own = kv_slice (self->identity.cluster_id, KV_UUID_BYTES);
    if (self->identity.has_cluster && !kv_slice_equal (own, welcome->cluster_id)) {
        s_end (self, true,
               "the broker serves another cluster than the one this node's data directory belongs "
               "to; give it the right broker, or an empty data directory");
        return;
    }
    self->welcomed = true;
    self->taken_since_ms = 0;
    self->beacon_ms = (uint32_t)welcome->beacon_ms;
    if (self->identity.has_cluster)
        return;
    memcpy (self->identity.cluster_id, welcome->cluster_id.data, KV_UUID_BYTES);
    self->identity.has_cluster = true;
    if (self->options->data_dir &&
        identity_save (self->options->data_dir, "identity", &self->identity, why, sizeof why))
        s_end (self, true, why);
}

static void s_own_shards (node_t *self, const message_shards_t *shards)
{
    char ids[KV_NODES_MAX][KV_NODE_ID_BYTES_MAX + 1];
    char endpoints[KV_NODES_MAX][KV_ENDPOINT_BYTES_MAX + 1];
    reader_t at = shards->nodes;
    for (uint32_t i = 0; i < shards->node_count; i++) {
        kv_slice_t id, endpoint;
        if (reader_bytes (&at, &id) || reader_bytes (&at, &endpoint))
            return;
        snprintf (ids[i], sizeof ids[i], "%.*s", (int)id.size, (const char *)id.data);
        snprintf (endpoints[i], sizeof endpoints[i], "%.*s", (int)endpoint.size,
                  (const char *)endpoint.data);
    }
    at = shards->shards;
    for (uint32_t shard = 0; shard < shards->shard_count; shard++) {
        uint64_t epoch, owner;
        if (reader_uint (&at, &epoch) || reader_uint (&at, &owner) || owner >= shards->node_count)
            return;
        if (!streq (ids[owner], self->options->id))
            executor_disown (self->executor, shard);
        else if (executor_own (self->executor, shard, epoch))
            log_event (self->log, KV_LOG_WARN,
                       "event=epoch_refused shard=%" PRIu32 " epoch=%" PRIu64, shard, epoch);
        executor_set_owner (self->executor, shard, ids[owner], endpoints[owner], epoch);
    }
}

static void s_shards (node_t *self, const message_shards_t *shards)
{
    if (!self->welcomed || shards->shard_count != self->options->shards)
        return;
    s_own_shards (self, shards);
    self->epoch = shards->epoch;
    if (self->serving)
        return;
    message_t attach = {
        .type = MESSAGE_ATTACH,
        .attach = {.node_id = kv_slice_text (self->options->id), .incarnation = self->incarnation}};
    if (s_send_message (self->data, &attach)) {
        s_call_again (self); /* the data lane is not connected yet */
        return;
    }
    self->serving = true;
    s_beacon (self);
    log_event (self->log, KV_LOG_INFO, "event=node_serves node=%s shards_epoch=%" PRIu64,
               self->options->id, self->epoch);
    if (!self->told_ready)
        zstr_send (self->pipe, "READY");
    self->told_ready = true;
}

static void s_refused (node_t *self, const message_reason_t *reason)
{
    char why[256];
    snprintf (why, sizeof why, "the broker refused node %s: %.*s", self->options->id,
              (int)reason->text.size, (const char *)reason->text.data);
    if (!self->taken_since_ms)
        self->taken_since_ms = self->now_ms;
    if (reason->code == KV_RETRY && self->now_ms - self->taken_since_ms < TAKEN_MS) {
        log_event (self->log, KV_LOG_INFO, "event=call_again reason=\"%s\"", why);
        s_call_again (self);
        return;
    }
    s_end (self, true, why);
}

static void s_control_message (node_t *self, kv_slice_t bytes)
{
    message_t message;
    if (message_decode (bytes, &message) != KV_OK) {
        log_event (self->log, KV_LOG_WARN, "event=malformed_message lane=control");
        return;
    }
    switch (message.type) {
    case MESSAGE_WELCOME: s_welcome (self, &message.welcome); return;
    case MESSAGE_SHARDS: s_shards (self, &message.shards); return;
    case MESSAGE_REFUSED: s_refused (self, &message.reason); return;
    case MESSAGE_BEACON_ACK: return; /* leases come with replication */
    case MESSAGE_DISCONNECT: s_let_go (self); return;
    case MESSAGE_READY:
    case MESSAGE_ATTACH:
    case MESSAGE_BEACON:
    case MESSAGE_SHUTDOWN:
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES: break;
    }
    log_event (self->log, KV_LOG_WARN, "event=unexpected_message lane=control type=%s",
               message_name (message.type));
}

static void s_drain_control (node_t *self)
{
    size_t count;
    for (int i = 0; i < KV_MESSAGES_PER_DRAIN_MAX && !self->ended; i++) {
        if (wire_receive (self->control, self->frames, KV_BUNDLE_FRAMES_MAX, &count))
            return;
        if (count == 1)
            s_control_message (self, blob_bytes (self->frames[0]));
        for (size_t f = 0; f < count; f++)
            blob_unref (&self->frames[f]);
    }
}

/* ---- the data lane ------------------------------------------------------------------------- */

/* One message with the replies of all requests since the last one. */
static void s_flush_replies (node_t *self)
{
    blob_t *frames[2];
    size_t count = reply_lane_finish (self->replies, self->epoch, frames);
    if (count > 0 && wire_send (self->data, frames, count))
        log_event (self->log, KV_LOG_WARN, "event=replies_dropped node=%s", self->options->id);
}

static void s_run (node_t *self, uint64_t tag, kv_slice_t body)
{
    if (reply_lane_is_full (self->replies))
        s_flush_replies (self);
    writer_t *reply = reply_lane_writer (self->replies);
    size_t start = reply->size;
    if (executor_run (self->executor, body, clock_wall_ms (), reply)) {
        /* The broker checks what it passes on, so this is a defect of one of the two; the request
         * runs into its deadline there. */
        log_event (self->log, KV_LOG_ERROR, "event=undecodable_request node=%s", self->options->id);
        writer_cut (reply, start);
        return;
    }
    reply_lane_add (self->replies, tag);
}

static void s_last_word (node_t *self)
{
    s_flush_replies (self);
    message_t bye = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopped")}};
    s_tell (self->data, &bye);
    s_end (self, false, "the broker has let it go");
}

/* A turn is over: the control lane, the timers and other clients have theirs. */
static bool s_turn_is_over (const node_t *self)
{
    return clock_ms () - self->now_ms >= TURN_MS;
}

static bool s_is_stalled (const node_t *self)
{
    return reply_lane_unsent_bytes (self->replies) >= UNSENT_BYTES_MAX;
}

/* Runs what is left of the bundle in hand, as far as the turn goes. */
static void s_work (node_t *self)
{
    uint64_t tag;
    kv_slice_t part;
    while (!s_turn_is_over (self) && !s_is_stalled (self)) {
        if (bundle_next (&self->work, &tag, &part, NULL) != KV_OK) {
            s_drop_work (self);
            return;
        }
        s_run (self, tag, part);
    }
}

/* A message of the data lane lies in work_frames: a bundle stays there until its parts have run. */
static void s_data_message (node_t *self)
{
    message_t message;
    for (size_t i = 0; i < self->work_count; i++)
        self->work_bytes[i] = blob_bytes (self->work_frames[i]);
    if (bundle_open (&self->work, self->work_bytes, self->work_count) == KV_OK &&
        self->work.type == MESSAGE_REQUESTS)
        return;
    if (self->work_count == 1 && message_decode (self->work_bytes[0], &message) == KV_OK &&
        message.type == MESSAGE_SHUTDOWN)
        s_last_word (self);
    else if (self->work_count > 0)
        log_event (self->log, KV_LOG_WARN, "event=malformed_message lane=data");
    s_drop_work (self);
}

/* Whether there may be more to do at once. */
static bool s_drain_data (node_t *self)
{
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX && !self->ended; i++) {
        s_work (self);
        if (self->work_count || s_turn_is_over (self) || s_is_stalled (self))
            break;
        if (wire_receive (self->data, self->work_frames, KV_BUNDLE_FRAMES_MAX, &self->work_count))
            break;
        s_data_message (self);
    }
    s_flush_replies (self);
    return self->work_count || i == KV_MESSAGES_PER_DRAIN_MAX || s_turn_is_over (self);
}

/* ---- the direct door ----------------------------------------------------------------------- */

static void s_answer (node_t *self, door_message_t *message)
{
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    kv_status_t status =
        executor_run (self->executor, blob_bytes (message->body), clock_wall_ms (), &reply);
    blob_unref (&message->body);
    if (status) {
        self->undecodable++;
        writer_free (&reply);
        return;
    }
    /* A client that is gone or does not read is the door's to count; there is no one to tell. */
    status = door_send (self->door, kv_slice (message->envelope, message->envelope_bytes),
                        blob_from_writer (&reply));
    (void)status;
}

static bool s_drain_door (node_t *self)
{
    door_message_t message;
    int i = 0;
    if (!self->door)
        return false;
    while (i < KV_MESSAGES_PER_DRAIN_MAX && !(i > 0 && s_turn_is_over (self)) &&
           door_receive (self->door, &message) == KV_OK) {
        s_answer (self, &message);
        i++;
    }
    return i == KV_MESSAGES_PER_DRAIN_MAX || s_turn_is_over (self);
}

static void s_make_info (node_t *self)
{
    node_info_t *info = &self->info;
    if (self->door) {
        door_stats_t stats = door_stats (self->door);
        info->connections = stats.connections;
        info->accepted = stats.accepted;
        info->refused = stats.refused;
        info->shut_down = stats.shut_down;
        info->dropped_in = stats.dropped_in;
        info->dropped_out = stats.dropped_out;
        info->output_bytes = stats.output_bytes;
    }
    info->now_ms = self->now_ms;
    node_info_rate (info, executor_stats (self->executor).commands);
    node_info_write (info, self->info_text);
}

static void s_tend (node_t *self)
{
    uint8_t identity[255];
    size_t bytes;
    if (self->door)
        door_tend (self->door);
    while (self->door && door_next_gone (self->door, identity, &bytes) == KV_OK)
        continue;
    s_make_info (self);
    self->next_tend_ms = self->now_ms + TEND_MS;
}

static kv_status_t s_open_door (node_t *self, char *why, size_t why_bytes)
{
    const kv_node_options_t *options = self->options;
    int64_t frame_bytes = options->max_value_bytes + KV_MESSAGE_SLACK_BYTES;
    int64_t slack_bytes = frame_bytes < PENDING_SLACK_BYTES ? frame_bytes : PENDING_SLACK_BYTES;
    door_options_t door = {.context = zsys_init (),
                           .name = "direct",
                           .endpoint = options->direct_endpoint,
                           .max_frame_bytes = frame_bytes,
                           .max_pending_bytes = frame_bytes + slack_bytes,
                           .max_output_bytes = options->client_output_bytes,
                           .max_total_output_bytes = options->output_bytes,
                           .max_connections = options->connections,
                           .high_water_mark = HIGH_WATER_MARK,
                           .log = self->log};
    return options->direct_endpoint ? door_open (&door, &self->door, why, why_bytes) : KV_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void s_handle_pipe (node_t *self)
{
    char *command = zstr_recv_nowait (self->pipe);
    bool term = command && streq (command, "$TERM");
    zstr_free (&command);
    if (!term || self->stop_ms)
        return;
    log_event (self->log, KV_LOG_INFO, "event=node_stopping node=%s", self->options->id);
    self->stop_ms = self->now_ms + STOP_MS;
    if (!self->serving) {
        s_end (self, false, "it was asked to");
        return;
    }
    message_t ask = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopping")}};
    if (s_send_message (self->control, &ask))
        s_end (self, false, "it was asked to, and there is no broker");
}

static void s_timers (node_t *self, bool *busy)
{
    if (self->now_ms >= self->next_call_ms) {
        if (self->serving)
            s_beacon (self);
        else
            s_call (self);
    }
    if (self->now_ms >= self->next_tick_ms || *busy) {
        size_t expired = executor_tick (self->executor, clock_wall_ms (), EXPIRE_BUDGET);
        self->next_tick_ms = self->now_ms + TICK_MS;
        *busy = *busy || expired == EXPIRE_BUDGET;
    }
    if (self->stop_ms && self->now_ms >= self->stop_ms)
        s_end (self, false, "it was asked to, and the broker did not answer");
}

static void s_turn (node_t *self, bool *busy)
{
    bool stalled = s_is_stalled (self);
    zmq_pollitem_t items[] = {{zsock_resolve (self->pipe), 0, ZMQ_POLLIN, 0},
                              {self->control, 0, ZMQ_POLLIN, 0},
                              {self->data, 0, stalled ? 0 : ZMQ_POLLIN, 0},
                              {self->door ? door_socket (self->door) : NULL, 0, ZMQ_POLLIN, 0},
                              {self->door ? door_monitor (self->door) : NULL, 0, ZMQ_POLLIN, 0}};
    zmq_poll (items, self->door ? 5 : 3, stalled ? STALL_MS : *busy ? 0 : TICK_MS);
    self->now_ms = clock_ms ();
    if (items[0].revents)
        s_handle_pipe (self);
    s_drain_control (self);
    *busy = s_drain_data (self);
    *busy = s_drain_door (self) || *busy;
    if ((self->door && items[4].revents) || self->now_ms >= self->next_tend_ms)
        s_tend (self);
    if (!self->ended)
        s_timers (self, busy);
}

static kv_status_t s_prepare (node_t *self, const void *given, char *why, size_t why_bytes)
{
    kv_status_t status = node_options_new (given, &self->given, why, why_bytes);
    zsock_signal (self->pipe, 0); // E2
    if (status)
        return status;
    const kv_node_options_t *options = self->options = &self->given->set;
    self->log = &self->given->log;
    self->is_inproc = strncmp (options->broker_endpoint, "inproc:", strlen ("inproc:")) == 0;
    if (options->data_dir)
        status = identity_load (options->data_dir, "identity", &self->identity, why, why_bytes);
    else
        identity_make (&self->identity);
    if (status == KV_OK)
        status = s_connect (options, &self->control, &self->data, why, why_bytes);
    return status ? status : s_open_door (self, why, why_bytes);
}

static kv_status_t s_start (node_t *self, const void *given)
{
    char why[sizeof self->reason] = "";
    kv_status_t status = s_prepare (self, given, why, sizeof why);
    if (status) {
        s_end (self, true, why);
        return status;
    }
    const kv_node_options_t *options = self->options;
    executor_options_t executor = {.shards = options->shards,
                                   .max_value_bytes = options->max_value_bytes,
                                   .max_memory = (uint64_t)options->max_memory,
                                   .node_id = options->id,
                                   .version = KVDB_VERSION};
    bool known = eviction_policy_read (options->max_memory_policy, &executor.max_memory_policy);
    KV_ASSERT (known); /* node_options_new has checked it */
    random_bytes (executor.secret, sizeof executor.secret);
    random_bytes (&self->incarnation, sizeof self->incarnation);
    self->incarnation >>= 1; /* fits the signed integers of every language */
    self->executor = executor_new (&executor);
    self->replies = reply_lane_new ();
    self->now_ms = clock_ms ();
    self->info = (node_info_t){.process_id = getpid (),
                               .port = options->port,
                               .started_ms = self->now_ms,
                               .rated_ms = self->now_ms};
    s_make_info (self);
    executor_set_info (self->executor, self->info_text);
    return KV_OK;
}

void kv_node_actor (zsock_t *pipe, void *options)
{
    node_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    process_block_signals (); // E3
    self->pipe = pipe;
    bool busy = false;
    kv_status_t status = s_start (self, options);
    while (status == KV_OK && !self->ended)
        s_turn (self, &busy);
    wire_close (&self->control, STOP_MS);
    wire_close (&self->data, STOP_MS);
    door_close (&self->door, STOP_MS);
    executor_destroy (&self->executor);
    s_drop_work (self);
    reply_lane_destroy (&self->replies);
    log_event (self->log, self->failed ? KV_LOG_ERROR : KV_LOG_INFO,
               "event=node_ended node=%s reason=\"%s\"", self->options ? self->options->id : "",
               self->reason);
    node_options_destroy (&self->given);
    zstr_sendx (pipe, self->failed ? "FAILED" : "STOPPED", self->reason, NULL);
    free (self);
}
