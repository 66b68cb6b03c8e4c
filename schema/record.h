/* record - what one command did to one shard, as it stands in the log, in streams and in copies:
 * effects in absolute terms, under one position. Little-endian; records stand back to back.
 *
 *   0..3    CRC32C of bytes 4.. to the end of the record
 *   4..7    bytes of the record, these included
 *   8..9    shard
 *   10      flags: bit 0: it bears a completion; the others are 0
 *   11      0
 *   12..15  number of effects
 *   16..23  position of the shard's record before (0: there is none)
 *   24..31  position: epoch << 40 | n
 *   32..    completion, if it bears one: session (16), sequence (8), result bytes (4), result
 *   then    effects:
 *     0       kind (effect_kind_t)
 *     1       flags: bit 0: an expiry follows; the others are 0
 *     2..3    key bytes - 1; 0 without a key (CLEAR, OPEN)
 *     4..7    value bytes; 0 without a value
 *     8..15   PUT, EXPIRE with flag 0: when it expires, Unix milliseconds; WRITE: offset
 *     then    key, value
 *
 *   D1  position > previous.
 *   D2  effects fill the record exactly.
 *   D3  an expiry is > 0; an offset with its value stays within KV_VALUE_BYTES_MAX.
 *
 * Replaying a record any number of times gives the same, and so does replaying a run of records over
 * a table that holds some of their effects already.
 * Pure. Owner: whoever holds the bytes. */
#ifndef KVDB_SCHEMA_RECORD_H
#define KVDB_SCHEMA_RECORD_H

#include "schema/slice.h"
#include "schema/status.h"
#include "schema/writer.h"

enum {
    POSITION_N_BITS = 40,
    RECORD_HEADER_BYTES = 32,
    EFFECT_HEADER_BYTES = 8,
    EFFECT_EXTRA_BYTES = 8, /* expiry or offset */
    RECORD_SESSION_BYTES = 16
};

typedef enum {
    EFFECT_PUT = 1,    /* key is value, and expires at expires_ms (0: never) */
    EFFECT_WRITE = 2,  /* `value` stands at `offset` of key's value, filled up with zero bytes */
    EFFECT_EXPIRE = 3, /* key expires at expires_ms (0: never) */
    EFFECT_DELETE = 4, /* key is not there */
    EFFECT_CLEAR = 5,  /* no key is there */
    EFFECT_OPEN = 6    /* the epoch of the record's position begins (R8) */
} effect_kind_t;

typedef struct {
    effect_kind_t kind;
    kv_slice_t key;     /* all but CLEAR and OPEN */
    kv_slice_t value;   /* PUT, WRITE */
    size_t offset;      /* WRITE */
    int64_t expires_ms; /* PUT, EXPIRE */
} effect_t;

typedef struct {
    uint32_t shard;
    uint64_t previous, position;
    bool has_completion;
    kv_slice_t session; /* RECORD_SESSION_BYTES; these three with has_completion */
    uint64_t sequence;
    kv_slice_t result;
    uint32_t effect_count;
    kv_slice_t effects; /* for effect_next; checked as a whole by record_decode */
    size_t bytes;       /* of the whole record */
} record_t;

/* Appends a record step by step: begin, then effects, then end, which fills in the header. Returns
 * where the record starts in `out`. */
size_t record_begin (writer_t *out, uint32_t shard, uint64_t previous, uint64_t position);
void record_effect (writer_t *out, const effect_t *effect);
void record_end (writer_t *out, size_t start, uint32_t effect_count);

/* The most bytes an effect of a key and a value of these sizes takes. */
static inline size_t record_effect_bytes (size_t key_bytes, size_t value_bytes)
{
    return EFFECT_HEADER_BYTES + EFFECT_EXTRA_BYTES + key_bytes + value_bytes;
}

/* Decodes the record that `bytes` begins with, slices pointing into it, and checks all of it (D1-D3).
 * KV_OK; KV_END: these are not all bytes of it (`record->bytes`: how many it needs, or 0 if not even
 * that is known); KV_CORRUPT. */
KV_CHECK_RESULT kv_status_t record_decode (kv_slice_t bytes, record_t *record);

/* The next effect; `at` starts as record->effects. KV_END after the last. */
KV_CHECK_RESULT kv_status_t effect_next (kv_slice_t *at, effect_t *effect);

static inline uint64_t position_epoch (uint64_t position)
{
    return position >> POSITION_N_BITS;
}

static inline uint64_t position_n (uint64_t position)
{
    return position & ((UINT64_C (1) << POSITION_N_BITS) - 1);
}

/* Whether the record may come behind one at position `last` of its shard (0: there is none before it), and
 * another one behind it. */
static inline bool record_follows (const record_t *record, uint64_t last)
{
    return record->previous == last &&
           position_n (record->position) < (UINT64_C (1) << POSITION_N_BITS) - 1;
}

#endif
