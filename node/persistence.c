#include "node/persistence.h"

#include "actors/clock.h"
#include "actors/files_disk.h"
#include "actors/wal_actor.h"
#include "node/record_maker.h"
#include "node/recovery.h"
#include "node/snapshotter.h"

#include <zmq.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef enum { LOADING, RUNNING, FAILED } persistence_state_t;

struct persistence {
    persistence_options_t options;
    persistence_state_t state;
    char fault[FILES_ERROR_BYTES + 192];
    recovery_t *recovery; /* owned, while LOADING */
    recovery_progress_t recovered;
    int64_t load_began_us, load_took_ms, load_told_us;
    wal_t *wal;                 /* owned, from here on while RUNNING */
    wal_actor_t *wal_actor;     /* owned */
    snapshotter_t *snapshotter; /* owned */
    files_t *own_files;         /* owned: the snapshot's directory, where that is another one */
    files_t *snapshot_files;
    char *snapshot_name; /* owned */
    flusher_t flusher;
    uint64_t demanded; /* lsn; synced whatever the policy is */
    shard_sink_t sink;
    record_maker_t *maker;                 /* owned */
    uint64_t asked_bytes;                  /* spare space last asked for; 0: nothing is under way */
    uint64_t prepared_lsn, prepared_syncs; /* when a segment was last asked for */
    bool disk_full;
    uint64_t syncs, segments, retired_lsn;
    int64_t sync_took_us, sync_longest_us;
    uint64_t records;
};

enum { LOAD_LOG_US = 1000 * 1000, FINISH_POLL_MS = 1000, SYNC_BYTES_FEW = 32 * 1024 };

/* ---- faults ---------------------------------------------------------------------------------- */

static void s_fail (persistence_t *self, const char *text)
{
    if (self->state == FAILED)
        return;
    self->state = FAILED; // Q3
    snprintf (self->fault, sizeof self->fault, "%s", text);
}

/* The disk cannot be relied on any more (R20). */
static void s_fail_disk (persistence_t *self, const file_error_t *error)
{
    char text[sizeof self->fault];
    snprintf (text, sizeof text,
              "%s; nothing more is acknowledged: replace the disk, or copy the data directory to "
              "another one, then start the node again",
              error->text);
    s_fail (self, text);
}

const char *persistence_fault (const persistence_t *self)
{
    return self->fault;
}

/* ---- the sink: records go to the log's buffer ------------------------------------------------- */

static void s_sink_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    persistence_t *self = context;
    record_maker_effect (self->maker, shard, effect);
}

static uint64_t s_sink_end (void *context, const shard_t *shard)
{
    persistence_t *self = context;
    record_maker_end (self->maker, shard, wal_buffer (self->wal));
    self->records++;
    return wal_appended_lsn (self->wal);
}

static uint64_t s_sink_room (void *context)
{
    const persistence_t *self = context;
    return wal_room (self->wal);
}

/* ---- opening and loading ----------------------------------------------------------------------- */

/* The snapshot's directory and name. */
static kv_status_t s_open_snapshot_files (persistence_t *self, file_error_t *error)
{
    const char *path = self->options.snapshot_path;
    const char *slash = path ? strrchr (path, '/') : NULL;
    char lock[FILES_NAME_BYTES_MAX + 1];
    self->snapshot_files = self->options.files;
    self->snapshot_name = strdup (slash ? slash + 1 : path ? path : "snapshot.dat");
    KV_ASSERT (self->snapshot_name != NULL);
    if (!path)
        return KV_OK;
    char *directory =
        slash ? strndup (path, slash == path ? 1 : (size_t)(slash - path)) : strdup (".");
    KV_ASSERT (directory != NULL);
    kv_status_t status = files_disk_open (directory, &self->own_files, error);
    free (directory);
    if (status)
        return status;
    self->snapshot_files = self->own_files;
    if ((size_t)snprintf (lock, sizeof lock, "%s.lock", self->snapshot_name) >= sizeof lock) {
        snprintf (error->text, sizeof error->text,
                  "kvdb.persistence.filepath: the file's name is too long");
        return KV_CONFIG;
    }
    return files_lock (self->own_files, lock, error);
}

