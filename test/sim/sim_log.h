/* sim_log - the log and the snapshots of one process in virtual time: node/persistence.c with its two
 * threads, over the real writer, keeper, flusher, records, recovery and walk, on a disk that tests break
 * (fault_files.h).
 *
 *             recovered          any fault
 *   LOADING ------------> RUNNING ----------> FAILED
 *
 *   G1  the keeper does one thing at a time, which takes a drawn time: a sync if one was asked for, else a
 *       step of preparing a segment. Deaths and losses of power come at any moment of it.
 *   G2  a sync makes durable what was written before it began, and only when it ends.
 *   G3  every recovery is judged by the journal of the data directory (sim_journal.h).
 *
 * The functions are those of persistence.h, of the same meaning. Times are microseconds of the clock that
 * the node goes by. Owner: the process, or a test that stands for one. */
#ifndef KVDB_TEST_SIM_SIM_LOG_H
#define KVDB_TEST_SIM_SIM_LOG_H

#include "sim_journal.h"
#include "sim_random.h"

#include "actors/wal_log.h"
#include "test/fault/fault_files.h"

typedef struct sim_log sim_log_t;

/* How slow a disk is; whoever has the machine changes it. */
typedef struct {
    int64_t sync_least_us, sync_most_us;
} sim_pace_t;

typedef struct {
    files_t *files; /* of the data directory, by fault_files_new; borrowed, as are the others */
    const uint8_t *uuid;
    const sim_pace_t *pace;
    executor_t *executor;
    sim_journal_t *journal;
    flush_policy_t policy; /* not FLUSH_OFF */
    int64_t interval_us;
    uint64_t segment_bytes;
    uint64_t snapshot_log_bytes; /* a snapshot is due when the log has grown by so much */
    uint32_t shards;
    sim_random_t random;
} sim_log_options_t;

typedef struct {
    uint64_t syncs, segments, segments_retired, full_disks, space_again;
    uint64_t snapshots, snapshots_failed;
    bool
        judged; /* what was recovered was right (G3), whether or not the log could be opened then */
    bool torn_tail, used_snapshot; /* of the recovery */
    sim_journal_loss_t loss;       /* likewise */
} sim_log_stats_t;

sim_log_t *sim_log_new (const sim_log_options_t *options);

/* As a process dies: what is in the buffer, and a sync under way, end with it. */
void sim_log_destroy (sim_log_t **self_p);

/* One step. KV_OK: there is more. KV_END: RUNNING from now on. Else FAILED: KV_IO for the disk, KV_INTERNAL
 * for a violation (G3), else what is on the disk was refused. */
KV_CHECK_RESULT kv_status_t sim_log_load (sim_log_t *self, int64_t now_us);

/* "": no fault. */
const char *sim_log_fault (const sim_log_t *self);

/* The fault is none of the disk's: a rule of the journal is violated, or good data were refused. */
bool sim_log_is_violated (const sim_log_t *self);

/* ---- while RUNNING ---- */

bool sim_log_has_room (sim_log_t *self, uint64_t bytes);
uint64_t sim_log_room (const sim_log_t *self);
bool sim_log_is_full (const sim_log_t *self); /* the disk */
uint64_t sim_log_appended (const sim_log_t *self);
uint64_t sim_log_durable (const sim_log_t *self);
KV_CHECK_RESULT bool sim_log_write (sim_log_t *self, int64_t now_us);
uint64_t sim_log_releasable (const sim_log_t *self, int64_t now_us);
void sim_log_on_held (sim_log_t *self);
KV_CHECK_RESULT bool sim_log_flush (sim_log_t *self, int64_t now_us);

/* Writes and syncs all, however long that would take: a graceful end. */
void sim_log_finish (sim_log_t *self, int64_t now_us);

/* Does what is due. */
void sim_log_tend (sim_log_t *self, int64_t now_us, int64_t wall_ms);

/* When the next thing is due; INT64_MAX: none is. */
int64_t sim_log_next_us (const sim_log_t *self, int64_t now_us);

sim_log_stats_t sim_log_stats (const sim_log_t *self);

#endif
