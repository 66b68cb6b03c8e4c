#include "client/bench_client.h"

#include "client/kvdb.h"
#include "schema/status.h"

#include <zmq.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { WAKE_MS = 50, EVENTS_MAX = 64, KEY_ROOM = 32, SOCKETS_MAX = 60000 };

typedef struct runner runner_t;

typedef struct {
    kv_client_t *client;
    kv_batch_t *batch;
    int64_t sent_ns;
    runner_t *runner; /* that serves it with callbacks */
} handle_t;

/* What the threads share: the start, at which all must have arrived. */
typedef struct {
    const bench_plan_t *plan;
    const bench_access_t *access;
    handle_t *handles;
    char *value; /* plan->value_bytes of it */
    void *context;
    atomic_bool lost;
    _Atomic uint64_t left; /* batches not yet begun */
    pthread_barrier_t start;
    int64_t start_ns, stop_ns; /* set by the first thread, between two barriers */
} bench_t;

struct runner {
    bench_t *bench;
    uint32_t index;
    uint32_t first, count; /* its handles */
    uint64_t random;
    uint64_t sent;
    uint32_t waiting;
    int64_t heard_ns;
    kv_batch_t *batch; /* a caller's */
    bench_result_t *result;
    pthread_t thread;
};

static int64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- Commands --- */

/* xorshift64* (Vigna, 2016). */
static uint64_t s_next (uint64_t *random)
{
    uint64_t x = *random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *random = x;
    return x * UINT64_C (0x2545f4914f6cdd1d);
}

static bool s_is_set (const runner_t *self, uint32_t index)
{
    bench_test_t test = self->bench->plan->test;
    return test == BENCH_SET || (test == BENCH_MIXED && (index + self->sent) % 2 == 0);
}

/* The next command; `key` has KEY_ROOM. Returns how many words it has. */
static size_t s_command (runner_t *self, uint32_t index, char *key, const char **argv, size_t *lens)
{
    const bench_plan_t *plan = self->bench->plan;
    bool set = s_is_set (self, index);
    int key_bytes = snprintf (key, KEY_ROOM, "key:%012" PRIu64,
                              (s_next (&self->random) >> 16) % plan->keyspace);
    argv[0] = set ? "SET" : "GET";
    lens[0] = 3;
    argv[1] = key;
    lens[1] = (size_t)key_bytes;
    argv[2] = self->bench->value;
    lens[2] = plan->value_bytes;
    return set ? 3 : 2;
}

static void s_fill (runner_t *self, kv_batch_t *batch)
{
    kv_batch_clear (batch);
    for (uint32_t i = 0; i < self->bench->plan->pipeline; i++) {
        char key[KEY_ROOM];
        const char *argv[3];
        size_t lens[3];
        size_t argc = s_command (self, i, key, argv, lens);
        kv_status_t status = kv_batch_add (batch, argc, argv, lens);
        KV_ASSERT (status == KV_OK); /* the flags are bounded so that it fits */
    }
}

static bool s_claim (bench_t *bench, int64_t now_ns)
{
    if (now_ns >= bench->stop_ns || atomic_load (&bench->lost))
        return false;
    uint64_t left = atomic_load_explicit (&bench->left, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak (&bench->left, &left, left - 1))
            return true;
    }
    return false;
}

/* Counts a batch; `reply` is the value of a single command or the array of several. */
static void s_count (runner_t *self, int64_t sent_ns, kv_status_t status, const kv_reply_t *reply,
                     bool single)
{
    const bench_plan_t *plan = self->bench->plan;
    bench_result_t *result = self->result;
    int64_t now_ns = s_now_ns ();
    if (status) {
        result->errors += plan->pipeline;
        if (now_ns - self->heard_ns > plan->timeout_ms * 1000000)
            atomic_store (&self->bench->lost, true); // Y2
        return;
    }
    bench_histogram_add (&result->latencies, (uint64_t)(now_ns - sent_ns), plan->pipeline);
    result->replies += plan->pipeline;
    self->heard_ns = now_ns;
    for (uint32_t i = 0; i < plan->pipeline; i++)
        result->errors += kv_reply_code (single ? reply : kv_reply_item (reply, i)) != KV_OK;
}

/* --- Callers --- */

static void s_call (runner_t *self, kv_client_t *client)
{
    kv_reply_t *reply;
    kv_status_t status;
    bool single = self->bench->plan->pipeline == 1;
    int64_t sent_ns;
    if (single) {
        char key[KEY_ROOM];
        const char *argv[3];
        size_t lens[3];
        size_t argc = s_command (self, 0, key, argv, lens);
        sent_ns = s_now_ns ();
        status = kv_call (client, argc, argv, lens, &reply);
    } else {
        s_fill (self, self->batch);
        sent_ns = s_now_ns ();
        status = kv_execute (client, self->batch, &reply);
    }
    self->sent++;
    s_count (self, sent_ns, status, reply, single);
    kv_reply_destroy (&reply);
}

/* --- Callbacks --- */

static void s_begin (handle_t *handle);

static void s_called (void *context, uint64_t ticket, kv_status_t status, kv_reply_t *replies)
{
    (void)ticket;
    handle_t *handle = context;
    handle->runner->waiting--;
    s_count (handle->runner, handle->sent_ns, status, replies, false);
    kv_reply_destroy (&replies);
    s_begin (handle);
}

static void s_begin (handle_t *handle)
{
    runner_t *self = handle->runner;
    int64_t now_ns = s_now_ns ();
    if (!s_claim (self->bench, now_ns))
        return;
    s_fill (self, handle->batch);
    self->sent++;
    handle->sent_ns = now_ns;
    kv_status_t status = kv_submit (handle->client, handle->batch, s_called, handle, NULL);
    if (status == KV_OK)
        self->waiting++;
    else
        self->result->errors += self->bench->plan->pipeline;
}

