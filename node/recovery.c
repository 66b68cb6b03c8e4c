#include "node/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct recovery {
    recovery_options_t options;
    recovery_phase_t phase;
    snapshot_reader_t *snapshot; /* owned, in the phase SNAPSHOT */
    wal_reader_t *log;           /* owned, from the phase LOG on */
    uint64_t start_lsn, must_reach;
    uint64_t entries, records;
    uint64_t snapshot_bytes;
    int64_t made_ms;
    bool has_snapshot;
};

enum { RECORDS_PER_STEP = 512, STEP_BYTES = 256 * 1024 };

recovery_t *recovery_new (const recovery_options_t *options)
{
    recovery_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    return self;
}

void recovery_destroy (recovery_t **self_p)
{
    recovery_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    snapshot_reader_destroy (&self->snapshot);
    wal_reader_destroy (&self->log);
    free (self);
}

static kv_status_t s_fail (kv_status_t status, file_error_t *error, const char *text)
{
    error->number = 0;
    snprintf (error->text, sizeof error->text, "%s", text);
    return status;
}

/* Damage: the text says where; what to do is added, in words that fit the directory. */
static kv_status_t s_advise (const recovery_t *self, kv_status_t status, file_error_t *error)
{
    const recovery_options_t *options = &self->options;
    if (status != KV_CORRUPT)
        return status;
    size_t used = strlen (error->text);
    bool is_elsewhere = options->snapshot_files != options->files;
    snprintf (error->text + used, sizeof error->text - used,
              "; kvdb-node --check %s%s%s%s%s tells all that is wrong, and what --repair would "
              "leave; or restore a copy",
              options->files->path, is_elsewhere ? " --persistence-filepath " : "",
              is_elsewhere ? options->snapshot_files->path : "", is_elsewhere ? "/" : "",
              is_elsewhere ? options->snapshot : "");
    return status;
}

/* ---- the log --------------------------------------------------------------------------------- */

static kv_status_t s_open_log (recovery_t *self, file_error_t *error)
{
    wal_reader_options_t options = {.files = self->options.files,
                                    .uuid = self->options.uuid,
                                    .start_lsn = self->start_lsn,
                                    .must_reach = self->must_reach};
    self->phase = RECOVERY_LOG;
    return s_advise (self, wal_reader_open (&options, &self->log, error), error);
}

static kv_status_t s_apply (recovery_t *self, const record_t *record, uint64_t end_lsn,
                            file_error_t *error)
{
    char text[FILES_ERROR_BYTES];
    if (record->shard >= self->options.shards) {
        snprintf (text, sizeof text,
                  "the log in %s has a record of shard %" PRIu32 ", and the cluster has %" PRIu32
                  " shards; give it the cluster file it was made with",
                  self->options.files->path, record->shard, self->options.shards);
        return s_fail (KV_CONFIG, error, text);
    }
    shard_t *shard = executor_restore (self->options.executor, record->shard);
    if (shard_apply (shard, record) == KV_OK) {
        self->records++;
        return KV_OK;
    }
    snprintf (text, sizeof text,
              "the log in %s, before lsn %" PRIu64 ": shard %" PRIu32 " goes from position %" PRIu64
              " to %" PRIu64 ", and is at %" PRIu64,
              self->options.files->path, end_lsn, record->shard, record->previous, record->position,
              shard_last (shard));
    return s_advise (self, s_fail (KV_CORRUPT, error, text), error); // Z2
}

static kv_status_t s_step_log (recovery_t *self, file_error_t *error)
{
    record_t record;
    uint64_t end_lsn;
    size_t bytes = 0;
    for (int i = 0; i < RECORDS_PER_STEP && bytes < STEP_BYTES; i++) {
        kv_status_t status =
            s_advise (self, wal_reader_next (self->log, &record, &end_lsn, error), error);
        if (status == KV_END)
            self->phase = RECOVERY_DONE;
        if (status == KV_OK)
            status = s_apply (self, &record, end_lsn, error);
        if (status)
            return status;
        bytes += record.bytes;
    }
    return KV_OK;
}

/* ---- the snapshot ---------------------------------------------------------------------------- */

