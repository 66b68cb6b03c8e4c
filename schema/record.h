/* record - what one command did to one shard, as it stands in the log, in streams and in copies:
 * effects in absolute terms, under one position. Little-endian; records stand back to back.
 *
 *   0..3    CRC32C of bytes 4.. to the end of the record
 *   4..7    bytes of the record, these included
 *   8..9    shard
 *   10      flags: bit 0: it bears a completion, bit 1: a shard time; the others are 0
 *   11      0
 *   12..15  number of effects
 *   16..23  position of the shard's record before (0: there is none)
 *   24..31  position: epoch << 40 | n
 *   32..    effects:
 *     0       kind (effect_kind_t)
 *     1       flags: bit 0: an expiry follows; the others are 0
 *     2..3    key bytes - 1; 0 without a key (CLEAR, OPEN)
 *     4..7    value bytes; 0 without a value
 *     8..15   PUT, EXPIRE with flag 0: when it expires, Unix milliseconds; WRITE: offset
 *     then    key, value
 *   then    completion, if it bears one (R17):
 *     0..15   session
 *     16..23  sequence; 0: nothing is completed, only the floor is told
 *     24..31  floor: the session's first sequence number that is not answered yet
 *     32..39  when the request expires, Unix milliseconds
 *     40..43  result bytes
 *     44..    result
 *   then    the shard's time T (8), if it bears one: what has expired by then is forgotten, and refused (R17)
 *
 *   D1  position > previous.
 *   D2  effects, completion and time fill the record exactly.
 *   D3  an expiry is > 0; an offset with its value stays within KV_VALUE_BYTES_MAX.
 *   D4  a completion's floor is >= 1; its sequence is >= its floor, or 0 and its result empty; its expiry
 *       is > 0; its result has RECORD_RESULT_BYTES_MAX bytes at most.
 *   D5  a shard time is > 0.
 *
 * Floors and shard times are told in no other way than by completions and records. A sequenced write's
 * record has its completion behind its effects, as its result is known last; a floor or a time may also
 * come alone, in a record without effects.
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
    RECORD_SESSION_BYTES = 16,
    RECORD_COMPLETION_BYTES = RECORD_SESSION_BYTES + 28, /* before the result */
    RECORD_TIME_BYTES = 8,
    RECORD_RESULT_BYTES_MAX = 256 * 1024 * 1024
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

/* That a session's command was executed, and how it was answered (R17). */
typedef struct {
    const uint8_t *session; /* RECORD_SESSION_BYTES, borrowed */
    uint64_t sequence;      /* 0: only the floor is told */
    uint64_t floor;         /* the client has answers to, or has given up, all below */
    int64_t expires_ms;     /* the client does not repeat the command from then on */
    kv_slice_t result;      /* encoded; any bytes */
} completion_t;

typedef struct {
    uint32_t shard;
    uint64_t previous, position;
    bool has_completion;
    completion_t completion;
    int64_t time_ms; /* the shard's time T; 0: the record bears none */
    uint32_t effect_count;
    kv_slice_t effects; /* for effect_next; checked as a whole by record_decode */
    size_t bytes;       /* of the whole record */
} record_t;

/* Appends a record step by step: begin, then effects, then a completion and a time if there are such, then
 * end, which fills in the header. Begin returns where the record starts in `out`: `start` of the others. */
size_t record_begin (writer_t *out, uint32_t shard, uint64_t previous, uint64_t position);
void record_effect (writer_t *out, const effect_t *effect);
void record_completion (writer_t *out, size_t start, const completion_t *completion);
void record_time (writer_t *out, size_t start, int64_t time_ms);
void record_end (writer_t *out, size_t start, uint32_t effect_count);

/* The most bytes an effect of a key and a value of these sizes takes. */
static inline size_t record_effect_bytes (size_t key_bytes, size_t value_bytes)
{
    return EFFECT_HEADER_BYTES + EFFECT_EXTRA_BYTES + key_bytes + value_bytes;
}

/* The bytes of a completion with a result of that size. */
static inline size_t record_completion_bytes (size_t result_bytes)
{
    return RECORD_COMPLETION_BYTES + result_bytes;
}

/* Decodes the record that `bytes` begins with, slices pointing into it, and checks all of it (D1-D5).
 * KV_OK; KV_END: these are not all bytes of it (`record->bytes`: how many it needs, or 0 if not even
 * that is known); KV_CORRUPT. */
KV_CHECK_RESULT kv_status_t record_decode (kv_slice_t bytes, record_t *record);

/* The next effect; `at` starts as record->effects. KV_END after the last. */
KV_CHECK_RESULT kv_status_t effect_next (kv_slice_t *at, effect_t *effect);

/* A completion as records hold it, by itself: snapshots and copies have them back to back. */
void completion_write (writer_t *out, const completion_t *completion);

/* The next one, slices pointing into the bytes. KV_END after the last; KV_CORRUPT (D4). */
KV_CHECK_RESULT kv_status_t completion_next (kv_slice_t *at, completion_t *completion);

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
