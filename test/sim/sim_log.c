#include "sim_log.h"

#include "sim_snapshot.h"

#include "actors/wal.h"
#include "actors/wal_actor.h"
#include "node/record_maker.h"
#include "node/recovery.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PREPARE_US_LEAST = 20, /* a step of it */
    PREPARE_US_MOST = 3000,
    SNAPSHOT_US_MOST = 4000, /* between two steps */
    HESITATE_US = 50,        /* how often a node looks that puts a sync off under always */
    LOOK_US = 10000          /* ... and otherwise */
};

struct sim_log {
    sim_log_options_t options;
    sim_random_t random;
    enum { LOADING, RUNNING, FAILED } state;
    bool violated;
    char fault[FILES_ERROR_BYTES + 64];
    recovery_t *recovery; /* owned, while LOADING */
    wal_t *wal;           /* owned, from here on while RUNNING */
    flusher_t flusher;
    record_maker_t *maker; /* owned */
    shard_sink_t sink;
    writer_t record;   /* scratch */
    uint64_t demanded; /* lsn; synced whatever the policy is */
    uint64_t asked_bytes;
    bool disk_full;
    /* The keeper's thread (G1): */
    wal_keeper_t *keeper; /* owned */
    enum { RESTS, SYNCS, PREPARES } work;
    int64_t work_end_us;
    uint64_t wanted_bytes;
    bool full;
    int64_t retry_us;
    bool sync_wanted;
    uint64_t sync_lsn, sync_number;
    uint64_t syncing_lsn, syncing_begun; /* of the one under way */
    /* Snapshots: */
    sim_snapshot_t *snapshot; /* owned */
    int64_t snapshot_us;      /* its next step */
    uint64_t retired_lsn;
    sim_log_stats_t stats;
};

/* ---- faults --------------------------------------------------------------------------------------- */

static void s_fail (sim_log_t *self, const char *text)
{
    if (self->state == FAILED)
        return;
    self->state = FAILED;
    snprintf (self->fault, sizeof self->fault, "%s", text);
}

static void s_violate (sim_log_t *self, const char *text)
{
    if (!self->violated)
        snprintf (self->fault, sizeof self->fault, "%s", text);
    self->violated = true;
    self->state = FAILED;
}

const char *sim_log_fault (const sim_log_t *self)
{
    return self->fault;
}

bool sim_log_is_violated (const sim_log_t *self)
{
    return self->violated;
}

/* ---- the sink ------------------------------------------------------------------------------------- */

static void s_sink_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    sim_log_t *self = context;
    record_maker_effect (self->maker, shard, effect);
}

static uint64_t s_sink_end (void *context, const shard_t *shard)
{
    sim_log_t *self = context;
    writer_reset (&self->record);
    record_maker_end (self->maker, shard, &self->record);
    kv_slice_t record = kv_slice (self->record.data, self->record.size);
    writer_raw (wal_buffer (self->wal), record);
    uint64_t lsn = wal_appended_lsn (self->wal);
    if (!sim_journal_append (self->options.journal, record, lsn))
        s_violate (self, "U5: a position is given twice");
    return lsn;
}

static uint64_t s_sink_room (void *context)
{
    const sim_log_t *self = context;
    return wal_room (self->wal);
}

/* ---- life ----------------------------------------------------------------------------------------- */

sim_log_t *sim_log_new (const sim_log_options_t *options)
{
    sim_log_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->random = options->random;
    self->record = writer_make (SIZE_MAX);
    recovery_options_t recovery = {.files = options->files,
                                   .snapshot_files = options->files,
                                   .snapshot = SIM_SNAPSHOT_NAME,
                                   .uuid = options->uuid,
                                   .executor = options->executor,
                                   .shards = options->shards};
    self->recovery = recovery_new (&recovery);
    return self;
}

