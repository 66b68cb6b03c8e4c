#include "schema/bundle.h"

#include "schema/limits.h"

void bundle_head_begin (writer_t *out, message_type_t type, uint64_t epoch, uint32_t parts)
{
    KV_ASSERT (parts <= KV_BUNDLE_PARTS_MAX);
    writer_array (out, 4);
    writer_uint (out, 1);
    writer_uint (out, type);
    writer_uint (out, epoch);
    writer_array (out, 2 * parts);
}

void bundle_head_part (writer_t *out, uint64_t tag, size_t bytes)
{
    writer_uint (out, tag);
    writer_uint (out, bytes);
}

/* `further` receives how many fields follow the parts. */
static kv_status_t s_read_head (bundle_t *self, kv_slice_t head, uint32_t *further)
{
    reader_t at = reader_make (head);
    uint32_t fields;
    uint32_t elements;
    kv_status_t status = message_head (&at, &self->type, &fields);
    if (status)
        return status;
    if (self->type != MESSAGE_REQUESTS && self->type != MESSAGE_REPLIES)
        return KV_BAD_REQUEST;
    if (fields < 2 || reader_uint (&at, &self->epoch) != KV_OK)
        return KV_BAD_REQUEST;
    if (reader_array (&at, &elements) != KV_OK || elements % 2 != 0)
        return KV_BAD_REQUEST;
    if (elements / 2 > KV_BUNDLE_PARTS_MAX)
        return KV_BAD_REQUEST;
    self->part_count = elements / 2;
    self->parts = at;
    *further = fields - 2;
    return KV_OK;
}

/* B1: finds where a part of `bytes` lies and moves behind it. */
static kv_status_t s_locate (bundle_t *self, uint64_t bytes, kv_slice_t *part, size_t *frame)
{
    if (self->frame < self->frame_count && self->offset == self->frames[self->frame].size) {
        self->frame++;
        self->offset = 0;
    }
    if (self->frame >= self->frame_count)
        return KV_BAD_REQUEST;
    kv_slice_t here = self->frames[self->frame];
    if (bytes == 0 || bytes > here.size - self->offset)
        return KV_BAD_REQUEST;
    *part = kv_slice (here.data + self->offset, (size_t)bytes);
    if (frame)
        *frame = self->frame;
    self->offset += (size_t)bytes;
    return KV_OK;
}

kv_status_t bundle_next (bundle_t *self, uint64_t *tag, kv_slice_t *part, size_t *frame)
{
    if (self->part_count == 0)
        return KV_END;
    uint64_t bytes;
    if (reader_uint (&self->parts, tag) != KV_OK || reader_uint (&self->parts, &bytes) != KV_OK)
        return KV_BAD_REQUEST;
    self->part_count--;
    return s_locate (self, bytes, part, frame);
}

/* Fields of a later version are passed over; nothing may follow them. */
static bool s_ends (reader_t *at, uint32_t further)
{
    for (; further > 0; further--) {
        if (reader_skip (at, NULL) != KV_OK)
            return false;
    }
    return reader_left (at) == 0;
}

kv_status_t bundle_open (bundle_t *self, const kv_slice_t *frames, size_t frame_count)
{
    *self = (bundle_t){0};
    if (frame_count == 0)
        return KV_BAD_REQUEST;
    uint32_t further;
    kv_status_t status = s_read_head (self, frames[0], &further);
    if (status)
        return status;
    self->frames = frames;
    self->frame_count = frame_count;
    self->frame = 1;
    bundle_t walk = *self;
    uint64_t tag;
    kv_slice_t part;
    do
        status = bundle_next (&walk, &tag, &part, NULL);
    while (status == KV_OK);
    if (status != KV_END || !s_ends (&walk.parts, further))
        return KV_BAD_REQUEST;
    bool at_end = walk.frame + 1 >= frame_count &&
                  (walk.frame >= frame_count || walk.offset == frames[walk.frame].size);
    return at_end ? KV_OK : KV_BAD_REQUEST; // B2
}
