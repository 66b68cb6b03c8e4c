#include "broker/router.h"

#include "broker/router_parts.h"
#include "schema/limits.h"
#include "schema/request.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SHARE_BYTES = 16 * 1024, /* replies from here on share the node's frame instead of a copy */
    BUSY_RETRY_MS = 50
};

typedef struct {
    uint32_t node; /* TO_NODE */
    uint64_t tag;
    blob_t *body;
    pending_t *pending; /* TO_CLIENT: finished, owned */
} effect_t;

struct router {
    router_options_t options;
    timer_wheel_t wheel;
    part_table_t *parts;
    pending_t live;      /* head of the list of requests */
    pending_t *consumed; /* the one whose envelope the last effect lent out */
    uint32_t *queued;    /* [shards] pieces held or in flight, N4 */
    bool *open;          /* [nodes] */
    uint32_t *counts;    /* [nodes] scratch of s_dispatch, zero between calls */
    part_t **building;   /* [nodes] scratch of s_dispatch, NULL between calls */
    command_t command;   /* scratch */
    scatter_t scatter;   /* scratch */
    writer_t scratch;    /* scratch: one local result */
    effect_t *effects;   /* a queue: effects[effect_at..effect_count) */
    size_t effect_at, effect_count, effect_capacity;
    router_stats_t stats;
};

router_t *router_new (const router_options_t *options, int64_t now_ms)
{
    router_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    timer_wheel_init (&self->wheel, now_ms);
    self->parts = part_table_new ();
    self->live.next = self->live.previous = &self->live;
    const shard_map_t *map = options->map;
    self->queued = calloc (map->shards, sizeof *self->queued);
    self->open = calloc (map->nodes, sizeof *self->open);
    self->counts = calloc (map->nodes, sizeof *self->counts);
    self->building = calloc (map->nodes, sizeof *self->building);
    KV_ASSERT (self->queued && self->open && self->counts && self->building);
    self->command = command_make ();
    self->scratch = writer_make (SIZE_MAX);
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
    for (size_t i = self->effect_at; i < self->effect_count; i++) {
        blob_unref (&self->effects[i].body);
        pending_destroy (&self->effects[i].pending);
    }
    pending_destroy (&self->consumed);
    part_table_destroy (&self->parts);
    command_free (&self->command);
    scatter_free (&self->scatter);
    writer_free (&self->scratch);
    free (self->effects);
    free (self->queued);
    free (self->open);
    free (self->counts);
    free (self->building);
    free (self);
}

static void s_push_effect (router_t *self, effect_t effect)
{
    if (self->effect_count == self->effect_capacity) {
        self->effect_capacity = self->effect_capacity ? 2 * self->effect_capacity : 64;
        self->effects = realloc (self->effects, self->effect_capacity * sizeof *self->effects);
        KV_ASSERT (self->effects != NULL);
    }
    self->effects[self->effect_count++] = effect;
}

bool router_next_effect (router_t *self, router_effect_t *out)
{
    pending_destroy (&self->consumed);
    if (self->effect_at == self->effect_count) {
        self->effect_at = self->effect_count = 0;
        return false;
    }
    effect_t *effect = &self->effects[self->effect_at++];
    if (!effect->pending) {
        *out = (router_effect_t){
            .kind = ROUTER_TO_NODE, .node = effect->node, .tag = effect->tag, .body = effect->body};
        return true;
    }
    self->consumed = effect->pending;
    *out = (router_effect_t){.kind = ROUTER_TO_CLIENT,
                             .envelope = effect->pending->envelope,
                             .body = effect->pending->reply};
    effect->pending->reply = NULL;
    return true;
}

/* The request leaves the router: its reply becomes an effect. N1: `live` and the list of effects
 * are the only places a request can be, and this is the only way from one to the other. */
static void s_finish (router_t *self, pending_t *pending, blob_t *reply)
{
    KV_ASSERT (!pending->parts && !pending->reply);
    timer_wheel_clear (&self->wheel, &pending->timer);
    pending->previous->next = pending->next;
    pending->next->previous = pending->previous;
    self->stats.waiting_requests--;
    self->stats.waiting_bytes -= blob_bytes (pending->body).size;
    blob_unref (&pending->body);
    gather_destroy (&pending->gather);
    pending->reply = reply;
    s_push_effect (self, (effect_t){.pending = pending});
}

static void s_finish_if_complete (router_t *self, pending_t *pending)
{
    if (pending->undone > 0)
        return;
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    gather_write (pending->gather, &reply);
    s_finish (self, pending, blob_from_writer (&reply));
}