void sim_log_destroy (sim_log_t **self_p)
{
    sim_log_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    executor_set_sink (self->options.executor, NULL);
    recovery_destroy (&self->recovery);
    sim_snapshot_destroy (&self->snapshot);
    wal_keeper_destroy (&self->keeper);
    wal_destroy (&self->wal);
    record_maker_destroy (&self->maker);
    writer_free (&self->record);
    free (self);
}

sim_log_stats_t sim_log_stats (const sim_log_t *self)
{
    sim_log_stats_t stats = self->stats;
    if (self->snapshot) {
        stats.snapshots = sim_snapshot_done (self->snapshot);
        stats.snapshots_failed = sim_snapshot_failed (self->snapshot);
    }
    return stats;
}

/* ---- loading -------------------------------------------------------------------------------------- */

static kv_status_t s_start_log (sim_log_t *self, file_error_t *error)
{
    wal_end_t end = recovery_end (self->recovery);
    size_t count;
    const wal_segment_info_t *segments = recovery_segments (self->recovery, &count);
    wal_keeper_options_t options = {.files = self->options.files,
                                    .segment_bytes = self->options.segment_bytes};
    memcpy (options.uuid, self->options.uuid, WAL_UUID_BYTES);
    wal_segment_t current;
    wal_place_t place;
    self->stats.torn_tail = end.torn_bytes > 0;
    kv_status_t status =
        wal_keeper_open (&options, &end, segments, count, &self->keeper, &current, &place, error);
    if (status)
        return status;
    self->wal = wal_new (place);
    if (current.number)
        wal_add_segment (self->wal, &current);
    self->flusher = flusher_make (self->options.policy, self->options.interval_us, place.lsn);
    return KV_OK;
}

static void s_retire (sim_log_t *self, uint64_t lsn)
{
    file_error_t error;
    uint64_t before = wal_keeper_segments (self->keeper);
    if (wal_keeper_retire (self->keeper, lsn, &error))
        s_fail (self, error.text);
    self->retired_lsn = lsn;
    self->stats.segments_retired += before - wal_keeper_segments (self->keeper);
}

static void s_start_snapshots (sim_log_t *self, const recovery_progress_t *recovered)
{
    sim_snapshot_options_t options = {.files = self->options.files,
                                      .uuid = self->options.uuid,
                                      .executor = self->options.executor,
                                      .shards = self->options.shards,
                                      .random = sim_random_fork (&self->random, 1)};
    self->snapshot = sim_snapshot_new (&options);
    if (recovered->has_snapshot)
        sim_snapshot_recovered (self->snapshot, recovered->start_lsn, recovered->snapshot_bytes);
    self->stats.used_snapshot = recovered->has_snapshot;
}

/* From now on records are logged. */
static kv_status_t s_run (sim_log_t *self, file_error_t *error)
{
    recovery_progress_t recovered = recovery_progress (self->recovery);
    kv_status_t status = s_start_log (self, error);
    if (status)
        return status;
    s_start_snapshots (self, &recovered);
    recovery_destroy (&self->recovery);
    self->state = RUNNING;
    self->maker = record_maker_new (self->options.shards);
    self->sink = (shard_sink_t){
        .effect = s_sink_effect, .end = s_sink_end, .room = s_sink_room, .context = self};
    executor_set_sink (self->options.executor, &self->sink);
    executor_set_durable (self->options.executor, wal_durable_lsn (self->wal));
    executor_set_persistent (self->options.executor, recovered.made_ms / 1000);
    s_retire (self, recovered.start_lsn);
    (void)sim_log_has_room (self, 1);
    return KV_OK;
}

/* G3 */
static kv_status_t s_judge (sim_log_t *self)
{
    wal_end_t end = recovery_end (self->recovery);
    sim_journal_found_t found = {.lsn = end.record_lsn,
                                 .resumes_lsn = end.place.lsn,
                                 .executor = self->options.executor,
                                 .policy = self->options.policy,
                                 .interval_us = self->options.interval_us};
    const char *violated = sim_journal_recovered (self->options.journal, &found, &self->stats.loss);
    self->stats.judged = !violated;
    if (!violated)
        return KV_OK;
    s_violate (self, violated);
    return KV_INTERNAL;
}

