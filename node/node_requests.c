#include "node/node_parts.h"

#include "actors/clock.h"
#include "actors/wire.h"

enum {
    TURN_MS = 20,        /* how long requests are run before everything else has its turn */
    BOUND_PER_BYTE = 72, /* a byte of a request makes no more bytes of records than this ... */
    /* ... and what it says of all shards, this for each, beside what is kept for them */
    BOUND_PER_SHARD = SHARD_KEPT_BYTES + SHARD_OPEN_BYTES
};

void node_drop_work (node_t *self)
{
    while (self->work_count > 0)
        blob_unref (&self->work_frames[--self->work_count]);
    self->work = (bundle_t){0};
    self->has_part = false;
}

static outbox_target_t s_target (const node_t *self)
{
    return (outbox_target_t){
        .data = self->data, .door = self->door, .epoch = self->epoch, .log = self->log};
}

static uint64_t s_releasable (const node_t *self)
{
    return self->persistence ? persistence_releasable (self->persistence, clock_us ()) : UINT64_MAX;
}

/* The log first, then the replies. */
static void s_send_replies (node_t *self)
{
    outbox_target_t target = s_target (self);
    if (self->persistence && !persistence_write (self->persistence))
        return;
    outbox_send (self->outbox, &target);
}

/* Lets go what waited for the disk. */
void node_release_replies (node_t *self)
{
    outbox_target_t target = s_target (self);
    const char *fault;
    if (!self->persistence || outbox_is_clear (self->outbox))
        return;
    outbox_release (self->outbox, s_releasable (self), &target);
    outbox_release_synced (self->outbox, persistence_durable (self->persistence), &target);
    uint64_t ended = persistence_snapshot_ended (self->persistence, &fault);
    outbox_release_saves (self->outbox, ended, fault, &target);
    outbox_send (self->outbox, &target);
}

/* Whether the log has space for what a request may do; else it is to run later. */
static bool s_has_room (node_t *self, kv_slice_t body)
{
    if (!self->persistence)
        return true;
    uint64_t most =
        (uint64_t)body.size * BOUND_PER_BYTE + (uint64_t)self->options->shards * BOUND_PER_SHARD;
    /* The rough bound is only compared: asked for is what the request really needs. */
    self->blocked =
        persistence_room (self->persistence) < most &&
        !persistence_has_room (self->persistence, executor_bound (self->executor, body));
    return !self->blocked;
}

/* The number of the snapshot that the reply waits for, or 0. */
static uint64_t s_take_wish (node_t *self)
{
    snapshot_wish_t wish = executor_take_snapshot_wish (self->executor);
    if (wish == SNAPSHOT_WISH_NONE)
        return 0;
    uint64_t number = persistence_snapshot (self->persistence);
    return wish == SNAPSHOT_WISH_WAIT ? number : 0;
}

/* A command that was refused, since a large value it copies did not fit, will find the space. */
static void s_make_log_room (node_t *self)
{
    uint64_t wish = executor_take_log_wish (self->executor);
    if (wish && self->persistence)
        (void)persistence_has_room (self->persistence, wish);
}

/* Whether a reply is to be held until the log is durable up to `gate`. */
static bool s_is_to_wait (node_t *self, uint64_t gate)
{
    if (gate == 0 || gate <= s_releasable (self))
        return false;
    persistence_on_held (self->persistence);
    return true;
}

/* The same for a request that asked for as much itself. */
static bool s_is_to_wait_for_sync (node_t *self, uint64_t gate)
{
    if (gate == 0 || !executor_wants_sync (self->executor))
        return false;
    persistence_demand (self->persistence, gate);
    return true;
}

static void s_run (node_t *self, uint64_t tag, kv_slice_t body)
{
    self->asked_us = clock_us ();
    if (outbox_is_due (self->outbox))
        s_send_replies (self);
    writer_t *reply = outbox_writer (self->outbox);
    size_t start = reply->size;
    if (executor_run (self->executor, body, clock_wall_ms (), reply)) {
        /* The broker checks what it passes on, so this is a defect of one of the two; the request
         * runs into its deadline there. */
        log_event (self->log, KV_LOG_ERROR, "event=undecodable_request node=%s", self->options->id);
        writer_cut (reply, start);
        return;
    }
    uint64_t gate = executor_gate (self->executor);
    uint64_t snapshot = s_take_wish (self);
    s_make_log_room (self);
    if (snapshot)
        outbox_hold_save (self->outbox, tag, start, snapshot);
    else if (s_is_to_wait_for_sync (self, gate))
        outbox_hold_synced (self->outbox, tag, start, gate);
    else if (s_is_to_wait (self, gate))
        outbox_hold (self->outbox, tag, start, gate);
    else
        outbox_add (self->outbox, tag, start);
}

