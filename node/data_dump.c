#include "node/data_dump.h"

#include "node/recovery.h"

#include <inttypes.h>

typedef struct {
    const data_output_t *out;
    writer_t line;
    bool failed; /* nothing more can be written */
} lines_t;

static void s_end_line (lines_t *self)
{
    writer_raw (&self->line, kv_slice_text ("}\n"));
    self->failed = self->failed || !self->out->write (self->out->context,
                                                      kv_slice (self->line.data, self->line.size));
    writer_reset (&self->line);
}

/* ---- the state ------------------------------------------------------------------------------- */

typedef struct {
    lines_t lines;
    const store_t *store;
    uint32_t shard;
} dump_t;

static void s_on_entry (void *context, const entry_t *entry)
{
    dump_t *self = context;
    writer_t *line = &self->lines.line;
    if (self->lines.failed)
        return;
    data_json_text (line, "{");
    data_json_bytes (line, "key", entry_key (entry));
    data_json_text (line, ", ");
    data_json_bytes (line, "value", entry_value (entry));
    data_json_text (line,
                    ", \"expires_ms\": %" PRId64 ", \"version\": %" PRIu64 ", \"shard\": %" PRIu32,
                    store_expires_ms (self->store, entry), entry_version (entry), self->shard);
    s_end_line (&self->lines);
}

static void s_dump_shards (const executor_t *executor, uint32_t shards, const data_output_t *out)
{
    dump_t self = {.lines = {.out = out, .line = writer_make (SIZE_MAX)}};
    for (self.shard = 0; self.shard < shards; self.shard++) {
        const shard_t *shard = executor_shard (executor, self.shard);
        self.store = shard ? shard_store (shard) : NULL;
        for (size_t i = 0; self.store && i < store_buckets (self.store); i++)
            store_visit (self.store, i, s_on_entry, &self);
    }
    writer_free (&self.lines.line);
}

/* As many shards as the snapshot says; without one, as many as there may be. */
static kv_status_t s_shards (const data_place_t *place, uint32_t *shards, file_error_t *error)
{
    snapshot_reader_t *reader;
    *shards = KV_SHARDS_MAX;
    kv_status_t status =
        snapshot_reader_open (place->snapshot_files, place->snapshot, &reader, error);
    if (status == KV_OK)
        *shards = snapshot_reader_header (reader)->shards;
    snapshot_reader_destroy (&reader);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

kv_status_t data_dump_state (const data_place_t *place, const uint8_t secret[STORE_SECRET_BYTES],
                             const data_output_t *out, file_error_t *error)
{
    executor_options_t options = {
        .max_value_bytes = KV_VALUE_BYTES_MAX, .node_id = "-", .version = "-"};
    kv_status_t status = s_shards (place, &options.shards, error);
    if (status)
        return status;
    memcpy (options.secret, secret, sizeof options.secret);
    executor_t *executor = executor_new (&options);
    recovery_options_t of_recovery = {.files = place->files,
                                      .snapshot_files = place->snapshot_files,
                                      .snapshot = place->snapshot,
                                      .uuid = place->uuid,
                                      .executor = executor,
                                      .shards = options.shards};
    recovery_t *recovery = recovery_new (&of_recovery);
    while ((status = recovery_step (recovery, error)) == KV_OK)
        continue;
    recovery_destroy (&recovery);
    if (status == KV_END)
        s_dump_shards (executor, options.shards, out);
    executor_destroy (&executor);
    return status == KV_END ? KV_OK : status;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void s_add_effect (writer_t *line, const effect_t *effect)
{
    static const char *const kinds[] = {
        [EFFECT_PUT] = "put",       [EFFECT_WRITE] = "write", [EFFECT_EXPIRE] = "expire",
        [EFFECT_DELETE] = "delete", [EFFECT_CLEAR] = "clear", [EFFECT_OPEN] = "open"};
    data_json_text (line, "{\"kind\": \"%s\"", kinds[effect->kind]);
    if (effect->key.size) {
        data_json_text (line, ", ");
        data_json_bytes (line, "key", effect->key);
    }
    if (effect->kind == EFFECT_PUT || effect->kind == EFFECT_WRITE) {
        data_json_text (line, ", ");
        data_json_bytes (line, "value", effect->value);
    }
    if (effect->kind == EFFECT_WRITE)
        data_json_text (line, ", \"offset\": %zu", effect->offset);
    if (effect->kind == EFFECT_PUT || effect->kind == EFFECT_EXPIRE)
        data_json_text (line, ", \"expires_ms\": %" PRId64, effect->expires_ms);
    data_json_text (line, "}");
}

static void s_dump_record (lines_t *self, const record_t *record, uint64_t lsn)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    bool is_first = true;
    data_json_text (&self->line,
                    "{\"shard\": %" PRIu32 ", \"position\": %" PRIu64 ", \"previous\": %" PRIu64
                    ", \"lsn\": %" PRIu64 ", \"effects\": [",
                    record->shard, record->position, record->previous, lsn);
    while (effect_next (&at, &effect) == KV_OK) {
        data_json_text (&self->line, "%s", is_first ? "" : ", ");
        s_add_effect (&self->line, &effect);
        is_first = false;
    }
    data_json_text (&self->line, "]");
    s_end_line (self);
}

kv_status_t data_dump_log (const data_place_t *place, const data_output_t *out, file_error_t *error)
{
    wal_reader_t *reader;
    record_t record;
    uint64_t end_lsn;
    wal_reader_options_t options = {
        .files = place->files, .uuid = place->uuid, .start_lsn = WAL_ANY_LSN};
    lines_t lines = {.out = out, .line = writer_make (SIZE_MAX)};
    kv_status_t status = wal_reader_open (&options, &reader, error);
    if (status)
        return status;
    while (!lines.failed && (status = wal_reader_next (reader, &record, &end_lsn, error)) == KV_OK)
        s_dump_record (&lines, &record, end_lsn - record.bytes);
    writer_free (&lines.line);
    wal_reader_destroy (&reader);
    return status == KV_END ? KV_OK : status;
}
