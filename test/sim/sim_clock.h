/* sim_clock - the clocks of one machine: a monotonic one that drifts, a wall clock that also jumps.
 *
 *   local = offset + virtual time * (1 + drift)
 *   wall  = SIM_WALL_ZERO_MS + local - offset + what it was set ahead or back by
 *
 *   C1  the monotonic clock rises with virtual time; only the wall clock jumps.
 *   C2  sim_clock_wall_bounds holds every reading that was possible in the interval.
 *
 * Owner: the run. */
#ifndef KVDB_TEST_SIM_CLOCK_H
#define KVDB_TEST_SIM_CLOCK_H

#include <stdint.h>

#define SIM_WALL_ZERO_MS INT64_C (1700000000000)

enum { SIM_DRIFT_PPM_MAX = 100000, SIM_WALL_JUMPS_MAX = 16 };

typedef struct {
    int64_t offset_us; /* of the monotonic clock; whole milliseconds */
    int64_t drift_ppm; /* -SIM_DRIFT_PPM_MAX .. SIM_DRIFT_PPM_MAX */
    struct {
        int64_t at_us; /* virtual time */
        int64_t by_ms; /* in all, from then on */
    } jumps[SIM_WALL_JUMPS_MAX];
    uint32_t jump_count;
} sim_clock_t;

int64_t sim_clock_local_ms (const sim_clock_t *self, int64_t now_us);
int64_t sim_clock_local_us (const sim_clock_t *self, int64_t now_us);
int64_t sim_clock_wall_ms (const sim_clock_t *self, int64_t now_us);

/* The first virtual time at which the monotonic clock shows local_ms. */
int64_t sim_clock_when_us (const sim_clock_t *self, int64_t local_ms);

/* The same for a time in microseconds. */
int64_t sim_clock_when_local_us (const sim_clock_t *self, int64_t local_us);

/* Sets the wall clock ahead, or back. Later jumps than SIM_WALL_JUMPS_MAX do not happen. */
void sim_clock_jump (sim_clock_t *self, int64_t now_us, int64_t by_ms);

/* The least and the greatest wall-clock time shown between two virtual times. */
void sim_clock_wall_bounds (const sim_clock_t *self, int64_t from_us, int64_t to_us,
                            int64_t *least_ms, int64_t *most_ms);

#endif
