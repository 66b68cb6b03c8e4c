#include "broker/router_dispatch.h"

#include "schema/request.h"

#include <stdlib.h>

/* A part while it is put together. */
typedef struct {
    uint32_t count; /* pieces that will be in it */
    size_t bytes;   /* of its commands, those that are split not counted */
    part_t *part;
    writer_t body;
} target_t;

struct dispatch {
    dispatch_options_t options;
    target_t *targets; /* [nodes] zero between calls */
    uint32_t *touched; /* [nodes] which of the targets are in use */
    command_t command; /* scratch */
};

enum { OPTIONS_SLACK_BYTES = 32 }; /* the head of a part's request */

dispatch_t *dispatch_new (const dispatch_options_t *options)
{
    dispatch_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->targets = calloc (options->map->nodes, sizeof *self->targets);
    self->touched = calloc (options->map->nodes, sizeof *self->touched);
    KV_ASSERT (self->targets && self->touched);
    self->command = command_make ();
    return self;
}

void dispatch_destroy (dispatch_t **self_p)
{
    dispatch_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->targets);
    free (self->touched);
    command_free (&self->command);
    free (self);
}

/* The node that a piece goes to. One that WAITS goes to none: its `shard` is no shard. */
static uint32_t s_owner (const dispatch_t *self, const pending_t *pending, uint32_t index)
{
    KV_ASSERT (pending->states[index] != PIECE_WAITS);
    return self->options.map->owners[pending->pieces[index].shard];
}

/* Sends the client's own message on, if all of it is for one open node. */
static bool s_send_whole (dispatch_t *self, pending_t *pending)
{
    bool all_held = pending->held == pending->commands && pending->piece_count == pending->commands;
    if (pending->gather || !all_held)
        return false;
    uint32_t node = s_owner (self, pending, 0);
    if (!self->options.load->open[node])
        return false;
    for (uint32_t i = 1; i < pending->piece_count; i++) {
        if (s_owner (self, pending, i) != node)
            return false;
    }
    const part_t *part = part_table_add_whole (self->options.parts, pending, node);
    memset (pending->states, PIECE_SENT, pending->piece_count);
    load_set_held (self->options.load, pending, 0);
    self->options.stats->forwarded_whole++;
    effect_queue_to_node (self->options.effects, node, part->tag, blob_ref (pending->body));
    return true;
}

/* Counts what each node will get. Returns how many there are. */
static uint32_t s_choose_targets (dispatch_t *self, const pending_t *pending)
{
    uint32_t touched = 0;
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        if (pending->states[i] != PIECE_HELD)
            continue;
        uint32_t node = s_owner (self, pending, i);
        target_t *target = &self->targets[node];
        if (!self->options.load->open[node])
            continue;
        if (target->count++ == 0)
            self->touched[touched++] = node;
        if (pending->pieces[i].key_count == 0)
            target->bytes += pending->pieces[i].raw.size;
    }
    return touched;
}

static void s_begin_part (dispatch_t *self, pending_t *pending, uint32_t node)
{
    target_t *target = &self->targets[node];
    target->part = part_table_add (self->options.parts, pending, node, target->count);
    target->body = writer_make (SIZE_MAX);
    writer_claim (&target->body, target->bytes + pending->options.size + OPTIONS_SLACK_BYTES);
    writer_reset (&target->body); /* only the room was wanted */
    request_begin (&target->body, target->part->tag, target->count, pending->options.size > 0);
}

/* `read` is the index of the command that self->command holds: a command that was split is read
 * once for all its pieces, which stand side by side (P2 of scatter.h). */
static void s_encode_piece (dispatch_t *self, const pending_t *pending, uint32_t index,
                            uint32_t *read, writer_t *body)
{
    const piece_t *piece = &pending->pieces[index];
    if (piece->key_count > 0 && piece->command != *read) {
        reader_t at = reader_make (piece->raw);
        const char *why;
        kv_status_t status = command_read (&self->command, &at, &why);
        KV_ASSERT (status == KV_OK); /* it was read when the request came in */
        *read = piece->command;
    }
    scatter_encode (pending->keys, piece, &self->command, body);
}

static void s_end_part (dispatch_t *self, const pending_t *pending, uint32_t node)
{
    target_t *target = &self->targets[node];
    KV_ASSERT (target->part->count == target->count);
    writer_raw (&target->body, pending->options);
    effect_queue_to_node (self->options.effects, node, target->part->tag,
                          blob_from_writer (&target->body));
    *target = (target_t){0};
}

void dispatch_send (dispatch_t *self, pending_t *pending)
{
    if (pending->held == 0 || s_send_whole (self, pending))
        return;
    uint32_t touched = s_choose_targets (self, pending);
    if (touched == 0)
        return;
    pending_need_gather (pending);
    uint32_t held = pending->held;
    uint32_t read = UINT32_MAX;
    for (uint32_t i = 0; i < pending->piece_count; i++) {
        if (pending->states[i] != PIECE_HELD)
            continue;
        uint32_t node = s_owner (self, pending, i);
        target_t *target = &self->targets[node];
        if (target->count == 0)
            continue;
        if (!target->part)
            s_begin_part (self, pending, node);
        target->part->pieces[target->part->count++] = i;
        s_encode_piece (self, pending, i, &read, &target->body);
        pending->states[i] = PIECE_SENT;
        held--;
    }
    load_set_held (self->options.load, pending, held);
    for (uint32_t i = 0; i < touched; i++)
        s_end_part (self, pending, self->touched[i]);
}
