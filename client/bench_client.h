/* bench_client - the benchmark's loops through libkvdb: what its users get.
 *
 *   callers > 0   each of the handles is shared by so many threads, which call one after the other:
 *                 kv_call, or kv_execute of `pipeline` commands
 *   callers == 0  a handle has one batch in flight, sent by kv_submit and called back; workers serve
 *                 their handles with epoll on kv_fd
 *
 *   Y1  the measured time begins when every handle has reached all servers (by DBSIZE), and ends when
 *       no batches are left or time is over.
 *   Y2  a thread ends, and the test with it, when for timeout_ms nothing has been answered. */
#ifndef KVDB_CLIENT_BENCH_CLIENT_H
#define KVDB_CLIENT_BENCH_CLIENT_H

#include "client/bench_worker.h"

typedef struct {
    const char *host;
    int port;
    bool direct;
    uint32_t callers; /* threads of a handle; 0: see above */
} bench_access_t;

/* Runs the plan; of it `endpoint`, `ipv6`, `callers` and `ordered` have no meaning here, and
 * `connections` are handles. */
void bench_client_run (const bench_plan_t *plan, const bench_access_t *access,
                       bench_result_t *result);

#endif