/* Answers a request that never became a pending one. */
static void s_refuse (router_t *self, kv_slice_t envelope, uint64_t id, kv_status_t code,
                      const char *text)
{
    scatter_t none = {0};
    writer_t reply = writer_make (SIZE_MAX);
    reply_refuse (&reply, id, code, text);
    pending_t *pending = pending_new (envelope, NULL, &none);
    pending->reply = blob_from_writer (&reply);
    s_push_effect (self, (effect_t){.pending = pending});
}

static void s_piece_done (router_t *self, pending_t *pending, uint32_t index)
{
    KV_ASSERT (pending->states[index] != PIECE_DONE);
    if (pending->states[index] != PIECE_WAITS) {
        uint32_t shard = pending->pieces[index].shard;
        KV_ASSERT (self->queued[shard] > 0); // N4
        self->queued[shard]--;
    }
    pending->states[index] = PIECE_DONE;
    pending->undone--;
}

static void s_piece_fails (router_t *self, pending_t *pending, uint32_t index, kv_status_t code,
                           const char *text)
{
    pending_need_gather (pending);
    gather_piece_failed (pending->gather, &pending->pieces[index], code, text, 0);
    s_piece_done (self, pending, index);
}

/* N3: what to tell of a piece that was sent and not answered. */
static void s_piece_unanswered (router_t *self, pending_t *pending, uint32_t index, uint32_t node)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    const char *name = self->options.node_name (self->options.context, node);
    if (pending->pieces[index].spec->flags == COMMAND_READ) {
        snprintf (text, sizeof text, "UNAVAILABLE %s did not answer in time; nothing was changed",
                  name);
        s_piece_fails (self, pending, index, KV_UNAVAILABLE, text);
        return;
    }
    snprintf (text, sizeof text, "UNKNOWN %s did not answer; the command may have been executed",
              name);
    self->stats.unknown_outcomes++;
    s_piece_fails (self, pending, index, KV_OUTCOME_UNKNOWN, text);
}

static uint32_t s_owner (const router_t *self, const piece_t *piece)
{
    return self->options.map->owners[piece->shard];
}

/* Sends the client's own message on, if all of it is for one open node. */
static bool s_send_whole (router_t *self, pending_t *pending)
{
    if (pending->gather || pending->piece_count != pending->commands)
        return false;
    uint32_t node = s_owner (self, &pending->pieces[0]);
    if (!self->open[node])
        return false;
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        if (pending->states[i] != PIECE_HELD || s_owner (self, &pending->pieces[i]) != node)
            return false;
    }
    part_t *part = part_table_add (self->parts, pending, node, pending->piece_count);
    part->whole = true;
    part->count = pending->piece_count;
    for (uint32_t i = 0; i < part->count; i++)
        part->pieces[i] = i;
    memset (pending->states, PIECE_SENT, pending->piece_count);
    self->stats.forwarded_whole++;
    s_push_effect (self,
                   (effect_t){.node = node, .tag = part->tag, .body = blob_ref (pending->body)});
    return true;
}

/* Writes the part's own request: its pieces in order, and the client's options. */
static blob_t *s_encode_part (router_t *self, const part_t *part)
{
    const pending_t *pending = part->pending;
    writer_t body = writer_make (SIZE_MAX);
    request_begin (&body, part->tag, part->count, pending->options.size > 0);
    uint32_t read = UINT32_MAX; /* the command that self->command holds */
    for (uint32_t i = 0; i < part->count; i++) {
        const piece_t *piece = &pending->pieces[part->pieces[i]];
        if (piece->key_count > 0 && piece->command != read) {
            reader_t at = reader_make (piece->raw);
            const char *why;
            kv_status_t status = command_read (&self->command, &at, &why);
            KV_ASSERT (status == KV_OK); /* it was read when the request came in */
            read = piece->command;
        }
        scatter_encode (pending->keys, piece, &self->command, &body);
    }
    writer_raw (&body, pending->options);
    return blob_from_writer (&body);
}

