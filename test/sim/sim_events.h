/* sim_events - virtual time: a queue of what will happen, and when. Nothing takes time but waiting.
 *
 *   E1  now_us never goes back.
 *   E2  of two events for the same time, the one that was added first happens first.
 *
 * Events cannot be cancelled: whoever adds one gives it a number that tells him, when it happens,
 * whether it still counts. Owner: the run. */
#ifndef KVDB_TEST_SIM_EVENTS_H
#define KVDB_TEST_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NEVER_US INT64_MAX

typedef void (sim_event_fn) (void *context, uint64_t number);

typedef struct {
    int64_t at_us;
    uint64_t order; /* E2 */
    sim_event_fn *happens;
    void *context;
    uint64_t number;
} sim_event_t;

typedef struct {
    sim_event_t *heap; /* owned; the earliest first */
    size_t count, capacity;
    uint64_t added;
    int64_t now_us;
} sim_events_t;

void sim_events_free (sim_events_t *self);

/* A time in the past is now. */
void sim_events_add (sim_events_t *self, int64_t at_us, sim_event_fn *happens, void *context,
                     uint64_t number);

/* Lets the next event happen; false: there is none. */
bool sim_events_step (sim_events_t *self);

#endif
