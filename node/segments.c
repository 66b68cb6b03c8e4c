#include "node/segments.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    MAPPED_BYTES = 64 * 1024,    /* segments from this size on are mapped, not allocated */
    CHUNK_BYTES = 64 * 1024,     /* what shrinking gives back to the system at a time */
    HUGE_BYTES = 2 * 1024 * 1024 /* segments from this size on are worth huge pages once full */
};

segments_t segments_make (unsigned element_log2)
{
    return (segments_t){.element_log2 = element_log2};
}

static size_t s_segment_bytes (const segments_t *self, unsigned k)
{
    return ((size_t)SEGMENTS_FIRST << k) << self->element_log2;
}

/* Only a full segment is put up for huge pages, which the system then makes of its small ones in the
 * background: a fault that has to clear a whole huge page would hold up its caller for too long. */
static void s_advise_last (segments_t *self, int advice)
{
    size_t bytes = self->held ? s_segment_bytes (self, self->held - 1) : 0;
    if (bytes >= HUGE_BYTES)
        (void)madvise (self->segment[self->held - 1], bytes,
                       advice); /* a refusal costs speed only */
}

static void s_add_segment (segments_t *self)
{
    KV_ASSERT (self->held < SEGMENTS_MAX);
    size_t bytes = s_segment_bytes (self, self->held);
    void *memory;
    if (bytes < MAPPED_BYTES) {
        memory = aligned_alloc (64, bytes < 64 ? 64 : bytes);
        KV_ASSERT (memory != NULL);
    } else {
        memory = mmap (NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        KV_ASSERT (memory != MAP_FAILED);
    }
    s_advise_last (self, MADV_HUGEPAGE);
    self->segment[self->held++] = memory;
}

static void s_drop_segment (segments_t *self)
{
    self->held--;
    size_t bytes = s_segment_bytes (self, self->held);
    if (bytes < MAPPED_BYTES) {
        free (self->segment[self->held]);
    } else {
        int rc = munmap (self->segment[self->held], bytes);
        KV_ASSERT (rc == 0);
    }
    self->segment[self->held] = NULL;
    s_advise_last (self, MADV_NOHUGEPAGE);
}

void segments_free (segments_t *self)
{
    while (self->held)
        s_drop_segment (self);
    self->count = 0;
}

/* Places below this are covered by the first `held` segments. */
static size_t s_places (unsigned held)
{
    return (size_t)SEGMENTS_FIRST << held;
}

/* Gives the pages of a chunk back that shrinking has left a chunk behind; the distance keeps a
 * count that swings around a border from paying for it each time. */
static void s_release_behind (segments_t *self)
{
    size_t place = self->count + SEGMENTS_FIRST;
    size_t chunk = (size_t)CHUNK_BYTES >> self->element_log2;
    if (place % chunk != 0)
        return;
    size_t from = place + chunk;
    unsigned top = 63U - (unsigned)__builtin_clzll (from);
    unsigned k = top - SEGMENTS_FIRST_LOG2;
    if (k >= self->held || s_segment_bytes (self, k) < MAPPED_BYTES)
        return;
    size_t offset = (from ^ ((size_t)1 << top)) << self->element_log2;
    (void)madvise (self->segment[k] + offset, CHUNK_BYTES, MADV_DONTNEED);
}

void *segments_push (segments_t *self)
{
    size_t index = self->count++;
    if (self->count + SEGMENTS_FIRST > s_places (self->held))
        s_add_segment (self);
    return segments_at (self, index);
}

void segments_extend (segments_t *self, size_t count)
{
    KV_ASSERT (count >= self->count);
    while (self->count < count) {
        size_t place = self->count + SEGMENTS_FIRST;
        bool fresh = place == s_places (self->held);
        if (fresh)
            s_add_segment (self);
        unsigned top = 63U - (unsigned)__builtin_clzll (place);
        size_t end = ((size_t)2 << top) - SEGMENTS_FIRST; /* of the segment, as an index */
        size_t more = (count < end ? count : end) - self->count;
        bool mapped = s_segment_bytes (self, top - SEGMENTS_FIRST_LOG2) >= MAPPED_BYTES;
        self->count += more;
        if (!fresh || !mapped)
            memset (segments_at (self, self->count - more), 0, more << self->element_log2);
    }
}

void segments_pop (segments_t *self)
{
    KV_ASSERT (self->count > 0);
    self->count--;
    s_release_behind (self);
    size_t covered = s_places (self->held) / 2; /* places without the last segment */
    if (self->count + SEGMENTS_FIRST <= covered - covered / 4)
        s_drop_segment (self); // G1: the segment before it is half empty by now
}

size_t segments_bytes (const segments_t *self)
{
    return self->count << self->element_log2;
}
