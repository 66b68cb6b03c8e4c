#include "node/reply_lane.h"

#include "schema/bundle.h"
#include "schema/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    uint64_t tag;
    size_t bytes;
} reply_part_t;

/* Shared by the lane and the bundles that are under way; the last of them frees it. */
typedef struct {
    atomic_uint references;
    atomic_size_t bytes;
} unsent_t;

/* One bundle's replies, in libzmq's hands. */
typedef struct {
    blob_t *replies;
    unsent_t *unsent;
} bundle_body_t;

struct reply_lane {
    writer_t replies; /* back to back */
    size_t added;     /* bytes of `replies` that belong to a part */
    reply_part_t parts[KV_BUNDLE_PARTS_MAX];
    uint32_t part_count;
    unsent_t *unsent;
};

reply_lane_t *reply_lane_new (void)
{
    reply_lane_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->replies = writer_make (KV_REPLY_BYTES_MAX);
    self->unsent = malloc (sizeof *self->unsent);
    KV_ASSERT (self->unsent != NULL);
    atomic_init (&self->unsent->references, 1);
    atomic_init (&self->unsent->bytes, 0);
    return self;
}

static void s_unref (unsent_t *unsent)
{
    if (atomic_fetch_sub_explicit (&unsent->references, 1, memory_order_acq_rel) == 1)
        free (unsent);
}

void reply_lane_destroy (reply_lane_t **self_p)
{
    reply_lane_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    s_unref (self->unsent);
    writer_free (&self->replies);
    free (self);
}

writer_t *reply_lane_writer (reply_lane_t *self)
{
    return &self->replies;
}

void reply_lane_add (reply_lane_t *self, uint64_t tag)
{
    KV_ASSERT (self->part_count < KV_BUNDLE_PARTS_MAX); // L1
    self->parts[self->part_count++] = (reply_part_t){tag, self->replies.size - self->added};
    self->added = self->replies.size;
}

bool reply_lane_is_full (const reply_lane_t *self)
{
    return self->part_count == KV_BUNDLE_PARTS_MAX ||
           self->replies.size >= REPLY_LANE_BUNDLE_BYTES; // L1
}

/* Called by any thread. */
static void s_sent (void *owner)
{
    bundle_body_t *body = owner;
    size_t bytes = blob_bytes (body->replies).size;
    atomic_fetch_sub_explicit (&body->unsent->bytes, bytes, memory_order_relaxed);
    s_unref (body->unsent);
    blob_unref (&body->replies);
    free (body);
}

/* The replies as a blob that is counted until nobody holds it any more (L2). */
static blob_t *s_count (reply_lane_t *self)
{
    bundle_body_t *body = malloc (sizeof *body);
    KV_ASSERT (body != NULL);
    *body = (bundle_body_t){blob_from_writer (&self->replies), self->unsent};
    kv_slice_t bytes = blob_bytes (body->replies);
    atomic_fetch_add_explicit (&self->unsent->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit (&self->unsent->bytes, bytes.size, memory_order_relaxed);
    return blob_wrap (bytes, body, s_sent);
}

size_t reply_lane_finish (reply_lane_t *self, uint64_t epoch, blob_t *frames[2])
{
    if (self->part_count == 0)
        return 0;
    writer_t head = writer_make (SIZE_MAX);
    bundle_head_begin (&head, MESSAGE_REPLIES, epoch, self->part_count);
    for (uint32_t i = 0; i < self->part_count; i++)
        bundle_head_part (&head, self->parts[i].tag, self->parts[i].bytes);
    frames[0] = blob_from_writer (&head);
    frames[1] = s_count (self);
    self->part_count = 0;
    self->added = 0;
    return 2;
}

size_t reply_lane_unsent_bytes (const reply_lane_t *self)
{
    return atomic_load_explicit (&self->unsent->bytes, memory_order_relaxed);
}