kv_status_t sim_log_load (sim_log_t *self, int64_t now_us)
{
    (void)now_us;
    file_error_t error = {0};
    KV_ASSERT (self->state == LOADING);
    kv_status_t status = recovery_step (self->recovery, &error);
    if (status == KV_OK)
        return KV_OK;
    if (status == KV_END)
        status = s_judge (self);
    if (status == KV_OK)
        status = s_run (self, &error);
    if (status == KV_OK)
        return KV_END;
    if (status == KV_IO || status == KV_DISK_FULL)
        s_fail (self, error.text);
    else
        s_violate (self, error.text);
    return status;
}

/* ---- space ---------------------------------------------------------------------------------------- */

bool sim_log_has_room (sim_log_t *self, uint64_t bytes)
{
    if (self->state != RUNNING)
        return true;
    uint64_t spare = wal_spare_bytes (self->wal);
    if (spare + self->asked_bytes < bytes || spare + self->asked_bytes == 0) {
        self->asked_bytes = bytes > spare ? bytes - spare : 1;
        if (self->asked_bytes > self->wanted_bytes)
            self->wanted_bytes = self->asked_bytes;
        wal_keeper_set_prewrite (self->keeper, sim_random_percent (&self->random, 50));
    }
    return wal_room (self->wal) >= bytes || self->disk_full;
}

uint64_t sim_log_room (const sim_log_t *self)
{
    return self->state == RUNNING ? wal_room (self->wal) : 0;
}

bool sim_log_is_full (const sim_log_t *self)
{
    return self->disk_full;
}

static void s_set_disk_full (sim_log_t *self, bool full)
{
    if (self->disk_full == full)
        return;
    self->disk_full = full;
    executor_set_disk_full (self->options.executor, full);
    self->stats.full_disks += full;
    self->stats.space_again += !full;
}

static uint64_t s_less (uint64_t bytes, uint64_t by)
{
    return bytes - (by < bytes ? by : bytes);
}

/* The keeper has one ready. */
static void s_on_segment (sim_log_t *self, const wal_segment_t *segment)
{
    uint64_t usable = segment->bytes - segment->offset;
    self->full = false;
    self->wanted_bytes = s_less (self->wanted_bytes, usable);
    self->asked_bytes = s_less (self->asked_bytes, usable);
    self->stats.segments++;
    wal_add_segment (self->wal, segment);
    (void)sim_log_has_room (self, 1);
    s_set_disk_full (self, false);
}

/* ---- the keeper's thread (G1) --------------------------------------------------------------------- */

static void s_begin_sync (sim_log_t *self, int64_t now_us)
{
    file_error_t error;
    const sim_pace_t *pace = self->options.pace;
    self->sync_wanted = false;
    fault_files_defer (self->options.files, true);
    kv_status_t status = wal_keeper_sync (self->keeper, self->sync_lsn, self->sync_number, &error);
    fault_files_defer (self->options.files, false);
    if (status) {
        s_fail (self, error.text);
        return;
    }
    self->work = SYNCS;
    self->syncing_lsn = self->sync_lsn;
    self->syncing_begun = fault_files_begun (self->options.files);
    self->work_end_us =
        now_us + sim_random_scale (&self->random, pace->sync_least_us, pace->sync_most_us);
    self->stats.syncs++;
}

/* G2 */
static void s_end_sync (sim_log_t *self, int64_t now_us)
{
    fault_files_settle (self->options.files, self->syncing_begun);
    wal_set_durable (self->wal, self->syncing_lsn);
    flusher_on_durable (&self->flusher, self->syncing_lsn, now_us);
    executor_set_durable (self->options.executor, self->syncing_lsn);
}

