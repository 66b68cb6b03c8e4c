#include "sim_node_parts.h"

#include "sim_trace.h"

#include <stdlib.h>

/* As in node/node_requests.c. */
enum { BOUND_PER_BYTE = 72, BOUND_PER_SHARD = SHARD_KEPT_BYTES + SHARD_OPEN_BYTES };

void sim_node_drop_work (sim_node_t *self)
{
    while (self->work_count > 0)
        blob_unref (&self->work_frames[--self->work_count]);
    self->work = (bundle_t){0};
    self->has_part = false;
}

/* ---- replies -------------------------------------------------------------------------------------- */

/* The log first, then the replies. */
static void s_send_replies (sim_node_t *self)
{
    if (self->log && !sim_log_write (self->log, self->now_us))
        return;
    if (self->part_count == 0)
        return;
    writer_t head = writer_make (SIZE_MAX);
    bundle_head_begin (&head, MESSAGE_REPLIES, self->epoch, self->part_count);
    for (uint32_t i = 0; i < self->part_count; i++) {
        const sim_reply_t *reply = &self->parts[i];
        bundle_head_part (&head, reply->tag, reply->bytes);
        if (self->log)
            sim_journal_acknowledged (self->options.directory.journal, reply->from_lsn,
                                      reply->to_lsn, self->now_us);
    }
    blob_t *frames[2] = {blob_from_writer (&head), blob_from_writer (&self->replies)};
    self->part_count = 0;
    sim_wire_send (self->data, frames, 2);
}

static void s_hold (sim_node_t *self, const sim_reply_t *reply, uint64_t lsn)
{
    sim_held_t *held = &self->held;
    size_t start = self->replies.size - reply->bytes;
    if (held->head + held->count == held->capacity) {
        held->capacity = held->capacity ? 2 * held->capacity : 32;
        held->items = realloc (held->items, held->capacity * sizeof *held->items);
        KV_ASSERT (held->items != NULL);
    }
    held->items[held->head + held->count++] = *reply;
    reply_gate_hold (self->gate, lsn, &(reply_route_t){.tag = reply->tag},
                     kv_slice (self->replies.data + start, reply->bytes));
    writer_cut (&self->replies, start);
    sim_log_on_held (self->log);
    sim_count (self->options.sim, COUNT_REPLY_HELD);
}

void sim_node_release_replies (sim_node_t *self)
{
    reply_route_t route;
    kv_slice_t reply;
    uint64_t reached = sim_log_releasable (self->log, self->now_us);
    while (reply_gate_next (self->gate, reached, &route, &reply)) {
        if (self->part_count == KV_BUNDLE_PARTS_MAX)
            s_send_replies (self);
        sim_reply_t held = self->held.items[self->held.head++];
        self->held.head = --self->held.count ? self->held.head : 0;
        KV_ASSERT (held.tag == route.tag);
        writer_raw (&self->replies, reply);
        self->parts[self->part_count++] = held;
    }
    s_send_replies (self);
}

/* ---- requests ------------------------------------------------------------------------------------- */

/* Whether the log has space for what a request may do; else it is to run later. */
static bool s_has_room (sim_node_t *self, kv_slice_t body)
{
    if (!self->log)
        return true;
    uint64_t most =
        (uint64_t)body.size * BOUND_PER_BYTE + (uint64_t)self->options.shards * BOUND_PER_SHARD;
    self->blocked = sim_log_room (self->log) < most &&
                    !sim_log_has_room (self->log, executor_bound (self->executor, body));
    if (self->blocked)
        sim_count (self->options.sim, COUNT_REQUEST_BLOCKED);
    return !self->blocked;
}

static void s_run (sim_node_t *self, uint64_t tag, kv_slice_t body)
{
    if (self->part_count == KV_BUNDLE_PARTS_MAX)
        s_send_replies (self);
    size_t start = self->replies.size;
    uint64_t from_lsn = self->log ? sim_log_appended (self->log) : 0;
    int64_t wall_ms = sim_clock_wall_ms (self->options.clock, sim_now (self->options.sim));
    if (executor_run (self->executor, body, wall_ms, &self->replies) != KV_OK) {
        sim_fail (self->options.sim, "codec", "%s cannot decode a request", self->name);
        return;
    }
    sim_reply_t reply = {.tag = tag,
                         .bytes = self->replies.size - start,
                         .from_lsn = from_lsn,
                         .to_lsn = self->log ? sim_log_appended (self->log) : 0};
    self->options.ran (self->options.context, self->incarnation, body,
                       kv_slice (self->replies.data + start, reply.bytes));
    uint64_t gate = executor_gate (self->executor);
    uint64_t wish = executor_take_log_wish (self->executor);
    if (wish && self->log)
        (void)sim_log_has_room (self->log, wish);
    if (gate && self->log && gate > sim_log_releasable (self->log, self->now_us))
        s_hold (self, &reply, gate);
    else
        self->parts[self->part_count++] = reply;
}

void sim_node_leave (sim_node_t *self)
{
    bool flushed = !self->log || sim_log_flush (self->log, self->now_us);
    if (!flushed || reply_gate_bytes (self->gate))
        return;
    s_send_replies (self);
    message_t bye = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopped")}};
    sim_node_send (self->data, &bye);
    sim_count (self->options.sim, COUNT_NODE_STOPPED);
    sim_node_end (self, SIM_END_STOPPED, "the broker has let it go");
}

/* Runs what is left of the bundle in hand, until the log lacks space. */
static void s_work (sim_node_t *self)
{
    while (self->work_count && !self->blocked) {
        if (!self->has_part && bundle_next (&self->work, &self->tag, &self->part, NULL) != KV_OK) {
            sim_node_drop_work (self);
            return;
        }
        self->has_part = true;
        if (!s_has_room (self, self->part))
            return;
        self->has_part = false;
        s_run (self, self->tag, self->part);
    }
}

/* A message lies in work_frames: a bundle stays there until its parts have run. */
static void s_data_message (sim_node_t *self)
{
    message_t message;
    for (size_t i = 0; i < self->work_count; i++)
        self->work_bytes[i] = blob_bytes (self->work_frames[i]);
    if (bundle_open (&self->work, self->work_bytes, self->work_count) == KV_OK &&
        self->work.type == MESSAGE_REQUESTS)
        return;
    if (self->work_count == 1 && message_decode (self->work_bytes[0], &message) == KV_OK &&
        message.type == MESSAGE_SHUTDOWN) {
        self->leaving = true;
    } else {
        sim_fail (self->options.sim, "codec", "%s cannot decode a message of its data lane",
                  self->name);
    }
    sim_node_drop_work (self);
}

bool sim_node_drain_data (sim_node_t *self)
{
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX && !self->leaving; i++) {
        s_work (self);
        if (self->work_count ||
            !sim_wire_receive (self->data, self->work_frames, &self->work_count))
            break;
        s_data_message (self);
    }
    s_send_replies (self);
    return i == KV_MESSAGES_PER_DRAIN_MAX;
}