/* Sends every piece that is held and whose node is open; one part per node. */
static void s_dispatch (router_t *self, pending_t *pending)
{
    if (s_send_whole (self, pending))
        return;
    uint32_t total = 0;
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        uint32_t node = s_owner (self, &pending->pieces[i]);
        if (pending->states[i] == PIECE_HELD && self->open[node]) {
            self->counts[node]++;
            total++;
        }
    }
    if (total == 0)
        return;
    pending_need_gather (pending);
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        uint32_t node = s_owner (self, &pending->pieces[i]);
        if (pending->states[i] != PIECE_HELD || !self->open[node])
            continue;
        part_t *part = self->building[node];
        if (!part) {
            part = part_table_add (self->parts, pending, node, self->counts[node]);
            self->building[node] = part;
        }
        part->pieces[part->count++] = i;
        pending->states[i] = PIECE_SENT;
    }
    for (uint32_t node = 0; node < self->options.map->nodes; node++) {
        part_t *part = self->building[node];
        self->building[node] = NULL;
        self->counts[node] = 0;
        if (part)
            s_push_effect (
                self,
                (effect_t){.node = node, .tag = part->tag, .body = s_encode_part (self, part)});
    }
}

/* The state of one request while it is taken apart. */
typedef struct {
    uint64_t id;
    uint32_t commands;
    gather_t *gather;      /* made with the first result that is known on the spot */
    uint32_t waits_for[8]; /* SHUTDOWN: pieces (indices) that wait for a node to leave */
    uint32_t wait_count;
} intake_t;

static void s_settle (intake_t *intake, uint32_t index, const writer_t *result)
{
    if (!intake->gather)
        intake->gather = gather_new (intake->id, intake->commands);
    gather_settle (intake->gather, index, kv_slice (result->data, result->size));
}

static void s_settle_error (router_t *self, intake_t *intake, uint32_t index, kv_status_t code,
                            const char *text)
{
    writer_reset (&self->scratch);
    if (code == KV_BUSY)
        result_retry (&self->scratch, code, text, BUSY_RETRY_MS);
    else
        result_error (&self->scratch, code, text);
    s_settle (intake, index, &self->scratch);
}

static void s_take_local (router_t *self, intake_t *intake, uint32_t index)
{
    uint32_t node = 0;
    writer_reset (&self->scratch);
    bool room = intake->wait_count < sizeof intake->waits_for / sizeof intake->waits_for[0];
    router_local_t local =
        self->options.local (self->options.context, &self->command, &self->scratch, &node);
    if (local == ROUTER_LOCAL_DONE) {
        s_settle (intake, index, &self->scratch);
        return;
    }
    if (!room) {
        s_settle_error (self, intake, index, KV_TOO_LARGE, "ERR stop fewer nodes in one batch");
        return;
    }
    intake->waits_for[intake->wait_count++] = self->scatter.count;
    scatter_wait (&self->scatter, index, &self->command, node);
}

/* N4, N5: a command one of whose shards is full is refused before any of it is queued. */
static bool s_has_room (const router_t *self, uint32_t first_piece)
{
    for (uint32_t i = first_piece; i < self->scatter.count; i++) {
        if (self->queued[self->scatter.pieces[i].shard] >= self->options.shard_queue_commands)
            return false;
    }
    return true;
}

static void s_take_command (router_t *self, intake_t *intake, uint32_t index)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    kv_status_t status = command_check (&self->command, text, sizeof text);
    if (status) {
        s_settle_error (self, intake, index, status, text);
        return;
    }
    command_keys_t keys = self->command.spec->keys;
    if (keys == KEYS_NONE || keys == KEYS_COORDINATOR) {
        s_take_local (self, intake, index);
        return;
    }
    uint32_t first_piece = self->scatter.count;
    status = scatter_command (&self->scatter, index, &self->command, self->options.map,
                              self->options.max_value_bytes, text, sizeof text);
    if (status) {
        s_settle_error (self, intake, index, status, text);
        return;
    }
    if (!s_has_room (self, first_piece)) {
        self->scatter.count = first_piece;
        self->stats.busy_commands++;
        s_settle_error (self, intake, index, KV_BUSY,
                        "BUSY the queue of the key's shard is full; retry later");
        return;
    }
    for (uint32_t i = first_piece; i < self->scatter.count; i++)
        self->queued[self->scatter.pieces[i].shard]++;
}

/* Undoes what s_take_command counted, for a request that is refused after all. */
static void s_forget_intake (router_t *self, intake_t *intake)
{
    uint32_t wait = 0;
    for (uint32_t i = 0; i < self->scatter.count; i++) {
        if (wait < intake->wait_count && intake->waits_for[wait] == i)
            wait++;
        else
            self->queued[self->scatter.pieces[i].shard]--;
    }
    gather_destroy (&intake->gather);
}

