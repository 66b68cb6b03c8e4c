#include "broker/router.h"

#include "broker/router_dispatch.h"
#include "broker/router_intake.h"
#include "schema/limits.h"
#include "schema/request.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHARE_BYTES = 16 * 1024 }; /* replies from here on share the node's frame, uncopied */

struct router {
    router_options_t options;
    router_load_t load;
    router_stats_t stats;
    router_intake_t *intake;
    timer_wheel_t wheel;
    part_table_t *parts;
    effect_queue_t effects;
    dispatch_t *dispatch;
    pending_t live; /* head of the list of requests */
};

router_t *router_new (const router_options_t *options, int64_t now_ms)
{
    router_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    timer_wheel_init (&self->wheel, now_ms);
    self->parts = part_table_new (options->first_generation);
    self->live.next = self->live.previous = &self->live;
    const shard_map_t *map = options->map;
    self->load.queued = calloc (map->shards, sizeof *self->load.queued);
    self->load.open = calloc (map->nodes, sizeof *self->load.open);
    KV_ASSERT (self->load.queued && self->load.open);
    self->intake = router_intake_new (&self->options, &self->load, &self->stats);
    dispatch_options_t dispatch = {.map = map,
                                   .load = &self->load,
                                   .stats = &self->stats,
                                   .parts = self->parts,
                                   .effects = &self->effects};
    self->dispatch = dispatch_new (&dispatch);
    return self;
}

static void s_remove_parts (router_t *self, pending_t *pending)
{
    while (pending->parts) {
        part_t *part = pending->parts;
        part_table_remove (self->parts, &part);
    }
}

void router_destroy (router_t **self_p)
{
    router_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->live.next != &self->live) {
        pending_t *pending = self->live.next;
        self->live.next = pending->next;
        s_remove_parts (self, pending);
        timer_wheel_clear (&self->wheel, &pending->timer);
        pending_destroy (&pending);
    }
    effect_queue_free (&self->effects);
    dispatch_destroy (&self->dispatch);
    part_table_destroy (&self->parts);
    router_intake_destroy (&self->intake);
    free (self->load.queued);
    free (self->load.open);
    free (self);
}

/* ---- what a request holds ------------------------------------------------------------------- */

/* The request leaves the router: its reply becomes an effect. N1: `live` and the list of effects
 * are the only places a request can be, and this is the only way from one to the other. */
static void s_finish (router_t *self, pending_t *pending, blob_t *reply)
{
    KV_ASSERT (pending->held == 0);
    timer_wheel_clear (&self->wheel, &pending->timer);
    pending->previous->next = pending->next;
    pending->next->previous = pending->previous;
    self->stats.waiting_requests--;
    self->load.bytes -= pending->bytes;
    pending_finish (pending, reply);
    effect_queue_to_client (&self->effects, pending);
}

static void s_finish_if_complete (router_t *self, pending_t *pending)
{
    if (pending->undone == 0)
        s_finish (self, pending, pending_gather_reply (pending));
}

static void s_piece_done (router_t *self, pending_t *pending, uint32_t index)
{
    piece_state_t state = pending->states[index];
    KV_ASSERT (state != PIECE_DONE);
    if (state == PIECE_WAITS) {
        pending->waits--;
    } else {
        uint32_t shard = pending->pieces[index].shard;
        KV_ASSERT (self->load.queued[shard] > 0); // N4
        self->load.queued[shard]--;
    }
    if (state == PIECE_HELD)
        load_set_held (&self->load, pending, pending->held - 1);
    pending->states[index] = PIECE_DONE;
    pending->undone--;
}

static void s_piece_fails (router_t *self, pending_t *pending, uint32_t index, kv_status_t code,
                           const char *text)
{
    pending_need_gather (pending);
    gather_piece_failed (pending->gather, &pending->pieces[index], code, text,
                         code == KV_BUSY ? ROUTER_RETRY_MS : 0);
    s_piece_done (self, pending, index);
}

/* N3: what to tell of a piece that was sent and has no result: `read_code` of one that only reads,
 * in the words "CODE node tells; nothing was changed". */
