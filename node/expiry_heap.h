/* expiry_heap - the deadlines of one store's entries: a 4-ary heap of {deadline, entry}.
 *
 *   node i's children are 4i + 1 .. 4i + 4, its parent is (i - 1) / 4; the four children share one
 *   cache line. An entry holds the index of its node, so any deadline is found and changed without
 *   a search.
 *
 *   E1  no node's deadline is later than its children's.
 *   E2  the entry of node i holds index i.
 *
 * The heap never moves or copies its memory as a whole (segments.h). Owner: one thread. */
#ifndef KVDB_NODE_EXPIRY_HEAP_H
#define KVDB_NODE_EXPIRY_HEAP_H

#include "node/entry.h"

typedef struct expiry_heap expiry_heap_t;

expiry_heap_t *expiry_heap_new (void);
void expiry_heap_destroy (expiry_heap_t **self_p);

/* The entry has its expiry flag, and thus room for the index, already. */
void expiry_heap_add (expiry_heap_t *self, entry_t *entry, int64_t deadline_ms);
void expiry_heap_remove (expiry_heap_t *self, const entry_t *entry);
void expiry_heap_change (expiry_heap_t *self, const entry_t *entry, int64_t deadline_ms);

/* The entry whose index this is has moved to another address. */
void expiry_heap_moved (expiry_heap_t *self, entry_t *entry);

int64_t expiry_heap_deadline (const expiry_heap_t *self, const entry_t *entry);

/* Hints that expiry_heap_deadline is about to be called. */
void expiry_heap_prefetch (const expiry_heap_t *self, const entry_t *entry);

/* The entry with the earliest deadline, or NULL. */
entry_t *expiry_heap_first (const expiry_heap_t *self, int64_t *deadline_ms);

/* Forgets everything and frees the memory. */
void expiry_heap_clear (expiry_heap_t *self);

size_t expiry_heap_count (const expiry_heap_t *self);

/* How many deadlines are at or before now_ms; the cost is proportional to the answer. */
size_t expiry_heap_due (const expiry_heap_t *self, int64_t now_ms);

size_t expiry_heap_bytes (const expiry_heap_t *self);

/* E1 and E2 by a full walk. */
bool expiry_heap_is_valid (const expiry_heap_t *self);

#endif
