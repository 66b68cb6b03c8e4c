/* raw_load - a closed loop over plain sockets that costs next to nothing itself, for KvDB and for Redis.
 *
 *   raw_load -p PORT -t get|set [-R] [-P PIPELINE] [-c CONNECTIONS] [-d BYTES] [-r KEYS] [-n REQUESTS]
 *
 * Each connection has one batch in flight: a copy of bytes that were prepared once, with random keys, sent
 * by one call. Without -R it is a ZeroMQ message (ZMTP 3.0 by hand, as zmtp.h has it), with -R the commands
 * of Redis. So the same program loads both, and what differs between two figures is the servers: kv-bench
 * goes through libzmq and its thread, redis-benchmark does not. Every reply is checked for errors.
 *
 *   G1  a connection sends only when the whole reply to its last batch is here, so a blocking send cannot
 *       wait for a server that waits for us.
 *
 * Prints one line of JSON as kv-bench --json does. Exit status: 0 done, 1 no or wrong replies, 2 usage. */
#include "client/bench_histogram.h"
#include "client/bench_template.h"
#include "test/unit/actors/zmtp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>

enum {
    CONNECTIONS_MAX = 1000,
    PIPELINE_MAX = 4096,
    VALUE_BYTES_MAX = 1024 * 1024,
    FIRST_BUFFER_BYTES = 64 * 1024,
    SILENCE_MS = 10000, /* after so long without a reply the server counts as lost */
    FRAME_LONG = 2,     /* ZMTP: the size has 8 bytes */
    KEY_DIGITS = 12
};

typedef struct {
    int fd;
    uint8_t *in; /* owned: what has come and is not taken yet, up to one reply and a bit */
    size_t size, capacity;
    uint32_t awaited; /* commands without a reply */
    uint64_t id;
    int64_t sent_ns;
} connection_t;

typedef struct {
    uint16_t port;
    bool is_set, is_redis;
    uint32_t pipeline, connection_count, value_bytes;
    uint64_t keyspace, batches; /* those not yet begun */
    bench_template_t *template; /* KvDB's batch */
    uint8_t *out;               /* owned: the bytes of a batch, frame head included */
    size_t out_bytes, head_bytes, command_bytes;
    uint64_t random;
    connection_t connections[CONNECTIONS_MAX];
    uint32_t waiting; /* connections with a batch in flight */
    uint64_t replies, errors;
    bench_histogram_t latencies;
} load_t;

static int64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void s_fail (const char *why)
{
    fprintf (stderr, "raw_load: %s\n", why);
    exit (1);
}

static void *s_alloc (size_t bytes)
{
    void *memory = malloc (bytes);
    if (!memory)
        s_fail ("out of memory");
    return memory;
}

/* ---- batches ------------------------------------------------------------------------------------- */

/* The key's digits are behind "...key:" in each command, at the same place. */
static void s_prepare_redis (load_t *self)
{
    char begin[64];
    const char *const get = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n";
    const char *const set = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$%u\r\n";
    size_t key_at = strlen ("*2\r\n$3\r\nGET\r\n$16\r\nkey:");
    int size = snprintf (begin, sizeof begin, self->is_set ? set : get, self->value_bytes);
    self->command_bytes = (size_t)size + (self->is_set ? self->value_bytes + 2 : 0);
    self->head_bytes = key_at;
    self->out_bytes = self->command_bytes * self->pipeline;
    self->out = s_alloc (self->out_bytes);
    for (uint32_t i = 0; i < self->pipeline; i++) {
        uint8_t *at = self->out + i * self->command_bytes;
        memcpy (at, begin, (size_t)size);
        if (!self->is_set)
            continue;
        memset (at + size, 'x', self->value_bytes);
        memcpy (at + self->command_bytes - 2, "\r\n", 2);
    }
}

static void s_prepare_kvdb (load_t *self)
{
    self->template = bench_template_new (self->is_set ? BENCH_SET : BENCH_GET, self->pipeline,
                                         self->value_bytes, true);
    size_t body_bytes = bench_template_bytes (self->template);
    self->head_bytes = body_bytes > UINT8_MAX ? 9 : 2;
    self->out_bytes = self->head_bytes + body_bytes;
    self->out = s_alloc (self->out_bytes);
    self->out[0] = body_bytes > UINT8_MAX ? FRAME_LONG : 0;
    for (size_t i = 1; i < self->head_bytes; i++)
        self->out[i] = (uint8_t)((uint64_t)body_bytes >> 8 * (self->head_bytes - 1 - i));
}