kv_status_t persistence_open (const persistence_options_t *options, persistence_t **self_p,
                              char *why, size_t why_bytes)
{
    file_error_t error = {0};
    persistence_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self_p = self;
    self->options = *options;
    kv_status_t status = s_open_snapshot_files (self, &error);
    if (status) {
        snprintf (why, why_bytes, "%s", error.text);
        persistence_close (self_p);
        return status;
    }
    recovery_options_t recovery = {.files = options->files,
                                   .snapshot_files = self->snapshot_files,
                                   .snapshot = self->snapshot_name,
                                   .uuid = options->uuid,
                                   .executor = options->executor,
                                   .shards = options->shards};
    self->recovery = recovery_new (&recovery);
    self->load_began_us = self->load_told_us = clock_us ();
    return KV_OK;
}

void persistence_close (persistence_t **self_p)
{
    persistence_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->options.executor)
        executor_set_sink (self->options.executor, NULL);
    recovery_destroy (&self->recovery);
    snapshotter_destroy (&self->snapshotter);
    wal_actor_destroy (&self->wal_actor);
    wal_destroy (&self->wal);
    record_maker_destroy (&self->maker);
    files_destroy (&self->own_files);
    free (self->snapshot_name);
    free (self);
}

static void s_tell_actor (persistence_t *self, wal_message_t message)
{
    wal_actor_send (self->wal_actor, &message);
}

static kv_status_t s_start_log (persistence_t *self, file_error_t *error)
{
    wal_end_t end = recovery_end (self->recovery);
    size_t count;
    const wal_segment_info_t *segments = recovery_segments (self->recovery, &count);
    wal_keeper_options_t options = {.files = self->options.files,
                                    .segment_bytes = self->options.segment_bytes};
    memcpy (options.uuid, self->options.uuid, WAL_UUID_BYTES);
    wal_keeper_t *keeper = NULL;
    wal_segment_t current;
    wal_place_t place;
    if (end.torn_bytes || end.record_lsn < end.place.lsn)
        log_event (self->options.log, KV_LOG_WARN,
                   "event=log_tail_cut segment=%" PRIu64 " offset=%" PRIu64 " lsn=%" PRIu64
                   " torn_bytes=%" PRIu64,
                   end.segment, end.offset, end.record_lsn, end.torn_bytes);
    kv_status_t status =
        wal_keeper_open (&options, &end, segments, count, &keeper, &current, &place, error);
    if (status)
        return status;
    self->wal_actor = wal_actor_new (&keeper);
    if (!self->wal_actor) {
        wal_keeper_destroy (&keeper);
        snprintf (error->text, sizeof error->text,
                  "no thread or socket for the log; raise the system's limits");
        return KV_IO;
    }
    self->wal = wal_new (place);
    if (current.number)
        wal_add_segment (self->wal, &current);
    self->flusher =
        flusher_make (self->options.policy, self->options.interval_ms * 1000, place.lsn);
    return KV_OK;
}

static kv_status_t s_start_snapshots (persistence_t *self, file_error_t *error)
{
    snapshotter_options_t options = {.files = self->snapshot_files,
                                     .name = self->snapshot_name,
                                     .uuid = self->options.uuid,
                                     .shards = self->options.shards,
                                     .executor = self->options.executor,
                                     .log = self->options.log};
    self->snapshotter = snapshotter_new (&options);
    if (!self->snapshotter) {
        snprintf (error->text, sizeof error->text,
                  "no thread or socket for snapshots; raise the system's limits");
        return KV_IO;
    }
    if (self->recovered.has_snapshot)
        snapshotter_recovered (self->snapshotter, self->recovered.start_lsn,
                               self->recovered.snapshot_bytes, self->recovered.entries);
    return KV_OK;
}

