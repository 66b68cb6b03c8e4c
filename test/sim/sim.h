/* sim - what all modules of one run share: chance, time, the trace, the counts, the verdict.
 *
 * A run is one seed: a whole cluster under a virtual clock, in one thread. It ends with the first
 * violation of an oracle, or clean. Owner: sim_run. */
#ifndef KVDB_TEST_SIM_SIM_H
#define KVDB_TEST_SIM_SIM_H

#include "sim_events.h"
#include "sim_random.h"

#include "actors/blob.h"
#include "schema/status.h"

#include <stdio.h>

typedef enum {
#define SIM_COUNT(name, rare, meaning) COUNT_##name,
#include "sim_coverage.def"
#undef SIM_COUNT
    COUNTS
} sim_count_t;

typedef struct {
    uint64_t counts[COUNTS];
} sim_coverage_t;

typedef struct {
    sim_random_t random; /* of the run as a whole; modules have streams of their own */
    sim_events_t events;
    sim_coverage_t *coverage; /* borrowed; outlives the run */
    FILE *trace;              /* borrowed; NULL: none */
    uint64_t digest;          /* of all that was traced or could have been */
    bool failed;
    char oracle[32]; /* which one was violated first */
    char text[512];  /* how */
    int64_t failed_us;
} sim_t;

static inline void sim_count (sim_t *self, sim_count_t which)
{
    self->coverage->counts[which]++;
}

static inline int64_t sim_now (const sim_t *self)
{
    return self->events.now_us;
}

/* Notes the violation of an oracle; the first one counts. */
void sim_fail (sim_t *self, const char *oracle, const char *format, ...) KV_PRINTF (3, 4);

#endif
