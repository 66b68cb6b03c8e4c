/* snapshot_file - the format of a snapshot: all entries of a node's shards, in chunks.
 *
 *   header, 64 bytes:
 *     0..7    "KVDBSNP\n"
 *     8..11   format version
 *     12..15  CRC32C of bytes 0..11 and 16..63
 *     16..31  UUID of the data directory
 *     32..39  start lsn: replaying the log from here makes it exact
 *     40..47  entries there were about (to make room at once)
 *     48..51  shards of the cluster
 *     52..59  made: Unix milliseconds
 *     60..63  0
 *   chunk, back to back:
 *     0..3    CRC32C of bytes 4.. to the chunk's end
 *     4..7    bytes of the payload
 *     8..11   number of the chunk, from 0
 *     12      kind: 1 shard, 2 entries, 3 end
 *     13      0
 *     14..15  shard (kinds 1 and 2)
 *     16..    payload
 *       shard:   position of its last record as the snapshot began (8), entries there were (8)
 *       entries: 0..7 version | 8..11 value bytes, bit 31: expires | 12..13 key bytes - 1 |
 *                [expiry (8)] key, value;   back to back
 *       end:     end lsn (8), entries in the file (8), chunks before this one (8)
 *
 *   N1  a shard has one chunk of kind 1 at most, and it comes before its entries.
 *   N2  chunks are numbered without a gap; the end chunk is the last thing in the file.
 *   N3  a snapshot is used only if it is valid to its last byte.
 *   N4  the log must reach from start lsn to end lsn at least: what is in the snapshot may be as young
 *       as that. (It is fuzzy: taken while writes went on.)
 *
 * Little-endian. Pure. Owner: whoever holds the bytes. */
#ifndef KVDB_ACTORS_SNAPSHOT_FILE_H
#define KVDB_ACTORS_SNAPSHOT_FILE_H

#include "schema/limits.h"
#include "schema/slice.h"
#include "schema/status.h"
#include "schema/writer.h"

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEADER_BYTES = 64,
    SNAPSHOT_CHUNK_HEADER_BYTES = 16,
    SNAPSHOT_ENTRY_HEADER_BYTES = 14,
    SNAPSHOT_ENTRY_EXPIRY_BYTES = 8,
    SNAPSHOT_UUID_BYTES = 16,
    SNAPSHOT_CHUNK_BYTES = 256 * 1024, /* a chunk of entries is ended once it is so large */
    SNAPSHOT_ENTRY_BYTES_MAX = SNAPSHOT_ENTRY_HEADER_BYTES + SNAPSHOT_ENTRY_EXPIRY_BYTES +
                               KV_KEY_BYTES_MAX + KV_VALUE_BYTES_MAX,
    /* no chunk is larger: an entry larger than SNAPSHOT_CHUNK_BYTES comes last in its chunk */
    SNAPSHOT_CHUNK_BYTES_MAX =
        SNAPSHOT_CHUNK_HEADER_BYTES + SNAPSHOT_CHUNK_BYTES + SNAPSHOT_ENTRY_BYTES_MAX
};

typedef enum { SNAPSHOT_SHARD = 1, SNAPSHOT_ENTRIES = 2, SNAPSHOT_END = 3 } snapshot_kind_t;

typedef struct {
    uint8_t uuid[SNAPSHOT_UUID_BYTES];
    uint64_t start_lsn, entries;
    uint32_t shards;
    int64_t made_ms;
} snapshot_header_t;

typedef struct {
    kv_slice_t key, value;
    uint64_t version;
    int64_t expires_ms; /* 0: never */
} snapshot_entry_t;

typedef struct {
    snapshot_kind_t kind;
    uint32_t number, shard;
    kv_slice_t payload;
    size_t bytes; /* header included */
} snapshot_chunk_t;

void snapshot_header_encode (const snapshot_header_t *header, uint8_t out[SNAPSHOT_HEADER_BYTES]);

/* KV_CORRUPT; KV_BAD_VERSION: whole, but of a version that is not ours. */
KV_CHECK_RESULT kv_status_t snapshot_header_decode (kv_slice_t bytes, snapshot_header_t *header);

/* A chunk is made in one buffer: begin leaves room for its header; the maker of the payload appends;
 * seal fills the header in, CRC included (it may be done in another thread). `out` holds nothing else. */
void snapshot_chunk_begin (writer_t *out);
void snapshot_chunk_seal (uint8_t *chunk, size_t bytes, snapshot_kind_t kind, uint32_t number,
                          uint32_t shard);

/* The bytes an entry takes in a chunk. */
static inline size_t snapshot_entry_bytes (size_t key_bytes, size_t value_bytes, bool expires)
{
    size_t expiry_bytes = expires ? SNAPSHOT_ENTRY_EXPIRY_BYTES : 0;
    return SNAPSHOT_ENTRY_HEADER_BYTES + expiry_bytes + key_bytes + value_bytes;
}

void snapshot_shard_write (writer_t *out, uint64_t last, uint64_t entries);
void snapshot_entry_write (writer_t *out, const snapshot_entry_t *entry);

/* All of it but the value's bytes: returns where the caller writes those, or NULL if it does not fit. */
uint8_t *snapshot_entry_begin (writer_t *out, const snapshot_entry_t *entry);
void snapshot_end_write (writer_t *out, uint64_t end_lsn, uint64_t entries, uint64_t chunks);

/* The chunk that `bytes` begins with. KV_END: not all of it is there (chunk->bytes: how many it needs,
 * 0: not known). KV_CORRUPT. */
KV_CHECK_RESULT kv_status_t snapshot_chunk_decode (kv_slice_t bytes, snapshot_chunk_t *chunk);

/* Payloads. KV_CORRUPT; snapshot_entry_next: KV_END after the last. */
KV_CHECK_RESULT kv_status_t snapshot_shard_read (kv_slice_t payload, uint64_t *last,
                                                 uint64_t *entries);
KV_CHECK_RESULT kv_status_t snapshot_entry_next (kv_slice_t *at, snapshot_entry_t *entry);
KV_CHECK_RESULT kv_status_t snapshot_end_read (kv_slice_t payload, uint64_t *end_lsn,
                                               uint64_t *entries, uint64_t *chunks);

#endif
