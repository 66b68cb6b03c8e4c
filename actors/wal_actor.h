/* wal_actor - the thread that runs a wal_keeper: it syncs while the node's thread goes on.
 *
 *   in                                        out
 *     PREPARE bytes, prewrite: so much more     SEGMENT  one is ready
 *       space ahead, in segments                FULL     the disk has no room; it tries again every
 *     SEAL number, end_lsn                               WAL_RETRY_MS, and SEGMENT tells that it has
 *     SYNC lsn, number                          DURABLE  lsn: one sync for all SYNCs that had come
 *     RETIRE lsn                                RETIRED  segments left
 *                                               FAILED   and the reason: fail-stop (R20)
 *
 *   T1  one sync answers all SYNC that came before it began (group commit).
 *   T2  a SYNC never waits for the preparing of a segment longer than WAL_SLICE_BYTES take to write.
 *   T3  after FAILED it does nothing but wait for its end.
 *
 * Messages are structs in frames of inproc PAIR sockets. Sent by wal_actor_send, received by
 * wal_actor_receive, both from the owner's thread and never blocking. */
#ifndef KVDB_ACTORS_WAL_ACTOR_H
#define KVDB_ACTORS_WAL_ACTOR_H

#include "actors/wal_keeper.h"

typedef struct wal_actor wal_actor_t;

enum { WAL_RETRY_MS = 200 };

typedef enum {
    WAL_PREPARE,
    WAL_SEAL,
    WAL_SYNC,
    WAL_RETIRE,
    WAL_SEGMENT,
    WAL_FULL,
    WAL_DURABLE,
    WAL_RETIRED,
    WAL_FAILED
} wal_message_type_t;

typedef struct {
    wal_message_type_t type;
    uint64_t lsn;          /* SEAL, SYNC, RETIRE, DURABLE */
    uint64_t number;       /* SEAL, SYNC; RETIRED: segments left */
    uint64_t bytes;        /* PREPARE */
    bool prewrite;         /* PREPARE: see wal_keeper_set_prewrite */
    int64_t took_us;       /* DURABLE: the sync */
    wal_segment_t segment; /* SEGMENT */
    file_error_t error;    /* FULL, FAILED */
} wal_message_t;

/* Takes the keeper over. NULL if no thread or socket can be had. */
wal_actor_t *wal_actor_new (wal_keeper_t **keeper_p);

/* Ends the thread, waiting for a sync under way. */
void wal_actor_destroy (wal_actor_t **self_p);

void *wal_actor_socket (const wal_actor_t *self); /* to be polled for input */
void wal_actor_send (wal_actor_t *self, const wal_message_t *message);

/* KV_NOT_FOUND: nothing has come. */
KV_CHECK_RESULT kv_status_t wal_actor_receive (wal_actor_t *self, wal_message_t *message);

#endif
