/* snapshot_actor - the thread that writes snapshots: it gets chunks, seals and writes them, and makes
 * the file durable under its name.
 *
 *   IDLE --begin--> WRITING --chunk...--> WRITING --finish--> (sync, rename, sync of the directory) IDLE
 *                      |---- abort, or a failure -------------------> (temporary file removed)      IDLE
 *
 *   in:  begin, chunk (its buffer is handed over), finish, abort
 *   out: WRITTEN bytes: so much of the chunks has left memory; DONE; FAILED and the reason
 *
 *   C1  NAME is replaced whole, by a file that is synced: NAME.tmp, sync, rename, sync of the directory.
 *   C2  a failure (no space included) leaves NAME as it was, removes NAME.tmp, and is told once; what
 *       else comes for that snapshot is dropped. The next one begins anew. (If the very last step
 *       fails, the sync of the directory, NAME is the new file or the old one: both are whole.)
 *   C3  written bytes are synced every SNAPSHOT_SYNC_BYTES, so that the last sync is short and the
 *       system's page cache does not fill up with dirty pages.
 *   C4  chunks' buffers are used again for the next chunks, SNAPSHOT_SPARES at most, and only while a
 *       snapshot is under way: growing new ones costs the owner's thread a tenth of its time.
 *
 * Sent and received from the owner's thread, never blocking; the owner makes no chunk while there is no
 * room for it (snapshot_actor_has_room). */
#ifndef KVDB_ACTORS_SNAPSHOT_ACTOR_H
#define KVDB_ACTORS_SNAPSHOT_ACTOR_H

#include "actors/files.h"
#include "actors/snapshot_file.h"

typedef struct snapshot_actor snapshot_actor_t;

enum {
    SNAPSHOT_AHEAD_BYTES = 4 * 1024 * 1024,
    SNAPSHOT_SYNC_BYTES = 32 * 1024 * 1024,
    SNAPSHOT_SPARES = SNAPSHOT_AHEAD_BYTES / SNAPSHOT_CHUNK_BYTES + 2
};

typedef enum { SNAPSHOT_WRITTEN, SNAPSHOT_DONE, SNAPSHOT_FAILED } snapshot_event_type_t;

typedef struct {
    snapshot_event_type_t type;
    uint64_t bytes;     /* WRITTEN: since the last one; DONE: of the file */
    file_error_t error; /* FAILED */
} snapshot_event_t;

/* `files` is borrowed; NAME is the snapshot's in it. NULL if no thread or socket can be had. A
 * temporary file left over is removed. */
snapshot_actor_t *snapshot_actor_new (files_t *files, const char *name);
void snapshot_actor_destroy (snapshot_actor_t **self_p); /* aborts what is under way */

void *snapshot_actor_socket (const snapshot_actor_t *self);

/* Not while another one is under way: that ends with DONE, FAILED or snapshot_actor_abort. */
void snapshot_actor_begin (snapshot_actor_t *self, const snapshot_header_t *header);

/* Whether less than SNAPSHOT_AHEAD_BYTES of chunks wait to be written (small ones count as 4 KiB). It
 * changes as events are received. */
bool snapshot_actor_has_room (const snapshot_actor_t *self);

/* Takes the writer's buffer over, which was begun by snapshot_chunk_begin; the writer is empty then, and
 * may have got the memory of an earlier chunk (C4). */
void snapshot_actor_chunk (snapshot_actor_t *self, snapshot_kind_t kind, uint32_t shard,
                           writer_t *chunk);
void snapshot_actor_finish (snapshot_actor_t *self, uint64_t end_lsn, uint64_t entries);
void snapshot_actor_abort (snapshot_actor_t *self); /* no event follows for that snapshot */

/* KV_NOT_FOUND: nothing has come. */
KV_CHECK_RESULT kv_status_t snapshot_actor_receive (snapshot_actor_t *self,
                                                    snapshot_event_t *event);

#endif