static void s_piece_no_result (router_t *self, pending_t *pending, uint32_t index, uint32_t node,
                               kv_status_t read_code, const char *tells)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    const char *name = self->options.node_name (self->options.context, node);
    bool reads = pending->pieces[index].spec->flags == COMMAND_READ;
    kv_status_t code = reads ? read_code : KV_OUTCOME_UNKNOWN;
    snprintf (text, sizeof text, "%s %s %s; %s", kv_status_name (code), name, tells,
              reads ? "nothing was changed" : "the command may have been executed");
    self->stats.unknown_outcomes += !reads;
    s_piece_fails (self, pending, index, code, text);
}

static void s_piece_unanswered (router_t *self, pending_t *pending, uint32_t index, uint32_t node)
{
    s_piece_no_result (self, pending, index, node, KV_UNAVAILABLE, "did not answer in time");
}

/* ---- sending -------------------------------------------------------------------------------- */

void router_request (router_t *self, kv_slice_t envelope, blob_t *body, int64_t now_ms)
{
    uint32_t deadline_ms;
    pending_t *pending = router_intake_take (self->intake, envelope, body, &deadline_ms);
    if (!pending)
        return;
    if (pending->reply) {
        effect_queue_to_client (&self->effects, pending);
        return;
    }
    pending->previous = self->live.previous;
    pending->next = &self->live;
    self->live.previous->next = pending;
    self->live.previous = pending;
    self->stats.waiting_requests++;
    self->load.bytes += pending->bytes;
    self->load.held_bytes += pending->held ? pending->bytes : 0;
    timer_wheel_set (&self->wheel, &pending->timer, now_ms + deadline_ms);
    dispatch_send (self->dispatch, pending);
}

/* ---- nodes come and go ---------------------------------------------------------------------- */

void router_node_open (router_t *self, uint32_t node)
{
    KV_ASSERT (node < self->options.map->nodes);
    if (self->load.open[node])
        return;
    self->load.open[node] = true;
    if (self->load.held_bytes == 0)
        return;
    for (pending_t *pending = self->live.next; pending != &self->live; pending = pending->next)
        dispatch_send (self->dispatch, pending); // N2: oldest first
}

/* A part that has not gone out after all. */
static void s_hold_part (router_t *self, part_t *part)
{
    pending_t *pending = part->pending;
    for (uint32_t i = 0; i < part->count; i++)
        pending->states[part_piece (part, i)] = PIECE_HELD;
    load_set_held (&self->load, pending, pending->held + part->count);
    part_table_remove (self->parts, &part);
}

/* Effects that nobody has fetched yet have not been sent: no outcome of theirs is unknown. */
static void s_recall_effects (router_t *self, uint32_t node)
{
    size_t from = 0;
    uint64_t tag;
    while (effect_queue_recall (&self->effects, node, &from, &tag)) {
        part_t *part = part_table_find (self->parts, tag);
        if (part)
            s_hold_part (self, part);
    }
}

void router_unsent (router_t *self, uint64_t tag)
{
    part_t *part = part_table_find (self->parts, tag);
    if (!part)
        return;
    uint32_t node = part->node;
    s_hold_part (self, part);
    router_node_hold (self, node); /* N2: nothing may overtake what is held again */
}

void router_node_hold (router_t *self, uint32_t node)
{
    KV_ASSERT (node < self->options.map->nodes);
    self->load.open[node] = false;
    s_recall_effects (self, node);
}

/* Takes back what one request has in flight at a node: reads are held again, writes are unknown. */
static void s_take_back (router_t *self, pending_t *pending, uint32_t node)
{
    part_t *part = pending->parts;
    while (part) {
        part_t *next = part->next;
        for (uint32_t i = 0; part->node == node && i < part->count; i++) {
            uint32_t index = part_piece (part, i);
            if (pending->pieces[index].spec->flags == COMMAND_READ) {
                pending->states[index] = PIECE_HELD;
                load_set_held (&self->load, pending, pending->held + 1);
                self->stats.resent_pieces++;
            } else {
                s_piece_unanswered (self, pending, index, node);
            }
        }
        if (part->node == node)
            part_table_remove (self->parts, &part);
        part = next;
    }
}

void router_node_lost (router_t *self, uint32_t node)
{
    router_node_hold (self, node);
    if (part_table_count (self->parts) == 0)
        return;
    for (pending_t *pending = self->live.next; pending != &self->live;) {
        pending_t *next = pending->next;
        s_take_back (self, pending, node);
        s_finish_if_complete (self, pending);
        pending = next;
    }
}