static void s_serve (runner_t *self)
{
    struct epoll_event events[EVENTS_MAX];
    int epoll = epoll_create1 (EPOLL_CLOEXEC);
    KV_ASSERT (epoll >= 0);
    for (uint32_t i = 0; i < self->count; i++) {
        handle_t *handle = &self->bench->handles[self->first + i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = handle};
        handle->runner = self;
        int failed = epoll_ctl (epoll, EPOLL_CTL_ADD, kv_fd (handle->client), &event);
        KV_ASSERT (failed == 0);
        s_begin (handle);
    }
    while (self->waiting > 0) {
        int count = epoll_wait (epoll, events, EVENTS_MAX, WAKE_MS);
        for (int i = 0; i < count; i++) {
            handle_t *handle = events[i].data.ptr;
            kv_status_t status = kv_process (handle->client, 0, NULL);
            (void)status; /* its callbacks have counted */
        }
    }
    close (epoll);
}

/* --- The race --- */

static kv_client_t *s_open (bench_t *bench)
{
    const char *const dbsize[] = {"DBSIZE"};
    kv_options_t options;
    kv_client_t *client;
    kv_reply_t *reply;
    kv_options_init (&options, sizeof options);
    options.host = bench->access->host;
    options.port = bench->access->port;
    options.timeout_ms = (int)bench->plan->timeout_ms;
    if (options.deadline_ms >= options.timeout_ms)
        options.deadline_ms = options.timeout_ms;
    options.zmq_context = bench->context;
    options.access = bench->access->direct ? KV_DIRECT : KV_VIA_BROKER;
    options.shared = bench->access->callers > 1;
    if (kv_client_new (&options, &client) != KV_OK)
        return NULL;
    kv_status_t status = kv_call (client, 1, dbsize, NULL, &reply); // Y1
    kv_reply_destroy (&reply);
    bool served = bench->access->callers > 0 || kv_fd (client) >= 0;
    if (status || !served)
        kv_client_destroy (&client);
    return client;
}

static void *s_runner (void *argument)
{
    runner_t *self = argument;
    bench_t *bench = self->bench;
    pthread_barrier_wait (&bench->start);
    if (self->index == 0) {
        int64_t duration_ns = bench->plan->duration_ms * 1000000;
        bench->start_ns = s_now_ns ();
        bench->stop_ns = duration_ns ? bench->start_ns + duration_ns : INT64_MAX;
    }
    pthread_barrier_wait (&bench->start);
    self->heard_ns = bench->start_ns;
    if (bench->access->callers) {
        while (s_claim (bench, s_now_ns ()))
            s_call (self, bench->handles[self->first].client);
    } else
        s_serve (self);
    self->result->elapsed_ns = s_now_ns () - bench->start_ns;
    return NULL;
}

static void s_run_all (bench_t *bench, uint32_t threads, bench_result_t *result)
{
    const bench_plan_t *plan = bench->plan;
    runner_t *runners = calloc (threads, sizeof *runners);
    KV_ASSERT (runners != NULL);
    pthread_barrier_init (&bench->start, NULL, threads);
    uint32_t first = 0;
    for (uint32_t i = 0; i < threads; i++) {
        uint32_t share = plan->connections / threads + (i < plan->connections % threads);
        bool calls = bench->access->callers > 0;
        runners[i] = (runner_t){.bench = bench,
                                .index = i,
                                .first = calls ? i % plan->connections : first,
                                .count = calls ? 0 : share,
                                .random = UINT64_C (0x9e3779b97f4a7c15) * (i + 1),
                                .batch = kv_batch_new (),
                                .result = calloc (1, sizeof *runners[i].result)};
        first += share;
        KV_ASSERT (runners[i].result != NULL);
        int failed = pthread_create (&runners[i].thread, NULL, s_runner, &runners[i]);
        KV_ASSERT (failed == 0);
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join (runners[i].thread, NULL);
        bench_merge (result, runners[i].result);
        kv_batch_destroy (&runners[i].batch);
        free (runners[i].result);
    }
    pthread_barrier_destroy (&bench->start);
    free (runners);
}

void bench_client_run (const bench_plan_t *plan, const bench_access_t *access,
                       bench_result_t *result)
{
    bench_t bench = {.plan = plan, .access = access};
    memset (result, 0, sizeof *result);
    atomic_init (&bench.left, (plan->requests + plan->pipeline - 1) / plan->pipeline);
    bench.value = malloc (plan->value_bytes + (size_t)1);
    bench.handles = calloc (plan->connections, sizeof *bench.handles);
    bench.context = zmq_ctx_new ();
    KV_ASSERT (bench.value && bench.handles && bench.context);
    zmq_ctx_set (bench.context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    memset (bench.value, 'x', plan->value_bytes);
    for (uint32_t i = 0; i < plan->connections && !result->lost; i++) {
        bench.handles[i] = (handle_t){.client = s_open (&bench), .batch = kv_batch_new ()};
        result->lost = bench.handles[i].client == NULL;
    }
    if (!result->lost)
        s_run_all (&bench, access->callers ? access->callers * plan->connections : plan->workers,
                   result);
    result->lost = result->lost || atomic_load (&bench.lost);
    for (uint32_t i = 0; i < plan->connections; i++) {
        kv_client_destroy (&bench.handles[i].client);
        kv_batch_destroy (&bench.handles[i].batch);
    }
    zmq_ctx_term (bench.context);
    free (bench.handles);
    free (bench.value);
}
