/* The executor's dealings with the log: what a command may write there at most, whether there is space for
 * it (R20), and what its reply waits for (R3). */
#include "node/executor_parts.h"

enum {
    EFFECT_BYTES = EFFECT_HEADER_BYTES + EFFECT_EXTRA_BYTES,
    EFFECTS_PER_KEY = 3, /* SETRANGE of a key that has expired: a delete, a put, a write */
    NUMBER_BYTES = 32,   /* an argument that travels as a number is no longer as text (C2) */
    PREPARE_MS = 20      /* about how long it takes until there is space again */
};

/* ---- bounds ---------------------------------------------------------------------------------- */

static bool s_copies (const command_spec_t *spec)
{
    return spec->id == COMMAND_RENAME || spec->id == COMMAND_RENAMENX || spec->id == COMMAND_COPY;
}

static bool s_clears_all (const command_spec_t *spec)
{
    return spec->keys == KEYS_EVERY && spec->flags == COMMAND_WRITE;
}

static uint64_t s_copied_bytes (const executor_t *self, const command_t *command)
{
    uint32_t shard;
    key_ref_t ref = executor_ref (self, command->argv[1], &shard);
    if (!ref.shard)
        return 0;
    const entry_t *entry = store_find (shard_store (ref.shard), command->argv[1], ref.hash);
    return entry ? entry_value (entry).size : 0;
}

/* What is not in the arguments: a value that is copied or computed, the records of all shards. */
static uint64_t s_own_bytes (const executor_t *self, const command_t *command)
{
    const command_spec_t *spec = command->spec;
    return (s_copies (spec) ? s_copied_bytes (self, command) : 0) +
           (spec->id == COMMAND_INCRBYFLOAT ? CALL_MADE_BYTES_MAX : NUMBER_BYTES) +
           (s_clears_all (spec) ? (uint64_t)self->sampler.count * SHARD_OPEN_BYTES : 0);
}

/* The most bytes of records that a command makes: each key may be in a record of its own, and stands in
 * each of its effects; every other argument comes once. */
static uint64_t s_bound (const executor_t *self, const command_t *command)
{
    uint64_t bytes = 0;
    uint64_t key_bytes = 0;
    if (command->argc < command->spec->least)
        return 0; /* it will be refused */
    uint64_t keys = command_key_count (command);
    for (uint32_t i = 0; i < keys; i++)
        key_bytes += command->argv[command_key_index (command, i)].size;
    if (command->spec->flags != COMMAND_WRITE)
        return key_bytes + keys * (RECORD_HEADER_BYTES + EFFECT_BYTES); /* all have expired */
    for (uint32_t i = 1; i < command->argc; i++)
        bytes += command->argv[i].size;
    return bytes + (EFFECTS_PER_KEY - 1) * key_bytes +
           keys * (RECORD_HEADER_BYTES + EFFECTS_PER_KEY * EFFECT_BYTES) +
           s_own_bytes (self, command);
}

/* No less than that, of a command that copies nothing: from its size alone. */
static uint64_t s_rough_bound (const executor_t *self, const command_t *command)
{
    enum { PER_ARGUMENT = RECORD_HEADER_BYTES + EFFECTS_PER_KEY * (EFFECT_BYTES + NUMBER_BYTES) };
    return EFFECTS_PER_KEY * (uint64_t)command->raw.size + PER_ARGUMENT * (uint64_t)command->argc +
           CALL_MADE_BYTES_MAX + (uint64_t)self->sampler.count * SHARD_OPEN_BYTES;
}

uint64_t executor_bound (executor_t *self, kv_slice_t body)
{
    request_t request;
    const char *why;
    uint64_t bound = self->host.kept_room; /* which nobody else may use */
    if (request_decode (body, &request, &why))
        return 0;
    command_t *command = &self->window[0].command;
    reader_t at = request.commands;
    for (uint32_t i = 0; i < request.command_count; i++) {
        kv_status_t status = command_read (command, &at, &why);
        KV_ASSERT (status == KV_OK); /* Q1: request_decode has checked its form */
        if (!command->spec)
            continue;
        bound += s_bound (self, command);
        if (s_copies (command->spec))
            bound += body.size; /* what it copies may come with the same request */
    }
    return bound;
}

/* ---- space ----------------------------------------------------------------------------------- */

bool executor_may_log (executor_t *self, const command_t *command)
{
    self->host.no_log = false;
    self->host.blocked = false;
    if (!self->host.sink)
        return true;
    if (!s_copies (command->spec) &&
        shard_host_has_room (&self->host, s_rough_bound (self, command)))
        return true;
    uint64_t bound = s_bound (self, command);
    if (bound == 0 || shard_host_has_room (&self->host, bound))
        return true;
    self->bound = bound;
    self->host.no_log = command->spec->flags != COMMAND_WRITE;
    return self->host.no_log;
}

void executor_no_space (const executor_t *self, writer_t *out)
{
    if (self->disk_full)
        result_error (out, KV_DISK_FULL,
                      "ERR no space left on the disk for the log: writes are refused until some is "
                      "freed, reads go on");
    else
        result_retry (out, KV_BUSY, "ERR space for the log is being prepared; retry", PREPARE_MS);
}

void executor_set_disk_full (executor_t *self, bool full)
{
    self->disk_full = full;
}

uint64_t executor_take_log_wish (executor_t *self)
{
    uint64_t wish = self->log_wish;
    self->log_wish = 0;
    return wish;
}

/* ---- what is durable ------------------------------------------------------------------------- */

void executor_set_durable (executor_t *self, uint64_t lsn)
{
    self->host.durable_lsn = lsn;
}

uint64_t executor_gate (const executor_t *self)
{
    return self->host.observed > self->host.durable_lsn ? self->host.observed : 0;
}

bool executor_wants_sync (const executor_t *self)
{
    return self->wants_sync;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

void executor_set_persistent (executor_t *self, int64_t last_save_s)
{
    self->persistent = true;
    self->last_save_s = last_save_s;
}

snapshot_wish_t executor_take_snapshot_wish (executor_t *self)
{
    snapshot_wish_t wish = self->snapshot_wish;
    self->snapshot_wish = SNAPSHOT_WISH_NONE;
    return wish;
}