static void s_settle_waits (router_t *self, pending_t *pending, uint32_t node)
{
    static const uint8_t ok[] = {0x92, 0x00, 0xa2, 'O', 'K'};
    result_t result = {.status = KV_OK, .raw = kv_slice (ok, sizeof ok)};
    for (uint32_t i = 0; i < pending->piece_count && pending->waits > 0; i++) {
        if (pending->states[i] != PIECE_WAITS || pending->pieces[i].shard != node)
            continue;
        pending_need_gather (pending);
        gather_piece (pending->gather, pending->keys, &pending->pieces[i], &result);
        s_piece_done (self, pending, i);
    }
}

void router_node_left (router_t *self, uint32_t node)
{
    router_node_lost (self, node);
    for (pending_t *pending = self->live.next; pending != &self->live;) {
        pending_t *next = pending->next;
        s_settle_waits (self, pending, node);
        s_finish_if_complete (self, pending);
        pending = next;
    }
}

/* ---- replies -------------------------------------------------------------------------------- */

static void s_release_frame (void *frame)
{
    blob_t *blob = frame;
    blob_unref (&blob);
}

/* A reply that outlives its frame: large ones share the frame, small ones do not pin it. */
static blob_t *s_keep (blob_t *frame, kv_slice_t part)
{
    bool share = part.size >= SHARE_BYTES && part.size >= blob_bytes (frame).size / 2;
    return share ? blob_wrap (part, blob_ref (frame), s_release_frame) : blob_copy (part);
}

/* Whether a reply that goes on as it came belongs to its request: the client goes by the id. */
static bool s_matches (const pending_t *pending, kv_slice_t bytes)
{
    reader_t at = reader_make (bytes);
    uint32_t count;
    uint64_t number;
    if (reader_array (&at, &count) != KV_OK || count != 3)
        return false;
    if (reader_uint (&at, &number) != KV_OK || number != KV_PROTOCOL_VERSION)
        return false;
    if (reader_uint (&at, &number) != KV_OK || number != pending->id)
        return false;
    return reader_array (&at, &count) == KV_OK && (count == pending->commands || count == 1);
}

/* N4: what waits for the parts of other nodes counts, and is not kept beyond the bound. `results`
 * reads from what is kept afterwards. */
static bool s_keep_results (router_t *self, const part_t *part, blob_t *frame, kv_slice_t bytes,
                            reader_t *results)
{
    pending_t *pending = part->pending;
    uint64_t paid = (uint64_t)part->count * ROUTER_KEPT_RESULT_BYTES;
    if (bytes.size > paid) {
        uint64_t more = bytes.size - paid;
        if (self->load.bytes + more > self->options.queue_bytes)
            return false;
        load_charge (&self->load, pending, more);
    }
    blob_t *kept = s_keep (frame, bytes);
    const uint8_t *start = blob_bytes (kept).data;
    *results = (reader_t){start + (results->at - bytes.data), start + bytes.size};
    gather_keep (pending->gather, kept);
    blob_unref (&kept);
    return true;
}

/* Hands each result of a part's reply to its piece. */
static void s_take_results (router_t *self, const part_t *part, blob_t *frame, kv_slice_t bytes)
{
    pending_t *pending = part->pending;
    reply_t reply;
    result_t result = {0};
    kv_status_t status = reply_decode (bytes, &reply);
    bool refused = status == KV_OK && reply.count == 1 && part->count > 1;
    if (status == KV_OK && !refused && reply.count != part->count)
        status = KV_INTERNAL;
    bool last = pending->undone == part->count; /* the reply is written before the frame goes */
    bool kept =
        status != KV_OK || last || s_keep_results (self, part, frame, bytes, &reply.results);
    if (refused && status == KV_OK) {
        status = result_next (&reply, &result);
        if (result.status == KV_OK)
            status = KV_INTERNAL; /* one success for many commands */
    }
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t index = part_piece (part, i);
        if (status == KV_OK && !refused)
            status = result_next (&reply, &result);
        if (status != KV_OK) {
            s_piece_no_result (self, pending, index, part->node, KV_INTERNAL,
                               "answered out of form");
        } else if (!kept) {
            s_piece_no_result (self, pending, index, part->node, KV_BUSY,
                               "answered more than the broker's queues have room for");
        } else {
            gather_piece (pending->gather, pending->keys, &pending->pieces[index], &result);
            s_piece_done (self, pending, index);
        }
    }
}

