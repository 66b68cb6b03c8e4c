/* data_repair - makes a damaged data directory one that recovery accepts, by leaving out as little as it
 * can, and nothing in silence.
 *
 *   plan --print--> (whoever asked has seen it) --apply--> copied aside, changed, checked
 *
 *   B1  a directory that recovery accepts is never changed.
 *   B2  what is left holds the records up to some lsn, and none behind it: a state that there was.
 *   B3  the plan was read as recovery would (data_view.h) before anything is changed.
 *   B4  every file that is changed or goes was copied before, and the copies are durable.
 *   B5  between any two steps the directory is one that recovery refuses, or one as planned: whoever was
 *       interrupted repairs again.
 *
 * What it does: headers of segments that are damaged are made again, files that are shorter than they were
 * made are filled up with zeros, and what is damaged before the
 * snapshot's start is taken out, which loses nothing; the log is cut behind its last good record, within a
 * damaged block too; segments that the cut parts from it go, and so does a snapshot that cannot be used where
 * the log reaches back to its beginning. All else it leaves to a person, and says what:
 * foreign files, other versions, a disk that cannot be read.
 *
 * Owner: one thread, which holds the directory's lock. */
#ifndef KVDB_NODE_DATA_REPAIR_H
#define KVDB_NODE_DATA_REPAIR_H

#include "node/data_output.h"
#include "node/data_read.h"

typedef struct data_repair data_repair_t;

/* `place` is borrowed; its uuid is known. KV_OK: there is a plan. KV_END: there is nothing to repair (B1).
 * KV_CORRUPT: it cannot be repaired; `why` says so, and what to do. KV_IO. */
KV_CHECK_RESULT kv_status_t data_repair_new (const data_place_t *place, data_repair_t **self_p,
                                             file_error_t *why);
void data_repair_destroy (data_repair_t **self_p);

/* What is going to be changed, what is left, and what is dropped. */
void data_repair_print (const data_repair_t *self, const data_output_t *out);

/* Does it; `aside` is an empty directory, whose own name is in that of the log. KV_IO, KV_DISK_FULL: what
 * was done before stays, B5; nothing was done yet if the copies failed. */
KV_CHECK_RESULT kv_status_t data_repair_apply (data_repair_t *self, files_t *aside,
                                               file_error_t *error);

#endif
