/* recovery - brings an executor to what a data directory holds: the snapshot, then the log behind it.
 *
 *   SNAPSHOT --its last chunk--> LOG --its last record--> DONE
 *      |  there is none             |
 *      +--> LOG                     +--> a fault, from any phase
 *
 *   Z1  nothing is recovered that was not written, and nothing that was acknowledged is left out; where
 *       the files do not allow that, it is a fault: KV_CORRUPT with file, offset and what to do.
 *   Z2  positions of each shard follow each other without a gap, from the snapshot through the log.
 *   Z3  a step is short: a chunk of the snapshot, or some records.
 *
 * Shards are restored, not owned: that is the coordinator's to say. Nothing is written.
 * Owner: the node's thread. */
#ifndef KVDB_NODE_RECOVERY_H
#define KVDB_NODE_RECOVERY_H

#include "actors/snapshot_reader.h"
#include "actors/wal_reader.h"
#include "node/executor.h"

typedef struct recovery recovery_t;

typedef struct {
    files_t *files;          /* of the log, borrowed */
    files_t *snapshot_files; /* of the snapshot, borrowed; may be the same */
    const char *snapshot;    /* its name there, borrowed */
    const uint8_t *uuid;     /* of the data directory, WAL_UUID_BYTES, borrowed */
    executor_t *executor;    /* borrowed */
    uint32_t shards;
} recovery_options_t;

typedef enum { RECOVERY_SNAPSHOT, RECOVERY_LOG, RECOVERY_DONE } recovery_phase_t;

typedef struct {
    recovery_phase_t phase;
    uint64_t done_bytes, all_bytes; /* of the phase */
    uint64_t entries, records;      /* read so far */
    bool has_snapshot;
    uint64_t snapshot_bytes;
    int64_t made_ms;    /* the snapshot: Unix milliseconds */
    uint64_t start_lsn; /* where the log was read from */
} recovery_progress_t;

recovery_t *recovery_new (const recovery_options_t *options);
void recovery_destroy (recovery_t **self_p);

/* KV_OK: there is more to do. KV_END: done. KV_CORRUPT, KV_BAD_VERSION, KV_CONFIG, KV_IO: a fault, for
 * good. */
KV_CHECK_RESULT kv_status_t recovery_step (recovery_t *self, file_error_t *error);

recovery_progress_t recovery_progress (const recovery_t *self);

/* After KV_END: what the keeper of the log needs. */
wal_end_t recovery_end (const recovery_t *self);
const wal_segment_info_t *recovery_segments (const recovery_t *self, size_t *count);

#endif
