/* segments - an array that grows and shrinks without ever moving an element.
 *
 * Segment k holds SEGMENTS_FIRST << k elements, so that a handful of segments reach any size:
 *
 *   index              0 .. 15 | 16 .. 47 | 48 .. 111 | ...
 *   segment                  0 |        1 |         2 | ...
 *   place = index + 16 16 .. 31| 32 .. 63 | 64 .. 127 | ...   the top bit of place names the segment
 *
 *   G1  the segments that hold an index below count are there, and at most one more.
 *   G2  growing by one element costs at most the allocation of one segment, whose memory the system
 *       hands out page by page as it is touched: nothing is copied or cleared.
 *
 * Elements that segments_push brings in have undefined content. Out of memory aborts.
 * The struct is open for the sake of segments_at; nobody else looks inside. Owner: one thread. */
#ifndef KVDB_NODE_SEGMENTS_H
#define KVDB_NODE_SEGMENTS_H

#include "schema/status.h"

#include <stddef.h>

enum { SEGMENTS_FIRST_LOG2 = 4, SEGMENTS_FIRST = 1 << SEGMENTS_FIRST_LOG2, SEGMENTS_MAX = 36 };

typedef struct {
    size_t count;                   /* elements in use */
    unsigned element_log2;          /* an element's size in bytes is a power of two */
    unsigned held;                  /* segments allocated: 0 .. held - 1 */
    uint8_t *segment[SEGMENTS_MAX]; /* owned */
} segments_t;

segments_t segments_make (unsigned element_log2);
void segments_free (segments_t *self);

/* Adds an element at the end and returns it; takes the last one away. */
void *segments_push (segments_t *self);
void segments_pop (segments_t *self);

/* Makes the array `count` elements long, at least as long as it is; those that come in are zero. Memory
 * that is fresh from the system is not touched for that. */
void segments_extend (segments_t *self, size_t count);

/* The memory taken, in bytes, as far as it was ever touched. */
size_t segments_bytes (const segments_t *self);

/* The element; index < count. Stays where it is while it exists. */
static inline void *segments_at (const segments_t *self, size_t index)
{
    size_t place = index + SEGMENTS_FIRST;
    unsigned top = 63U - (unsigned)__builtin_clzll (place);
    size_t offset = place ^ ((size_t)1 << top);
    return self->segment[top - SEGMENTS_FIRST_LOG2] + (offset << self->element_log2);
}

#endif
