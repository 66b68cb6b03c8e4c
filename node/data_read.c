#include "node/data_read.h"

#include "actors/snapshot_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the snapshot ---------------------------------------------------------------------------- */

static kv_status_t s_on_chunk (data_state_t *self, const snapshot_chunk_t *chunk)
{
    snapshot_entry_t entry;
    uint64_t entries;
    kv_slice_t at = chunk->payload;
    kv_status_t status;
    if (chunk->kind == SNAPSHOT_SHARD)
        return snapshot_shard_read (at, &self->last[chunk->shard], &entries);
    while ((status = snapshot_entry_next (&at, &entry)) == KV_OK)
        self->entries++;
    return status == KV_END ? KV_OK : status;
}

static kv_status_t s_read_chunks (data_state_t *self, snapshot_reader_t *reader)
{
    snapshot_chunk_t chunk;
    kv_status_t status;
    while ((status = snapshot_reader_next (reader, &chunk, &self->snapshot_error)) == KV_OK) {
        if ((status = s_on_chunk (self, &chunk)) != KV_OK)
            return status;
    }
    if (status == KV_END)
        self->snapshot_end_lsn = snapshot_reader_end_lsn (reader);
    return status == KV_END ? KV_OK : status;
}

static kv_status_t s_read_snapshot (data_state_t *self, const data_place_t *place)
{
    snapshot_reader_t *reader;
    uint64_t done;
    kv_status_t status = snapshot_reader_open (place->snapshot_files, place->snapshot, &reader,
                                               &self->snapshot_error);
    if (status)
        return status;
    snapshot_reader_progress (reader, &done, &self->snapshot_bytes);
    self->header = *snapshot_reader_header (reader);
    if (place->uuid && memcmp (self->header.uuid, place->uuid, SNAPSHOT_UUID_BYTES) != 0) {
        self->is_foreign = true;
        status = KV_CORRUPT;
        snprintf (self->snapshot_error.text, sizeof self->snapshot_error.text,
                  "%s/%s at 16: the file belongs to another data directory",
                  place->snapshot_files->path, place->snapshot);
    } else {
        status = s_read_chunks (self, reader);
    }
    snapshot_reader_destroy (&reader);
    return status;
}

/* ---- the log --------------------------------------------------------------------------------- */

/* Z2 of recovery.h; the shards' number is that of the snapshot. */
static kv_status_t s_check_record (data_state_t *self, const char *path, const record_t *record)
{
    char *text = self->log_error.text;
    uint64_t *last = &self->last[record->shard];
    if (self->snapshot_status == KV_OK && record->shard >= self->header.shards) {
        snprintf (text, FILES_ERROR_BYTES,
                  "%s: the record at lsn %" PRIu64 " is of shard %" PRIu32
                  ", and the snapshot of a cluster with %" PRIu32 " shards",
                  path, self->record_lsn, record->shard, self->header.shards);
        return KV_CORRUPT;
    }
    if (self->is_known[record->shard] && !record_follows (record, *last)) {
        snprintf (text, FILES_ERROR_BYTES,
                  "%s: the record at lsn %" PRIu64 " takes shard %" PRIu32 " from position %" PRIu64
                  " to %" PRIu64 ", and the shard is at %" PRIu64,
                  path, self->record_lsn, record->shard, record->previous, record->position, *last);
        return KV_CORRUPT;
    }
    *last = record->position;
    self->is_known[record->shard] = true;
    return KV_OK;
}

static kv_status_t s_read_records (data_state_t *self, const char *path, wal_reader_t *reader)
{
    record_t record;
    uint64_t end_lsn;
    kv_status_t status;
    while ((status = wal_reader_next (reader, &record, &end_lsn, &self->log_error)) == KV_OK) {
        uint64_t start_lsn = end_lsn - record.bytes;
        if (self->records == 0)
            self->first_lsn = start_lsn;
        self->record_lsn = start_lsn;
        if ((status = s_check_record (self, path, &record)) != KV_OK)
            return status;
        self->record_lsn = end_lsn;
        self->records++;
    }
    if (status == KV_END)
        self->end = wal_reader_end (reader);
    return status;
}

static kv_status_t s_read_log (data_state_t *self, const data_place_t *place, uint64_t must_reach)
{
    wal_reader_t *reader;
    wal_reader_options_t options = {.files = place->files,
                                    .uuid = place->uuid,
                                    .start_lsn = self->start_lsn,
                                    .must_reach = must_reach};
    kv_status_t status = wal_reader_open (&options, &reader, &self->log_error);
    if (status)
        return status;
    size_t count;
    const wal_segment_info_t *segments = wal_reader_segments (reader, &count);
    for (size_t i = 0; i < count && self->first_number == 0; i++) {
        if (segments[i].was_read)
            self->first_number = segments[i].number;
    }
    status = s_read_records (self, place->files->path, reader);
    wal_reader_destroy (&reader);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

data_state_t *data_read (const data_read_options_t *options)
{
    data_state_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->snapshot_status =
        options->without_snapshot ? KV_NOT_FOUND : s_read_snapshot (self, options->place);
    bool knows_start = self->snapshot_status == KV_OK || self->snapshot_status == KV_NOT_FOUND;
    if (self->snapshot_status == KV_OK)
        self->start_lsn = self->header.start_lsn;
    else
        self->start_lsn = knows_start ? 0 : WAL_ANY_LSN;
    memset (self->is_known, knows_start, sizeof self->is_known);
    if (!knows_start)
        memset (self->last, 0, sizeof self->last);
    self->record_lsn = knows_start ? self->start_lsn : 0;
    bool must = self->snapshot_status == KV_OK && !options->any_end;
    self->log_status = s_read_log (self, options->place, must ? self->snapshot_end_lsn : 0);
    return self;
}

bool data_is_sound (const data_state_t *state)
{
    bool has_good_snapshot =
        state->snapshot_status == KV_OK || state->snapshot_status == KV_NOT_FOUND;
    return has_good_snapshot && state->log_status == KV_END; // Y1
}
