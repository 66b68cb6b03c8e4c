/* wal_reader - reads the log of a data directory, segment by segment: for recovery and for the tools.
 *
 *   (opened) --wal_reader_next--> record, record, ... --> END | damaged
 *
 * END: the log is whole up to wal_reader_end; what lies behind, if anything, is torn (wal_log.h): it was
 * never reported as written. A record of which only a first part is there ends the log as well.
 * Damage is KV_CORRUPT, with segment and offset in the error's text; what to do is recovery's to say. So is
 * a missing segment, a foreign one (another UUID), or a log that does not reach back to where reading is to begin
 * or forward to there and to where it is known to reach (`must_reach`).
 *
 * A file that is shorter than it was made is damaged: a segment has its length, on the disk, before it has
 * its name (P1 of wal_keeper.h), so no crash leaves one behind, and what stood in it nobody can say. The
 * last one may be all zero: it holds nothing then, and is left out.
 *
 * It never writes. Memory: one segment, and one record. Owner: one thread. */
#ifndef KVDB_ACTORS_WAL_READER_H
#define KVDB_ACTORS_WAL_READER_H

#include "actors/files.h"
#include "actors/wal_log.h"
#include "schema/record.h"

typedef struct wal_reader wal_reader_t;

typedef struct {
    files_t *files;      /* borrowed */
    const uint8_t *uuid; /* of the data directory, WAL_UUID_BYTES; NULL: any, but the same in all */
    uint64_t
        start_lsn; /* where a record begins; or WAL_ANY_LSN: from the first block on that is sure
                            to begin with one (W5, W6) */
    uint64_t must_reach; /* lsn; 0: anything will do */
} wal_reader_options_t;

/* One segment, as found. */
typedef struct {
    uint64_t number, bytes;
    uint64_t start_lsn, end_lsn; /* of its blocks; equal if it has none */
    bool was_read;               /* else it lies before the start, and was only looked at */
} wal_segment_info_t;

/* Where the log ends: from here the writer goes on. */
typedef struct {
    uint64_t segment; /* number; 0: there is none */
    uint64_t offset;  /* behind its last valid block that belongs to the log */
    wal_place_t place;
    uint64_t
        record_lsn; /* behind the last whole record: <= place.lsn. What is between is dropped */
    uint64_t torn_bytes; /* behind the end, in all segments: bytes that are not zero */
    uint64_t segment_count;
} wal_end_t;

/* KV_CORRUPT, KV_IO. Without any segment, reading gives KV_END at once. */
KV_CHECK_RESULT kv_status_t wal_reader_open (const wal_reader_options_t *options,
                                             wal_reader_t **self_p, file_error_t *error);
void wal_reader_destroy (wal_reader_t **self_p);

/* The next record and the lsn behind it, valid until the next call. KV_END, KV_CORRUPT, KV_IO. */
KV_CHECK_RESULT kv_status_t wal_reader_next (wal_reader_t *self, record_t *record,
                                             uint64_t *end_lsn, file_error_t *error);

/* After KV_END. */
wal_end_t wal_reader_end (const wal_reader_t *self);

/* The segments read so far, and the progress: bytes read of bytes to read. */
const wal_segment_info_t *wal_reader_segments (const wal_reader_t *self, size_t *count);
void wal_reader_progress (const wal_reader_t *self, uint64_t *done_bytes, uint64_t *all_bytes);

#endif
