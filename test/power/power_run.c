#include "power_run.h"

#include "actors/snapshot_file.h"
#include "actors/wal_keeper.h"
#include "node/executor.h"
#include "node/flusher.h"
#include "node/record_maker.h"
#include "node/recovery.h"
#include "node/snapshot_walk.h"
#include "schema/slot.h"
#include "schema/writer.h"
#include "test/fault/fault_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SHARDS = 3,
    KEYS = 24,
    RECORDS_MOST = 20000,
    REPLIES_MOST = 4000,
    INTERVAL_US = 50000,
    LIVES_MOST = 5,
    STEPS_MOST = 120
};

/* A record that was appended: what recovery may find, and must. */
typedef struct {
    uint64_t end_lsn;
    int64_t written_us;      /* -1: it never left the buffer */
    int64_t acknowledged_us; /* of the last reply that told of it; -1: none did */
    size_t at, bytes;        /* in the copy of the stream */
} logged_t;

/* A reply that waits. */
typedef struct {
    uint64_t gate, depends; /* what the executor says, and what the run knows, it tells of */
} reply_t_;

typedef struct {
    uint64_t seed, random;
    bool trace;
    power_stats_t *stats;
    files_t *files;
    flush_policy_t policy;
    uint64_t segment_bytes;
    int64_t now_us, wall_ms;
    uint8_t uuid[WAL_UUID_BYTES];
    /* One life's: */
    executor_t *executor;
    wal_t *wal;
    wal_keeper_t *keeper;
    flusher_t flusher;
    record_maker_t *maker;
    shard_sink_t sink;
    bool full;
    uint64_t sync_lsn, sync_begun; /* under way: lsn 0: none */
    int64_t sync_end_us;
    reply_t_ replies[REPLIES_MOST];
    size_t reply_first, reply_count;
    /* The snapshot under way. */
    snapshot_walk_t *walk;
    file_t *snapshot; /* NULL: none is under way */
    uint64_t snapshot_size, snapshot_chunks, snapshot_entries, snapshot_start, snapshot_end;
    bool walk_over;
    uint32_t walk_shards[SHARDS];
    writer_t chunk;
    /* Over all lives: */
    logged_t logged[RECORDS_MOST];
    size_t logged_count;
    writer_t stream;
    uint64_t key_lsn[SHARDS][KEYS]; /* behind the last record about the key */
    uint64_t positions[SHARDS];     /* the highest ever given */
} run_t;

static void s_fail (const run_t *self, const char *rule, const char *what)
{
    fprintf (stderr, "power_sim: seed %" PRIu64 ", policy %s: %s: %s\n", self->seed,
             flush_policy_name (self->policy), rule, what);
    abort ();
}

static uint64_t s_random (run_t *self, uint64_t below)
{
    self->random += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = self->random;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

#define TRACE(self, ...)                                                                           \
    do {                                                                                           \
        if ((self)->trace)                                                                         \
            printf (__VA_ARGS__);                                                                  \
    } while (0)

/* ---- the sink: the log, and a copy of all that goes into it ---------------------------------------- */

/* "k7" is key 7 of all shards; -1: another key. */
static int s_key_index (kv_slice_t key)
{
    char text[8] = "";
    if (key.size < 2 || key.size >= sizeof text)
        return -1;
    memcpy (text, key.data, key.size);
    return atoi (text + 1);
}

static void s_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    run_t *self = context;
    record_maker_effect (self->maker, shard, effect);
}

/* What the record is about was last written by it. */
static void s_note_keys (run_t *self, const record_t *record, uint64_t end_lsn)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    while (effect_next (&at, &effect) == KV_OK) {
        int key = effect.key.size ? s_key_index (effect.key) : -1;
        for (int i = 0; i < KEYS; i++) {
            if (effect.kind == EFFECT_CLEAR || i == key)
                self->key_lsn[record->shard][i] = end_lsn;
        }
    }
}

