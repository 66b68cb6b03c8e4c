/* bench_worker - one thread of the benchmark with some of the connections: a closed loop.
 *
 *   connection = one DEALER socket with `slots` slots
 *   slot:  idle --send--> waiting --reply--> idle ...  until no requests are left or time is over
 *                         waiting --timeout--> idle, its commands count as errors
 *
 *   X1  a slot has one batch in flight at most; its id is generation << 16 | slot, so that the late
 *       reply to an earlier generation is dropped.
 *   X2  the measured time begins when every connection of every worker has had a reply to a first,
 *       unmeasured batch (of PING).
 *   X3  a worker ends after `timeout_ms` without any reply at all, whatever happens.
 *
 * Waiting is epoll on ZMQ_FD, which wakes only for the sockets that have something. The latency of
 * a command is that of its batch. */
#ifndef KVDB_CLIENT_BENCH_WORKER_H
#define KVDB_CLIENT_BENCH_WORKER_H

#include "client/bench_histogram.h"
#include "client/bench_template.h"

#include <pthread.h>

typedef struct {
    const char *endpoint; /* of ZeroMQ */
    bool ipv6;
    bench_test_t test;
    uint32_t connections; /* of all workers */
    uint32_t slots;       /* batches in flight of a connection */
    uint32_t pipeline;    /* commands of a batch */
    uint32_t value_bytes;
    uint64_t requests;   /* commands of all workers, rounded up to batches */
    uint64_t keyspace;   /* 1.. */
    int64_t duration_ms; /* 0: as long as the requests take */
    int64_t timeout_ms;  /* for the reply to a batch */
    bool ordered;        /* each key once and in turn, to fill the keyspace */
    uint32_t workers;
} bench_plan_t;

typedef struct {
    bench_histogram_t latencies;
    uint64_t replies; /* commands that were answered, errors included */
    uint64_t errors;  /* commands that failed, or were not answered in time */
    int64_t elapsed_ns;
    bool lost; /* the server stopped answering (X3), or never did */
} bench_result_t;

/* Runs the plan with plan->workers threads, and merges what they measured. `result` is large: not
 * for the stack. */
void bench_run (const bench_plan_t *plan, bench_result_t *result);

/* Adds what one thread has measured to what the others have. */
void bench_merge (bench_result_t *result, const bench_result_t *part);

#endif
