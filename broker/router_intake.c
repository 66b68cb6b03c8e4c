#include "broker/router_intake.h"

#include "schema/limits.h"
#include "schema/request.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    /* What a request costs in memory beside its body, roughly: see N4. */
    REQUEST_BYTES = sizeof (pending_t) + sizeof (part_t) + 128,
    COMMAND_BYTES = 128, /* its place in a gather */
    PIECE_BYTES = sizeof (piece_t) + 1 + sizeof (uint32_t) + ROUTER_KEPT_RESULT_BYTES,
    KEY_BYTES = sizeof (uint32_t) + sizeof (kv_slice_t), /* of a command that was split */

    /* Pieces of one request: four times what the largest batch of one-key commands makes. More can
     * only come of commands for every node, or for many shards, by the thousand. */
    PIECES_MAX = 4 * KV_BATCH_COMMANDS_MAX,

    /* How much longer than their commands the results may be that a request gets on the spot. */
    LOCAL_BYTES_MAX = 4 * 1024 * 1024,

    /* Scratch memory beyond this is not kept for the next request. */
    SCRATCH_PIECES = 64 * 1024,
    SCRATCH_KEYS = 256 * 1024,
    SCRATCH_BYTES = 256 * 1024
};

struct router_intake {
    const router_options_t *options;
    router_load_t *load;
    router_stats_t *stats;
    command_t command; /* the one that is being taken */
    scatter_t scatter; /* the request's pieces so far */
    writer_t scratch;  /* one result */
    request_t request;
    gather_t *gather;     /* made with the first result that is known on the spot */
    uint64_t bytes;       /* what the request counts for so far */
    uint64_t bytes_most;  /* what it may count for, if its pieces are sent at once */
    uint64_t held_most;   /* and if a piece of it is held */
    uint64_t local_bytes; /* against LOCAL_BYTES_MAX */
    bool full;            /* I3 */
};

router_intake_t *router_intake_new (const router_options_t *options, router_load_t *load,
                                    router_stats_t *stats)
{
    router_intake_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = options;
    self->load = load;
    self->stats = stats;
    self->command = command_make ();
    self->scratch = writer_make (SIZE_MAX);
    return self;
}

void router_intake_destroy (router_intake_t **self_p)
{
    router_intake_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    command_free (&self->command);
    scatter_free (&self->scatter);
    writer_free (&self->scratch);
    free (self);
}

/* ---- results that are known on the spot ----------------------------------------------------- */

static void s_settle (router_intake_t *self, uint32_t index)
{
    if (!self->gather)
        self->gather = gather_new (self->request.id, self->request.command_count);
    gather_settle (self->gather, index, kv_slice (self->scratch.data, self->scratch.size));
}

static void s_settle_error (router_intake_t *self, uint32_t index, kv_status_t code,
                            const char *text)
{
    writer_reset (&self->scratch);
    if (code == KV_BUSY) {
        self->stats->busy_commands++;
        result_retry (&self->scratch, code, text, ROUTER_RETRY_MS);
    } else {
        result_error (&self->scratch, code, text);
    }
    s_settle (self, index);
}

/* The bound comes first: a SHUTDOWN that is refused has not stopped anything. */
static void s_take_local (router_intake_t *self, uint32_t index)
{
    uint32_t node = 0;
    if (self->local_bytes > LOCAL_BYTES_MAX) {
        s_settle_error (self, index, KV_TOO_LARGE,
                        "ERR the reply is over its limit; ask for less at once");
        return;
    }
    writer_reset (&self->scratch);
    router_local_t local =
        self->options->local (self->options->context, &self->command, &self->scratch, &node);
    if (local == ROUTER_LOCAL_WAITS) {
        scatter_wait (&self->scatter, index, &self->command, node);
        self->bytes += PIECE_BYTES;
        return;
    }
    if (self->scratch.size > self->command.raw.size)
        self->local_bytes += self->scratch.size - self->command.raw.size;
    s_settle (self, index);
}

/* ---- commands for shards -------------------------------------------------------------------- */

/* N4, N5, N6: whether there is room for all the pieces from `first` on; else `why`. */
static kv_status_t s_check_room (router_intake_t *self, uint32_t first, uint64_t bytes,
                                 const char **why)
{
    const shard_map_t *map = self->options->map;
    bool held = false;
    for (uint32_t i = first; i < self->scatter.count; i++) {
        uint32_t shard = self->scatter.pieces[i].shard;
        *why = "BUSY the queue of the key's shard is full; retry later";
        if (self->load->queued[shard] >= self->options->shard_queue_commands)
            return KV_BUSY;
        held = held || !self->load->open[map->owners[shard]];
    }
    uint64_t most = self->bytes_most;
    *why = "BUSY the broker's queues are full; retry later";
    if (held && self->held_most < most) {
        most = self->held_most;
        *why = "BUSY too much waits for the node that holds the data and is not there; retry later";
    }
    if (self->bytes <= most && bytes <= most - self->bytes)
        return KV_OK;
    self->full = true; // I3
    if (bytes <= self->options->queue_bytes)
        return KV_BUSY;
    *why = "ERR the command needs more memory than the broker's queues may hold; split it";
    return KV_TOO_LARGE;
}

