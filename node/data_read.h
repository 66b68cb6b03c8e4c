/* data_read - reads a data directory as recovery does (recovery.h), but into no tables: what is there, and
 * the first thing that is wrong.
 *
 *   snapshot --whole--> log from its start on, to its end at least
 *      |  there is none, or it is not to be looked at --> log from lsn 0 on
 *      +  it is damaged --> what there is of the log, from its first whole record on
 *
 *   Y1  data_is_sound says yes exactly where recovery accepts the directory.
 *
 * It never writes. Memory: one segment, one record, a chunk. Owner: one thread. */
#ifndef KVDB_NODE_DATA_READ_H
#define KVDB_NODE_DATA_READ_H

#include "actors/files.h"
#include "actors/snapshot_file.h"
#include "actors/wal_reader.h"

/* A data directory. All borrowed. */
typedef struct {
    files_t *files;          /* of the log */
    files_t *snapshot_files; /* of the snapshot; may be the same */
    const char *snapshot;    /* its name there */
    const uint8_t *uuid;     /* as its identity has it; NULL: not known */
    /* When the file was last written, Unix milliseconds; 0: not known. NULL: never known. */
    int64_t (*written_ms) (void *context, const char *name);
    void *context;
} data_place_t;

typedef struct {
    const data_place_t *place; /* borrowed */
    bool without_snapshot;     /* as if there were none */
    bool any_end;              /* the log need not reach the snapshot's end */
} data_read_options_t;

typedef struct {
    kv_status_t snapshot_status; /* KV_OK: whole; KV_NOT_FOUND; or a fault */
    file_error_t snapshot_error;
    bool is_foreign;          /* with a fault: it is of another data directory */
    snapshot_header_t header; /* with KV_OK */
    uint64_t snapshot_bytes, entries, snapshot_end_lsn;
    kv_status_t log_status; /* KV_END: read to its end; or a fault */
    file_error_t log_error;
    uint64_t start_lsn;  /* where reading the log began, or was to; WAL_ANY_LSN: anywhere */
    uint64_t record_lsn; /* behind the last good record, at first start_lsn */
    uint64_t first_lsn;  /* of the first record read; with records */
    uint64_t records, first_number; /* first_number: the segment reading began with; 0: none */
    wal_end_t end;                  /* with KV_END */
    uint64_t last[KV_SHARDS_MAX];   /* position of each shard's last record; 0: it has none */
    bool is_known[KV_SHARDS_MAX];   /* else any position may follow */
} data_state_t;

/* The caller frees the state with free (). */
data_state_t *data_read (const data_read_options_t *options);

bool data_is_sound (const data_state_t *state);

#endif