static kv_status_t s_open_snapshot (recovery_t *self, file_error_t *error)
{
    const recovery_options_t *options = &self->options;
    char text[FILES_ERROR_BYTES];
    kv_status_t status =
        snapshot_reader_open (options->snapshot_files, options->snapshot, &self->snapshot, error);
    if (status == KV_NOT_FOUND)
        return s_open_log (self, error);
    if (status)
        return s_advise (self, status, error);
    const snapshot_header_t *header = snapshot_reader_header (self->snapshot);
    if (memcmp (header->uuid, options->uuid, SNAPSHOT_UUID_BYTES) != 0) {
        snprintf (text, sizeof text,
                  "snapshot %s/%s belongs to another data directory; give this node a file of its "
                  "own with kvdb.persistence.filepath",
                  options->snapshot_files->path, options->snapshot);
        return s_fail (KV_CORRUPT, error, text);
    }
    if (header->shards != options->shards) {
        snprintf (text, sizeof text,
                  "snapshot %s/%s is of a cluster with %" PRIu32 " shards, this one has %" PRIu32
                  "; give it the cluster file it was made with",
                  options->snapshot_files->path, options->snapshot, header->shards,
                  options->shards);
        return s_fail (KV_CONFIG, error, text);
    }
    uint64_t done;
    snapshot_reader_progress (self->snapshot, &done, &self->snapshot_bytes);
    self->has_snapshot = true;
    self->start_lsn = header->start_lsn;
    self->made_ms = header->made_ms;
    return KV_OK;
}

static kv_status_t s_load_shard (recovery_t *self, const snapshot_chunk_t *chunk)
{
    uint64_t last, entries;
    kv_status_t status = snapshot_shard_read (chunk->payload, &last, &entries);
    if (status)
        return status;
    shard_t *shard = executor_restore (self->options.executor, chunk->shard);
    shard_set_last (shard, last);
    /* No more room than the file can fill, whatever it says. */
    uint64_t most = self->snapshot_bytes / SNAPSHOT_ENTRY_HEADER_BYTES;
    shard_reserve (shard, (size_t)(entries < most ? entries : most));
    return KV_OK;
}

static kv_status_t s_load_entries (recovery_t *self, const snapshot_chunk_t *chunk)
{
    shard_t *shard = executor_restore (self->options.executor, chunk->shard);
    return shard_load (shard, chunk->payload, &self->entries);
}

static kv_status_t s_load_chunk (recovery_t *self, const snapshot_chunk_t *chunk,
                                 file_error_t *error)
{
    kv_status_t status = KV_CORRUPT;
    if (chunk->shard < self->options.shards)
        status = chunk->kind == SNAPSHOT_SHARD ? s_load_shard (self, chunk)
                                               : s_load_entries (self, chunk);
    if (status == KV_OK)
        return KV_OK;
    char text[FILES_ERROR_BYTES];
    snprintf (text, sizeof text,
              "snapshot %s/%s, chunk %" PRIu32 " (shard %" PRIu32
              ") is not well-formed; restore a copy of the file",
              self->options.snapshot_files->path, self->options.snapshot, chunk->number,
              chunk->shard);
    return s_fail (status, error, text);
}

static kv_status_t s_step_snapshot (recovery_t *self, file_error_t *error)
{
    snapshot_chunk_t chunk;
    if (!self->snapshot) {
        kv_status_t opened = s_open_snapshot (self, error);
        if (opened || self->phase != RECOVERY_SNAPSHOT)
            return opened;
    }
    kv_status_t status = snapshot_reader_next (self->snapshot, &chunk, error);
    if (status == KV_OK)
        return s_load_chunk (self, &chunk, error);
    if (status != KV_END)
        return s_advise (self, status, error);
    self->must_reach = snapshot_reader_end_lsn (self->snapshot);
    snapshot_reader_destroy (&self->snapshot);
    return s_open_log (self, error);
}

/* ---- what others see ------------------------------------------------------------------------- */

kv_status_t recovery_step (recovery_t *self, file_error_t *error)
{
    switch (self->phase) {
    case RECOVERY_SNAPSHOT: return s_step_snapshot (self, error);
    case RECOVERY_LOG: return s_step_log (self, error);
    case RECOVERY_DONE: break;
    }
    return KV_END;
}

recovery_progress_t recovery_progress (const recovery_t *self)
{
    recovery_progress_t progress = {.phase = self->phase,
                                    .entries = self->entries,
                                    .records = self->records,
                                    .has_snapshot = self->has_snapshot,
                                    .snapshot_bytes = self->snapshot_bytes,
                                    .made_ms = self->made_ms,
                                    .start_lsn = self->start_lsn};
    if (self->snapshot)
        snapshot_reader_progress (self->snapshot, &progress.done_bytes, &progress.all_bytes);
    else if (self->log)
        wal_reader_progress (self->log, &progress.done_bytes, &progress.all_bytes);
    return progress;
}

wal_end_t recovery_end (const recovery_t *self)
{
    KV_ASSERT (self->phase == RECOVERY_DONE);
    return wal_reader_end (self->log);
}

const wal_segment_info_t *recovery_segments (const recovery_t *self, size_t *count)
{
    KV_ASSERT (self->phase == RECOVERY_DONE);
    return wal_reader_segments (self->log, count);
}
