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
    /* Adding even 0 to a null pointer is undefined. */
    return (reader_t){bytes.data, bytes.size ? bytes.data + bytes.size : bytes.data};
}

static inline size_t reader_left (const reader_t *self)
{
    return (size_t)(self->end - self->at);
}

/* The type of the next element, judged by its head: its strings and elements may be cut short. */
reader_type_t reader_peek (const reader_t *self);

KV_CHECK_RESULT kv_status_t reader_any_array (reader_t *self, uint32_t *count);
KV_CHECK_RESULT kv_status_t reader_any_bytes (reader_t *self, kv_slice_t *bytes);

/* Arrays of up to 15 elements, and strings of up to 255 bytes, make up nearly all of a batch: their
 * heads of one or two bytes are read in line, every other form by a call. */
KV_CHECK_RESULT static inline kv_status_t reader_array (reader_t *self, uint32_t *count)
{
    size_t left = reader_left (self);
    if (left == 0 || (self->at[0] & 0xf0) != 0x90)
        return reader_any_array (self, count);
    uint32_t inside = self->at[0] & 0x0f;
    if (inside > left - 1)
        return KV_BAD_REQUEST; // D2, D4
    self->at++;
    *count = inside;
    return KV_OK;
}

/* A str or a bin: both are just bytes to KvDB. */
KV_CHECK_RESULT static inline kv_status_t reader_bytes (reader_t *self, kv_slice_t *bytes)
{
    size_t left = reader_left (self);
    size_t head = 1;
    size_t size;
    if (left >= 2 && (self->at[0] == 0xc4 || self->at[0] == 0xd9)) {
        head = 2;
        size = self->at[1];
    } else if (left >= 1 && (self->at[0] & 0xe0) == 0xa0)
        size = self->at[0] & 0x1f;
    else
        return reader_any_bytes (self, bytes);
    if (size > left - head)
        return KV_BAD_REQUEST; // D1, D4
    *bytes = kv_slice (self->at + head, size);
    self->at += head + size;
    return KV_OK;
}

KV_CHECK_RESULT kv_status_t reader_map (reader_t *self, uint32_t *count);
KV_CHECK_RESULT kv_status_t reader_nil (reader_t *self);
KV_CHECK_RESULT kv_status_t reader_bool (reader_t *self, bool *value);
KV_CHECK_RESULT kv_status_t reader_int (reader_t *self,
                                        int64_t *value); /* KV_BAD_REQUEST above INT64_MAX */
KV_CHECK_RESULT kv_status_t reader_uint (reader_t *self,
                                         uint64_t *value); /* KV_BAD_REQUEST below 0 */
KV_CHECK_RESULT kv_status_t reader_double (reader_t *self, double *value); /* float 32 or 64 */

/* Passes one whole element, nested ones included, and checks all of it. `element` (may be NULL)
 * receives its bytes. */
KV_CHECK_RESULT kv_status_t reader_skip (reader_t *self, kv_slice_t *element);

#endif
