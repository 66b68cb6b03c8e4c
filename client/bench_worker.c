#include "client/bench_worker.h"

#include "schema/limits.h"
#include "schema/request.h"

#include <zmq.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { WAKE_MS = 50, EVENTS_MAX = 64, SLOT_BITS = 16 };

typedef struct {
    uint64_t generation;
    int64_t sent_ns; /* 0: idle */
} slot_t;

typedef struct {
    void *socket;
    slot_t *slots; /* plan->slots of them */
    bool ready;    /* has answered its first batch (X2) */
} connection_t;

/* What the workers share: the start, at which all must have arrived. */
typedef struct {
    const bench_plan_t *plan;
    bench_template_t *templates[2]; /* for MIXED two, taken in turn */
    pthread_barrier_t ready;
    atomic_bool lost;
    _Atomic uint64_t left;     /* batches not yet begun */
    _Atomic uint64_t next_key; /* for plan->ordered */
} race_t;

typedef struct {
    race_t *race;
    const bench_plan_t *plan;
    uint32_t index;
    uint32_t connection_count;
    connection_t *connections;
    void *context;
    int epoll;
    uint64_t random;
    uint64_t sent; /* batches */
    uint32_t waiting;
    int64_t heard_ns;   /* of the last reply */
    int64_t stop_ns;    /* begin nothing after it */
    int64_t checked_ns; /* when slots were last searched for timeouts */
    bench_result_t *result;
    pthread_t thread;
} worker_t;

static int64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- Connections --- */

static bool s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

static bool s_open (worker_t *self, connection_t *connection)
{
    const bench_plan_t *plan = self->plan;
    connection->slots = calloc (plan->slots, sizeof *connection->slots);
    KV_ASSERT (connection->slots != NULL);
    void *socket = zmq_socket (self->context, ZMQ_DEALER);
    connection->socket = socket;
    int queue = (int)plan->slots + 16; /* to the server; for what comes back see N4 of link.h */
    int fd;
    size_t size = sizeof fd;
    int64_t most = KV_REPLY_BYTES_MAX;
    if (!socket || !s_set (socket, ZMQ_LINGER, 0) || !s_set (socket, ZMQ_SNDHWM, queue) ||
        !s_set (socket, ZMQ_RCVHWM, 0) || !s_set (socket, ZMQ_IPV6, plan->ipv6) ||
        !s_set (socket, ZMQ_HEARTBEAT_IVL, 2000) ||
        zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0 ||
        zmq_connect (socket, plan->endpoint) != 0 ||
        zmq_getsockopt (socket, ZMQ_FD, &fd, &size) != 0)
        return false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    return epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool s_open_all (worker_t *self)
{
    self->epoll = epoll_create1 (EPOLL_CLOEXEC);
    self->context = zmq_ctx_new ();
    if (self->epoll < 0 || !self->context)
        return false;
    int sockets = (int)self->connection_count + 16;
    if (zmq_ctx_set (self->context, ZMQ_MAX_SOCKETS, sockets) != 0)
        return false;
    self->connections = calloc (self->connection_count, sizeof *self->connections);
    KV_ASSERT (self->connections != NULL);
    for (uint32_t i = 0; i < self->connection_count; i++) {
        if (!s_open (self, &self->connections[i]))
            return false;
    }
    return true;
}

static void s_close_all (worker_t *self)
{
    for (uint32_t i = 0; self->connections && i < self->connection_count; i++) {
        if (self->connections[i].socket)
            zmq_close (self->connections[i].socket);
        free (self->connections[i].slots);
    }
    free (self->connections);
    if (self->context)
        zmq_ctx_term (self->context);
    if (self->epoll >= 0)
        close (self->epoll);
}

/* --- Sending --- */

static bool s_claim_batch (worker_t *self, int64_t now_ns)
{
    if (now_ns >= self->stop_ns)
        return false;
    uint64_t left = atomic_load_explicit (&self->race->left, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak (&self->race->left, &left, left - 1))
            return true;
    }
    return false;
}

