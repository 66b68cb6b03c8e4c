#include "node/node_parts.h"

#include "actors/wire.h"

#include <inttypes.h>

enum {
    CALL_MS = 100 /* between READY messages while the broker does not answer */,
    TAKEN_MS = 5000 /* how long another process may answer to this node's id before we give up */
};

kv_status_t node_send (void *socket, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    blob_t *frame = blob_from_writer (&out);
    return wire_send (socket, &frame, 1);
}

/* What is said again anyway may be lost while the broker is not there. */
void node_tell (void *socket, const message_t *message)
{
    kv_status_t status = node_send (socket, message);
    (void)status;
}

kv_status_t node_connect (const kv_node_options_t *options, void **control, void **data, char *why,
                          size_t why_bytes)
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
    if (node_connect (self->options, &control, &data, why, sizeof why)) {
        log_event (self->log, KV_LOG_WARN, "event=connect_failed reason=\"%s\"", why);
        return;
    }
    wire_close (&self->control, 0);
    wire_close (&self->data, 0);
    self->control = control;
    self->data = data;
}

void node_call (node_t *self)
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
                  .port = options->port,
                  .epoch = executor_highest_epoch (self->executor)}};
    /* Over inproc a connection does not come back by itself, and says that it is gone. */
    if (node_send (self->control, &ready) && self->is_inproc)
        s_connect_again (self);
    self->next_call_ms = self->now_ms + CALL_MS;
}

/* What the broker we knew has asked is nobody's any more: another one's tags may be the same. */
void node_call_again (node_t *self)
{
    node_drop_work (self);
    self->welcomed = false;
    self->serving = false;
    self->opening = false;
    self->next_call_ms = self->now_ms + CALL_MS;
}

/* The broker has no use for this connection any more. */
static void s_let_go (node_t *self)
{
    node_call_again (self);
    if (self->stop_ms)
        node_end (self, false, "it was asked to, and the broker has let it go");
}

void node_beacon (node_t *self)
{
    executor_stats_t stats = executor_stats (self->executor);
    message_t beacon = {.type = MESSAGE_BEACON,
                        .beacon = {.sequence = ++self->beacon,
                                   .sent_ms = (uint64_t)self->now_ms,
                                   .keys = stats.keys,
                                   .bytes = stats.bytes}};
    node_tell (self->control, &beacon);
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
        node_end (self, true, why);
        return;
    }
    kv_slice_t own = kv_slice (self->identity.cluster_id, KV_UUID_BYTES);
    if (self->identity.has_cluster && !kv_slice_equal (own, welcome->cluster_id)) {
        node_end (
            self, true,
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
        node_end (self, true, why);
}

/* False: it says READY again. The broker's word may have crossed that of one before it, which had given a
 * higher epoch already: READY tells of that. */
static bool s_own (node_t *self, uint32_t shard, uint64_t epoch)
{
    kv_status_t status = executor_own (self->executor, shard, epoch);
    if (status == KV_OK)
        return true;
    log_event (self->log, KV_LOG_WARN,
               "event=epoch_refused shard=%" PRIu32 " epoch=%" PRIu64 " highest=%" PRIu64
               " reason=%s",
               shard, epoch, executor_highest_epoch (self->executor), kv_status_name (status));
    node_call_again (self);
    return false;
}

/* False: it begins anew. */
static bool s_own_shards (node_t *self, const message_shards_t *shards)
{
    char ids[KV_NODES_MAX][KV_NODE_ID_BYTES_MAX + 1];
    char endpoints[KV_NODES_MAX][KV_ENDPOINT_BYTES_MAX + 1];
    reader_t at = shards->nodes;
    for (uint32_t i = 0; i < shards->node_count; i++) {
        kv_slice_t id, endpoint;
        if (reader_bytes (&at, &id) || reader_bytes (&at, &endpoint))
            return false;
        snprintf (ids[i], sizeof ids[i], "%.*s", (int)id.size, (const char *)id.data);
        snprintf (endpoints[i], sizeof endpoints[i], "%.*s", (int)endpoint.size,
                  (const char *)endpoint.data);
    }
    at = shards->shards;
    for (uint32_t shard = 0; shard < shards->shard_count; shard++) {
        uint64_t epoch, owner;
        if (reader_uint (&at, &epoch) || reader_uint (&at, &owner) || owner >= shards->node_count)
            return false;
        if (!streq (ids[owner], self->options->id))
            executor_disown (self->executor, shard);
        else if (!s_own (self, shard, epoch))
            return false;
        executor_set_owner (self->executor, shard, ids[owner], endpoints[owner], epoch);
    }
    return true;
}

/* Whether the log has space for the records that open all epochs. */
bool node_may_open (node_t *self)
{
    uint64_t bytes = (uint64_t)self->options->shards * SHARD_OPEN_BYTES;
    if (!self->persistence)
        return true;
    (void)persistence_has_room (self->persistence, bytes); /* asks for it */
    return persistence_room (self->persistence) >= bytes;
}

static void s_shards (node_t *self, const message_shards_t *shards)
{
    if (!self->welcomed || shards->shard_count != self->options->shards)
        return;
    /* One that serves already is told of others' epochs, and opens none. */
    if (!self->serving && !node_may_open (self)) {
        node_call_again (self); /* until there is */
        return;
    }
    if (!s_own_shards (self, shards))
        return;
    self->epoch = shards->epoch;
    if (self->serving || self->ended)
        return;
    self->opening = true; // R8: the epochs' records are made durable first
}

/* Everything that is to be durable before it serves is. */
void node_attach (node_t *self)
{
    message_t attach = {
        .type = MESSAGE_ATTACH,
        .attach = {.node_id = kv_slice_text (self->options->id), .incarnation = self->incarnation}};
    self->opening = false;
    if (node_send (self->data, &attach)) {
        node_call_again (self); /* the data lane is not connected yet */
        return;
    }
    self->serving = true;
    node_beacon (self);
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
        node_call_again (self);
        return;
    }
    node_end (self, true, why);
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

void node_drain_control (node_t *self)
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
