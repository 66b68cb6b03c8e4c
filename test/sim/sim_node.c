#include "sim_node.h"

#include "sim_identity.h"
#include "sim_trace.h"

#include "node/executor.h"
#include "schema/bundle.h"

#include <stdlib.h>

/* As in node/node_actor.c. */
enum {
    CALL_MS = 100,
    TICK_MS = 10,
    STOP_MS = 2000,
    EXPIRE_BUDGET = 256,
    WAKE_US_MOST = 80 /* from the arrival of a message to the turn that takes it */
};

typedef struct {
    uint64_t tag;
    size_t bytes;
} reply_part_t;

struct sim_node {
    sim_node_options_t options;
    sim_random_t random;
    char id[KV_NODE_ID_BYTES_MAX + 1];
    char name[32];
    uint32_t host;
    sim_wire_t *control, *data;
    executor_t *executor;
    sim_identity_t identity;
    uint64_t incarnation;
    bool welcomed, serving, ended, paused;
    uint32_t beacon_ms;
    uint64_t epoch, beacon;
    int64_t now_ms, next_call_ms, next_tick_ms, stop_ms;
    int64_t turn_us;      /* when the next turn is due; SIM_NEVER_US: none is */
    uint64_t turn_number; /* of that turn: an event for another is void */
    writer_t replies;
    reply_part_t parts[KV_BUNDLE_PARTS_MAX];
    uint32_t part_count;
};

static void s_end (sim_node_t *self, sim_wire_end_t how, const char *reason)
{
    if (self->ended)
        return;
    self->ended = true;
    sim_trace (self->options.sim, self->name, "", "ends: %s", reason);
    sim_wire_close (&self->control, how);
    sim_wire_close (&self->data, how);
    if (!executor_is_valid (self->executor))
        sim_fail (self->options.sim, "store", "%s: a table or the pool is broken", self->name);
    executor_destroy (&self->executor);
    writer_free (&self->replies);
}

static void s_end_itself (sim_node_t *self, bool failed, const char *reason)
{
    s_end (self, SIM_WIRE_LINGERS, reason);
    self->options.ended (self->options.context, self, failed);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void s_turn (void *context, uint64_t number);

static void s_turn_at (sim_node_t *self, int64_t at_us)
{
    if (self->ended || at_us >= self->turn_us)
        return;
    self->turn_us = at_us;
    sim_events_add (&self->options.sim->events, at_us, s_turn, self, ++self->turn_number);
}

static void s_wake (void *context)
{
    sim_node_t *self = context;
    int64_t after_us = sim_random_range (&self->random, 1, WAKE_US_MOST);
    s_turn_at (self, sim_now (self->options.sim) + after_us);
}

/* ---- the control lane ------------------------------------------------------------------------ */

static void s_send_message (sim_wire_t *wire, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    blob_t *frame = blob_from_writer (&out);
    sim_wire_send (wire, &frame, 1);
}

static void s_call (sim_node_t *self)
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
    s_send_message (self->control, &ready);
    self->next_call_ms = self->now_ms + CALL_MS;
}

static void s_call_again (sim_node_t *self)
{
    self->welcomed = false;
    self->serving = false;
    self->next_call_ms = self->now_ms + CALL_MS;
}

static void s_beacon (sim_node_t *self)
{
    executor_stats_t stats = executor_stats (self->executor);
    message_t beacon = {.type = MESSAGE_BEACON,
                        .beacon = {.sequence = ++self->beacon,
                                   .sent_ms = (uint64_t)self->now_ms,
                                   .keys = stats.keys,
                                   .bytes = stats.bytes}};
    s_send_message (self->control, &beacon);
    self->next_call_ms = self->now_ms + self->beacon_ms;
}

static void s_welcome (sim_node_t *self, const message_welcome_t *welcome)
{
    if (welcome->shards != self->options.shards) {
        s_end_itself (self, true, "the broker has another number of shards");
        return;
    }
    self->welcomed = true;
    self->beacon_ms = (uint32_t)welcome->beacon_ms;
    if (self->identity.has_cluster)
        return;
    memcpy (self->identity.cluster_id, welcome->cluster_id.data, KV_UUID_BYTES);
    self->identity.has_cluster = true;
    if (sim_identity_save (self->options.disk, &self->identity) != KV_OK)
        s_end_itself (self, true, "its identity could not be written");
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
            s_call_again (self); /* it has an epoch of the broker before, and will tell */
            return false;
        }
        executor_set_owner (self->executor, shard, ids[owner], endpoints[owner], epoch);
    }
    return true;
}

