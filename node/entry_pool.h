/* entry_pool - memory for entries and overflow buckets, in size classes, without per-object headers.
 *
 *   arena   16 MiB, aligned to its size: 64 slabs; the first one holds the descriptors of the others
 *   slab    256 KiB of objects of one class, handed out in order, then from a free list that is
 *           threaded through the free objects
 *   class   8 bytes apart up to 512, then eight to each doubling, up to 16 KiB; larger objects come
 *           from malloc
 *
 * So an object wastes 3.5 bytes on average up to 512 bytes, and 6% beyond. The caller says how large
 * an object is when it gives it back; the object's address leads to the arena, and that to the slab.
 *
 *   P1  a slab with a free or uncarved object is in its class's list, and only such a slab.
 *   P2  a slab without a live object gives its pages back to the system, unless it is the only one
 *       in its class's list; then any class may have it.
 *   P3  live_bytes is the sum of the rounded sizes of the objects that are out.
 *   P4  an arena is put up for huge pages exactly while all its slabs belong to classes. The system
 *       makes them of its small pages in the background; a fault that had to clear a huge page would
 *       hold up its caller, and a huge page would bring back what a free slab has given away.
 *
 * Address space is kept for good, memory is not. A class whose objects were deleted here and there
 * keeps its slabs: nothing is ever moved. Under AddressSanitizer whatever is not handed out is
 * poisoned. Objects are aligned to the largest power of two that divides their class's size (64
 * bytes: to a cache line). Out of memory aborts. Owner: one thread. */
#ifndef KVDB_NODE_ENTRY_POOL_H
#define KVDB_NODE_ENTRY_POOL_H

#include "schema/status.h"

#include <stddef.h>

typedef struct entry_pool entry_pool_t;

enum { ENTRY_POOL_BYTES_MAX = 16 * 1024 }; /* larger objects are malloc's */

entry_pool_t *entry_pool_new (void);

/* Everything must have been given back. */
void entry_pool_destroy (entry_pool_t **self_p);

/* An object of `bytes` (at least 1), uninitialised; never NULL. */
void *entry_pool_take (entry_pool_t *self, size_t bytes);

/* Takes back an object of `bytes`, the size it was taken or last resized with. */
void entry_pool_give (entry_pool_t *self, void *object, size_t bytes);

/* Changes the size, keeping what fits; the object may move. */
void *entry_pool_resize (entry_pool_t *self, void *object, size_t bytes, size_t wanted);

/* What an object of `bytes` really takes. */
size_t entry_pool_rounded (size_t bytes);

size_t entry_pool_live_bytes (const entry_pool_t *self);

/* Memory held from the system, free objects included, as far as it was ever touched. */
size_t entry_pool_held_bytes (const entry_pool_t *self);

/* P1..P4 by a full walk; for tests. */
bool entry_pool_is_valid (const entry_pool_t *self);

#endif