static uint64_t s_end (void *context, const shard_t *shard)
{
    run_t *self = context;
    record_t record;
    size_t at = self->stream.size;
    if (shard_last (shard) <= self->positions[shard_id (shard)])
        s_fail (self, "U5", "a position was given twice");
    self->positions[shard_id (shard)] = shard_last (shard);
    record_maker_end (self->maker, shard, &self->stream);
    kv_slice_t bytes = kv_slice (self->stream.data + at, self->stream.size - at);
    writer_raw (wal_buffer (self->wal), bytes);
    KV_ASSERT (self->logged_count < RECORDS_MOST);
    uint64_t lsn = wal_appended_lsn (self->wal);
    self->logged[self->logged_count++] = (logged_t){
        .end_lsn = lsn, .written_us = -1, .acknowledged_us = -1, .at = at, .bytes = bytes.size};
    kv_status_t status = record_decode (bytes, &record);
    KV_ASSERT (status == KV_OK);
    s_note_keys (self, &record, lsn);
    return lsn;
}

static uint64_t s_room (void *context)
{
    return wal_room (((run_t *)context)->wal);
}

/* ---- a life begins ----------------------------------------------------------------------------------- */

static executor_t *s_new_executor (void)
{
    executor_options_t options = {.shards = SHARDS,
                                  .max_value_bytes = 4096,
                                  .secret = "a secret of 16.",
                                  .node_id = "node1",
                                  .version = "test"};
    return executor_new (&options);
}

static void s_compare_entry (void *context, const entry_t *entry)
{
    const shard_t *const *shards = context; /* one, and the other */
    const store_t *store = shard_store (shards[1]);
    kv_slice_t key = entry_key (entry);
    const entry_t *twin = store_find (store, key, store_hash (store, key));
    KV_ASSERT (twin != NULL);                                             // U1
    KV_ASSERT (kv_slice_equal (entry_value (twin), entry_value (entry))); // U1
    KV_ASSERT (entry_version (twin) == entry_version (entry));            // U1
    KV_ASSERT (store_expires_ms (store, twin) ==
               store_expires_ms (shard_store (shards[0]), entry)); // U1
}

/* U1: what was recovered is what the first `count` records make. */
static void s_check_tables (run_t *self, size_t count)
{
    executor_t *model = s_new_executor ();
    for (size_t i = 0; i < count; i++) {
        record_t record;
        kv_status_t status = record_decode (
            kv_slice (self->stream.data + self->logged[i].at, self->logged[i].bytes), &record);
        KV_ASSERT (status == KV_OK);
        status = shard_apply (executor_restore (model, record.shard), &record);
        KV_ASSERT (status == KV_OK);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        const shard_t *shards[] = {executor_shard (model, i), executor_shard (self->executor, i)};
        if (!shards[0] && !shards[1])
            continue;
        if (!shards[0] || !shards[1])
            s_fail (self, "U1", "a shard is there that should not be, or the other way round");
        if (shard_last (shards[0]) != shard_last (shards[1]))
            s_fail (self, "U1", "another position");
        if (store_count (shard_store (shards[0])) != store_count (shard_store (shards[1])))
            s_fail (self, "U1", "another number of entries");
        uint64_t cursor = 0;
        do
            cursor = store_scan (shard_store (shards[0]), cursor, s_compare_entry, shards);
        while (cursor);
    }
    executor_destroy (&model);
}

/* U4: the first acknowledged record that is lost was written no longer than an interval before the last
 * acknowledgement that is. */
static void s_check_interval (const run_t *self, size_t count)
{
    int64_t first_us = INT64_MAX;
    int64_t last_us = 0;
    for (size_t i = count; i < self->logged_count; i++) {
        const logged_t *logged = &self->logged[i];
        if (logged->acknowledged_us < 0)
            continue;
        first_us = logged->written_us < first_us ? logged->written_us : first_us;
        last_us = logged->acknowledged_us > last_us ? logged->acknowledged_us : last_us;
    }
    if (first_us < last_us - INTERVAL_US)
        s_fail (self, "U4", "more than an interval's writes are lost");
}