static void s_prepare (sim_log_t *self, int64_t now_us)
{
    file_error_t error;
    wal_segment_t segment;
    switch (wal_keeper_prepare (self->keeper, &segment, &error)) {
    case KV_OK: return;
    case KV_END: s_on_segment (self, &segment); return;
    case KV_DISK_FULL:
        self->full = true;
        self->retry_us = now_us + WAL_RETRY_MS * 1000;
        s_set_disk_full (self, true);
        return;
    default: s_fail (self, error.text); return;
    }
}

/* False: there is nothing to do. */
static bool s_begin_work (sim_log_t *self, int64_t now_us)
{
    if (self->sync_wanted) {
        s_begin_sync (self, now_us);
        return self->state == RUNNING;
    }
    if (self->wanted_bytes == 0 || (self->full && now_us < self->retry_us))
        return false;
    self->work = PREPARES;
    self->work_end_us =
        now_us + sim_random_scale (&self->random, PREPARE_US_LEAST, PREPARE_US_MOST);
    return true;
}

static void s_keep (sim_log_t *self, int64_t now_us)
{
    while (self->state == RUNNING) {
        if (self->work == RESTS && !s_begin_work (self, now_us))
            return;
        if (now_us < self->work_end_us)
            return;
        bool syncs = self->work == SYNCS;
        self->work = RESTS;
        if (syncs)
            s_end_sync (self, now_us);
        else
            s_prepare (self, now_us);
    }
}

/* ---- writing and syncing -------------------------------------------------------------------------- */

static void s_ask_sync (sim_log_t *self, int64_t now_us)
{
    uint64_t lsn;
    if (!flusher_ask (&self->flusher, now_us, &lsn))
        return;
    self->sync_wanted = true;
    self->sync_lsn = lsn;
    self->sync_number = wal_current (self->wal).number;
    s_keep (self, now_us);
}

/* What was demanded, as far as it is written. */
static void s_pass_demand (sim_log_t *self)
{
    uint64_t written = self->flusher.written;
    flusher_demand (&self->flusher, self->demanded < written ? self->demanded : written);
}

bool sim_log_write (sim_log_t *self, int64_t now_us)
{
    file_error_t error = {0};
    wal_segment_t sealed;
    uint64_t end_lsn;
    if (self->state != RUNNING)
        return self->state == LOADING;
    if (wal_appended_lsn (self->wal) == wal_written_lsn (self->wal))
        return true;
    if (wal_write (self->wal, &error)) {
        s_fail (self, error.text);
        return false;
    }
    sim_journal_written (self->options.journal, now_us);
    flusher_on_written (&self->flusher, wal_written_lsn (self->wal), now_us);
    s_pass_demand (self);
    while (wal_next_sealed (self->wal, &sealed, &end_lsn))
        wal_keeper_seal (self->keeper, sealed.number, end_lsn);
    s_ask_sync (self, now_us);
    if (self->state == RUNNING)
        (void)sim_log_has_room (self, 1);
    return self->state == RUNNING;
}

uint64_t sim_log_appended (const sim_log_t *self)
{
    return self->wal ? wal_appended_lsn (self->wal) : 0;
}

uint64_t sim_log_durable (const sim_log_t *self)
{
    return self->wal ? wal_durable_lsn (self->wal) : 0;
}

uint64_t sim_log_releasable (const sim_log_t *self, int64_t now_us)
{
    return self->state == RUNNING ? flusher_releasable (&self->flusher, now_us) : 0;
}

void sim_log_on_held (sim_log_t *self)
{
    flusher_on_held (&self->flusher);
}

bool sim_log_flush (sim_log_t *self, int64_t now_us)
{
    if (self->state != RUNNING)
        return false;
    self->demanded = wal_appended_lsn (self->wal);
    s_pass_demand (self);
    s_ask_sync (self, now_us);
    return wal_durable_lsn (self->wal) == wal_appended_lsn (self->wal);
}