static void s_admit (router_t *self, kv_slice_t envelope, blob_t *body, const request_t *request,
                     intake_t *intake, int64_t now_ms)
{
    pending_t *pending = pending_new (envelope, body, &self->scatter);
    pending->id = request->id;
    pending->commands = request->command_count;
    pending->options = request->options;
    pending->gather = intake->gather;
    if (pending->gather)
        pending_expect (pending);
    for (uint32_t i = 0; i < intake->wait_count; i++)
        pending->states[intake->waits_for[i]] = PIECE_WAITS;
    pending->previous = self->live.previous;
    pending->next = &self->live;
    self->live.previous->next = pending;
    self->live.previous = pending;
    self->stats.waiting_requests++;
    self->stats.waiting_bytes += blob_bytes (body).size;
    if (pending->undone == 0) {
        s_finish_if_complete (self, pending);
        return;
    }
    uint32_t deadline_ms = request->deadline_ms ? request->deadline_ms : self->options.deadline_ms;
    timer_wheel_set (&self->wheel, &pending->timer, now_ms + deadline_ms);
    s_dispatch (self, pending);
}

void router_request (router_t *self, kv_slice_t envelope, blob_t *body, int64_t now_ms)
{
    request_t request;
    const char *why;
    char text[KV_ERROR_TEXT_BYTES_MAX];
    size_t bytes = blob_bytes (body).size;
    kv_status_t status = request_decode (blob_bytes (body), &request, &why);
    snprintf (text, sizeof text, "ERR %s", status ? why : "");
    bool crowded = self->stats.waiting_bytes > 0 &&
                   self->stats.waiting_bytes + bytes > self->options.queue_bytes;
    if (status == KV_OK && crowded) {
        status = KV_BUSY; // N4
        snprintf (text, sizeof text, "BUSY the broker's queues are full; retry later");
        self->stats.busy_commands += request.command_count;
    }
    self->stats.requests++;
    self->stats.commands += request.command_count;
    scatter_reset (&self->scatter);
    intake_t intake = {.id = request.id, .commands = request.command_count};
    for (uint32_t i = 0; status == KV_OK && i < request.command_count; i++) {
        status = command_read (&self->command, &request.commands, &why);
        if (status == KV_OK)
            s_take_command (self, &intake, i);
        else
            snprintf (text, sizeof text, "ERR command %u of the batch: %s", i + 1, why);
    }
    if (status == KV_OK) {
        s_admit (self, envelope, body, &request, &intake, now_ms);
        return;
    }
    s_forget_intake (self, &intake);
    blob_unref (&body);
    if (request.has_id) {
        self->stats.refused_requests++;
        s_refuse (self, envelope, request.id, status, text);
    } else {
        self->stats.dropped_requests++;
    }
}

void router_node_open (router_t *self, uint32_t node)
{
    KV_ASSERT (node < self->options.map->nodes);
    if (self->open[node])
        return;
    self->open[node] = true;
    for (pending_t *pending = self->live.next; pending != &self->live; pending = pending->next)
        s_dispatch (self, pending); // N2: oldest first
}

void router_node_hold (router_t *self, uint32_t node)
{
    self->open[node] = false;
}

/* Takes back what one request has in flight at a node: reads are held again, writes are unknown. */
static void s_take_back (router_t *self, pending_t *pending, uint32_t node)
{
    part_t *part = pending->parts;
    while (part) {
        part_t *next = part->next;
        if (part->node == node) {
            for (uint32_t i = 0; i < part->count; i++) {
                uint32_t index = part->pieces[i];
                if (pending->pieces[index].spec->flags == COMMAND_READ) {
                    pending->states[index] = PIECE_HELD;
                    self->stats.resent_pieces++;
                } else {
                    s_piece_unanswered (self, pending, index, node);
                }
            }
            part_table_remove (self->parts, &part);
        }
        part = next;
    }
}

void router_node_lost (router_t *self, uint32_t node)
{
    self->open[node] = false;
    for (pending_t *pending = self->live.next; pending != &self->live;) {
        pending_t *next = pending->next;
        s_take_back (self, pending, node);
        s_finish_if_complete (self, pending);
        pending = next;
    }
}

void router_node_left (router_t *self, uint32_t node)
{
    static const uint8_t ok[] = {0x92, 0x00, 0xa2, 'O', 'K'};
    result_t result = {.status = KV_OK, .raw = kv_slice (ok, sizeof ok)};
    router_node_lost (self, node);
    for (pending_t *pending = self->live.next; pending != &self->live;) {
        pending_t *next = pending->next;
        for (uint32_t i = 0; i < pending->piece_count; i++) {
            if (pending->states[i] != PIECE_WAITS || pending->pieces[i].shard != node)
                continue;
            pending_need_gather (pending);
            gather_piece (pending->gather, pending->keys, &pending->pieces[i], &result);
            s_piece_done (self, pending, i);
        }
        s_finish_if_complete (self, pending);
        pending = next;
    }
}

