/* data_bed - a node's data directory on a disk in memory, made by an executor, a log and fuzzy snapshots, and
 * the stream of all records that went into it: what any state recovered from it is compared with. */
#ifndef KVDB_TEST_UNIT_NODE_DATA_BED_H
#define KVDB_TEST_UNIT_NODE_DATA_BED_H

#include "actors/wal_keeper.h"
#include "node/record_maker.h"
#include "node/recovery.h"
#include "node/snapshot_walk.h"
#include "test/fault/fault_files.h"
#include "server.h"

enum { BED_RECORDS_MOST = 4096, BED_SEGMENT_BYTES = 4096 };

typedef struct {
    files_t *files;
    server_t server;
    wal_t *wal;
    wal_keeper_t *keeper;
    record_maker_t *maker;
    shard_sink_t sink;
    writer_t stream; /* as the log: its offset is the lsn */
    uint64_t end_lsn[BED_RECORDS_MOST];
    size_t count;
    uint64_t random, snapshot_start, snapshot_end; /* of the last snapshot */
} bed_t;

static const uint8_t bed_uuid[WAL_UUID_BYTES] = "a data directory";

static inline void bed_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    record_maker_effect (((bed_t *)context)->maker, shard, effect);
}

static inline uint64_t bed_end (void *context, const shard_t *shard)
{
    bed_t *self = context;
    writer_t *buffer = wal_buffer (self->wal);
    size_t before = buffer->size;
    record_maker_end (self->maker, shard, buffer);
    writer_raw (&self->stream, kv_slice (buffer->data + before, buffer->size - before));
    assert_true (self->count < BED_RECORDS_MOST);
    self->end_lsn[self->count++] = wal_appended_lsn (self->wal);
    assert_true (self->stream.size == wal_appended_lsn (self->wal));
    return self->stream.size;
}

static inline uint64_t bed_room (void *context)
{
    return wal_room (((bed_t *)context)->wal);
}

static inline void bed_prepare (bed_t *self)
{
    file_error_t error;
    wal_segment_t segment;
    while (wal_room (self->wal) < BED_SEGMENT_BYTES) {
        kv_status_t status;
        while ((status = wal_keeper_prepare (self->keeper, &segment, &error)) == KV_OK)
            continue;
        assert_int_equal (status, KV_END);
        wal_add_segment (self->wal, &segment);
    }
}

static inline void bed_write (bed_t *self, bool sync)
{
    file_error_t error;
    wal_segment_t sealed;
    uint64_t end_lsn;
    assert_int_equal (wal_write (self->wal, &error), KV_OK);
    while (wal_next_sealed (self->wal, &sealed, &end_lsn))
        wal_keeper_seal (self->keeper, sealed.number, end_lsn);
    if (!sync)
        return;
    uint64_t lsn = wal_written_lsn (self->wal);
    uint64_t number = wal_current (self->wal).number;
    assert_int_equal (wal_keeper_sync (self->keeper, lsn, number, &error), KV_OK);
    wal_set_durable (self->wal, lsn);
}

static inline executor_t *bed_executor (void)
{
    executor_options_t options = {.shards = SERVER_SHARDS,
                                  .max_value_bytes = KV_VALUE_BYTES_MAX,
                                  .node_id = "n",
                                  .version = "1"};
    return executor_new (&options);
}

static inline bed_t *bed_new (uint64_t seed)
{
    bed_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    file_error_t error;
    wal_end_t end = {0};
    wal_segment_t current;
    wal_place_t place;
    wal_keeper_options_t options = {.segment_bytes = BED_SEGMENT_BYTES};
    self->random = seed;
    self->files = options.files = fault_files_new (seed, 0);
    memcpy (options.uuid, bed_uuid, WAL_UUID_BYTES);
    assert_int_equal (
        wal_keeper_open (&options, &end, NULL, 0, &self->keeper, &current, &place, &error), KV_OK);
    place.restarts = true;
    self->wal = wal_new (place);
    self->maker = record_maker_new (SERVER_SHARDS);
    self->stream = writer_make (SIZE_MAX);
    self->server = (server_t){.executor = bed_executor (),
                              .now_ms = 1000000,
                              .request = writer_make (SIZE_MAX),
                              .reply = writer_make (SIZE_MAX)};
    self->sink =
        (shard_sink_t){.effect = bed_effect, .end = bed_end, .room = bed_room, .context = self};
    executor_set_sink (self->server.executor, &self->sink);
    bed_prepare (self);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        assert_int_equal (executor_own (self->server.executor, i, 1), KV_OK);
    bed_write (self, true);
    return self;
}

