#include "schema/writer.h"

#include <stdlib.h>

writer_t writer_make (size_t limit)
{
    return (writer_t){.limit = limit};
}

void writer_free (writer_t *self)
{
    free (self->data);
    *self = writer_make (self->limit);
}

uint8_t *writer_take (writer_t *self, size_t *size)
{
    uint8_t *data = self->data;
    *size = self->size;
    *self = writer_make (self->limit);
    return data;
}

/* Makes room for `bytes` more or sets the overflow flag. */
static bool s_grow (writer_t *self, size_t bytes)
{
    if (self->overflow || bytes > self->limit - self->size) {
        self->overflow = true; // W2
        return false;
    }
    size_t wanted = self->size + bytes;
    size_t capacity = self->capacity ? self->capacity : 256;
    while (capacity < wanted)
        capacity = capacity < wanted / 2 ? wanted : capacity * 2;
    if (capacity > self->limit)
        capacity = self->limit; // W1
    uint8_t *data = realloc (self->data, capacity);
    KV_ASSERT (data != NULL);
    self->data = data;
    self->capacity = capacity;
    return true;
}

uint8_t *writer_claim (writer_t *self, size_t bytes)
{
    bool fits = !self->overflow && bytes <= self->capacity - self->size;
    if (!fits && !s_grow (self, bytes))
        return NULL;
    uint8_t *at = self->data + self->size;
    self->size += bytes;
    return at;
}

void writer_raw (writer_t *self, kv_slice_t bytes)
{
    if (bytes.size == 0)
        return;
    uint8_t *at = writer_claim (self, bytes.size);
    if (at)
        memcpy (at, bytes.data, bytes.size);
}

static void s_byte (writer_t *self, uint8_t byte)
{
    uint8_t *at = writer_claim (self, 1);
    if (at)
        *at = byte;
}

/* A type byte followed by `width` bytes of `value`, most significant first. */
static void s_tagged (writer_t *self, uint8_t tag, uint64_t value, unsigned width)
{
    uint8_t *at = writer_claim (self, 1 + width);
    if (!at)
        return;
    at[0] = tag;
    for (unsigned i = 0; i < width; i++)
        at[1 + i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

void writer_nil (writer_t *self)
{
    s_byte (self, 0xc0);
}

void writer_bool (writer_t *self, bool value)
{
    s_byte (self, value ? 0xc3 : 0xc2);
}

void writer_uint (writer_t *self, uint64_t value)
{
    if (value < 0x80)
        s_byte (self, (uint8_t)value);
    else if (value <= UINT8_MAX)
        s_tagged (self, 0xcc, value, 1);
    else if (value <= UINT16_MAX)
        s_tagged (self, 0xcd, value, 2);
    else if (value <= UINT32_MAX)
        s_tagged (self, 0xce, value, 4);
    else
        s_tagged (self, 0xcf, value, 8);
}

void writer_int (writer_t *self, int64_t value)
{
    if (value >= 0)
        writer_uint (self, (uint64_t)value);
    else if (value >= -32)
        s_byte (self, (uint8_t)value);
    else if (value >= INT8_MIN)
        s_tagged (self, 0xd0, (uint64_t)value, 1);
    else if (value >= INT16_MIN)
        s_tagged (self, 0xd1, (uint64_t)value, 2);
    else if (value >= INT32_MIN)
        s_tagged (self, 0xd2, (uint64_t)value, 4);
    else
        s_tagged (self, 0xd3, (uint64_t)value, 8);
}

void writer_double (writer_t *self, double value)
{
    uint64_t bits;
    memcpy (&bits, &value, sizeof bits);
    s_tagged (self, 0xcb, bits, 8);
}

void writer_array (writer_t *self, uint32_t count)
{
    if (count < 16)
        s_byte (self, (uint8_t)(0x90 | count));
    else if (count <= UINT16_MAX)
        s_tagged (self, 0xdc, count, 2);
    else
        s_tagged (self, 0xdd, count, 4);
}

void writer_map (writer_t *self, uint32_t count)
{
    if (count < 16)
        s_byte (self, (uint8_t)(0x80 | count));
    else if (count <= UINT16_MAX)
        s_tagged (self, 0xde, count, 2);
    else
        s_tagged (self, 0xdf, count, 4);
}

void writer_text (writer_t *self, kv_slice_t text)
{
    KV_ASSERT (text.size <= UINT32_MAX);
    if (text.size < 32)
        s_byte (self, (uint8_t)(0xa0 | text.size));
    else if (text.size <= UINT8_MAX)
        s_tagged (self, 0xd9, text.size, 1);
    else if (text.size <= UINT16_MAX)
        s_tagged (self, 0xda, text.size, 2);
    else
        s_tagged (self, 0xdb, text.size, 4);
    writer_raw (self, text);
}

void writer_bin (writer_t *self, kv_slice_t bytes)
{
    KV_ASSERT (bytes.size <= UINT32_MAX);
    if (bytes.size <= UINT8_MAX)
        s_tagged (self, 0xc4, bytes.size, 1);
    else if (bytes.size <= UINT16_MAX)
        s_tagged (self, 0xc5, bytes.size, 2);
    else
        s_tagged (self, 0xc6, bytes.size, 4);
    writer_raw (self, bytes);
}

void writer_cstr (writer_t *self, const char *text)
{
    writer_text (self, kv_slice_text (text));
}

size_t writer_array32 (writer_t *self)
{
    size_t offset = self->size;
    s_tagged (self, 0xdd, 0, 4);
    return offset;
}

void writer_patch_array32 (writer_t *self, size_t offset, uint32_t count)
{
    if (self->overflow)
        return;
    KV_ASSERT (offset + 5 <= self->size);
    KV_ASSERT (self->data[offset] == 0xdd);
    for (unsigned i = 0; i < 4; i++)
        self->data[offset + 1 + i] = (uint8_t)(count >> (8 * (3 - i)));
}
