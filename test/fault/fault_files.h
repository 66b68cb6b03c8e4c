/* fault_files - the files of a directory in memory, on a disk that a test breaks on purpose.
 *
 *   what reading sees:  all writes, in order
 *   durable:            as of the last sync; names as of the last sync of the directory
 *
 *   K1  what was synced is there after any power loss, under the name it durably had.
 *   K2  of the writes since the last sync each survives a power loss by sectors of 512 bytes: each
 *       sector it covers is new or as it was, independently (mode TEAR), or all are lost (mode LOSE).
 *       That a file was emptied survives as a whole or not, and with it all that was written after it.
 *   K3  of the changes of names since the last sync the first few survive, in order.
 *   K4  a process that dies loses nothing that it has written.
 *
 * A sync has a beginning and an end, for simulators: what it makes durable is what was written before
 * its beginning, and nothing is before its end. file_sync does both at once.
 * Pure, seeded: the same calls give the same. Owner: one thread at a time. */
#ifndef KVDB_TEST_FAULT_FAULT_FILES_H
#define KVDB_TEST_FAULT_FAULT_FILES_H

#include "actors/files.h"

typedef enum {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_ALLOCATE,
    FAULT_SYNC,
    FAULT_RENAME,
    FAULT_REMOVE,
    FAULT_LIST,
    FAULT_SYNC_DIRECTORY,
    FAULT_OPERATIONS
} fault_operation_t;

typedef enum { POWER_LOSE, POWER_TEAR } power_mode_t;

/* An empty disk of `capacity` bytes (0: without a bound). */
files_t *fault_files_new (uint64_t seed, uint64_t capacity);

/* The n-th operation of that kind from now (1: the next) fails with that errno: EIO, ENOSPC... A write
 * that fails has been done in a random first part. `count` in a row fail; 0: for good. */
void fault_files_fail (files_t *self, fault_operation_t operation, uint64_t nth, int number,
                       uint64_t count);
void fault_files_heal (files_t *self);                            /* no faults from now on */
void fault_files_set_capacity (files_t *self, uint64_t capacity); /* what is there stays */

/* While deferred, file_sync only begins: it says KV_OK, and what it covers is durable once
 * fault_files_settle is called, with the number of syncs that had begun by then. */
void fault_files_defer (files_t *self, bool defer);
uint64_t fault_files_begun (const files_t *self);
void fault_files_settle (files_t *self, uint64_t begun);

/* A sync in two steps: `token` names it. */
uint64_t fault_files_sync_begin (file_t *file);
void fault_files_sync_end (files_t *self, uint64_t token);

/* The process that has locked the directory is dead: another one may. */
void fault_files_unlock (files_t *self);

/* The machine loses power; files that are open fail from now on (EIO), and are to be closed. */
void fault_files_power_loss (files_t *self, power_mode_t mode);

/* Flips bit `bit` (0..7) of a byte, or cuts the file to `bytes`, seen and durable alike. */
void fault_files_flip (files_t *self, const char *name, uint64_t offset, unsigned bit);
void fault_files_cut (files_t *self, const char *name, uint64_t bytes);

/* The content as reading sees it, or {NULL, 0}; valid until the file changes. */
kv_slice_t fault_files_content (files_t *self, const char *name);

/* A copy with the same content, all of it durable, without faults and locks. */
files_t *fault_files_copy (files_t *self, uint64_t seed);

uint64_t fault_files_count (const files_t *self, fault_operation_t operation); /* done so far */

#endif