void sim_log_finish (sim_log_t *self, int64_t now_us)
{
    (void)!sim_log_write (self, now_us);
    while (!sim_log_flush (self, now_us) && self->state == RUNNING) {
        if (self->work != RESTS && now_us < self->work_end_us)
            now_us = self->work_end_us;
        s_keep (self, now_us);
    }
}

/* ---- snapshots ------------------------------------------------------------------------------------ */

static bool s_snapshot_is_due (const sim_log_t *self)
{
    uint64_t growth = wal_written_lsn (self->wal) - sim_snapshot_start_lsn (self->snapshot);
    uint64_t bytes = sim_snapshot_bytes (self->snapshot);
    return growth > 0 && growth >= self->options.snapshot_log_bytes && growth >= bytes;
}

static void s_tend_snapshot (sim_log_t *self, int64_t now_us, int64_t wall_ms)
{
    if (now_us < self->snapshot_us)
        return;
    uint64_t failed = sim_snapshot_failed (self->snapshot);
    uint64_t appended = wal_appended_lsn (self->wal);
    if (sim_snapshot_is_idle (self->snapshot) && !s_snapshot_is_due (self))
        return;
    if (sim_snapshot_is_idle (self->snapshot))
        sim_snapshot_begin (self->snapshot, appended, wall_ms);
    else
        sim_snapshot_step (self->snapshot, appended, wal_durable_lsn (self->wal));
    uint64_t wants = sim_snapshot_wants (self->snapshot);
    flusher_demand (&self->flusher, wants < self->flusher.written ? wants : self->flusher.written);
    if (sim_snapshot_start_lsn (self->snapshot) > self->retired_lsn)
        s_retire (self, sim_snapshot_start_lsn (self->snapshot));
    self->snapshot_us = now_us + sim_random_range (&self->random, 1, SNAPSHOT_US_MOST);
    if (sim_snapshot_failed (self->snapshot) > failed)
        self->snapshot_us = now_us + WAL_RETRY_MS * 1000; /* not again and again */
}

/* ---- the turn ------------------------------------------------------------------------------------- */

void sim_log_tend (sim_log_t *self, int64_t now_us, int64_t wall_ms)
{
    s_keep (self, now_us);
    if (self->state == RUNNING)
        s_tend_snapshot (self, now_us, wall_ms);
    if (self->state == RUNNING)
        s_ask_sync (self, now_us);
}

static int64_t s_earlier (int64_t a_us, int64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

/* When the flusher is to be asked again, if nothing else happens. */
static int64_t s_next_ask_us (const sim_log_t *self, int64_t now_us)
{
    const flusher_t *flusher = &self->flusher;
    if (flusher->written == flusher->asked)
        return INT64_MAX;
    if (flusher->wanted > flusher->asked)
        return now_us;
    if (flusher_due_us (flusher) != INT64_MAX) {
        int64_t part_us = flusher->took_us / 16;
        return now_us + (part_us > HESITATE_US ? part_us : HESITATE_US);
    }
    bool waits = flusher->policy == FLUSH_INTERVAL && flusher->asked <= flusher->durable;
    return waits ? now_us + LOOK_US : INT64_MAX;
}

int64_t sim_log_next_us (const sim_log_t *self, int64_t now_us)
{
    if (self->state != RUNNING)
        return INT64_MAX;
    int64_t next_us = s_next_ask_us (self, now_us);
    if (self->work != RESTS)
        next_us = s_earlier (next_us, self->work_end_us);
    else if (self->wanted_bytes > 0)
        next_us = s_earlier (next_us, self->retry_us);
    bool settles = sim_snapshot_wants (self->snapshot) > wal_durable_lsn (self->wal);
    if (settles ? self->work == RESTS && !self->sync_wanted
                : !sim_snapshot_is_idle (self->snapshot) || s_snapshot_is_due (self))
        next_us = s_earlier (next_us, self->snapshot_us);
    return next_us > now_us ? next_us : now_us + 1;
}
