#include "sim_node_parts.h"

enum { CALL_MS = 100 }; /* as in node/node_control.c */

void sim_node_send (sim_wire_t *wire, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    blob_t *frame = blob_from_writer (&out);
    sim_wire_send (wire, &frame, 1);
}

void sim_node_call (sim_node_t *self)
{
    message_t ready = {
        .type = MESSAGE_READY,
        .ready = {.node_id = kv_slice_text (self->id),
                  .cluster_id = kv_slice (self->identity.cluster_id,
                                          self->identity.has_cluster ? KV_UUID_BYTES : 0),
                  .data_uuid = kv_slice (self->identity.uuid, KV_UUID_BYTES),
                  .incarnation = self->incarnation,
                  .wire_min = KV_WIRE_VERSION_MIN,
                  .wire_max = KV_WIRE_VERSION_MAX,
                  .disk_min = KV_DISK_VERSION_MIN,
                  .disk_max = KV_DISK_VERSION_MAX,
                  .epoch = executor_highest_epoch (self->executor),
                  .host = kv_slice_text ("localhost"),
                  .port = 7100}};
    sim_node_send (self->control, &ready);
    self->next_call_ms = self->now_ms + CALL_MS;
}

void sim_node_call_again (sim_node_t *self)
{
    sim_node_drop_work (self);
    self->welcomed = false;
    self->serving = false;
    self->opening = false;
    self->next_call_ms = self->now_ms + CALL_MS;
}

void sim_node_beacon (sim_node_t *self)
{
    executor_stats_t stats = executor_stats (self->executor);
    message_t beacon = {.type = MESSAGE_BEACON,
                        .beacon = {.sequence = ++self->beacon,
                                   .sent_ms = (uint64_t)self->now_ms,
                                   .keys = stats.keys,
                                   .bytes = stats.bytes}};
    sim_node_send (self->control, &beacon);
    self->next_call_ms = self->now_ms + self->beacon_ms;
}

static void s_welcome (sim_node_t *self, const message_welcome_t *welcome)
{
    if (welcome->shards != self->options.shards) {
        sim_node_end (self, SIM_END_GAVE_UP, "the broker has another number of shards");
        return;
    }
    self->welcomed = true;
    self->beacon_ms = (uint32_t)welcome->beacon_ms;
    if (self->identity.has_cluster)
        return;
    memcpy (self->identity.cluster_id, welcome->cluster_id.data, KV_UUID_BYTES);
    self->identity.has_cluster = true;
    if (self->options.directory.files &&
        sim_identity_save (self->options.directory.files, &self->identity) != KV_OK)
        sim_node_end (self, SIM_END_DISK, "its identity could not be written");
}

/* False: it begins anew. */
static bool s_own_shards (sim_node_t *self, const message_shards_t *shards)
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
        if (strcmp (ids[owner], self->id) != 0)
            executor_disown (self->executor, shard);
        else if (executor_own (self->executor, shard, epoch)) {
            sim_node_call_again (self); /* it has an epoch of the broker before, and will tell */
            return false;
        }
        executor_set_owner (self->executor, shard, ids[owner], endpoints[owner], epoch);
    }
    return true;
}

bool sim_node_may_open (sim_node_t *self)
{
    uint64_t bytes = (uint64_t)self->options.shards * SHARD_OPEN_BYTES;
    if (!self->log)
        return true;
    (void)sim_log_has_room (self->log, bytes); /* asks for it */
    return sim_log_room (self->log) >= bytes;
}

static void s_shards (sim_node_t *self, const message_shards_t *shards)
{
    if (!self->welcomed || shards->shard_count != self->options.shards)
        return;
    if (!self->serving && !sim_node_may_open (self)) {
        sim_node_call_again (self); /* until there is */
        return;
    }
    if (!s_own_shards (self, shards))
        return;
    self->epoch = shards->epoch;
    if (self->serving)
        return;
    self->opening = true; // R8
}

void sim_node_attach (sim_node_t *self)
{
    message_t attach = {
        .type = MESSAGE_ATTACH,
        .attach = {.node_id = kv_slice_text (self->id), .incarnation = self->incarnation}};
    self->opening = false;
    sim_node_send (self->data, &attach);
    self->serving = true;
    sim_node_beacon (self);
}

static void s_control_message (sim_node_t *self, kv_slice_t bytes)
{
    message_t message;
    if (message_decode (bytes, &message) != KV_OK) {
        sim_fail (self->options.sim, "codec", "%s cannot decode a control message", self->name);
        return;
    }
    switch (message.type) {
    case MESSAGE_WELCOME: s_welcome (self, &message.welcome); return;
    case MESSAGE_SHARDS: s_shards (self, &message.shards); return;
    case MESSAGE_BEACON_ACK: return;
    case MESSAGE_DISCONNECT: sim_node_call_again (self); return;
    case MESSAGE_REFUSED:
        if (message.reason.code == KV_RETRY)
            sim_node_call_again (self);
        else
            sim_node_end (self, SIM_END_GAVE_UP, "the broker refused it");
        return;
    case MESSAGE_READY:
    case MESSAGE_ATTACH:
    case MESSAGE_BEACON:
    case MESSAGE_SHUTDOWN:
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES: break;
    }
    sim_fail (self->options.sim, "codec", "%s got a %s on its control lane", self->name,
              message_name (message.type));
}

static void s_drop_frames (blob_t **frames, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blob_unref (&frames[i]);
}

void sim_node_drain_control (sim_node_t *self)
{
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    for (int i = 0; i < KV_MESSAGES_PER_DRAIN_MAX && !self->ended; i++) {
        if (!sim_wire_receive (self->control, frames, &count))
            return;
        if (count == 1)
            s_control_message (self, blob_bytes (frames[0]));
        s_drop_frames (frames, count);
    }
}
