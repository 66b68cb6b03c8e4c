/* wal_keeper - prepares, syncs and retires segments, at whose pace does not hold up the writer.
 *
 *             prepare                 wal_write           sync              retire
 *   spare.tmp --------> wal-N.log ------------> dirty ----------> clean -----------> spare.tmp
 *                       (spare)       (current, sealed)
 *
 *   P1  a segment gets its name only when it is zeroed, has its header, and is synced.
 *   P2  durable is told only for what lies in segments synced since, the directory included.
 *   P3  numbers follow each other without a gap.
 *   P4  a segment is retired only whole, and only if everything in it lies before the lsn given; a file
 *       of the usual size is used again (its blocks are on the disk already, so syncing it is cheaper).
 *       One such file is kept at a time. Its old name is gone from the disk before anything else happens
 *       to it: what has a segment's name is a segment, whenever power fails.
 *   P5  KV_DISK_FULL from wal_keeper_prepare leaves everything as it was; it may be tried again.
 *       A failed sync is for good: it is never tried again (R20, G5).
 *
 * Knows no threads; time is not its business. Owner: one thread, the WAL actor's or a simulator's. */
#ifndef KVDB_ACTORS_WAL_KEEPER_H
#define KVDB_ACTORS_WAL_KEEPER_H

#include "actors/wal.h"
#include "actors/wal_reader.h"

typedef struct wal_keeper wal_keeper_t;

typedef struct {
    files_t *files; /* borrowed */
    uint64_t
        segment_bytes; /* of a usual segment; WAL_SEGMENT_BYTES_MIN or more, a multiple of 4096 */
    uint8_t uuid[WAL_UUID_BYTES];
} wal_keeper_options_t;

/* `end` and the segments are what the reader found; none of them for a new log. Brings what is behind
 * the log's end to zero, removes segments behind it, syncs
 * all the others, and hands over the segment that the log goes on in (number 0: there is none yet), and
 * from where. KV_IO, KV_DISK_FULL. */
KV_CHECK_RESULT kv_status_t wal_keeper_open (const wal_keeper_options_t *options,
                                             const wal_end_t *end,
                                             const wal_segment_info_t *segments, size_t count,
                                             wal_keeper_t **self_p, wal_segment_t *current,
                                             wal_place_t *place, file_error_t *error);
void wal_keeper_destroy (wal_keeper_t **self_p); /* closes all files */

/* Whether segments that are begun from now on are written full of zeros, or only given their space.
 * Writing into blocks that were written before makes a sync cheaper (90 against 128 us for 4 KiB on ext4);
 * zeros cost a copy of everything that is logged. At first they are written. */
void wal_keeper_set_prewrite (wal_keeper_t *self, bool prewrite);

/* Prepares the next segment, WAL_SLICE_BYTES at a time. KV_OK: there is more to do. KV_END: here it is.
 * KV_DISK_FULL (P5), KV_IO. */
enum { WAL_SLICE_BYTES = 1024 * 1024 };
KV_CHECK_RESULT kv_status_t wal_keeper_prepare (wal_keeper_t *self, wal_segment_t *segment,
                                                file_error_t *error);

/* The writer has left a segment; its blocks end at end_lsn. */
void wal_keeper_seal (wal_keeper_t *self, uint64_t number, uint64_t end_lsn);

/* Syncs all that was written up to `lsn`, which lies in segment `number`, those before it included,
 * whether they have been sealed yet or not. KV_IO: for good (P5). */
KV_CHECK_RESULT kv_status_t wal_keeper_sync (wal_keeper_t *self, uint64_t lsn, uint64_t number,
                                             file_error_t *error);

/* Retires sealed segments whose blocks end at or before lsn; how many are left, current and spares
 * included. KV_IO. */
KV_CHECK_RESULT kv_status_t wal_keeper_retire (wal_keeper_t *self, uint64_t lsn,
                                               file_error_t *error);

uint64_t wal_keeper_segments (const wal_keeper_t *self);

#endif