/* From now on records are logged. */
static kv_status_t s_run (persistence_t *self, file_error_t *error)
{
    self->recovered = recovery_progress (self->recovery);
    kv_status_t status = s_start_log (self, error);
    if (status == KV_OK)
        status = s_start_snapshots (self, error);
    if (status)
        return status;
    recovery_destroy (&self->recovery);
    self->load_took_ms = (clock_us () - self->load_began_us) / 1000;
    self->state = RUNNING;
    self->maker = record_maker_new (self->options.shards);
    self->sink = (shard_sink_t){
        .effect = s_sink_effect, .end = s_sink_end, .room = s_sink_room, .context = self};
    executor_set_sink (self->options.executor, &self->sink);
    executor_set_durable (self->options.executor, wal_durable_lsn (self->wal));
    executor_set_persistent (self->options.executor, self->recovered.made_ms / 1000);
    s_tell_actor (self, (wal_message_t){.type = WAL_RETIRE, .lsn = self->recovered.start_lsn});
    (void)persistence_has_room (self, 1);
    log_event (self->options.log, KV_LOG_INFO,
               "event=recovered entries=%" PRIu64 " records=%" PRIu64 " lsn=%" PRIu64
               " took_ms=%" PRId64,
               self->recovered.entries, self->recovered.records, wal_appended_lsn (self->wal),
               self->load_took_ms);
    return KV_OK;
}

static void s_log_progress (persistence_t *self, int64_t now_us)
{
    if (now_us - self->load_told_us < LOAD_LOG_US)
        return;
    self->load_told_us = now_us;
    recovery_progress_t progress = recovery_progress (self->recovery);
    log_event (self->options.log, KV_LOG_INFO,
               "event=loading phase=%s percent=%" PRIu64 " entries=%" PRIu64 " records=%" PRIu64,
               progress.phase == RECOVERY_SNAPSHOT ? "snapshot" : "log",
               progress.all_bytes ? progress.done_bytes * 100 / progress.all_bytes : 100,
               progress.entries, progress.records);
}

kv_status_t persistence_load (persistence_t *self, int64_t until_us)
{
    file_error_t error = {0};
    kv_status_t status = KV_OK;
    if (self->state != LOADING)
        return self->state == RUNNING ? KV_END : KV_IO;
    for (int64_t now_us = 0; status == KV_OK && now_us < until_us;) {
        status = recovery_step (self->recovery, &error);
        now_us = clock_us ();
        s_log_progress (self, now_us);
    }
    if (status == KV_END) {
        status = s_run (self, &error);
        if (status == KV_OK)
            return KV_END;
    }
    if (status == KV_IO && error.number)
        s_fail_disk (self, &error);
    else if (status)
        s_fail (self, error.text);
    return status;
}

/* ---- space ------------------------------------------------------------------------------------- */

/* Cheaper syncs are worth a second copy of the log where somebody waits for each of them, and they carry
 * little. */
static bool s_is_worth_zeros (persistence_t *self)
{
    uint64_t syncs = self->syncs - self->prepared_syncs;
    uint64_t bytes = wal_durable_lsn (self->wal) - self->prepared_lsn;
    self->prepared_syncs = self->syncs;
    self->prepared_lsn = wal_durable_lsn (self->wal);
    return self->options.policy == FLUSH_ALWAYS && bytes <= syncs * SYNC_BYTES_FEW;
}

/* What is wanted is `bytes`, and some segment ahead in any case. */
bool persistence_has_room (persistence_t *self, uint64_t bytes)
{
    if (self->state != RUNNING)
        return true; /* nothing is logged: the executor refuses what would be */
    uint64_t spare = wal_spare_bytes (self->wal);
    if (spare + self->asked_bytes < bytes || spare + self->asked_bytes == 0) {
        self->asked_bytes = bytes > spare ? bytes - spare : 1;
        s_tell_actor (self, (wal_message_t){.type = WAL_PREPARE,
                                            .bytes = self->asked_bytes,
                                            .prewrite = s_is_worth_zeros (self)});
    }
    return wal_room (self->wal) >= bytes || self->disk_full; // Q4
}

