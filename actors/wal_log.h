/* wal_log - the format of the primary WAL: a stream of records, cut into blocks, in segment files.
 *
 *   lsn      a place in the stream of records: bytes since the log was begun. Headers and padding do
 *            not count, so the stream is the same wherever it is cut.
 *   segment  wal-0000000001.log, wal-0000000002.log ...: without a gap; zeroed before it gets its name
 *   block    what one write took to the disk: any piece of the stream, a record may go over several
 *
 *   segment header, at 0, WAL_SEGMENT_HEADER_BYTES, the rest of it 0:
 *     0..7    "KVDBWAL\n"
 *     8..11   format version
 *     12..15  CRC32C of bytes 0..11 and 16..47
 *     16..23  number
 *     24..31  bytes of the file
 *     32..47  UUID of the data directory
 *   block, at the next multiple of WAL_BLOCK_ALIGNMENT:
 *     0..3    CRC32C of bytes 4..31, which continues that of the UUID
 *     4..7    CRC32C of the payload
 *     8..11   bytes of the payload, 1 or more; bit 31: it restarts
 *     12..15  link: bytes 0..3 of the block before; 0 for the first one of the log
 *     16..23  lsn of its first byte
 *     24..31  durable lsn: what was known to be synced as it was written
 *     32..    payload
 *
 *   W1  lsn and link of a block follow from the block before it, also across segments.
 *   W2  durable lsn <= lsn, and never falls.
 *   W3  bytes of a segment that no block covers are zero.
 *   W4  a block is valid if its header and payload have their CRCs and W1 and W2 hold.
 *   W5  a block that restarts begins with a record; if the one before it ends within a record, that one
 *       was never whole, and is void. The first block a process writes restarts.
 *   W6  only the first block of a segment may begin within a record (a write that does not fit goes on
 *       in the next segment).
 *   W7  nothing but a log of this data directory has a block's header with the right CRC: a value that
 *       looks like one does not know the UUID.
 *
 * Why a bad block can be judged. Disks write sectors of 512 bytes, new or old as a whole, and old
 * bytes are zero (W3). So after a power loss a block that was never reported as written has a sector
 * part that is all zero: it is *torn*, and the log ends before it. (A header lies within one sector.)
 * A bad block with something in each of its sectors, or one that lies before the durable lsn that a
 * header behind it tells, was whole once: it is *damaged*, and must not be passed over. So is
 * a file that is shorter than it was made (wal_reader.h).
 *
 * Little-endian. Pure. Owner: whoever holds the bytes. */
#ifndef KVDB_ACTORS_WAL_LOG_H
#define KVDB_ACTORS_WAL_LOG_H

#include "schema/slice.h"
#include "schema/status.h"

enum {
    WAL_VERSION = 1,
    WAL_SECTOR_BYTES = 512,
    WAL_SEGMENT_HEADER_BYTES = 512,
    WAL_SEGMENT_BYTES_MIN = 4096, /* none is made smaller */
    WAL_BLOCK_HEADER_BYTES = 32,
    WAL_BLOCK_ALIGNMENT = 32,
    WAL_UUID_BYTES = 16,
    WAL_NAME_BYTES = 32
};

typedef struct {
    uint64_t number, bytes;
    uint8_t uuid[WAL_UUID_BYTES];
} wal_header_t;

/* "wal-0000000007.log" for 7; and back, false if the name is none of these. */
void wal_segment_name (uint64_t number, char name[WAL_NAME_BYTES]);
bool wal_segment_number (const char *name, uint64_t *number);

void wal_header_encode (const wal_header_t *header, uint8_t out[WAL_SEGMENT_HEADER_BYTES]);

/* KV_CORRUPT, KV_BAD_VERSION. */
KV_CHECK_RESULT kv_status_t wal_header_decode (kv_slice_t bytes, wal_header_t *header);

/* Where in the stream a log stands. */
typedef struct {
    uint64_t lsn;
    uint32_t link;
    uint64_t durable_lsn;
    uint32_t seed; /* of the data directory: wal_seed (W7) */
    bool restarts; /* the next block to be encoded is to (W5) */
} wal_place_t;

uint32_t wal_seed (const uint8_t uuid[WAL_UUID_BYTES]);

/* Writes the header of the block that follows `place`; `place` moves behind the block. */
void wal_block_encode (wal_place_t *place, uint64_t durable_lsn, kv_slice_t payload,
                       uint8_t out[WAL_BLOCK_HEADER_BYTES]);

/* Makes a block end earlier: after `bytes` of its payload, 1 or more. `block` are its header and payload. */
void wal_block_shorten (uint32_t seed, uint8_t *block, size_t bytes);

/* How much of the payload lies in the segment for the block at *offset, if its header is good and follows
 * `place`, whatever has become of the payload; *offset moves to the header. 0: not even the header is good. */
size_t wal_block_remains (kv_slice_t segment, uint64_t *offset, const wal_place_t *place);

/* The offset of the block that follows one which ends at `offset`. */
static inline uint64_t wal_align (uint64_t offset)
{
    return (offset + WAL_BLOCK_ALIGNMENT - 1) & ~(uint64_t)(WAL_BLOCK_ALIGNMENT - 1);
}

typedef struct {
    uint64_t lsn;
    kv_slice_t payload; /* into the segment's bytes */
    bool restarts;
} wal_block_t;

/* Reads the block at *offset of a segment, its header included, which must follow `place` (if
 * place->lsn is WAL_ANY_LSN, as for the first segment there is, it may be any). KV_OK: place and offset
 * have moved behind it. KV_END: no block was written here (the header is zero, or the segment ends).
 * KV_CORRUPT: a bad block; `torn` tells whether its bytes allow that it is torn, which holds only if no
 * header behind it says that it was durable (wal_durable_claim). A segment that is shorter than its
 * header says ends where its file does: a block that goes on beyond is torn. */
#define WAL_ANY_LSN UINT64_MAX
#define WAL_LSN_MAX (UINT64_C (1) << 62) /* no log becomes so long */
KV_CHECK_RESULT kv_status_t wal_block_next (kv_slice_t segment, uint64_t *offset,
                                            wal_place_t *place, wal_block_t *block, bool *torn);

/* The lsn of the block that a segment begins with, by its header alone. `head` are the segment's first
 * bytes, WAL_HEAD_BYTES of them, less only where the file ends. KV_END: it has no block. KV_CORRUPT: its
 * header is damaged. */
enum { WAL_HEAD_BYTES = WAL_SEGMENT_HEADER_BYTES + WAL_BLOCK_HEADER_BYTES };
KV_CHECK_RESULT kv_status_t wal_first_lsn (kv_slice_t head, uint64_t *lsn);

/* The highest durable lsn that a block's header at or behind `offset` tells, whatever has become of its
 * payload; 0 if there is none. */
uint64_t wal_durable_claim (kv_slice_t segment, uint64_t offset);

#endif
