/* snapshotter - makes one snapshot after another, while the node goes on: walks the tables in short
 * steps, hands chunks to the thread that writes them, and ends only when the log is durable as far as
 * the snapshot reaches.
 *
 *           want          walk over            log durable to end lsn        DONE
 *   IDLE ----------> WALKING ----------> SETTLING ----------> FINISHING ----------> IDLE
 *                       |                   |                     |    FAILED
 *                       +-------------------+---------------------+---------------> IDLE
 *
 *   M1  snapshot k holds everything executed before snapshotter_want gave the number k.
 *   M2  it is finished (renamed to its name) only when the log is durable up to its end lsn: it never
 *       holds what the log might not (N4 of snapshot_file.h).
 *   M3  no more than SNAPSHOT_AHEAD_BYTES of chunks are in memory, apart from one value that is larger.
 *
 * Owner: the node's thread; the actor's is another. */
#ifndef KVDB_NODE_SNAPSHOTTER_H
#define KVDB_NODE_SNAPSHOTTER_H

#include "actors/log.h"
#include "actors/snapshot_actor.h"
#include "node/executor.h"

typedef struct snapshotter snapshotter_t;

typedef struct {
    files_t *files;      /* borrowed */
    const char *name;    /* in files; borrowed */
    const uint8_t *uuid; /* of the data directory; borrowed */
    uint32_t shards;
    executor_t *executor; /* borrowed */
    const log_t *log;     /* borrowed */
} snapshotter_options_t;

typedef enum {
    SNAPSHOTTER_IDLE,
    SNAPSHOTTER_WALKING,
    SNAPSHOTTER_SETTLING,
    SNAPSHOTTER_FINISHING
} snapshotter_state_t;

/* Where the log stands, and how long a step may take. */
typedef struct {
    uint64_t appended_lsn, durable_lsn;
    int64_t now_ms, wall_ms;
    int64_t until_us; /* clock_us */
} snapshotter_turn_t;

/* NULL: no thread or socket can be had. */
snapshotter_t *snapshotter_new (const snapshotter_options_t *options);
void snapshotter_destroy (snapshotter_t **self_p);

void *snapshotter_socket (const snapshotter_t *self);

/* Asks for a snapshot of everything so far; its number (M1). */
uint64_t snapshotter_want (snapshotter_t *self);

/* Goes on. True: there is more to do at once. */
bool snapshotter_tend (snapshotter_t *self, const snapshotter_turn_t *turn);

typedef struct {
    snapshotter_state_t state;
    uint64_t wanted, begun, ended; /* numbers */
    uint64_t start_lsn;            /* of the last good one */
    uint64_t end_lsn;              /* of the one under way, from SETTLING on */
    uint64_t bytes, entries;       /* of the last good one */
    int64_t made_ms;               /* wall clock; 0: none was made yet */
    int64_t took_ms;
    int64_t begun_ms; /* the last one's begin, monotonic */
    uint64_t done, failed;
    uint64_t longest_step_us; /* of the node's thread, since the start */
    const char *fault;        /* of the last one; "": it is there */
} snapshotter_status_t;
snapshotter_status_t snapshotter_status (const snapshotter_t *self);

/* What recovery has found: a snapshot that begins there. */
void snapshotter_recovered (snapshotter_t *self, uint64_t start_lsn, uint64_t bytes,
                            uint64_t entries);

#endif