static void s_last_word (node_t *self)
{
    s_send_replies (self);
    message_t bye = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopped")}};
    node_tell (self->data, &bye);
    node_end (self, false, "the broker has let it go");
}

/* The last word follows the last reply. */
void node_leave (node_t *self)
{
    bool flushed = !self->persistence || persistence_flush (self->persistence);
    if (flushed && outbox_is_clear (self->outbox))
        s_last_word (self);
}

/* A turn is over: the control lane, the timers and other clients have theirs. */
static bool s_turn_is_over (const node_t *self)
{
    return clock_ms () - self->now_ms >= TURN_MS;
}

bool node_is_stalled (const node_t *self)
{
    return outbox_is_full (self->outbox) || self->blocked;
}

/* Runs what is left of the bundle in hand, as far as the turn goes. */
static void s_work (node_t *self)
{
    while (!s_turn_is_over (self) && !node_is_stalled (self)) {
        if (!self->has_part && bundle_next (&self->work, &self->tag, &self->part, NULL) != KV_OK) {
            node_drop_work (self);
            return;
        }
        self->has_part = true;
        if (!s_has_room (self, self->part))
            return;
        self->has_part = false;
        s_run (self, self->tag, self->part);
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
        message.type == MESSAGE_SHUTDOWN) {
        self->leaving = true;
    } else if (self->work_count > 0) {
        log_event (self->log, KV_LOG_WARN, "event=malformed_message lane=data");
    }
    node_drop_work (self);
}

/* Whether there may be more to do at once. */
bool node_drain_data (node_t *self)
{
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX && !self->leaving; i++) {
        s_work (self);
        if (self->work_count || s_turn_is_over (self) || node_is_stalled (self))
            break;
        if (wire_receive (self->data, self->work_frames, KV_BUNDLE_FRAMES_MAX, &self->work_count))
            break;
        s_data_message (self);
    }
    s_send_replies (self);
    return (self->work_count && !node_is_stalled (self)) || i == KV_MESSAGES_PER_DRAIN_MAX ||
           s_turn_is_over (self);
}

/* ---- the direct door ----------------------------------------------------------------------- */

static void s_answer (node_t *self, door_message_t *message)
{
    self->asked_us = clock_us ();
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    kv_slice_t envelope = kv_slice (message->envelope, message->envelope_bytes);
    kv_status_t status =
        executor_run (self->executor, blob_bytes (message->body), clock_wall_ms (), &reply);
    blob_unref (&message->body);
    if (status) {
        self->undecodable++;
        writer_free (&reply);
        return;
    }
    uint64_t gate = executor_gate (self->executor);
    uint64_t snapshot = s_take_wish (self);
    s_make_log_room (self);
    if (snapshot)
        outbox_hold_save_direct (self->outbox, envelope, &reply, snapshot);
    else if (s_is_to_wait_for_sync (self, gate))
        outbox_hold_synced_direct (self->outbox, envelope, &reply, gate);
    else if (s_is_to_wait (self, gate))
        outbox_hold_direct (self->outbox, envelope, &reply, gate);
    else
        outbox_add_direct (self->outbox, envelope, &reply);
}

bool node_drain_door (node_t *self)
{
    int i = 0;
    while (self->door && i < KV_MESSAGES_PER_DRAIN_MAX && !(i > 0 && s_turn_is_over (self)) &&
           !node_is_stalled (self)) {
        if (!self->has_direct && door_receive (self->door, &self->direct))
            break;
        self->has_direct = true;
        if (!s_has_room (self, blob_bytes (self->direct.body)))
            break;
        self->has_direct = false;
        s_answer (self, &self->direct);
        i++;
        if (outbox_is_due (self->outbox))
            s_send_replies (self);
    }
    s_send_replies (self);
    return i == KV_MESSAGES_PER_DRAIN_MAX || s_turn_is_over (self);
}
