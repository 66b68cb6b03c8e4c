/* wal - the writing end of the primary WAL, in the thread that executes: records are appended to a
 * buffer, and one write takes a drain's worth of them to the current segment. Who prepares and syncs
 * segments is the keeper (wal_keeper.h), mostly in another thread.
 *
 *   appended lsn >= written lsn >= durable lsn
 *     appended  in the buffer
 *     written   the write has returned: "received", survives the process
 *     durable   synced: survives the machine
 *
 *   wal_append_* (many) -> wal_write (once a drain) -> to the keeper: sync -> wal_set_durable
 *
 *   A1  durable <= written <= appended, and all of them only rise.
 *   A2  records are appended only within wal_room: their space is there already (R20).
 *   A3  wal_room is what is left for one wal_write, what is in the buffer already taken off. It falls by
 *       what is appended, and with each write by less than WAL_WRITE_COST_BYTES: a header and padding.
 *   A4  every segment handed over by wal_add_segment is used in order of its number, and each one left
 *       behind is told once by wal_next_sealed.
 *
 * Any failure of a write is the end (R20): the caller acknowledges nothing any more.
 * Knows no threads and no clock. Owner: the node's thread. */
#ifndef KVDB_ACTORS_WAL_H
#define KVDB_ACTORS_WAL_H

#include "actors/files.h"
#include "actors/wal_log.h"
#include "schema/writer.h"

typedef struct wal wal_t;

/* A segment, prepared: named, zeroed, with its header, synced. */
typedef struct {
    uint64_t number, bytes;
    file_t *file;    /* whose closing is the keeper's */
    uint64_t offset; /* where the next block goes: behind the header, or behind the log's end */
} wal_segment_t;

/* The log goes on at `place`, which is durable as far as is known. */
wal_t *wal_new (wal_place_t place);
void wal_destroy (wal_t **self_p);

/* Where records are to be appended, whole ones only; nothing else may be done with it. */
writer_t *wal_buffer (wal_t *self);

uint64_t wal_appended_lsn (const wal_t *self);
uint64_t wal_written_lsn (const wal_t *self);
uint64_t wal_durable_lsn (const wal_t *self);

/* Bytes of records that may be appended before the next write (A3). Whoever wants to have some left after
 * several writes keeps WAL_WRITE_COST_BYTES for each. */
enum { WAL_WRITE_COST_BYTES = WAL_BLOCK_HEADER_BYTES + WAL_BLOCK_ALIGNMENT };
uint64_t wal_room (const wal_t *self);

/* Bytes prepared beyond the current segment. */
uint64_t wal_spare_bytes (const wal_t *self);

void wal_add_segment (wal_t *self, const wal_segment_t *segment);

/* Writes what was appended. KV_IO with the file and the reason: fail-stop (R20). */
KV_CHECK_RESULT kv_status_t wal_write (wal_t *self, file_error_t *error);

/* The segment in which the written lsn lies; number 0 before there was one. */
wal_segment_t wal_current (const wal_t *self);

/* A segment that was left behind, with the lsn behind its last block; each is told once, oldest first.
 * False: no more. */
bool wal_next_sealed (wal_t *self, wal_segment_t *segment, uint64_t *end_lsn);

void wal_set_durable (wal_t *self, uint64_t lsn);

#endif