static void s_fill (worker_t *self, zmq_msg_t *message, uint64_t id)
{
    race_t *race = self->race;
    const bench_plan_t *plan = self->plan;
    bench_template_t *template = race->templates[self->sent % 2];
    int failed = zmq_msg_init_size (message, bench_template_bytes (template));
    KV_ASSERT (failed == 0);
    uint8_t *out = zmq_msg_data (message);
    if (plan->ordered) {
        uint64_t first = atomic_fetch_add (&race->next_key, plan->pipeline);
        bench_template_ordered (template, out, id, first, plan->keyspace);
    } else
        bench_template_random (template, out, id, &self->random, plan->keyspace);
}

/* Begins the slot's next batch, if there is one; a message that the socket does not take counts as
 * sent and lost, so that the loop goes on. */
static void s_begin (worker_t *self, connection_t *connection, uint32_t index, int64_t now_ns)
{
    KV_ASSERT (connection->slots != NULL);
    slot_t *slot = &connection->slots[index];
    slot->sent_ns = 0;
    if (!s_claim_batch (self, now_ns))
        return;
    zmq_msg_t message;
    slot->generation++;
    s_fill (self, &message, slot->generation << SLOT_BITS | index); // X1
    self->sent++;
    self->waiting++;
    slot->sent_ns = s_now_ns ();
    if (zmq_msg_send (&message, connection->socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close (&message);
}

/* --- Receiving --- */

static void s_take_reply (worker_t *self, connection_t *connection, kv_slice_t body)
{
    uint64_t id;
    uint32_t errors;
    bench_result_t *result = self->result;
    bool sound = bench_template_check (body, self->plan->pipeline, &id, &errors);
    uint32_t index = (uint32_t)(id & ((1U << SLOT_BITS) - 1));
    if (!sound || index >= self->plan->slots)
        return; /* its slot runs into the timeout */
    slot_t *slot = &connection->slots[index];
    if (slot->sent_ns == 0 || id >> SLOT_BITS != slot->generation)
        return; // X1
    int64_t now_ns = s_now_ns ();
    bench_histogram_add (&result->latencies, (uint64_t)(now_ns - slot->sent_ns),
                         self->plan->pipeline);
    result->replies += self->plan->pipeline;
    result->errors += errors;
    self->heard_ns = now_ns;
    self->waiting--;
    s_begin (self, connection, index, now_ns);
}

/* Takes all there is: ZMQ_FD tells only of changes, so a socket must be left empty. */
static void s_drain (worker_t *self, connection_t *connection)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    while (zmq_msg_recv (&message, connection->socket, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_more (&message))
            continue;
        kv_slice_t body = kv_slice (zmq_msg_data (&message), zmq_msg_size (&message));
        if (connection->ready)
            s_take_reply (self, connection, body);
        connection->ready = true;
    }
    zmq_msg_close (&message);
}

static void s_wait (worker_t *self)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait (self->epoll, events, EVENTS_MAX, WAKE_MS);
    for (int i = 0; i < count; i++)
        s_drain (self, events[i].data.ptr);
}

static void s_check_timeouts (worker_t *self, int64_t now_ns)
{
    if (now_ns - self->checked_ns < WAKE_MS * INT64_C (1000000))
        return;
    self->checked_ns = now_ns;
    int64_t timeout_ns = self->plan->timeout_ms * 1000000;
    for (uint32_t i = 0; i < self->connection_count; i++) {
        s_drain (self, &self->connections[i]); /* should an edge ever have been missed */
        for (uint32_t j = 0; j < self->plan->slots; j++) {
            slot_t *slot = &self->connections[i].slots[j];
            if (slot->sent_ns == 0 || now_ns - slot->sent_ns < timeout_ns)
                continue;
            self->result->errors += self->plan->pipeline;
            self->waiting--;
            s_begin (self, &self->connections[i], j, now_ns);
        }
    }
    if (self->waiting > 0 && now_ns - self->heard_ns > timeout_ns)
        self->result->lost = true; // X3
}

/* --- The race --- */