void router_reply (router_t *self, uint32_t node, uint64_t tag, blob_t *frame, kv_slice_t bytes)
{
    part_t *part = part_table_find (self->parts, tag);
    if (!part || part->node != node) {
        self->stats.late_replies++;
        return;
    }
    pending_t *pending = part->pending;
    if (part->whole && s_matches (pending, bytes)) {
        for (uint32_t i = 0; i < part->count; i++)
            s_piece_done (self, pending, i);
        part_table_remove (self->parts, &part);
        s_finish (self, pending, s_keep (frame, bytes));
        return;
    }
    pending_need_gather (pending);
    if (part->whole)
        bytes = kv_slice (NULL, 0); /* not an answer to this request */
    s_take_results (self, part, frame, bytes);
    part_table_remove (self->parts, &part);
    s_finish_if_complete (self, pending);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

static void s_piece_expires (router_t *self, pending_t *pending, uint32_t index)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    bool waits = pending->states[index] == PIECE_WAITS;
    uint32_t node = waits ? pending->pieces[index].shard
                          : self->options.map->owners[pending->pieces[index].shard];
    snprintf (text, sizeof text,
              waits ? "TIMEOUT %s has been told to stop and has not left yet"
                    : "UNAVAILABLE %s, which holds the data, is not there; the command was not "
                      "executed: bring the node back or retry",
              self->options.node_name (self->options.context, node));
    s_piece_fails (self, pending, index, waits ? KV_TIMEOUT : KV_UNAVAILABLE, text);
}

static void s_expire (router_t *self, pending_t *pending)
{
    self->stats.expired_requests++;
    while (pending->parts) {
        part_t *part = pending->parts;
        for (uint32_t i = 0; i < part->count; i++)
            s_piece_unanswered (self, pending, part_piece (part, i), part->node);
        part_table_remove (self->parts, &part);
    }
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        if (pending->states[i] != PIECE_DONE)
            s_piece_expires (self, pending, i);
    }
    s_finish_if_complete (self, pending);
}

void router_tick (router_t *self, int64_t now_ms)
{
    wheel_timer_t *timer;
    while ((timer = timer_wheel_next (&self->wheel, now_ms)) != NULL)
        s_expire (self, (pending_t *)timer);
}

/* ---- what can be seen ----------------------------------------------------------------------- */

bool router_next_effect (router_t *self, router_effect_t *out)
{
    return effect_queue_next (&self->effects, out);
}

router_stats_t router_stats (const router_t *self)
{
    router_stats_t stats = self->stats;
    stats.waiting_bytes = self->load.bytes;
    return stats;
}

/* Counts one request's pieces by state into `count`; false: it contradicts itself. */
static bool s_is_pending_valid (const pending_t *pending, uint64_t count[4])
{
    uint32_t own[4] = {0};
    uint32_t in_parts = 0;
    for (uint32_t i = 0; i < pending->piece_count; i++)
        own[pending->states[i]]++;
    for (const part_t *part = pending->parts; part; part = part->next)
        in_parts += part->count;
    for (int state = 0; state < 4; state++)
        count[state] += own[state];
    return pending->undone == pending->piece_count - own[PIECE_DONE] && pending->undone > 0 &&
           pending->held == own[PIECE_HELD] && pending->waits == own[PIECE_WAITS] &&
           in_parts == own[PIECE_SENT] && pending->timer.armed && pending->body && !pending->reply;
}

bool router_is_valid (const router_t *self)
{
    size_t requests = 0;
    uint64_t bytes = 0;
    uint64_t held_bytes = 0;
    uint64_t queued = 0;
    uint64_t pieces[4] = {0};
    for (const pending_t *p = self->live.next; p != &self->live; p = p->next) {
        if (!s_is_pending_valid (p, pieces))
            return false;
        requests++;
        bytes += p->bytes;
        held_bytes += p->held ? p->bytes : 0;
    }
    for (uint32_t shard = 0; shard < self->options.map->shards; shard++)
        queued += self->load.queued[shard];
    return queued == pieces[PIECE_HELD] + pieces[PIECE_SENT] && bytes == self->load.bytes &&
           held_bytes == self->load.held_bytes && requests == self->stats.waiting_requests &&
           requests == self->wheel.count;
}
