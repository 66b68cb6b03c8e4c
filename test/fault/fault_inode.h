/* fault_inode - what a file of fault_files holds: as reading sees it, as it is on the disk, and the
 * writes in between.
 *
 *   durable --changes since the last sync, oldest first--> seen
 *
 * Bytes of writes come to the disk by sectors; that a file was emptied comes as a whole, and what was
 * written after it is on the disk only if it is.
 * Pure. Owner: the disk. */
#ifndef KVDB_TEST_FAULT_FAULT_INODE_H
#define KVDB_TEST_FAULT_FAULT_INODE_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct {
    uint8_t *data; /* owned */
    size_t size, capacity;
} content_t;

typedef struct unsynced unsynced_t;

typedef struct inode inode_t;
struct inode {
    inode_t *next; /* of all there ever were on the disk */
    content_t seen, durable;
    unsynced_t *first, *last; /* owned */
};

inode_t *inode_new (void);
void inode_destroy (inode_t **self_p);

/* Changes what is seen. `sequence` rises from change to change. */
void inode_write (inode_t *self, uint64_t sequence, uint64_t offset, kv_slice_t bytes);
void inode_extend (inode_t *self, uint64_t sequence, uint64_t bytes); /* by zeros; never shorter */
void inode_empty (inode_t *self, uint64_t sequence);

/* What was changed up to `sequence` is durable. */
void inode_settle (inode_t *self, uint64_t sequence);

/* What is seen and durable is this, and nothing is unsynced. */
void inode_set (inode_t *self, kv_slice_t bytes);

/* The machine loses power: of the unsynced changes nothing is left, or (with `tear`) what chance leaves
 * of them (K2). */
void inode_crash (inode_t *self, bool tear, uint64_t *random);

/* 0 .. below - 1, by splitmix64 (Steele, Lea, Flood, 2014). */
uint64_t fault_random (uint64_t *random, uint64_t below);

#endif