static void s_compose_redis (load_t *self)
{
    for (uint32_t i = 0; i < self->pipeline; i++) {
        uint8_t *digits = self->out + i * self->command_bytes + self->head_bytes;
        self->random ^= self->random << 13; /* xorshift64 (Marsaglia, 2003) */
        self->random ^= self->random >> 7;
        self->random ^= self->random << 17;
        uint64_t number = (self->random >> 16) % self->keyspace;
        for (int j = KEY_DIGITS; j > 0; j--, number /= 10)
            digits[j - 1] = (uint8_t)('0' + number % 10);
    }
}

/* Begins the connection's next batch, if there is one. */
static void s_begin (load_t *self, connection_t *connection)
{
    if (self->batches == 0)
        return;
    self->batches--;
    connection->id++;
    connection->awaited = self->pipeline;
    if (self->is_redis)
        s_compose_redis (self);
    else
        bench_template_random (self->template, self->out + self->head_bytes, connection->id,
                               &self->random, self->keyspace);
    connection->sent_ns = s_now_ns ();
    if (!zmtp_write (connection->fd, self->out, self->out_bytes)) // G1
        s_fail ("the server has closed a connection");
    self->waiting++;
}

/* ---- replies ------------------------------------------------------------------------------------- */

/* One reply of Redis's at `bytes`: how many they are, or 0: it is not all there. */
static size_t s_take_redis (load_t *self, connection_t *connection, kv_slice_t bytes)
{
    const uint8_t *end = bytes.size ? memchr (bytes.data, '\n', bytes.size) : NULL;
    if (!end)
        return 0;
    size_t size = (size_t)(end - bytes.data) + 1;
    if (bytes.data[0] == '$' && bytes.data[1] != '-')
        size += strtoul ((const char *)bytes.data + 1, NULL, 10) + 2; /* ends at the CR */
    if (size > bytes.size)
        return 0;
    if (connection->awaited == 0)
        s_fail ("a reply to nothing");
    self->errors += bytes.data[0] == '-';
    connection->awaited--;
    return size;
}

/* A PING of ZMTP's is answered, or the server gives the connection up. */
static void s_take_ping (const connection_t *connection, kv_slice_t body)
{
    enum { NAME_BYTES = 5, TTL_BYTES = 2, CONTEXT_MOST = 16 };
    uint8_t pong[NAME_BYTES + CONTEXT_MOST] = "\4PONG";
    if (body.size < NAME_BYTES + TTL_BYTES || memcmp (body.data, "\4PING", NAME_BYTES) != 0)
        return;
    size_t context_bytes = body.size - NAME_BYTES - TTL_BYTES;
    if (context_bytes > CONTEXT_MOST)
        return;
    memcpy (pong + NAME_BYTES, body.data + NAME_BYTES + TTL_BYTES, context_bytes);
    if (!zmtp_frame (connection->fd, ZMTP_COMMAND, pong, NAME_BYTES + context_bytes))
        s_fail ("the server has closed a connection");
}

/* The same for a frame of KvDB's. */
static size_t s_take_kvdb (load_t *self, connection_t *connection, kv_slice_t bytes)
{
    uint64_t id, body_bytes = 0;
    uint32_t errors;
    size_t head_bytes = bytes.size && bytes.data[0] & FRAME_LONG ? 9 : 2;
    if (bytes.size < head_bytes)
        return 0;
    for (size_t i = 1; i < head_bytes; i++)
        body_bytes = body_bytes << 8 | bytes.data[i];
    if (body_bytes > bytes.size - head_bytes)
        return 0;
    kv_slice_t body = kv_slice (bytes.data + head_bytes, body_bytes);
    if (bytes.data[0] & ZMTP_COMMAND)
        s_take_ping (connection, body);
    else if (connection->awaited == 0 ||
             !bench_template_check (body, self->pipeline, &id, &errors) || id != connection->id)
        s_fail ("a reply that is not the one to the batch");
    else {
        self->errors += errors;
        connection->awaited = 0;
    }
    return head_bytes + body_bytes;
}

/* All that has come in whole. */
static void s_take (load_t *self, connection_t *connection)
{
    size_t at = 0, took;
    bool waited = connection->awaited > 0;
    do {
        kv_slice_t bytes = kv_slice (connection->in + at, connection->size - at);
        took = self->is_redis ? s_take_redis (self, connection, bytes)
                              : s_take_kvdb (self, connection, bytes);
        at += took;
    } while (took);
    connection->size -= at;
    memmove (connection->in, connection->in + at, connection->size);
    if (!waited || connection->awaited > 0)
        return;
    self->waiting--;
    self->replies += self->pipeline;
    bench_histogram_add (&self->latencies, (uint64_t)(s_now_ns () - connection->sent_ns),
                         self->pipeline);
    s_begin (self, connection);
}

