/* reader - a cursor over msgpack bytes that never trusts them.
 *
 *   D1  it never reads outside at..end, whatever the bytes say.
 *   D2  an array or map that announces more elements than bytes are left is malformed: a header of
 *       five bytes cannot make anybody allocate for four billion elements.
 *   D3  nesting deeper than KV_DEPTH_MAX is malformed; skipping does not recurse.
 *   D4  a call that fails leaves the cursor where it was.
 *
 * Nothing is copied or allocated: strings are slices of the input and live as long as it does.
 * A wrong type, a truncated element and a reserved byte are all KV_BAD_REQUEST. */
#ifndef KVDB_SCHEMA_READER_H
#define KVDB_SCHEMA_READER_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} reader_t;

typedef enum {
    READER_NIL,
    READER_BOOL,
    READER_INT,
    READER_DOUBLE,
    READER_TEXT,
    READER_BIN,
    READER_ARRAY,
    READER_MAP,
    READER_EXT,    /* well-formed msgpack, but no part of the protocol */
    READER_INVALID /* reserved byte, or nothing left */
} reader_type_t;

static inline reader_t reader_make (kv_slice_t bytes)
{
    return (reader_t){bytes.data, bytes.data + bytes.size};
}

static inline size_t reader_left (const reader_t *self)
{
    return (size_t)(self->end - self->at);
}

/* The type of the next element, judged by its first byte alone. */
reader_type_t reader_peek (const reader_t *self);

KV_CHECK_RESULT kv_status_t reader_array (reader_t *self, uint32_t *count);
KV_CHECK_RESULT kv_status_t reader_map (reader_t *self, uint32_t *count);
KV_CHECK_RESULT kv_status_t reader_nil (reader_t *self);
KV_CHECK_RESULT kv_status_t reader_bool (reader_t *self, bool *value);
KV_CHECK_RESULT kv_status_t reader_int (reader_t *self,
                                        int64_t *value); /* KV_BAD_REQUEST above INT64_MAX */
KV_CHECK_RESULT kv_status_t reader_uint (reader_t *self,
                                         uint64_t *value); /* KV_BAD_REQUEST below 0 */
KV_CHECK_RESULT kv_status_t reader_double (reader_t *self, double *value); /* float 32 or 64 */

/* A str or a bin: both are just bytes to KvDB. */
KV_CHECK_RESULT kv_status_t reader_bytes (reader_t *self, kv_slice_t *bytes);

/* Passes one whole element, nested ones included, and checks all of it. `element` (may be NULL)
 * receives its bytes. */
KV_CHECK_RESULT kv_status_t reader_skip (reader_t *self, kv_slice_t *element);

#endif