/* `lsn` was recovered. */
static void s_check_loss (run_t *self, uint64_t lsn, bool power)
{
    size_t count = 0;
    while (count < self->logged_count && self->logged[count].end_lsn <= lsn)
        count++;
    if (count > 0 ? self->logged[count - 1].end_lsn != lsn : lsn != 0)
        s_fail (self, "U1", "the log ends within a record");
    for (size_t i = count; i < self->logged_count; i++) {
        const logged_t *logged = &self->logged[i];
        if (!power && logged->written_us >= 0)
            s_fail (self, "U2", "what was written is lost, though only the process died");
        if (self->policy == FLUSH_ALWAYS && logged->acknowledged_us >= 0)
            s_fail (self, "U3", "an acknowledged write is lost");
        self->stats->lost_records++;
        self->stats->lost_acknowledged += logged->acknowledged_us >= 0;
    }
    if (self->policy == FLUSH_INTERVAL)
        s_check_interval (self, count);
    s_check_tables (self, count);
    self->logged_count = count;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (int i = 0; i < KEYS; i++) {
            if (self->key_lsn[shard][i] > lsn)
                self->key_lsn[shard][i] = 0;
        }
    }
}

static void s_make_room (run_t *self, uint64_t bytes)
{
    file_error_t error;
    wal_segment_t segment;
    kv_status_t status = KV_OK;
    while (wal_room (self->wal) < bytes) {
        do
            status = wal_keeper_prepare (self->keeper, &segment, &error);
        while (status == KV_OK);
        if (status != KV_END)
            break;
        wal_add_segment (self->wal, &segment);
    }
    self->full = status == KV_DISK_FULL;
    self->stats->full_disks += self->full;
    executor_set_disk_full (self->executor, self->full);
    if (status != KV_OK && status != KV_END && status != KV_DISK_FULL)
        s_fail (self, "prepare", error.text);
}

static void s_own_all (run_t *self)
{
    uint64_t epoch = executor_highest_epoch (self->executor) + 1;
    /* A lost tail may have had higher ones: whoever gives epochs remembers them (R15). */
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (position_epoch (self->positions[i]) >= epoch)
            epoch = position_epoch (self->positions[i]) + 1;
    }
    s_make_room (self, SHARDS * SHARD_OPEN_BYTES);
    for (uint32_t i = 0; i < SHARDS && !self->full; i++) {
        kv_status_t status = executor_own (self->executor, i, epoch);
        KV_ASSERT (status == KV_OK);
    }
}

static void s_begin_life (run_t *self, bool power)
{
    file_error_t error;
    kv_status_t status;
    self->executor = s_new_executor ();
    recovery_options_t options = {.files = self->files,
                                  .snapshot_files = self->files,
                                  .snapshot = "snapshot.dat",
                                  .uuid = self->uuid,
                                  .executor = self->executor,
                                  .shards = SHARDS};
    recovery_t *recovery = recovery_new (&options);
    do
        status = recovery_step (recovery, &error);
    while (status == KV_OK);
    if (status != KV_END)
        s_fail (self, "recovery", error.text);
    self->stats->snapshots_used += recovery_progress (recovery).has_snapshot;
    wal_end_t end = recovery_end (recovery);
    TRACE (self, "recovered lsn %" PRIu64 " of %" PRIu64 "\n", end.record_lsn,
           self->logged_count ? self->logged[self->logged_count - 1].end_lsn : 0);
    s_check_loss (self, end.record_lsn, power);
    size_t count;
    const wal_segment_info_t *segments = recovery_segments (recovery, &count);
    wal_keeper_options_t keeper = {.files = self->files, .segment_bytes = self->segment_bytes};
    memcpy (keeper.uuid, self->uuid, sizeof keeper.uuid);
    wal_segment_t current;
    wal_place_t place;
    status =
        wal_keeper_open (&keeper, &end, segments, count, &self->keeper, &current, &place, &error);
    if (status)
        s_fail (self, "keeper", error.text);
    recovery_destroy (&recovery);
    self->wal = wal_new (place);
    if (current.number)
        wal_add_segment (self->wal, &current);
    self->flusher = flusher_make (self->policy, INTERVAL_US, place.lsn);
    self->maker = record_maker_new (SHARDS);
    self->sink = (shard_sink_t){s_effect, s_end, s_room, self};
    executor_set_sink (self->executor, &self->sink);
    executor_set_durable (self->executor, place.lsn);
    s_own_all (self);
}