/* The actor counts in the same way. */
static void s_on_segment (persistence_t *self, const wal_segment_t *segment)
{
    uint64_t usable = segment->bytes - segment->offset;
    self->asked_bytes -= usable < self->asked_bytes ? usable : self->asked_bytes;
    wal_add_segment (self->wal, segment);
    (void)persistence_has_room (self, 1);
}

uint64_t persistence_room (const persistence_t *self)
{
    return self->state == RUNNING ? wal_room (self->wal) : 0;
}

static void s_set_disk_full (persistence_t *self, bool full, const char *reason)
{
    if (self->disk_full == full)
        return;
    self->disk_full = full;
    executor_set_disk_full (self->options.executor, full);
    if (full)
        log_event (
            self->options.log, KV_LOG_ERROR,
            "event=disk_full reason=\"%s\" effect=\"writes are refused until there is space\"",
            reason);
    else
        log_event (self->options.log, KV_LOG_INFO, "event=disk_has_space");
}

/* ---- writing and syncing ------------------------------------------------------------------------- */

static void s_seal (persistence_t *self)
{
    wal_segment_t sealed;
    uint64_t end_lsn;
    while (wal_next_sealed (self->wal, &sealed, &end_lsn))
        s_tell_actor (self,
                      (wal_message_t){.type = WAL_SEAL, .number = sealed.number, .lsn = end_lsn});
}

static void s_ask_sync (persistence_t *self)
{
    uint64_t lsn;
    if (!flusher_ask (&self->flusher, clock_us (), &lsn))
        return;
    s_tell_actor (
        self,
        (wal_message_t){.type = WAL_SYNC, .lsn = lsn, .number = wal_current (self->wal).number});
}

/* What was demanded, as far as it is written. */
static void s_pass_demand (persistence_t *self)
{
    uint64_t written = self->flusher.written;
    flusher_demand (&self->flusher, self->demanded < written ? self->demanded : written);
}

bool persistence_write (persistence_t *self)
{
    file_error_t error = {0};
    if (self->state != RUNNING)
        return self->state == LOADING;
    if (wal_appended_lsn (self->wal) == wal_written_lsn (self->wal))
        return true;
    if (wal_write (self->wal, &error)) {
        s_fail_disk (self, &error);
        return false;
    }
    flusher_on_written (&self->flusher, wal_written_lsn (self->wal), clock_us ());
    s_pass_demand (self);
    s_seal (self);
    s_ask_sync (self);
    (void)persistence_has_room (self, 1);
    return true;
}

void persistence_on_held (persistence_t *self)
{
    flusher_on_held (&self->flusher);
}

uint64_t persistence_durable (const persistence_t *self)
{
    return self->state == RUNNING ? wal_durable_lsn (self->wal) : 0;
}

void persistence_demand (persistence_t *self, uint64_t lsn)
{
    if (self->state != RUNNING || lsn <= self->demanded)
        return;
    self->demanded = lsn;
    s_pass_demand (self);
}

int64_t persistence_due_us (const persistence_t *self)
{
    return self->state == RUNNING ? flusher_due_us (&self->flusher) : INT64_MAX;
}

uint64_t persistence_releasable (const persistence_t *self, int64_t now_us)
{
    if (self->state != RUNNING)
        return 0; // Q3
    return flusher_releasable (&self->flusher, now_us);
}

bool persistence_flush (persistence_t *self)
{
    if (self->state != RUNNING)
        return false;
    persistence_demand (self, wal_appended_lsn (self->wal));
    s_ask_sync (self);
    return wal_durable_lsn (self->wal) == wal_appended_lsn (self->wal);
}

static void s_on_durable (persistence_t *self, const wal_message_t *message)
{
    wal_set_durable (self->wal, message->lsn);
    flusher_on_durable (&self->flusher, message->lsn, clock_us ());
    executor_set_durable (self->options.executor, message->lsn);
    self->syncs++;
    self->sync_took_us = message->took_us;
    if (message->took_us > self->sync_longest_us)
        self->sync_longest_us = message->took_us;
}

