/* sim_snapshot - makes the snapshots of one process, as node/snapshotter.c and actors/snapshot_actor.c do,
 * a step at a time: whoever has it lets time pass between the steps, so that writes, deaths and losses of
 * power come between any two.
 *
 *          want         the walk is over          log durable to end lsn
 *   IDLE -------> WALKING ----------> SETTLING ----------> SYNCING -> RENAMING -> NAMED -> IDLE
 *     ^                 a fault, from any state: the old one stays                           |
 *     +--------------------------------------------------------------------------------------+
 *
 * Owner: the process's log. */
#ifndef KVDB_TEST_SIM_SIM_SNAPSHOT_H
#define KVDB_TEST_SIM_SIM_SNAPSHOT_H

#include "sim_random.h"

#include "actors/files.h"
#include "node/executor.h"

#define SIM_SNAPSHOT_NAME "snapshot.dat"

typedef struct sim_snapshot sim_snapshot_t;

typedef struct {
    files_t *files;      /* borrowed, as are the others */
    const uint8_t *uuid; /* of the data directory */
    const executor_t *executor;
    uint32_t shards;
    sim_random_t random;
} sim_snapshot_options_t;

sim_snapshot_t *sim_snapshot_new (const sim_snapshot_options_t *options);
void sim_snapshot_destroy (sim_snapshot_t **self_p);

bool sim_snapshot_is_idle (const sim_snapshot_t *self);

/* While idle: one begins. */
void sim_snapshot_begin (sim_snapshot_t *self, uint64_t appended_lsn, int64_t wall_ms);

/* One step. */
void sim_snapshot_step (sim_snapshot_t *self, uint64_t appended_lsn, uint64_t durable_lsn);

/* What the log is to be durable up to for the next step; 0: whatever. */
uint64_t sim_snapshot_wants (const sim_snapshot_t *self);

/* Of the last good one: where the log is to be read from, and its bytes. */
uint64_t sim_snapshot_start_lsn (const sim_snapshot_t *self);
uint64_t sim_snapshot_bytes (const sim_snapshot_t *self);
void sim_snapshot_recovered (sim_snapshot_t *self, uint64_t start_lsn, uint64_t bytes);

uint64_t sim_snapshot_done (const sim_snapshot_t *self); /* how many */
uint64_t sim_snapshot_failed (const sim_snapshot_t *self);

#endif