/* What is in the buffer goes with the process. */
static void s_end_life (run_t *self)
{
    executor_set_sink (self->executor, NULL);
    executor_destroy (&self->executor);
    wal_destroy (&self->wal);
    wal_keeper_destroy (&self->keeper);
    record_maker_destroy (&self->maker);
    if (self->snapshot)
        self->stats->snapshots_cut_short++;
    file_close (&self->snapshot);
    snapshot_walk_destroy (&self->walk);
    writer_free (&self->chunk);
    self->sync_lsn = 0;
    self->reply_first = self->reply_count = 0;
}

/* ---- writing, syncing, answering --------------------------------------------------------------------- */

static void s_write (run_t *self)
{
    file_error_t error;
    wal_segment_t sealed;
    uint64_t end_lsn;
    if (wal_write (self->wal, &error))
        s_fail (self, "write", error.text);
    uint64_t lsn = wal_written_lsn (self->wal);
    for (size_t i = self->logged_count; i > 0 && self->logged[i - 1].written_us < 0; i--)
        self->logged[i - 1].written_us = self->now_us;
    flusher_on_written (&self->flusher, lsn, self->now_us);
    while (wal_next_sealed (self->wal, &sealed, &end_lsn))
        wal_keeper_seal (self->keeper, sealed.number, end_lsn);
}

/* A sync begins: what it covers is settled when it ends. */
static void s_ask_sync (run_t *self)
{
    file_error_t error;
    uint64_t lsn;
    if (self->sync_lsn || !flusher_ask (&self->flusher, self->now_us, &lsn))
        return;
    fault_files_defer (self->files, true);
    if (wal_keeper_sync (self->keeper, lsn, wal_current (self->wal).number, &error))
        s_fail (self, "sync", error.text);
    fault_files_defer (self->files, false);
    self->sync_lsn = lsn;
    self->sync_begun = fault_files_begun (self->files);
    self->sync_end_us =
        self->now_us + 100 + (int64_t)s_random (self, s_random (self, 10) ? 3000 : 300000);
    self->stats->syncs++;
}

static void s_end_sync (run_t *self)
{
    if (!self->sync_lsn || self->now_us < self->sync_end_us)
        return;
    fault_files_settle (self->files, self->sync_begun);
    wal_set_durable (self->wal, self->sync_lsn);
    flusher_on_durable (&self->flusher, self->sync_lsn, self->now_us);
    executor_set_durable (self->executor, self->sync_lsn);
    self->sync_lsn = 0;
}

static void s_acknowledge (run_t *self, uint64_t depends)
{
    self->stats->acknowledged++;
    for (size_t i = self->logged_count; i > 0; i--) {
        logged_t *logged = &self->logged[i - 1];
        if (logged->end_lsn < depends)
            break;
        if (logged->end_lsn == depends)
            logged->acknowledged_us = self->now_us;
    }
}

static void s_release (run_t *self)
{
    uint64_t releasable = flusher_releasable (&self->flusher, self->now_us);
    while (self->reply_first < self->reply_count &&
           self->replies[self->reply_first].gate <= releasable)
        s_acknowledge (self, self->replies[self->reply_first++].depends);
    if (self->reply_first == self->reply_count)
        self->reply_first = self->reply_count = 0;
}

/* ---- requests ---------------------------------------------------------------------------------------- */

typedef struct {
    writer_t out;
    int keys[4];
    int key_count;
} request_draft_t;

static void s_word (request_draft_t *draft, const char *text)
{
    writer_bin (&draft->out, kv_slice_text (text));
}