static void s_on_message (persistence_t *self, const wal_message_t *message)
{
    switch (message->type) {
    case WAL_SEGMENT:
        s_on_segment (self, &message->segment);
        s_set_disk_full (self, false, "");
        return;
    case WAL_FULL: s_set_disk_full (self, true, message->error.text); return;
    case WAL_DURABLE: s_on_durable (self, message); return;
    case WAL_RETIRED: self->segments = message->number; return;
    case WAL_FAILED: s_fail_disk (self, &message->error); return;
    case WAL_PREPARE:
    case WAL_SEAL:
    case WAL_SYNC:
    case WAL_RETIRE: break;
    }
    KV_UNREACHABLE ("a message to the actor, not from it");
}

/* ---- snapshots ----------------------------------------------------------------------------------- */

uint64_t persistence_snapshot (persistence_t *self)
{
    KV_ASSERT (self->state == RUNNING);
    return snapshotter_want (self->snapshotter);
}

uint64_t persistence_snapshot_ended (const persistence_t *self, const char **fault)
{
    *fault = "";
    if (!self->snapshotter)
        return 0;
    snapshotter_status_t status = snapshotter_status (self->snapshotter);
    *fault = status.fault;
    return status.ended;
}

static bool s_snapshot_is_due (const persistence_t *self, const snapshotter_status_t *status,
                               int64_t now_ms)
{
    uint64_t growth = wal_written_lsn (self->wal) - status->start_lsn;
    int64_t since_ms = now_ms - status->begun_ms;
    if (status->wanted != status->ended || growth == 0)
        return false;
    uint64_t most = self->options.snapshot_log_bytes > status->bytes
                        ? self->options.snapshot_log_bytes
                        : status->bytes;
    /* After a failure the growth alone must not make it try again and again. */
    int64_t pause_ms = *status->fault ? self->options.snapshot_interval_ms / 60 : 0;
    return (growth >= most && since_ms >= pause_ms) ||
           since_ms >= self->options.snapshot_interval_ms;
}

static bool s_tend_snapshots (persistence_t *self, int64_t now_ms, int64_t until_us)
{
    snapshotter_status_t status = snapshotter_status (self->snapshotter);
    if (s_snapshot_is_due (self, &status, now_ms))
        (void)snapshotter_want (self->snapshotter);
    snapshotter_turn_t turn = {.appended_lsn = wal_appended_lsn (self->wal),
                               .durable_lsn = wal_durable_lsn (self->wal),
                               .now_ms = now_ms,
                               .wall_ms = clock_wall_ms (),
                               .until_us = until_us};
    bool more = snapshotter_tend (self->snapshotter, &turn);
    status = snapshotter_status (self->snapshotter);
    if (status.state == SNAPSHOTTER_SETTLING)
        flusher_demand (&self->flusher, status.end_lsn < self->flusher.written
                                            ? status.end_lsn
                                            : self->flusher.written);
    if (status.start_lsn > self->retired_lsn) {
        self->retired_lsn = status.start_lsn;
        s_tell_actor (self, (wal_message_t){.type = WAL_RETIRE, .lsn = status.start_lsn});
        executor_set_persistent (self->options.executor, status.made_ms / 1000);
    }
    return more;
}

/* ---- the turn -------------------------------------------------------------------------------------- */

bool persistence_tend (persistence_t *self, int64_t now_ms, int64_t until_us)
{
    wal_message_t message;
    if (self->state != RUNNING)
        return false;
    while (self->state == RUNNING && wal_actor_receive (self->wal_actor, &message) == KV_OK)
        s_on_message (self, &message);
    if (self->state != RUNNING)
        return false;
    bool more = s_tend_snapshots (self, now_ms, until_us);
    s_ask_sync (self);
    return more;
}

size_t persistence_sockets (const persistence_t *self, void *sockets[PERSISTENCE_SOCKETS])
{
    if (self->state != RUNNING)
        return 0;
    sockets[0] = wal_actor_socket (self->wal_actor);
    sockets[1] = snapshotter_socket (self->snapshotter);
    return PERSISTENCE_SOCKETS;
}