static void s_take_sharded (router_intake_t *self, uint32_t index)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    const char *why = text;
    uint32_t first = self->scatter.count;
    uint32_t first_key = self->scatter.key_count;
    if (self->full) {
        s_settle_error (self, index, KV_BUSY, "BUSY the broker's queues are full; retry later");
        return;
    }
    if (first >= PIECES_MAX) {
        s_settle_error (self, index, KV_TOO_LARGE,
                        "ERR the batch makes too much work for too many nodes; send several");
        return;
    }
    kv_status_t status = scatter_command (&self->scatter, index, &self->command, self->options->map,
                                          self->options->max_value_bytes, text, sizeof text);
    uint64_t bytes = (uint64_t)(self->scatter.count - first) * PIECE_BYTES +
                     (uint64_t)(self->scatter.key_count - first_key) * KEY_BYTES;
    if (status == KV_OK)
        status = s_check_room (self, first, bytes, &why);
    if (status) {
        self->scatter.count = first; // I2
        self->scatter.key_count = first_key;
        s_settle_error (self, index, status, why);
        return;
    }
    self->bytes += bytes;
    for (uint32_t i = first; i < self->scatter.count; i++)
        self->load->queued[self->scatter.pieces[i].shard]++;
}

static void s_take_command (router_intake_t *self, uint32_t index)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    kv_status_t status = command_check (&self->command, text, sizeof text);
    if (status) {
        s_settle_error (self, index, status, text);
        return;
    }
    self->stats->by_command[self->command.spec->id]++;
    if (command_is_local (&self->command))
        s_take_local (self, index);
    else
        s_take_sharded (self, index);
}

/* ---- whole requests ------------------------------------------------------------------------- */

static uint64_t s_sum (uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* N4, N6: each bound lets one request through whatever its body's size, if nothing else is there. */
static void s_begin (router_intake_t *self, size_t envelope_bytes, size_t body_bytes)
{
    const router_load_t *load = self->load;
    uint64_t queue = self->options->queue_bytes;
    scatter_reset (&self->scatter);
    self->gather = NULL;
    self->local_bytes = 0;
    self->full = false;
    self->bytes = REQUEST_BYTES + envelope_bytes + body_bytes +
                  (uint64_t)self->request.command_count * COMMAND_BYTES;
    uint64_t alone = s_sum (queue, self->bytes);
    self->bytes_most = load->bytes == 0 ? alone : queue > load->bytes ? queue - load->bytes : 0;
    uint64_t half = queue / 2;
    self->held_most = load->held_bytes == 0     ? alone
                      : half > load->held_bytes ? half - load->held_bytes
                                                : 0;
}

static void s_trim (router_intake_t *self)
{
    if (self->scatter.capacity > SCRATCH_PIECES || self->scatter.key_capacity > SCRATCH_KEYS)
        scatter_free (&self->scatter);
    if (self->scratch.capacity > SCRATCH_BYTES)
        writer_free (&self->scratch);
    if (self->command.capacity > SCRATCH_KEYS)
        command_free (&self->command);
}

/* I1: answers a request that is refused as a whole. */
static pending_t *s_refuse (router_intake_t *self, kv_slice_t envelope, kv_status_t code,
                            const char *why)
{
    if (!self->request.has_id) {
        self->stats->dropped_requests++;
        return NULL;
    }
    char text[KV_ERROR_TEXT_BYTES_MAX];
    snprintf (text, sizeof text, "ERR %s", why);
    scatter_t none = {0};
    writer_t reply = writer_make (SIZE_MAX);
    reply_refuse (&reply, self->request.id, code, text);
    pending_t *pending = pending_new (envelope, NULL, &none);
    pending_finish (pending, blob_from_writer (&reply));
    self->stats->refused_requests++;
    return pending;
}

pending_t *router_intake_take (router_intake_t *self, kv_slice_t envelope, blob_t *body,
                               uint32_t *deadline_ms)
{
    const char *why;
    request_t *request = &self->request;
    kv_status_t status = request_decode (blob_bytes (body), request, &why);
    self->stats->requests++;
    self->stats->commands += request->command_count;
    if (status == KV_OK && (why = request_unserved (request)) != NULL)
        status = KV_NOT_SUPPORTED;
    if (status) {
        blob_unref (&body);
        return s_refuse (self, envelope, status, why);
    }
    s_begin (self, envelope.size, blob_bytes (body).size);
    for (uint32_t i = 0; i < request->command_count; i++) {
        status = command_read (&self->command, &request->commands, &why);
        KV_ASSERT (status == KV_OK); /* Q1 of schema/request.h */
        s_take_command (self, i);
    }
    pending_t *pending = pending_new (envelope, body, &self->scatter);
    pending->id = request->id;
    pending->bytes = self->bytes;
    pending->commands = request->command_count;
    pending->options = request->options;
    pending->gather = self->gather;
    if (pending->gather)
        pending_expect (pending);
    if (pending->undone == 0)
        pending_finish (pending, pending_gather_reply (pending));
    *deadline_ms = request->deadline_ms ? request->deadline_ms : self->options->deadline_ms;
    s_trim (self);
    return pending;
}