static void s_key (run_t *self, request_draft_t *draft)
{
    char text[16];
    int key = (int)s_random (self, KEYS);
    snprintf (text, sizeof text, "k%d", key);
    draft->keys[draft->key_count++] = key;
    s_word (draft, text);
}

static void s_value (run_t *self, request_draft_t *draft)
{
    uint8_t value[3000];
    size_t size = s_random (self, 12) ? s_random (self, 60) : s_random (self, sizeof value);
    memset (value, (int)(1 + s_random (self, 250)), size);
    writer_bin (&draft->out, kv_slice (value, size));
}

static void s_number (request_draft_t *draft, uint64_t number)
{
    writer_uint (&draft->out, number);
}

static void s_draw (run_t *self, request_draft_t *draft)
{
    switch (s_random (self, 11)) {
    case 0: writer_array (&draft->out, 2), s_word (draft, "GET"), s_key (self, draft); return;
    case 1: writer_array (&draft->out, 2), s_word (draft, "DEL"), s_key (self, draft); return;
    case 2:
        writer_array (&draft->out, 3), s_word (draft, "APPEND"), s_key (self, draft);
        s_value (self, draft);
        return;
    case 3:
        writer_array (&draft->out, 4), s_word (draft, "SETRANGE"), s_key (self, draft);
        s_number (draft, s_random (self, 200)), s_value (self, draft);
        return;
    case 4:
        writer_array (&draft->out, 5), s_word (draft, "SET"), s_key (self, draft);
        s_value (self, draft), s_word (draft, "PX"), s_number (draft, 1 + s_random (self, 400));
        return;
    case 5:
        writer_array (&draft->out, 3), s_word (draft, "PEXPIRE"), s_key (self, draft);
        s_number (draft, 1 + s_random (self, 400));
        return;
    case 6: writer_array (&draft->out, 2), s_word (draft, "INCR"), s_key (self, draft); return;
    case 7:
        writer_array (&draft->out, 5), s_word (draft, "MSET"), s_key (self, draft);
        s_value (self, draft), s_key (self, draft), s_value (self, draft);
        return;
    case 8:
        if (s_random (self, 12) == 0) {
            writer_array (&draft->out, 1), s_word (draft, "FLUSHALL");
            return;
        }
        writer_array (&draft->out, 2), s_word (draft, "EXISTS"), s_key (self, draft);
        return;
    default:
        writer_array (&draft->out, 3), s_word (draft, "SET"), s_key (self, draft);
        s_value (self, draft);
        return;
    }
}

/* The lsn that a reply about these keys tells of, whatever the executor says. */
static uint64_t s_depends (const run_t *self, const request_draft_t *draft)
{
    uint64_t depends = 0;
    for (int i = 0; i < draft->key_count; i++) {
        char text[16];
        snprintf (text, sizeof text, "k%d", draft->keys[i]);
        uint64_t lsn = self->key_lsn[kv_shard_of (kv_slice_text (text), SHARDS)][draft->keys[i]];
        depends = lsn > depends ? lsn : depends;
    }
    return depends;
}

static void s_request (run_t *self)
{
    request_draft_t draft = {.out = writer_make (SIZE_MAX)};
    writer_t reply = writer_make (1 << 20);
    request_begin (&draft.out, 1, 1, false);
    s_draw (self, &draft);
    kv_slice_t body = kv_slice (draft.out.data, draft.out.size);
    s_make_room (self, executor_bound (self->executor, body));
    size_t before = self->logged_count;
    kv_status_t status = executor_run (self->executor, body, self->wall_ms, &reply);
    KV_ASSERT (status == KV_OK);
    self->stats->requests++;
    reply_t decoded;
    result_t result;
    bool refused = false;
    if (reply_decode (kv_slice (reply.data, reply.size), &decoded) == KV_OK &&
        result_next (&decoded, &result) == KV_OK && result.status != KV_OK)
        refused =
            result.status == KV_DISK_FULL || result.status == KV_BUSY || result.status == KV_MOVED;
    /* A shard whose epoch found no space when the process began is MOVED ever since. */
    if (refused && result.status != KV_MOVED && !self->full)
        s_fail (self, "R20", "a request was refused though its space had been made");
    self->stats->refused += refused;
    uint64_t depends = refused ? 0 : s_depends (self, &draft);
    if (!refused && self->logged_count > before &&
        self->logged[self->logged_count - 1].end_lsn > depends)
        depends = self->logged[self->logged_count - 1].end_lsn;
    uint64_t gate = executor_gate (self->executor);
    if (self->policy == FLUSH_ALWAYS && depends > self->flusher.durable && gate < depends)
        s_fail (self, "R3", "a reply would leave before what it tells of is durable");
    KV_ASSERT (self->reply_count < REPLIES_MOST);
    self->replies[self->reply_count++] = (reply_t_){gate, depends};
    if (gate) {
        flusher_on_held (&self->flusher);
        self->stats->held++;
    }
    writer_free (&draft.out);
    writer_free (&reply);
}

