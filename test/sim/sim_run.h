/* sim_run - one seed: draws a configuration, runs the cluster through faults and back to health,
 * judges it.
 *
 * Oracles here: after the last fault everything comes to rest within SETTLE_US of virtual time, and
 * then serves every command. */
#ifndef KVDB_TEST_SIM_SIM_RUN_H
#define KVDB_TEST_SIM_SIM_RUN_H

#include "sim.h"

typedef struct {
    uint64_t seed;
    bool failed;
    char oracle[32];
    char text[512];
    int64_t failed_us;
    int64_t ended_us; /* virtual time */
    uint64_t events;
    uint64_t digest; /* the same in every run of the seed */
} sim_result_t;

/* Adds to `coverage`. `trace` may be NULL. */
sim_result_t sim_run (uint64_t seed, sim_coverage_t *coverage, FILE *trace);

#endif
