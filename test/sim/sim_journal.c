#include "sim_journal.h"

#include "schema/writer.h"

#include <stdlib.h>

typedef struct {
    uint64_t end_lsn;
    int64_t written_us;      /* -1: it never left the buffer */
    int64_t acknowledged_us; /* of the last reply that told of it; -1: none did */
    size_t at, bytes;        /* in the copy of the stream */
} logged_t;

struct sim_journal {
    uint32_t shards;
    logged_t *logged; /* owned */
    size_t count, capacity;
    writer_t stream;     /* the records, back to back */
    uint64_t *positions; /* owned [shards]: the highest ever given */
    bool power;
    uint64_t resumed_lsn; /* where the present life of the log began */
};

sim_journal_t *sim_journal_new (uint32_t shards)
{
    sim_journal_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->shards = shards;
    self->stream = writer_make (SIZE_MAX);
    self->positions = calloc (shards, sizeof *self->positions);
    KV_ASSERT (self->positions != NULL);
    return self;
}

void sim_journal_destroy (sim_journal_t **self_p)
{
    sim_journal_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->logged);
    free (self->positions);
    writer_free (&self->stream);
    free (self);
}

/* ---- what happens to records ---------------------------------------------------------------------- */

static bool s_opens_epoch (const record_t *record)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    return effect_next (&at, &effect) == KV_OK && effect.kind == EFFECT_OPEN;
}

bool sim_journal_append (sim_journal_t *self, kv_slice_t bytes, uint64_t lsn)
{
    record_t record;
    kv_status_t status = record_decode (bytes, &record);
    KV_ASSERT (status == KV_OK);
    KV_ASSERT (record.shard < self->shards);
    bool opens = s_opens_epoch (&record);
    bool twice = record.position <= self->positions[record.shard] && !opens;
    if (record.position > self->positions[record.shard] && !opens)
        self->positions[record.shard] = record.position;
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 64;
        self->logged = realloc (self->logged, self->capacity * sizeof *self->logged);
        KV_ASSERT (self->logged != NULL);
    }
    self->logged[self->count++] = (logged_t){.end_lsn = lsn,
                                             .written_us = -1,
                                             .acknowledged_us = -1,
                                             .at = self->stream.size,
                                             .bytes = bytes.size};
    writer_raw (&self->stream, bytes);
    return !twice; // U5
}

void sim_journal_written (sim_journal_t *self, int64_t now_us)
{
    for (size_t i = self->count; i > 0 && self->logged[i - 1].written_us < 0; i--)
        self->logged[i - 1].written_us = now_us;
}

void sim_journal_acknowledged (sim_journal_t *self, uint64_t from_lsn, uint64_t to_lsn,
                               int64_t now_us)
{
    for (size_t i = self->count; i > 0 && self->logged[i - 1].end_lsn > from_lsn; i--) {
        if (self->logged[i - 1].end_lsn <= to_lsn)
            self->logged[i - 1].acknowledged_us = now_us;
    }
}

void sim_journal_power_loss (sim_journal_t *self)
{
    self->power = true;
}

size_t sim_journal_count (const sim_journal_t *self)
{
    return self->count;
}

uint64_t sim_journal_record (const sim_journal_t *self, size_t index, record_t *record)
{
    KV_ASSERT (index < self->count);
    const logged_t *logged = &self->logged[index];
    kv_status_t status =
        record_decode (kv_slice (self->stream.data + logged->at, logged->bytes), record);
    KV_ASSERT (status == KV_OK);
    return logged->end_lsn;
}

uint64_t sim_journal_position (const sim_journal_t *self, uint32_t shard)
{
    return self->positions[shard];
}

/* ---- U1 ------------------------------------------------------------------------------------------- */

typedef struct {
    const store_t *by_rights, *found;
    const char *violated;
} comparison_t;

static void s_compare_entry (void *context, const entry_t *entry)
{
    comparison_t *self = context;
    kv_slice_t key = entry_key (entry);
    const entry_t *twin = store_find (self->found, key, store_hash (self->found, key));
    if (!twin)
        self->violated = "U1: an entry is missing";
    else if (!kv_slice_equal (entry_value (twin), entry_value (entry)))
        self->violated = "U1: another value";
    else if (entry_version (twin) != entry_version (entry))
        self->violated = "U1: another version";
    else if (store_expires_ms (self->found, twin) != store_expires_ms (self->by_rights, entry))
        self->violated = "U1: another expiry";
}