/* ---- snapshots --------------------------------------------------------------------------------------- */

static const store_t *s_store_of (void *context, uint32_t shard)
{
    const shard_t *there = executor_shard (((run_t *)context)->executor, shard);
    return there ? shard_store (there) : NULL;
}

/* A snapshot that fails leaves the old one: the disk may be full. */
static bool s_put (run_t *self, snapshot_kind_t kind, uint32_t shard)
{
    file_error_t error;
    size_t bytes = self->chunk.size;
    snapshot_chunk_seal (self->chunk.data, bytes, kind, (uint32_t)self->snapshot_chunks++, shard);
    kv_status_t status = file_write (self->snapshot, self->snapshot_size,
                                     kv_slice (self->chunk.data, bytes), &error);
    self->snapshot_size += bytes;
    writer_reset (&self->chunk);
    if (status == KV_OK)
        return true;
    file_close (&self->snapshot);
    return false;
}

static void s_begin_snapshot (run_t *self)
{
    file_error_t error;
    uint8_t bytes[SNAPSHOT_HEADER_BYTES];
    if (files_open (self->files, "snapshot.dat.tmp", FILE_CREATE, &self->snapshot, &error))
        return;
    self->snapshot_start = wal_appended_lsn (self->wal);
    snapshot_header_t header = {.start_lsn = self->snapshot_start,
                                .entries = KEYS,
                                .shards = SHARDS,
                                .made_ms = self->wall_ms};
    memcpy (header.uuid, self->uuid, sizeof header.uuid);
    snapshot_header_encode (&header, bytes);
    self->snapshot_size = sizeof bytes;
    self->snapshot_chunks = self->snapshot_entries = 0;
    self->walk_over = false;
    if (file_write (self->snapshot, 0, kv_slice (bytes, sizeof bytes), &error)) {
        file_close (&self->snapshot);
        return;
    }
    size_t count = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        const shard_t *shard = executor_shard (self->executor, i);
        if (!shard)
            continue;
        self->walk_shards[count++] = i;
        snapshot_chunk_begin (&self->chunk);
        snapshot_shard_write (&self->chunk, shard_last (shard), store_count (shard_store (shard)));
        if (!s_put (self, SNAPSHOT_SHARD, i))
            return;
    }
    snapshot_walk_options_t walk = {
        .shards = self->walk_shards, .count = count, .store_of = s_store_of, .context = self};
    snapshot_walk_begin (self->walk, &walk);
}

static void s_finish_snapshot (run_t *self)
{
    file_error_t error;
    snapshot_chunk_begin (&self->chunk);
    snapshot_end_write (&self->chunk, self->snapshot_end, self->snapshot_entries,
                        self->snapshot_chunks);
    if (!s_put (self, SNAPSHOT_END, 0))
        return;
    bool good = file_sync (self->snapshot, &error) == KV_OK &&
                files_rename (self->files, "snapshot.dat.tmp", "snapshot.dat", &error) == KV_OK;
    file_close (&self->snapshot);
    if (!good || s_random (self, 4) == 0) /* power may be lost before the name is durable */
        return;
    if (files_sync_directory (self->files, &error))
        s_fail (self, "directory", error.text);
    self->stats->snapshots++;
    uint64_t before = wal_keeper_segments (self->keeper);
    if (wal_keeper_retire (self->keeper, self->snapshot_start, &error))
        s_fail (self, "retire", error.text);
    self->stats->segments_retired += before - wal_keeper_segments (self->keeper);
}

