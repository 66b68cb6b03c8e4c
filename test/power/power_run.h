/* power_run - one node's data through several lives and losses of power, all of it from one seed: the
 * executor, the log's writer and keeper, the flush policy, fuzzy snapshots and recovery, on a disk that
 * tears (fault_files.h), under a virtual clock.
 *
 * What must hold are U1 to U5 of test/sim/sim_journal.h, and
 *   U6  under always no reply leaves before the last record about any key that it tells of is durable,
 *       a read's included (R3).
 *   U7  what there is space for is never refused (R20).
 *
 * A violation aborts, with a line that says which. */
#ifndef KVDB_TEST_POWER_RUN_H
#define KVDB_TEST_POWER_RUN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t requests, acknowledged, held; /* replies: at once, and after waiting */
    uint64_t power_losses, process_deaths, lost_records, lost_acknowledged;
    uint64_t snapshots, snapshots_used, snapshots_failed;
    uint64_t syncs, segments_retired, full_disks, refused;
} power_stats_t;

void power_run (uint64_t seed, bool trace, power_stats_t *stats);

#endif