static void s_receive (load_t *self, connection_t *connection)
{
    if (connection->size == connection->capacity) {
        connection->capacity = 2 * connection->capacity + FIRST_BUFFER_BYTES;
        connection->in = realloc (connection->in, connection->capacity);
        if (!connection->in)
            s_fail ("out of memory");
    }
    ssize_t got = recv (connection->fd, connection->in + connection->size,
                        connection->capacity - connection->size, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        s_fail ("the server has closed a connection");
    if (got < 0)
        return;
    connection->size += (size_t)got;
    s_take (self, connection);
}

/* ---- the race ------------------------------------------------------------------------------------ */

static int s_connect_all (load_t *self)
{
    int epoll = epoll_create1 (EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < self->connection_count; i++) {
        connection_t *connection = &self->connections[i];
        connection->fd = self->is_redis ? zmtp_dial (self->port) : zmtp_connect (self->port, NULL);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (connection->fd < 0 || epoll_ctl (epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            s_fail ("no connection to the server");
    }
    return epoll;
}

static int64_t s_race (load_t *self)
{
    struct epoll_event events[CONNECTIONS_MAX];
    int epoll = s_connect_all (self);
    int64_t start_ns = s_now_ns ();
    for (uint32_t i = 0; i < self->connection_count; i++)
        s_begin (self, &self->connections[i]);
    while (self->waiting > 0) {
        int count = epoll_wait (epoll, events, CONNECTIONS_MAX, SILENCE_MS);
        if (count == 0)
            s_fail ("the server has stopped answering");
        for (int i = 0; i < count; i++)
            s_receive (self, events[i].data.ptr);
    }
    int64_t took_ns = s_now_ns () - start_ns;
    close (epoll);
    return took_ns;
}

static void s_free (load_t *self)
{
    for (uint32_t i = 0; i < self->connection_count; i++) {
        close (self->connections[i].fd);
        free (self->connections[i].in);
    }
    bench_template_destroy (&self->template);
    free (self->out);
    free (self);
}

/* A number of least..most in `optarg`. */
static uint64_t s_number (uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t number = strtoull (optarg, &end, 10);
    if (errno || *end || end == optarg || number < least || number > most) {
        fprintf (stderr, "raw_load: %s is not a number from %" PRIu64 " to %" PRIu64 "\n", optarg,
                 least, most);
        exit (2);
    }
    return number;
}

static void s_read_flags (load_t *self, int argc, char **argv)
{
    int letter;
    uint64_t requests = 100000;
    while ((letter = getopt (argc, argv, "p:t:RP:c:d:r:n:")) != -1) {
        switch (letter) {
        case 'p': self->port = (uint16_t)s_number (1, UINT16_MAX); break;
        case 't': self->is_set = strcmp (optarg, "set") == 0; break;
        case 'R': self->is_redis = true; break;
        case 'P': self->pipeline = (uint32_t)s_number (1, PIPELINE_MAX); break;
        case 'c': self->connection_count = (uint32_t)s_number (1, CONNECTIONS_MAX); break;
        case 'd': self->value_bytes = (uint32_t)s_number (0, VALUE_BYTES_MAX); break;
        case 'r': self->keyspace = s_number (1, UINT64_C (1000000000000)); break;
        case 'n': requests = s_number (1, UINT64_MAX / 2); break;
        default: exit (2);
        }
    }
    self->batches = (requests + self->pipeline - 1) / self->pipeline;
}

int main (int argc, char **argv)
{
    load_t *self = s_alloc (sizeof *self);
    *self = (load_t){.pipeline = 1,
                     .connection_count = 50,
                     .value_bytes = 64,
                     .keyspace = 100000,
                     .random = UINT64_C (0x9e3779b97f4a7c15)};
    s_read_flags (self, argc, argv);
    if (self->is_redis)
        s_prepare_redis (self);
    else
        s_prepare_kvdb (self);
    double seconds = (double)s_race (self) / 1e9;
    printf ("[{\"test\": \"%s\", \"ops_per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
            "\"p999_us\": %.1f, \"max_us\": %.1f, \"errors\": %" PRIu64 "}]\n",
            self->is_set ? "set" : "get", (double)self->replies / seconds,
            (double)bench_histogram_at (&self->latencies, 500) / 1e3,
            (double)bench_histogram_at (&self->latencies, 990) / 1e3,
            (double)bench_histogram_at (&self->latencies, 999) / 1e3,
            (double)self->latencies.max_ns / 1e3, self->errors);
    bool failed = self->errors > 0;
    s_free (self);
    return failed;
}