/* One PING on each connection (X2). False: not all were answered in time. */
static bool s_warm_up (worker_t *self)
{
    writer_t ping = writer_make (64);
    request_begin (&ping, 0, 1, false);
    writer_array (&ping, 1);
    writer_cstr (&ping, "PING");
    bool sent = true;
    for (uint32_t i = 0; i < self->connection_count; i++) {
        void *socket = self->connections[i].socket;
        sent = zmq_send (socket, ping.data, ping.size, ZMQ_DONTWAIT) >= 0 && sent;
        s_drain (self, &self->connections[i]);
    }
    writer_free (&ping);
    int64_t until_ns = s_now_ns () + self->plan->timeout_ms * 1000000;
    for (;;) {
        uint32_t ready = 0;
        for (uint32_t i = 0; i < self->connection_count; i++)
            ready += self->connections[i].ready;
        if (ready == self->connection_count)
            return true;
        if (!sent || s_now_ns () > until_ns)
            return false;
        s_wait (self);
    }
}

static void s_loop (worker_t *self)
{
    int64_t start_ns = s_now_ns ();
    int64_t duration_ns = self->plan->duration_ms * 1000000;
    self->stop_ns = duration_ns ? start_ns + duration_ns : INT64_MAX;
    self->heard_ns = self->checked_ns = start_ns;
    for (uint32_t i = 0; i < self->connection_count; i++) {
        for (uint32_t j = 0; j < self->plan->slots; j++)
            s_begin (self, &self->connections[i], j, s_now_ns ());
        s_drain (self, &self->connections[i]);
    }
    while (self->waiting > 0 && !self->result->lost) {
        s_wait (self);
        s_check_timeouts (self, s_now_ns ());
    }
    self->result->elapsed_ns = s_now_ns () - start_ns;
}

static void *s_worker (void *argument)
{
    worker_t *self = argument;
    race_t *race = self->race;
    if (!s_open_all (self) || !s_warm_up (self))
        atomic_store (&race->lost, true);
    pthread_barrier_wait (&race->ready);
    if (atomic_load (&race->lost))
        self->result->lost = true;
    else
        s_loop (self);
    s_close_all (self);
    return NULL;
}

static void s_start (worker_t *worker, race_t *race, uint32_t index)
{
    const bench_plan_t *plan = race->plan;
    uint32_t share = plan->connections / plan->workers;
    *worker = (worker_t){
        .race = race,
        .plan = plan,
        .index = index,
        .connection_count = share + (index < plan->connections % plan->workers),
        .random = UINT64_C (0x9e3779b97f4a7c15) * (index + 1),
        .epoll = -1,
        .result = calloc (1, sizeof *worker->result),
    };
    KV_ASSERT (worker->result != NULL);
    int failed = pthread_create (&worker->thread, NULL, s_worker, worker);
    KV_ASSERT (failed == 0);
}

void bench_merge (bench_result_t *result, const bench_result_t *part)
{
    bench_histogram_merge (&result->latencies, &part->latencies);
    result->replies += part->replies;
    result->errors += part->errors;
    result->lost |= part->lost;
    if (part->elapsed_ns > result->elapsed_ns)
        result->elapsed_ns = part->elapsed_ns;
}

void bench_run (const bench_plan_t *plan, bench_result_t *result)
{
    KV_ASSERT (plan->slots <= 1U << SLOT_BITS);
    KV_ASSERT (plan->workers >= 1);
    race_t race = {.plan = plan};
    for (int i = 0; i < 2; i++)
        race.templates[i] =
            bench_template_new (plan->test, plan->pipeline, plan->value_bytes, i == 0);
    atomic_init (&race.left, (plan->requests + plan->pipeline - 1) / plan->pipeline);
    pthread_barrier_init (&race.ready, NULL, plan->workers);
    worker_t *workers = calloc (plan->workers, sizeof *workers);
    KV_ASSERT (workers != NULL);
    memset (result, 0, sizeof *result);
    for (uint32_t i = 0; i < plan->workers; i++)
        s_start (&workers[i], &race, i);
    for (uint32_t i = 0; i < plan->workers; i++) {
        pthread_join (workers[i].thread, NULL);
        bench_merge (result, workers[i].result);
        free (workers[i].result);
    }
    free (workers);
    pthread_barrier_destroy (&race.ready);
    for (int i = 0; i < 2; i++)
        bench_template_destroy (&race.templates[i]);
}