static const char *s_compare (const shard_t *by_rights, const shard_t *found)
{
    if (!by_rights && !found)
        return NULL;
    if (!by_rights || !found)
        return "U1: a shard is there that should not be, or the other way round";
    if (shard_last (by_rights) != shard_last (found))
        return "U1: another position";
    comparison_t comparison = {.by_rights = shard_store (by_rights), .found = shard_store (found)};
    if (store_count (comparison.by_rights) != store_count (comparison.found))
        return "U1: another number of entries";
    uint64_t cursor = 0;
    do
        cursor = store_scan (comparison.by_rights, cursor, s_compare_entry, &comparison);
    while (cursor);
    return comparison.violated;
}

/* What was recovered is what the first `count` records make. */
static const char *s_check_tables (const sim_journal_t *self, size_t count,
                                   const executor_t *executor)
{
    const char *violated = NULL;
    executor_options_t options = {.shards = self->shards,
                                  .max_value_bytes = 1 << 20,
                                  .secret = "a secret of 16.",
                                  .node_id = "journal",
                                  .version = "simulated"};
    executor_t *by_rights = executor_new (&options);
    for (size_t i = 0; i < count; i++) {
        record_t record;
        (void)sim_journal_record (self, i, &record);
        kv_status_t status = shard_apply (executor_restore (by_rights, record.shard), &record);
        KV_ASSERT (status == KV_OK);
    }
    for (uint32_t i = 0; i < self->shards && !violated; i++)
        violated = s_compare (executor_shard (by_rights, i), executor_shard (executor, i));
    executor_destroy (&by_rights);
    return violated;
}

/* ---- U2, U3, U4 ----------------------------------------------------------------------------------- */

/* The first acknowledged record that is lost was written no longer than an interval before the last
 * acknowledgement that is. */
static bool s_is_within_interval (const sim_journal_t *self, size_t count, int64_t interval_us)
{
    int64_t first_us = INT64_MAX;
    int64_t last_us = 0;
    for (size_t i = count; i < self->count; i++) {
        const logged_t *logged = &self->logged[i];
        if (logged->acknowledged_us < 0)
            continue;
        first_us = logged->written_us < first_us ? logged->written_us : first_us;
        last_us = logged->acknowledged_us > last_us ? logged->acknowledged_us : last_us;
    }
    return first_us >= last_us - interval_us;
}

static const char *s_check_loss (const sim_journal_t *self, const sim_journal_found_t *found,
                                 size_t count, sim_journal_loss_t *loss)
{
    *loss = (sim_journal_loss_t){.power = self->power};
    for (size_t i = count; i < self->count; i++) {
        const logged_t *logged = &self->logged[i];
        loss->records++;
        loss->acknowledged += logged->acknowledged_us >= 0;
        if (!self->power && logged->written_us >= 0)
            return "U2: what was written is lost, though only the process died";
    }
    if (found->policy == FLUSH_ALWAYS && loss->acknowledged)
        return "U3: an acknowledged write is lost";
    if (found->policy == FLUSH_INTERVAL && !s_is_within_interval (self, count, found->interval_us))
        return "U4: more than an interval's writes are lost";
    return NULL;
}

const char *sim_journal_recovered (sim_journal_t *self, const sim_journal_found_t *found,
                                   sim_journal_loss_t *loss)
{
    size_t count = 0;
    while (count < self->count && self->logged[count].end_lsn <= found->lsn)
        count++;
    uint64_t end_lsn = count > 0 ? self->logged[count - 1].end_lsn : 0;
    if (found->lsn != end_lsn && found->lsn != self->resumed_lsn)
        return "U1: the log ends within a record";
    const char *violated = s_check_loss (self, found, count, loss);
    if (!violated)
        violated = s_check_tables (self, count, found->executor);
    if (count < self->count)
        self->stream.size = self->logged[count].at;
    self->count = count;
    self->resumed_lsn = found->resumes_lsn;
    self->power = false;
    return violated;
}
