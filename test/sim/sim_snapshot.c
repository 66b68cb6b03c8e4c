#include "sim_snapshot.h"

#include "actors/snapshot_file.h"
#include "node/snapshot_walk.h"

#include <stdlib.h>

enum { STEP_ENTRIES_MOST = 6 };

static const char s_temporary[] = SIM_SNAPSHOT_NAME ".tmp";

struct sim_snapshot {
    sim_snapshot_options_t options;
    sim_random_t random;
    enum { IDLE, WALKING, SETTLING, SYNCING, RENAMING, NAMED } state;
    snapshot_walk_t *walk; /* owned */
    uint32_t *shards;      /* owned [options.shards]: those of the one under way */
    file_t *file;          /* of the one under way, until it is renamed */
    writer_t chunk;
    uint64_t size, chunks, entries, begun_lsn, end_lsn;
    uint64_t start_lsn, bytes; /* of the last good one */
    uint64_t done, failed;
};

sim_snapshot_t *sim_snapshot_new (const sim_snapshot_options_t *options)
{
    sim_snapshot_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->random = options->random;
    self->walk = snapshot_walk_new ();
    self->shards = calloc (options->shards, sizeof *self->shards);
    KV_ASSERT (self->shards != NULL);
    self->chunk = writer_make (SIZE_MAX);
    return self;
}

void sim_snapshot_destroy (sim_snapshot_t **self_p)
{
    sim_snapshot_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    file_close (&self->file);
    snapshot_walk_destroy (&self->walk);
    writer_free (&self->chunk);
    free (self->shards);
    free (self);
}

static bool s_fail (sim_snapshot_t *self)
{
    file_error_t unused;
    file_close (&self->file);
    kv_status_t status = files_remove (self->options.files, s_temporary, &unused);
    (void)status; /* it may have its name already; else it is emptied when the next one begins */
    writer_reset (&self->chunk);
    self->state = IDLE;
    self->failed++;
    return false;
}

/* The chunk, sealed; false: it has failed. */
static bool s_put (sim_snapshot_t *self, snapshot_kind_t kind, uint32_t shard)
{
    file_error_t error;
    size_t bytes = self->chunk.size;
    snapshot_chunk_seal (self->chunk.data, bytes, kind, (uint32_t)self->chunks++, shard);
    kv_status_t status =
        file_write (self->file, self->size, kv_slice (self->chunk.data, bytes), &error);
    self->size += bytes;
    writer_reset (&self->chunk);
    return status == KV_OK || s_fail (self);
}

static const store_t *s_store_of (void *context, uint32_t shard)
{
    const sim_snapshot_t *self = context;
    const shard_t *there = executor_shard (self->options.executor, shard);
    return there ? shard_store (there) : NULL;
}

static bool s_put_header (sim_snapshot_t *self, int64_t wall_ms)
{
    file_error_t error;
    uint8_t bytes[SNAPSHOT_HEADER_BYTES];
    snapshot_header_t header = {.start_lsn = self->begun_lsn,
                                .entries = executor_stats (self->options.executor).keys,
                                .shards = self->options.shards,
                                .made_ms = wall_ms};
    memcpy (header.uuid, self->options.uuid, sizeof header.uuid);
    snapshot_header_encode (&header, bytes);
    self->size = sizeof bytes;
    return files_open (self->options.files, s_temporary, FILE_CREATE, &self->file, &error) ==
               KV_OK &&
           file_write (self->file, 0, kv_slice (bytes, sizeof bytes), &error) == KV_OK;
}

void sim_snapshot_begin (sim_snapshot_t *self, uint64_t appended_lsn, int64_t wall_ms)
{
    KV_ASSERT (self->state == IDLE);
    size_t count = 0;
    self->state = WALKING;
    self->chunks = self->entries = 0;
    self->begun_lsn = appended_lsn;
    if (!s_put_header (self, wall_ms)) {
        (void)s_fail (self);
        return;
    }
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_t *shard = executor_shard (self->options.executor, i);
        if (!shard)
            continue;
        self->shards[count++] = i;
        snapshot_chunk_begin (&self->chunk);
        snapshot_shard_write (&self->chunk, shard_last (shard), store_count (shard_store (shard)));
        if (!s_put (self, SNAPSHOT_SHARD, i))
            return;
    }
    snapshot_walk_options_t walk = {
        .shards = self->shards, .count = count, .store_of = s_store_of, .context = self};
    snapshot_walk_begin (self->walk, &walk);
}

static void s_walk (sim_snapshot_t *self, uint64_t appended_lsn)
{
    size_t budget = (size_t)sim_random_range (&self->random, 1, STEP_ENTRIES_MOST);
    snapshot_step_t step = snapshot_walk_step (self->walk, budget, &self->chunk);
    self->entries += step.entries;
    if (step.due && !s_put (self, SNAPSHOT_ENTRIES, step.shard))
        return;
    if (!step.over)
        return;
    writer_reset (&self->chunk);
    self->end_lsn = appended_lsn;
    self->state = SETTLING;
}

static void s_settle (sim_snapshot_t *self, uint64_t durable_lsn)
{
    if (durable_lsn < self->end_lsn)
        return;
    snapshot_chunk_begin (&self->chunk);
    snapshot_end_write (&self->chunk, self->end_lsn, self->entries, self->chunks);
    if (s_put (self, SNAPSHOT_END, 0))
        self->state = SYNCING;
}

/* The step is done, if it went well. */
static void s_go_on (sim_snapshot_t *self, kv_status_t status)
{
    if (status)
        (void)s_fail (self);
    else
        self->state++;
}

void sim_snapshot_step (sim_snapshot_t *self, uint64_t appended_lsn, uint64_t durable_lsn)
{
    file_error_t error;
    files_t *files = self->options.files;
    switch (self->state) {
    case IDLE: return;
    case WALKING: s_walk (self, appended_lsn); return;
    case SETTLING: s_settle (self, durable_lsn); return;
    case SYNCING: s_go_on (self, file_sync (self->file, &error)); return;
    case RENAMING:
        file_close (&self->file);
        s_go_on (self, files_rename (files, s_temporary, SIM_SNAPSHOT_NAME, &error));
        return;
    case NAMED: break;
    }
    if (files_sync_directory (files, &error)) {
        (void)s_fail (self);
        return;
    }
    self->state = IDLE;
    self->done++;
    self->start_lsn = self->begun_lsn;
    self->bytes = self->size;
}

/* ---- what others see ------------------------------------------------------------------------------ */

bool sim_snapshot_is_idle (const sim_snapshot_t *self)
{
    return self->state == IDLE;
}

uint64_t sim_snapshot_wants (const sim_snapshot_t *self)
{
    return self->state == SETTLING ? self->end_lsn : 0;
}

uint64_t sim_snapshot_start_lsn (const sim_snapshot_t *self)
{
    return self->start_lsn;
}

uint64_t sim_snapshot_bytes (const sim_snapshot_t *self)
{
    return self->bytes;
}

void sim_snapshot_recovered (sim_snapshot_t *self, uint64_t start_lsn, uint64_t bytes)
{
    self->start_lsn = start_lsn;
    self->bytes = bytes;
}

uint64_t sim_snapshot_done (const sim_snapshot_t *self)
{
    return self->done;
}

uint64_t sim_snapshot_failed (const sim_snapshot_t *self)
{
    return self->failed;
}
