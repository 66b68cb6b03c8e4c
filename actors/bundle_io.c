#include "actors/bundle_io.h"

#include "schema/limits.h"

#include <stdlib.h>

typedef struct {
    uint64_t tag;
    size_t bytes;
} part_t;

struct bundle_out {
    message_type_t type;
    part_t parts[KV_BUNDLE_PARTS_MAX];
    uint32_t part_count;
    uint32_t finished; /* parts of the bundle finished last, while part_count is 0 */
    blob_t *frames[KV_BUNDLE_FRAMES_MAX]; /* finished frames; [0] is kept for the head */
    size_t frame_count;
    writer_t packed; /* small parts that will be the next frame */
};

bundle_out_t *bundle_out_new (message_type_t type)
{
    bundle_out_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->type = type;
    self->frame_count = 1;
    self->packed = writer_make (SIZE_MAX);
    return self;
}

void bundle_out_destroy (bundle_out_t **self_p)
{
    bundle_out_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 1; i < self->frame_count; i++)
        blob_unref (&self->frames[i]);
    writer_free (&self->packed);
    free (self);
}

bool bundle_out_is_empty (const bundle_out_t *self)
{
    return self->part_count == 0;
}

static void s_close_packed (bundle_out_t *self)
{
    if (self->packed.size)
        self->frames[self->frame_count++] = blob_from_writer (&self->packed);
}

bool bundle_out_add (bundle_out_t *self, uint64_t tag, blob_t **part_p)
{
    kv_slice_t bytes = blob_bytes (*part_p);
    /* A large part may need two frames: one for what is packed before it, one for itself; and one
     * must be left for what is packed after it. */
    bool full =
        self->part_count == KV_BUNDLE_PARTS_MAX || self->frame_count + 3 > KV_BUNDLE_FRAMES_MAX;
    if (full)
        return false;
    self->parts[self->part_count++] = (part_t){tag, bytes.size};
    if (bytes.size <= BUNDLE_COPY_BYTES) {
        writer_raw (&self->packed, bytes);
        blob_unref (part_p);
        return true;
    }
    s_close_packed (self);
    self->frames[self->frame_count++] = *part_p;
    *part_p = NULL;
    return true;
}

size_t bundle_out_finish (bundle_out_t *self, uint64_t epoch, blob_t *frames[KV_BUNDLE_FRAMES_MAX])
{
    KV_ASSERT (self->part_count > 0);
    s_close_packed (self);
    writer_t head = writer_make (SIZE_MAX);
    bundle_head_begin (&head, self->type, epoch, self->part_count);
    for (uint32_t i = 0; i < self->part_count; i++)
        bundle_head_part (&head, self->parts[i].tag, self->parts[i].bytes);
    frames[0] = blob_from_writer (&head);
    size_t count = self->frame_count;
    for (size_t i = 1; i < count; i++)
        frames[i] = self->frames[i];
    self->frame_count = 1;
    self->finished = self->part_count;
    self->part_count = 0;
    return count;
}

uint64_t bundle_out_finished_tag (const bundle_out_t *self, uint32_t index)
{
    KV_ASSERT (self->part_count == 0 && index < self->finished);
    return self->parts[index].tag;
}

uint32_t bundle_out_finished_count (const bundle_out_t *self)
{
    return self->part_count == 0 ? self->finished : 0;
}