static void s_shards (sim_node_t *self, const message_shards_t *shards)
{
    if (!self->welcomed || shards->shard_count != self->options.shards)
        return;
    if (!s_own_shards (self, shards))
        return;
    self->epoch = shards->epoch;
    if (self->serving)
        return;
    message_t attach = {
        .type = MESSAGE_ATTACH,
        .attach = {.node_id = kv_slice_text (self->id), .incarnation = self->incarnation}};
    s_send_message (self->data, &attach);
    self->serving = true;
    s_beacon (self);
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
    case MESSAGE_DISCONNECT: s_call_again (self); return;
    case MESSAGE_REFUSED:
        if (message.reason.code == KV_RETRY)
            s_call_again (self);
        else
            s_end_itself (self, true, "the broker refused it");
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

static void s_drain_control (sim_node_t *self)
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

/* ---- the data lane --------------------------------------------------------------------------- */

static void s_flush_replies (sim_node_t *self)
{
    if (self->part_count == 0)
        return;
    writer_t head = writer_make (SIZE_MAX);
    bundle_head_begin (&head, MESSAGE_REPLIES, self->epoch, self->part_count);
    for (uint32_t i = 0; i < self->part_count; i++)
        bundle_head_part (&head, self->parts[i].tag, self->parts[i].bytes);
    blob_t *frames[2] = {blob_from_writer (&head), blob_from_writer (&self->replies)};
    self->part_count = 0;
    sim_wire_send (self->data, frames, 2);
}

static void s_run (sim_node_t *self, uint64_t tag, kv_slice_t body)
{
    if (self->part_count == KV_BUNDLE_PARTS_MAX)
        s_flush_replies (self);
    size_t start = self->replies.size;
    int64_t wall_ms = sim_clock_wall_ms (self->options.clock, sim_now (self->options.sim));
    self->options.runs (self->options.context, self->incarnation, body);
    if (executor_run (self->executor, body, wall_ms, &self->replies) != KV_OK) {
        sim_fail (self->options.sim, "codec", "%s cannot decode a request", self->name);
        return;
    }
    self->parts[self->part_count++] = (reply_part_t){tag, self->replies.size - start};
}

static void s_last_word (sim_node_t *self)
{
    s_flush_replies (self);
    message_t bye = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopped")}};
    s_send_message (self->data, &bye);
    sim_count (self->options.sim, COUNT_NODE_STOPPED);
    s_end_itself (self, false, "the broker has let it go");
}

static void s_data_message (sim_node_t *self, blob_t **frames, size_t count)
{
    kv_slice_t slices[KV_BUNDLE_FRAMES_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        slices[i] = blob_bytes (frames[i]);
    bundle_t bundle;
    message_t message;
    if (bundle_open (&bundle, slices, count) == KV_OK && bundle.type == MESSAGE_REQUESTS) {
        uint64_t tag;
        kv_slice_t part;
        while (bundle_next (&bundle, &tag, &part, NULL) == KV_OK)
            s_run (self, tag, part);
    } else if (count == 1 && message_decode (slices[0], &message) == KV_OK &&
               message.type == MESSAGE_SHUTDOWN) {
        s_last_word (self);
    } else {
        sim_fail (self->options.sim, "codec", "%s cannot decode a message of its data lane",
                  self->name);
    }
}

static bool s_drain_data (sim_node_t *self)
{
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX && !self->ended; i++) {
        if (!sim_wire_receive (self->data, frames, &count))
            break;
        s_data_message (self, frames, count);
        s_drop_frames (frames, count);
    }
    if (!self->ended)
        s_flush_replies (self);
    return i == KV_MESSAGES_PER_DRAIN_MAX;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void s_timers (sim_node_t *self)
{
    if (self->now_ms >= self->next_call_ms) {
        if (self->serving)
            s_beacon (self);
        else
            s_call (self);
    }
    if (self->now_ms >= self->next_tick_ms) {
        int64_t wall_ms = sim_clock_wall_ms (self->options.clock, sim_now (self->options.sim));
        executor_tick (self->executor, wall_ms, EXPIRE_BUDGET);
        self->next_tick_ms = self->now_ms + TICK_MS;
    }
    if (self->stop_ms && self->now_ms >= self->stop_ms)
        s_end_itself (self, false, "it was asked to, and the broker did not answer");
}

/* The actor polls every TICK_MS; here there is a turn only when there is something to do, so that
 * expired keys may wait for the next beacon. */
static void s_turn (void *context, uint64_t number)
{
    sim_node_t *self = context;
    if (number != self->turn_number || self->ended)
        return;
    self->turn_us = SIM_NEVER_US;
    if (self->paused)
        return; // S2
    self->now_ms = sim_clock_local_ms (self->options.clock, sim_now (self->options.sim));
    s_drain_control (self);
    bool busy = !self->ended && s_drain_data (self);
    if (!self->ended)
        s_timers (self);
    if (self->ended)
        return;
    int64_t next_ms = self->next_call_ms;
    if (self->stop_ms && self->stop_ms < next_ms)
        next_ms = self->stop_ms;
    if (busy)
        s_wake (self);
    s_turn_at (self, sim_clock_when_us (self->options.clock, next_ms));
}

sim_node_t *sim_node_new (const sim_node_options_t *options)
{
    sim_node_t *self = malloc (sizeof *self);
    KV_ASSERT (self != NULL);
    memset (self, 0, offsetof (sim_node_t, parts));
    self->part_count = 0;
    self->options = *options;
    self->random = options->random;
    snprintf (self->id, sizeof self->id, "%s", options->id);
    snprintf (self->name, sizeof self->name, "%s", options->name);
    self->turn_us = SIM_NEVER_US;
    self->host = sim_network_add_host (options->network);
    self->incarnation = sim_random_next (&self->random) >> 1;
    if (sim_identity_load (options->disk, &self->random, &self->identity) != KV_OK)
        sim_fail (options->sim, "identity", "%s finds its identity torn", self->name);
    executor_options_t executor = {.shards = options->shards,
                                   .max_value_bytes = options->max_value_bytes,
                                   .node_id = self->id,
                                   .version = "simulated"};
    sim_random_bytes (&self->random, executor.secret, sizeof executor.secret);
    self->executor = executor_new (&executor);
    self->replies = writer_make (KV_REPLY_BYTES_MAX);
    sim_ears_t ears = {.wake = s_wake, .context = self};
    char lane[40];
    snprintf (lane, sizeof lane, "%s.control", self->name);
    self->control = sim_wire_open (options->network, self->host, SIM_NODES_DOOR, lane, ears);
    snprintf (lane, sizeof lane, "%s.data", self->name);
    self->data = sim_wire_open (options->network, self->host, SIM_NODES_DOOR, lane, ears);
    sim_wire_set_keeps (self->control, options->lanes_keep);
    sim_wire_set_keeps (self->data, options->lanes_keep);
    sim_trace (options->sim, self->name, "", "starts");
    s_wake (self);
    return self;
}

void sim_node_destroy (sim_node_t **self_p)
{
    sim_node_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    s_end (self, SIM_WIRE_DIES, "the run is over");
    free (self);
}

void sim_node_kill (sim_node_t *self, bool with_machine)
{
    s_end (self, with_machine ? SIM_WIRE_VANISHES : SIM_WIRE_DIES,
           with_machine ? "its machine lost power" : "it was killed");
}

void sim_node_terminate (sim_node_t *self)
{
    if (self->ended || self->paused || self->stop_ms)
        return;
    self->now_ms = sim_clock_local_ms (self->options.clock, sim_now (self->options.sim));
    self->stop_ms = self->now_ms + STOP_MS;
    sim_trace (self->options.sim, self->name, "", "is asked to stop");
    if (!self->serving) {
        s_end_itself (self, false, "it was asked to");
        return;
    }
    message_t ask = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopping")}};
    s_send_message (self->control, &ask);
    s_turn_at (self, sim_clock_when_us (self->options.clock, self->stop_ms));
}

void sim_node_pause (sim_node_t *self, bool pause)
{
    if (self->ended || self->paused == pause)
        return;
    self->paused = pause;
    sim_trace (self->options.sim, self->name, "", pause ? "is paused" : "goes on");
    sim_network_freeze (self->options.network, self->host, pause);
    if (!pause)
        s_wake (self);
}

bool sim_node_is_alive (const sim_node_t *self)
{
    return !self->ended;
}

bool sim_node_is_paused (const sim_node_t *self)
{
    return self->paused && !self->ended;
}

bool sim_node_is_serving (const sim_node_t *self)
{
    return self->serving && !self->ended;
}

uint64_t sim_node_incarnation (const sim_node_t *self)
{
    return self->incarnation;
}

uint32_t sim_node_host (const sim_node_t *self)
{
    return self->host;
}

const char *sim_node_name (const sim_node_t *self)
{
    return self->name;
}

sim_wire_t *sim_node_lane (sim_node_t *self, bool data)
{
    return data ? self->data : self->control;
}

bool sim_node_is_valid (const sim_node_t *self)
{
    return self->ended || executor_is_valid (self->executor);
}