static void s_step_snapshot (run_t *self)
{
    if (!self->snapshot) {
        if (s_random (self, 12) == 0)
            s_begin_snapshot (self);
        return;
    }
    if (!self->walk_over) {
        snapshot_step_t step =
            snapshot_walk_step (self->walk, 1 + s_random (self, 6), &self->chunk);
        self->snapshot_entries += step.entries;
        self->walk_over = step.over;
        if (step.due && !s_put (self, SNAPSHOT_ENTRIES, step.shard))
            return;
        if (step.over)
            writer_reset (&self->chunk);
        self->snapshot_end = wal_appended_lsn (self->wal);
        return;
    }
    flusher_demand (&self->flusher, self->snapshot_end < self->flusher.written
                                        ? self->snapshot_end
                                        : self->flusher.written);
    if (self->flusher.durable >= self->snapshot_end)
        s_finish_snapshot (self);
}

/* ---- the run ----------------------------------------------------------------------------------------- */

/* One drain of the node: some requests, one write, then replies. */
static void s_step (run_t *self)
{
    self->now_us += (int64_t)s_random (self, s_random (self, 8) ? 2000 : 40000);
    self->wall_ms = 1700000000000 + self->now_us / 1000;
    s_end_sync (self);
    if (!executor_owns (self->executor, 0)) /* the disk was full */
        s_own_all (self);
    for (uint64_t i = s_random (self, 5); i > 0; i--)
        s_request (self);
    if (s_random (self, 3) == 0)
        (void)executor_tick (self->executor, self->wall_ms, 20);
    s_step_snapshot (self);
    if (s_random (self, 40) == 0) { /* it dies in the middle of a drain */
        self->reply_first = self->reply_count = 0;
        return;
    }
    s_write (self);
    s_ask_sync (self);
    s_release (self);
}

static bool s_die (run_t *self)
{
    bool power = s_random (self, 3) != 0;
    if (power)
        fault_files_power_loss (self->files, s_random (self, 4) ? POWER_TEAR : POWER_LOSE);
    self->stats->power_losses += power;
    self->stats->process_deaths += !power;
    TRACE (self, "%s\n", power ? "power is lost" : "the process dies");
    return power;
}

void power_run (uint64_t seed, bool trace, power_stats_t *stats)
{
    static const flush_policy_t policies[] = {FLUSH_ALWAYS, FLUSH_INTERVAL, FLUSH_NEVER};
    run_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self = (run_t){.seed = seed, .random = seed, .trace = trace, .stats = stats, .now_us = 1};
    memcpy (self->uuid, "one data director", sizeof self->uuid);
    self->policy = policies[s_random (self, 3)];
    self->segment_bytes = s_random (self, 2) ? 4096 : 32768;
    uint64_t few = 3 * self->segment_bytes + s_random (self, 8 * self->segment_bytes);
    uint64_t capacity = s_random (self, 3) ? 0 : few;
    self->files = fault_files_new (seed, capacity);
    self->stream = writer_make (SIZE_MAX);
    bool power = false;
    for (uint64_t life = 1 + s_random (self, LIVES_MOST); life > 0; life--) {
        self->walk = snapshot_walk_new ();
        self->chunk = writer_make (SIZE_MAX);
        s_begin_life (self, power);
        for (uint64_t i = s_random (self, STEPS_MOST); i > 0 && !(i == 1 && s_random (self, 2));
             i--)
            s_step (self);
        s_end_life (self);
        power = s_die (self);
    }
    self->walk = snapshot_walk_new ();
    self->chunk = writer_make (SIZE_MAX);
    s_begin_life (self, power);
    s_end_life (self);
    files_destroy (&self->files);
    writer_free (&self->stream);
    free (self);
}