/* Waits for a sync under way, and asks for what is missing. */
void persistence_finish (persistence_t *self)
{
    (void)!persistence_write (self);
    while (!persistence_flush (self) && self->state == RUNNING) {
        zmq_pollitem_t item = {wal_actor_socket (self->wal_actor), 0, ZMQ_POLLIN, 0};
        zmq_poll (&item, 1, FINISH_POLL_MS);
        wal_message_t message;
        while (self->state == RUNNING && wal_actor_receive (self->wal_actor, &message) == KV_OK)
            s_on_message (self, &message);
    }
}

/* ---- INFO ------------------------------------------------------------------------------------------ */

static int s_info_loading (const persistence_t *self, char *text, size_t bytes)
{
    recovery_progress_t progress = recovery_progress (self->recovery);
    return snprintf (text, bytes,
                     "# Persistence\nloading:1\nloading_phase:%s\nloading_percent:%" PRIu64
                     "\nloaded_entries:%" PRIu64 "\nloaded_records:%" PRIu64 "\n",
                     progress.phase == RECOVERY_SNAPSHOT ? "snapshot" : "log",
                     progress.all_bytes ? progress.done_bytes * 100 / progress.all_bytes : 0,
                     progress.entries, progress.records);
}

static int s_info_log (const persistence_t *self, char *text, size_t bytes)
{
    return snprintf (text, bytes,
                     "# Persistence\nloading:0\nload_took_ms:%" PRId64 "\nloaded_entries:%" PRIu64
                     "\nloaded_records:%" PRIu64 "\nfsync_policy:%s\nlog_appended:%" PRIu64
                     "\nlog_written:%" PRIu64 "\nlog_durable:%" PRIu64 "\nlog_lag_ms:%" PRId64
                     "\nlog_records:%" PRIu64 "\nlog_segments:%" PRIu64 "\nlog_room_bytes:%" PRIu64
                     "\nlog_syncs:%" PRIu64 "\nlog_last_sync_us:%" PRId64
                     "\nlog_longest_sync_us:%" PRId64 "\ndisk_full:%d\n",
                     self->load_took_ms, self->recovered.entries, self->recovered.records,
                     flush_policy_name (self->options.policy), wal_appended_lsn (self->wal),
                     wal_written_lsn (self->wal), wal_durable_lsn (self->wal),
                     flusher_lag_us (&self->flusher, clock_us ()) / 1000, self->records,
                     self->segments, wal_room (self->wal), self->syncs, self->sync_took_us,
                     self->sync_longest_us, self->disk_full);
}

static int s_info_snapshot (const persistence_t *self, char *text, size_t bytes)
{
    snapshotter_status_t status = snapshotter_status (self->snapshotter);
    return snprintf (
        text, bytes,
        "snapshot_in_progress:%d\nsnapshots_done:%" PRIu64 "\nsnapshots_failed:%" PRIu64
        "\nlast_snapshot_status:%s"
        "\nlast_snapshot_time:%" PRId64 "\nlast_snapshot_bytes:%" PRIu64
        "\nlast_snapshot_entries:%" PRIu64 "\nlast_snapshot_took_ms:%" PRId64
        "\nsnapshot_longest_step_us:%" PRIu64 "\nlog_bytes_since_snapshot:%" PRIu64 "\n",
        status.state != SNAPSHOTTER_IDLE, status.done, status.failed,
        *status.fault ? "failed" : "ok", status.made_ms / 1000, status.bytes, status.entries,
        status.took_ms, status.longest_step_us, wal_written_lsn (self->wal) - status.start_lsn);
}

void persistence_info (const persistence_t *self, char text[PERSISTENCE_INFO_BYTES])
{
    int size = 0;
    text[0] = '\0';
    if (self->state == LOADING)
        size = s_info_loading (self, text, PERSISTENCE_INFO_BYTES);
    if (self->state == RUNNING) {
        size = s_info_log (self, text, PERSISTENCE_INFO_BYTES);
        size += s_info_snapshot (self, text + size, PERSISTENCE_INFO_BYTES - (size_t)size);
    }
    KV_ASSERT (size < PERSISTENCE_INFO_BYTES);
}
