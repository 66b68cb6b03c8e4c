#include "node/record_maker.h"

#include <stdlib.h>

enum { KEPT_BYTES = 256 * 1024 /* a buffer that has grown beyond goes back to the system */ };

/* A record in the making; free for any shard while it has no effects. */
typedef struct {
    writer_t bytes;
    uint32_t effects;
} making_t;

struct record_maker {
    making_t *makings; /* owned: as many as ever were open at once */
    uint32_t count;
    uint32_t *at;   /* owned array [shards]: 1 + index of the shard's making, 0: it has none */
    uint32_t *free; /* owned: indices that no shard has */
    uint32_t free_count;
};

record_maker_t *record_maker_new (uint32_t shards)
{
    record_maker_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->at = calloc (shards, sizeof *self->at);
    KV_ASSERT (self->at != NULL);
    self->free = calloc (shards, sizeof *self->free);
    KV_ASSERT (self->free != NULL);
    self->makings = calloc (shards, sizeof *self->makings);
    KV_ASSERT (self->makings != NULL);
    return self;
}

void record_maker_destroy (record_maker_t **self_p)
{
    record_maker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->count; i++)
        writer_free (&self->makings[i].bytes);
    free (self->makings);
    free (self->free);
    free (self->at);
    free (self);
}

static making_t *s_begin (record_maker_t *self, const shard_t *shard)
{
    uint32_t index = self->free_count ? self->free[--self->free_count] : self->count++;
    making_t *making = &self->makings[index];
    if (!making->bytes.limit)
        making->bytes = writer_make (SIZE_MAX);
    self->at[shard_id (shard)] = index + 1;
    (void)record_begin (&making->bytes, shard_id (shard), shard_previous (shard),
                        shard_last (shard));
    return making;
}

void record_maker_effect (record_maker_t *self, const shard_t *shard, const effect_t *effect)
{
    uint32_t at = self->at[shard_id (shard)];
    making_t *making = at ? &self->makings[at - 1] : s_begin (self, shard);
    record_effect (&making->bytes, effect);
    making->effects++;
}

void record_maker_end (record_maker_t *self, const shard_t *shard, writer_t *out)
{
    uint32_t at = self->at[shard_id (shard)];
    KV_ASSERT (at > 0); // R1
    making_t *making = &self->makings[at - 1];
    record_end (&making->bytes, 0, making->effects);
    writer_raw (out, kv_slice (making->bytes.data, making->bytes.size));
    if (making->bytes.capacity > KEPT_BYTES)
        writer_free (&making->bytes);
    writer_reset (&making->bytes);
    making->effects = 0;
    self->at[shard_id (shard)] = 0;
    self->free[self->free_count++] = at - 1;
}
