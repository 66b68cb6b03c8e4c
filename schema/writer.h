/* writer - encodes msgpack into one growing, bounded buffer (msgpack specification, 2013 edition).
 *
 *   W1  size <= capacity <= limit (or limit is as good as none: SIZE_MAX).
 *   W2  once `overflow` is set it stays set until writer_cut or writer_reset, and nothing is
 *       appended: what the buffer holds is what fitted before.
 *
 * Integers take their shortest form. Out of memory aborts. Owner: one thread. */
#ifndef KVDB_SCHEMA_WRITER_H
#define KVDB_SCHEMA_WRITER_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct {
    uint8_t *data;   /* owned, from malloc; NULL while capacity is 0 */
    size_t size;     /* bytes written */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* bytes this buffer may grow to */
    bool overflow;   /* something did not fit */
} writer_t;

/* An empty writer that will hold `limit` bytes at most. Allocates nothing yet. */
writer_t writer_make (size_t limit);

/* Frees the buffer; the writer is empty and may be used again. */
void writer_free (writer_t *self);

/* Forgets the content, keeps the memory. */
static inline void writer_reset (writer_t *self)
{
    self->size = 0;
    self->overflow = false;
}

/* Goes back to an earlier size, e.g. to replace a result that did not fit. */
static inline void writer_cut (writer_t *self, size_t size)
{
    KV_ASSERT (size <= self->size);
    self->size = size;
    self->overflow = false;
}

/* Hands the buffer over: the caller frees it with free (). The writer is empty afterwards. */
uint8_t *writer_take (writer_t *self, size_t *size);

/* Room for `bytes` more, appended uninitialised; NULL on overflow. Valid until the next call. */
uint8_t *writer_claim (writer_t *self, size_t bytes);

/* Appends bytes as they are (already encoded). */
void writer_raw (writer_t *self, kv_slice_t bytes);

void writer_nil (writer_t *self);
void writer_bool (writer_t *self, bool value);
void writer_int (writer_t *self, int64_t value);
void writer_uint (writer_t *self, uint64_t value);
void writer_double (writer_t *self, double value);
void writer_array (writer_t *self, uint32_t count);
void writer_map (writer_t *self, uint32_t count);
void writer_text (writer_t *self, kv_slice_t text); /* msgpack str: UTF-8 text of ours */
void writer_bin (writer_t *self, kv_slice_t bytes); /* msgpack bin: users' bytes */
void writer_cstr (writer_t *self, const char *text);

/* An array header of fixed width (5 bytes) whose count is set later by writer_patch_array32.
 * Returns the offset to patch. */
size_t writer_array32 (writer_t *self);
void writer_patch_array32 (writer_t *self, size_t offset, uint32_t count);

#endif
