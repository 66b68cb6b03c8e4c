/* sim_journal - what the log of a data directory holds by rights: every record that was ever appended to
 * it, apart from the disk; and whether what recovery came up with is one of the states that it may be.
 *
 *   U1  the tables recovered are exactly those that the records up to some lsn make: no value that was
 *       never written; versions, positions and expiries right.
 *   U2  that lsn is behind everything written, if only processes died since the last recovery.
 *   U3  under always it is behind every record that an acknowledgement told of.
 *   U4  under interval, what was acknowledged and is lost was written within one interval.
 *   U5  no position is given twice; but for records that open an epoch: nobody hears of those before they
 *       are durable.
 *
 * Times are microseconds of the clock that the node goes by. Owner: who has the data directory. */
#ifndef KVDB_TEST_SIM_SIM_JOURNAL_H
#define KVDB_TEST_SIM_SIM_JOURNAL_H

#include "node/executor.h"
#include "node/flusher.h"
#include "schema/record.h"

typedef struct sim_journal sim_journal_t;

sim_journal_t *sim_journal_new (uint32_t shards);
void sim_journal_destroy (sim_journal_t **self_p);

/* A record was appended to the log, which ends at `lsn` now. False: U5 is violated. */
KV_CHECK_RESULT bool sim_journal_append (sim_journal_t *self, kv_slice_t record, uint64_t lsn);

/* All that was appended is written now. */
void sim_journal_written (sim_journal_t *self, int64_t now_us);

/* A reply has left that told of the records that end behind `from_lsn`, up to `to_lsn`. */
void sim_journal_acknowledged (sim_journal_t *self, uint64_t from_lsn, uint64_t to_lsn,
                               int64_t now_us);

/* The machine has lost power. */
void sim_journal_power_loss (sim_journal_t *self);

/* Records of the present log: the oldest is 0. */
size_t sim_journal_count (const sim_journal_t *self);
uint64_t sim_journal_record (const sim_journal_t *self, size_t index, record_t *record);

/* The highest position given in a shard, ever, but for records that open an epoch. */
uint64_t sim_journal_position (const sim_journal_t *self, uint32_t shard);

typedef struct {
    uint64_t lsn; /* behind the last record recovered, or where its log was last gone on with */
    uint64_t
        resumes_lsn; /* where it is gone on with: behind what a crash has cut short, if there is such */
    const executor_t *executor; /* with what was recovered */
    flush_policy_t policy;
    int64_t interval_us;
} sim_journal_found_t;

typedef struct {
    bool power; /* it was lost since the last recovery */
    uint64_t records, acknowledged;
} sim_journal_loss_t;

/* Judges a recovery, and forgets what it has not found. NULL: all is well; else which of U1..U4 is
 * violated, and how. */
KV_CHECK_RESULT const char *sim_journal_recovered (sim_journal_t *self,
                                                   const sim_journal_found_t *found,
                                                   sim_journal_loss_t *loss);

#endif
