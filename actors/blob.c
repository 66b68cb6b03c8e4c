#include "actors/blob.h"

#include <stdatomic.h>
#include <stdlib.h>

struct blob {
    atomic_uint references;
    kv_slice_t bytes;
    void *owner;                   /* what keeps the bytes */
    void (*release) (void *owner); /* frees it; NULL: the bytes are in `copy` */
    uint8_t copy[];
};

static blob_t *s_new (size_t copy_bytes)
{
    blob_t *self = malloc (sizeof *self + copy_bytes);
    KV_ASSERT (self != NULL);
    atomic_init (&self->references, 1);
    self->owner = NULL;
    self->release = NULL;
    return self;
}

blob_t *blob_wrap (kv_slice_t bytes, void *owner, void (*release) (void *owner))
{
    blob_t *self = s_new (0);
    self->bytes = bytes;
    self->owner = owner;
    self->release = release;
    return self;
}

blob_t *blob_take (uint8_t *data, size_t size)
{
    return blob_wrap (kv_slice (data, size), data, free);
}

blob_t *blob_from_writer (writer_t *writer)
{
    size_t size;
    uint8_t *data = writer_take (writer, &size);
    return blob_take (data, size);
}

blob_t *blob_copy (kv_slice_t bytes)
{
    blob_t *self = s_new (bytes.size);
    if (bytes.size)
        memcpy (self->copy, bytes.data, bytes.size);
    self->bytes = kv_slice (self->copy, bytes.size);
    return self;
}

blob_t *blob_ref (blob_t *self)
{
    unsigned before = atomic_fetch_add_explicit (&self->references, 1, memory_order_relaxed);
    KV_ASSERT (before > 0);
    return self;
}

void blob_unref (blob_t **self_p)
{
    blob_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    unsigned before = atomic_fetch_sub_explicit (&self->references, 1, memory_order_acq_rel);
    KV_ASSERT (before > 0);
    if (before > 1)
        return;
    if (self->release)
        self->release (self->owner); // B2
    free (self);
}

kv_slice_t blob_bytes (const blob_t *self)
{
    return self->bytes;
}
