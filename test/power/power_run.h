/* power_run - one node's data through several lives and losses of power, all of it from one seed: the
 * executor, the log's writer and keeper, the flush policy, fuzzy snapshots and recovery, on a disk that
 * tears (fault_files.h), under a virtual clock.
 *
 *   U1  after every death the tables are exactly those that the log's records, up to some lsn, make: no
 *       value that was never written, versions, positions and expiries right.
 *   U2  that lsn is behind everything written, if only the process died.
 *   U3  under always it is behind every record that an acknowledged reply told of, a read's included.
 *   U4  under interval, what was acknowledged and is lost was written within one interval.
 *   U5  no position is ever given twice.
 *
 * A violation aborts, with a line that says which. */
#ifndef KVDB_TEST_POWER_RUN_H
#define KVDB_TEST_POWER_RUN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t requests, acknowledged, held; /* replies: at once, and after waiting */
    uint64_t power_losses, process_deaths, lost_records, lost_acknowledged;
    uint64_t snapshots, snapshots_used, snapshots_cut_short;
    uint64_t syncs, segments_retired, full_disks, refused;
} power_stats_t;

void power_run (uint64_t seed, bool trace, power_stats_t *stats);

#endif
