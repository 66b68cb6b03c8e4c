/* persistence - what a node does with its disk: recovers, logs what is executed, makes snapshots. It
 * joins the log (wal.h and its actor), the flush policy (flusher.h), recovery and the snapshots, and
 * is all the node actor knows of them.
 *
 *             recovered          any fault
 *   LOADING ------------> RUNNING ----------> FAILED
 *      +------------ a fault -------------------^
 *
 *   Q1  while RUNNING the executor's records go to the log's buffer; persistence_write takes them to the
 *       file. No reply made since may leave before it has returned KV_OK.
 *   Q2  a reply that waits for an lsn (executor_gate) leaves only when persistence_releasable has
 *       reached it.
 *   Q3  in FAILED nothing is written and nothing released any more (R20): the node is to end, telling
 *       the reason.
 *   Q4  a request runs only if persistence_has_room for it, so that a record's space is there before its
 *       position is (R20). While the disk is full it runs as well; the executor refuses what would log.
 *
 * Owner: the node's thread; two more are its own. */
#ifndef KVDB_NODE_PERSISTENCE_H
#define KVDB_NODE_PERSISTENCE_H

#include "actors/files.h"
#include "actors/log.h"
#include "node/flusher.h"
#include "node/executor.h"

typedef struct persistence persistence_t;

typedef struct {
    files_t *files;            /* of the data directory, locked; borrowed */
    const char *snapshot_path; /* NULL: snapshot.dat in the data directory; borrowed */
    const uint8_t *uuid;       /* of the data directory; borrowed */
    flush_policy_t policy;     /* not FLUSH_OFF */
    int64_t interval_ms;
    uint64_t segment_bytes;
    uint64_t snapshot_log_bytes;
    int64_t snapshot_interval_ms;
    uint32_t shards;
    executor_t *executor; /* borrowed */
    const log_t *log;     /* borrowed */
} persistence_options_t;

enum { PERSISTENCE_SOCKETS = 2, PERSISTENCE_INFO_BYTES = 2048 };

/* Begins to load. KV_IO, KV_BUSY (another node uses the snapshot file), with a line in `why`. */
KV_CHECK_RESULT kv_status_t persistence_open (const persistence_options_t *options,
                                              persistence_t **self_p, char *why, size_t why_bytes);

/* Ends the threads, waiting for what they are doing; nothing is synced that was not asked for. */
void persistence_close (persistence_t **self_p);

/* Loads until `until_us` (clock_us) or the end. KV_OK: there is more. KV_END: RUNNING from now on. Else
 * FAILED. Calls afterwards change nothing. */
KV_CHECK_RESULT kv_status_t persistence_load (persistence_t *self, int64_t until_us);

/* "": no fault. In FAILED, what has happened: file, reason, remedy. */
const char *persistence_fault (const persistence_t *self);

/* ---- while RUNNING; a fault that comes up in one of these is told by persistence_fault ---- */

/* Q4; may be asked in any state. False: the space is being prepared; ask again after persistence_tend. */
bool persistence_has_room (persistence_t *self, uint64_t bytes);

/* Bytes of records that there is space for. */
uint64_t persistence_room (const persistence_t *self);

/* Q1: to be called before replies leave. False: FAILED. */
KV_CHECK_RESULT bool persistence_write (persistence_t *self);

/* Q2. UINT64_MAX: whatever. */
uint64_t persistence_releasable (const persistence_t *self, int64_t now_us);

/* One more reply waits for that. */
void persistence_on_held (persistence_t *self);

/* Up to where the log is durable; 0 in FAILED (Q3). */
uint64_t persistence_durable (const persistence_t *self);

/* Has the log synced up to an lsn, whatever the policy is, once it is written that far. */
void persistence_demand (persistence_t *self, uint64_t lsn);

/* When a sync that is put off will be due, on clock_us: come back then. INT64_MAX: there is none. */
int64_t persistence_due_us (const persistence_t *self);

/* Has all that was executed synced as soon as possible, whether it is written yet or not. True: it is by
 * now. Whoever waits for it asks again each turn, as more may have been executed. */
KV_CHECK_RESULT bool persistence_flush (persistence_t *self);

/* Q1, and waits until all of it is durable, or there is a fault: a graceful end. */
void persistence_finish (persistence_t *self);

/* Hears what the threads tell, syncs and snapshots what is due. A snapshot under way takes until
 * `until_us` at most. True: there is more to do at once. */
bool persistence_tend (persistence_t *self, int64_t now_ms, int64_t until_us);

/* ZeroMQ sockets to be polled for input; persistence_tend reads them. Returns how many. */
size_t persistence_sockets (const persistence_t *self, void *sockets[PERSISTENCE_SOCKETS]);

/* A snapshot of all that was executed so far is to be made; its number, from 1 on. */
uint64_t persistence_snapshot (persistence_t *self);

/* The last snapshot that has ended: its number, and whether it is there ("" or what failed). */
uint64_t persistence_snapshot_ended (const persistence_t *self, const char **fault);

/* The section of INFO. */
void persistence_info (const persistence_t *self, char text[PERSISTENCE_INFO_BYTES]);

#endif