static void s_release_frame (void *frame)
{
    blob_t *blob = frame;
    blob_unref (&blob);
}

void router_unsent (router_t *self, uint64_t tag)
{
    part_t *part = part_table_find (self->parts, tag);
    if (!part)
        return;
    for (uint32_t i = 0; i < part->count; i++)
        part->pending->states[part->pieces[i]] = PIECE_HELD;
    part_table_remove (self->parts, &part);
}

/* A reply that goes on as it came: large ones share the frame, small ones do not pin it. */
static blob_t *s_pass_on (blob_t *frame, kv_slice_t part)
{
    bool share = part.size >= SHARE_BYTES && part.size >= blob_bytes (frame).size / 2;
    return share ? blob_wrap (part, blob_ref (frame), s_release_frame) : blob_copy (part);
}

/* Hands each result of a part's reply to its piece. */
static void s_take_results (router_t *self, part_t *part, blob_t *frame, kv_slice_t bytes)
{
    pending_t *pending = part->pending;
    reply_t reply;
    result_t result = {.status = KV_INTERNAL};
    kv_status_t status = reply_decode (bytes, &reply);
    bool refused = status == KV_OK && reply.count == 1 && part->count > 1;
    if (refused)
        status = result_next (&reply, &result);
    else if (status == KV_OK && reply.count != part->count)
        status = KV_INTERNAL;
    gather_keep (pending->gather, frame);
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t index = part->pieces[i];
        if (status == KV_OK && !refused)
            status = result_next (&reply, &result);
        if (status == KV_OK) {
            gather_piece (pending->gather, pending->keys, &pending->pieces[index], &result);
            s_piece_done (self, pending, index);
        } else {
            s_piece_fails (self, pending, index, KV_INTERNAL, "ERR a node answered out of form");
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
    if (part->whole && !pending->gather) {
        for (uint32_t i = 0; i < part->count; i++)
            s_piece_done (self, pending, i);
        part_table_remove (self->parts, &part);
        s_finish (self, pending, s_pass_on (frame, bytes));
        return;
    }
    s_take_results (self, part, frame, bytes);
    part_table_remove (self->parts, &part);
    s_finish_if_complete (self, pending);
}

static void s_expire (router_t *self, pending_t *pending)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    self->stats.expired_requests++;
    while (pending->parts) {
        part_t *part = pending->parts;
        for (uint32_t i = 0; i < part->count; i++)
            s_piece_unanswered (self, pending, part->pieces[i], part->node);
        part_table_remove (self->parts, &part);
    }
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        if (pending->states[i] == PIECE_DONE)
            continue;
        bool waits = pending->states[i] == PIECE_WAITS;
        uint32_t node = waits ? pending->pieces[i].shard : s_owner (self, &pending->pieces[i]);
        const char *name = self->options.node_name (self->options.context, node);
        const char *format = waits ? "TIMEOUT %s has been told to stop and has not left yet"
                                   : "UNAVAILABLE %s, which holds the data, is not there; the "
                                     "command was not executed: bring the node back or retry";
        snprintf (text, sizeof text, format, name);
        s_piece_fails (self, pending, i, waits ? KV_TIMEOUT : KV_UNAVAILABLE, text);
    }
    s_finish_if_complete (self, pending);
}

void router_tick (router_t *self, int64_t now_ms)
{
    wheel_timer_t *timer;
    while ((timer = timer_wheel_next (&self->wheel, now_ms)) != NULL)
        s_expire (self, (pending_t *)timer);
}

router_stats_t router_stats (const router_t *self)
{
    return self->stats;
}

bool router_is_valid (const router_t *self)
{
    size_t requests = 0;
    uint64_t bytes = 0;
    uint64_t queued = 0;
    for (const pending_t *p = self->live.next; p != &self->live; p = p->next) {
        uint32_t undone = 0;
        for (uint32_t i = 0; i < p->piece_count; i++) {
            undone += p->states[i] != PIECE_DONE;
            queued += p->states[i] == PIECE_HELD || p->states[i] == PIECE_SENT;
        }
        if (undone != p->undone || undone == 0 || !p->timer.armed)
            return false;
        requests++;
        bytes += blob_bytes (p->body).size;
    }
    for (uint32_t shard = 0; shard < self->options.map->shards; shard++)
        queued -= self->queued[shard];
    return queued == 0 && requests == self->stats.waiting_requests &&
           bytes == self->stats.waiting_bytes && requests == self->wheel.count;
}
