/* sim_trace - the trace of a run, one event a line:
 *
 *     time in s  from     to       what
 *     0.103245   node2    broker   BEACON 3
 *
 * and the digest: a number that two runs share only if they were the same, event by event.
 * Owner: the run. */
#ifndef KVDB_TEST_SIM_SIM_TRACE_H
#define KVDB_TEST_SIM_SIM_TRACE_H

#include "sim.h"

/* One line; formats nothing unless there is a trace. `to` may be "". */
void sim_trace (sim_t *self, const char *from, const char *to, const char *format, ...)
    KV_PRINTF (4, 5);

/* A line on a message: `what` happened to it, and what it holds, in words. */
void sim_trace_message (sim_t *self, const char *from, const char *to, const char *what,
                        blob_t *const *frames, size_t count);

/* Adds bytes to the digest. */
void sim_digest (sim_t *self, const void *bytes, size_t size);

#endif