/* Closes the log; the files stay. */
static inline void bed_stop (bed_t *self)
{
    executor_set_sink (self->server.executor, NULL);
    wal_destroy (&self->wal);
    wal_keeper_destroy (&self->keeper);
}

static inline void bed_destroy (bed_t *self)
{
    bed_stop (self);
    executor_destroy (&self->server.executor);
    writer_free (&self->server.request);
    writer_free (&self->server.reply);
    writer_free (&self->stream);
    record_maker_destroy (&self->maker);
    files_destroy (&self->files);
    free (self);
}

/* Commands that write; some of them in one block. */
static inline void bed_work (bed_t *self, int commands, bool sync)
{
    char command[128];
    for (int i = 0; i < commands; i++) {
        unsigned key = (unsigned)fixture_random (&self->random, 40);
        unsigned other = (unsigned)fixture_random (&self->random, 40);
        unsigned bytes = (unsigned)fixture_random (&self->random, 200);
        switch (fixture_random (&self->random, 8)) {
        case 0: snprintf (command, sizeof command, "DEL k%u k%u", key, other); break;
        case 1: snprintf (command, sizeof command, "APPEND k%u @%u", key, bytes / 10); break;
        case 2: snprintf (command, sizeof command, "SETRANGE k%u %u xyz", key, bytes); break;
        case 3: snprintf (command, sizeof command, "PEXPIRE k%u 90000000", key); break;
        case 4: snprintf (command, sizeof command, "MSET k%u a k%u b", key, other); break;
        default: snprintf (command, sizeof command, "SET k%u @%u", key, bytes);
        }
        bed_prepare (self);
        server_ask (&self->server, command);
        if (fixture_random (&self->random, 3))
            bed_write (self, sync);
    }
    bed_write (self, sync);
}

/* ---- snapshots --------------------------------------------------------------------------------------- */

static inline const store_t *bed_store_of (void *context, uint32_t shard)
{
    return shard_store (executor_shard (((bed_t *)context)->server.executor, shard));
}

/* A fuzzy one: `commands` run while it is made. The log before it is retired if that is asked for. */
static inline void bed_snapshot (bed_t *self, int commands, bool retire)
{
    static const uint32_t shards[SERVER_SHARDS] = {0, 1, 2, 3};
    writer_t file = writer_make (SIZE_MAX);
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    uint32_t chunks = 0;
    uint64_t entries = 0;
    snapshot_header_t header = {
        .start_lsn = self->stream.size, .shards = SERVER_SHARDS, .made_ms = 1700000000000};
    memcpy (header.uuid, bed_uuid, sizeof header.uuid);
    snapshot_header_encode (&header, writer_claim (&file, SNAPSHOT_HEADER_BYTES));
    for (uint32_t i = 0; i < SERVER_SHARDS; i++) {
        const shard_t *shard = executor_shard (self->server.executor, i);
        writer_reset (&chunk);
        snapshot_chunk_begin (&chunk);
        snapshot_shard_write (&chunk, shard_last (shard), store_count (shard_store (shard)));
        snapshot_chunk_seal (chunk.data, chunk.size, SNAPSHOT_SHARD, chunks++, i);
        writer_raw (&file, kv_slice (chunk.data, chunk.size));
    }
    writer_reset (&chunk);
    snapshot_walk_t *walk = snapshot_walk_new ();
    snapshot_walk_options_t options = {
        .shards = shards, .count = SERVER_SHARDS, .store_of = bed_store_of, .context = self};
    snapshot_walk_begin (walk, &options);
    for (snapshot_step_t step = {0}; !step.over;) {
        step = snapshot_walk_step (walk, 4, &chunk);
        entries += step.entries;
        if (step.due) {
            snapshot_chunk_seal (chunk.data, chunk.size, SNAPSHOT_ENTRIES, chunks++, step.shard);
            writer_raw (&file, kv_slice (chunk.data, chunk.size));
            writer_reset (&chunk);
        }
        bed_work (self, commands, true);
    }
    snapshot_walk_destroy (&walk);
    self->snapshot_start = header.start_lsn;
    self->snapshot_end = self->stream.size;
    writer_reset (&chunk);
    snapshot_chunk_begin (&chunk);
    snapshot_end_write (&chunk, self->snapshot_end, entries, chunks);
    snapshot_chunk_seal (chunk.data, chunk.size, SNAPSHOT_END, chunks, 0);
    writer_raw (&file, kv_slice (chunk.data, chunk.size));
    writer_free (&chunk);
    file_error_t error;
    file_t *out;
    assert_int_equal (files_open (self->files, "snapshot.dat", FILE_CREATE, &out, &error), KV_OK);
    assert_int_equal (file_write (out, 0, kv_slice (file.data, file.size), &error), KV_OK);
    assert_int_equal (file_sync (out, &error), KV_OK);
    assert_int_equal (files_sync_directory (self->files, &error), KV_OK);
    file_close (&out);
    writer_free (&file);
    if (retire)
        assert_int_equal (wal_keeper_retire (self->keeper, self->snapshot_start, &error), KV_OK);
}

/* ---- what is recovered --------------------------------------------------------------------------------- */

/* NULL: the directory is refused. Else its state, and where its log ends. */
static inline executor_t *bed_recover (files_t *files, uint64_t *end_lsn, file_error_t *error)
{
    executor_t *executor = bed_executor ();
    recovery_options_t options = {.files = files,
                                  .snapshot_files = files,
                                  .snapshot = "snapshot.dat",
                                  .uuid = bed_uuid,
                                  .executor = executor,
                                  .shards = SERVER_SHARDS};
    recovery_t *recovery = recovery_new (&options);
    kv_status_t status;
    while ((status = recovery_step (recovery, error)) == KV_OK)
        continue;
    if (status == KV_END)
        *end_lsn = recovery_end (recovery).record_lsn;
    recovery_destroy (&recovery);
    if (status != KV_END)
        executor_destroy (&executor);
    return executor;
}

static inline void bed_count_entry (void *context, const entry_t *entry)
{
    const store_t **stores = context;
    kv_slice_t key = entry_key (entry);
    const entry_t *twin = store_find (stores[1], key, store_hash (stores[1], key));
    assert_non_null (twin);
    assert_true (kv_slice_equal (entry_value (twin), entry_value (entry)));
    assert_true (entry_version (twin) == entry_version (entry));
    assert_true (store_expires_ms (stores[1], twin) == store_expires_ms (stores[0], entry));
}

/* It is the state that the records up to `end_lsn` make, which are whole ones. */
static inline void bed_expect_state (const bed_t *self, const executor_t *executor,
                                     uint64_t end_lsn)
{
    executor_t *expected = bed_executor ();
    for (size_t at = 0; at < end_lsn;) {
        record_t record;
        kv_slice_t rest = kv_slice (self->stream.data + at, (size_t)end_lsn - at);
        assert_int_equal (record_decode (rest, &record), KV_OK);
        assert_int_equal (shard_apply (executor_restore (expected, record.shard), &record), KV_OK);
        at += record.bytes;
    }
    for (uint32_t i = 0; i < SERVER_SHARDS; i++) {
        const shard_t *a = executor_shard (executor, i);
        const shard_t *b = executor_shard (expected, i);
        assert_int_equal (a != NULL && shard_last (a) > 0, b != NULL && shard_last (b) > 0);
        if (!a || !b)
            continue;
        const store_t *stores[2] = {shard_store (a), shard_store (b)};
        assert_true (shard_last (a) == shard_last (b));
        assert_int_equal (store_count (stores[0]), store_count (stores[1]));
        for (size_t bucket = 0; bucket < store_buckets (stores[0]); bucket++)
            store_visit (stores[0], bucket, bed_count_entry, stores);
    }
    executor_destroy (&expected);
}

#endif
