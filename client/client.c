/* client - one DEALER socket and the batches that wait for a reply on it.
 *
 *   flights (a ring in the order of sending):  head -> [oldest] [..] [..] [newest]
 *   a flight: waiting --reply--> arrived --kv_receive--> gone
 *             waiting --expires--> gone; its late reply finds no flight and is dropped (K2)
 *
 *   L1  ticket numbers rise and are never used twice; the ring is sorted by them.
 *   L2  flight_count <= in_flight_max (K4).
 *
 * ZMQ_IMMEDIATE: a request is handed over only while a connection stands, so that none waits for
 * hours and is executed when the server comes back (K3). */
#include "client/batch.h"
#include "client/endpoint.h"
#include "client/reply_tree.h"

#include <zmq.h>

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    HEARTBEAT_MS = 2000,
    HEARTBEAT_TIMEOUT_MS = 10000, /* a reply of many megabytes delays the answer */
    RECONNECT_MS = 50,
    RECONNECT_MAX_MS = 1000,
    TIMEOUT_MS_DEFAULT = KV_DEADLINE_MS_DEFAULT + 1000,
    TIMEOUT_MS_MAX = 24 * 3600 * 1000,
    IN_FLIGHT_DEFAULT = 64,
    IN_FLIGHT_MAX = 4096,
    PORT_DEFAULT = 7000,
    ERROR_BYTES = 512
};

_Static_assert((int)TIMEOUT_MS_DEFAULT > (int)KV_DEADLINE_MS_DEFAULT,
               "the server's error comes first");

typedef struct {
    uint64_t ticket;
    uint32_t commands;
    bool arrived; /* message holds the reply */
    int64_t expires_ms;
    zmq_msg_t message;
} flight_t;

struct kv_client {
    void *context;
    bool owns_context;
    void *socket;
    endpoint_t endpoint;
    int timeout_ms;
    int deadline_ms;
    bool stop_on_signal;
    uint64_t next_ticket;
    flight_t *flights; /* ring of flight_max */
    size_t flight_max;
    size_t flight_first;
    size_t flight_count;
    kv_batch_t *single; /* for kv_call */
    char error[ERROR_BYTES];
};

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static kv_status_t KV_PRINTF (3, 4)
    s_fail (kv_client_t *self, kv_status_t status, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->error, sizeof self->error, format, arguments);
    va_end (arguments);
    return status;
}

static flight_t *s_flight (kv_client_t *self, size_t index)
{
    return &self->flights[(self->flight_first + index) % self->flight_max];
}

/* --- Making and ending --- */

void kv_options_init (kv_options_t *options, size_t size)
{
    kv_options_t full = {
        .size = size,
        .host = "127.0.0.1",
        .port = PORT_DEFAULT,
        .timeout_ms = TIMEOUT_MS_DEFAULT,
        .deadline_ms = KV_DEADLINE_MS_DEFAULT,
        .in_flight_max = IN_FLIGHT_DEFAULT,
        .reply_bytes_max = KV_REPLY_BYTES_MAX,
    };
    memset (options, 0, size);
    memcpy (options, &full, size < sizeof full ? size : sizeof full);
}

static bool s_within (int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most;
}

static kv_status_t s_check_options (const kv_options_t *options, endpoint_t *endpoint)
{
    if (!s_within (options->timeout_ms, 1, TIMEOUT_MS_MAX) ||
        !s_within (options->deadline_ms, 1, KV_DEADLINE_MS_MAX) ||
        !s_within (options->in_flight_max, 1, IN_FLIGHT_MAX) ||
        !s_within (options->reply_bytes_max, 1024, INT32_MAX))
        return KV_CONFIG;
    if (!options->endpoint)
        return endpoint_make (options->host ? options->host : "", options->port, endpoint);
    if (strlen (options->endpoint) > KV_ENDPOINT_BYTES_MAX)
        return KV_CONFIG;
    snprintf (endpoint->text, sizeof endpoint->text, "%s", options->endpoint);
    endpoint->ipv6 = strchr (options->endpoint, '[') != NULL;
    return KV_OK;
}

static bool s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

static bool s_configure (const kv_client_t *self, int64_t reply_bytes_max)
{
    void *socket = self->socket;
    int queue = (int)self->flight_max;
    return s_set (socket, ZMQ_LINGER, 0) && s_set (socket, ZMQ_IMMEDIATE, 1) &&
           s_set (socket, ZMQ_SNDHWM, queue) && s_set (socket, ZMQ_RCVHWM, queue) &&
           s_set (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           s_set (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) &&
           s_set (socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           s_set (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           s_set (socket, ZMQ_IPV6, self->endpoint.ipv6) &&
           zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &reply_bytes_max, sizeof reply_bytes_max) == 0;
}

static kv_status_t s_connect (kv_client_t *self, const kv_options_t *options)
{
    self->owns_context = options->zmq_context == NULL;
    self->context = self->owns_context ? zmq_ctx_new () : options->zmq_context;
    if (!self->context)
        return KV_IO;
    self->socket = zmq_socket (self->context, ZMQ_DEALER);
    if (!self->socket || !s_configure (self, options->reply_bytes_max))
        return KV_IO;
    if (zmq_connect (self->socket, self->endpoint.text) != 0)
        return errno == EINVAL || errno == EPROTONOSUPPORT ? KV_CONFIG : KV_IO;
    return KV_OK;
}

kv_status_t kv_client_new (const kv_options_t *options, kv_client_t **client)
{
    *client = NULL;
    /* A caller built against an older header knows fewer options: the rest keep their defaults. */
    kv_options_t all;
    kv_options_init (&all, sizeof all);
    if (options)
        memcpy (&all, options, options->size < sizeof all ? options->size : sizeof all);
    endpoint_t endpoint;
    kv_status_t status = s_check_options (&all, &endpoint);
    if (status)
        return status;
    kv_client_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->endpoint = endpoint;
    self->timeout_ms = all.timeout_ms;
    self->deadline_ms = all.deadline_ms == KV_DEADLINE_MS_DEFAULT ? 0 : all.deadline_ms;
    self->stop_on_signal = all.stop_on_signal != 0;
    self->next_ticket = 1;
    self->flight_max = (size_t)all.in_flight_max;
    self->flights = calloc (self->flight_max, sizeof *self->flights);
    KV_ASSERT (self->flights != NULL);
    self->single = kv_batch_new ();
    status = s_connect (self, &all);
    if (status)
        kv_client_destroy (&self);
    *client = self;
    return status;
}

void kv_client_destroy (kv_client_t **client)
{
    if (!client || !*client)
        return;
    kv_client_t *self = *client;
    kv_forget (self);
    if (self->socket)
        zmq_close (self->socket);
    if (self->owns_context && self->context) {
        while (zmq_ctx_term (self->context) != 0 && errno == EINTR)
            continue;
    }
    kv_batch_destroy (&self->single);
    free (self->flights);
    free (self);
    *client = NULL;
}

const char *kv_client_error (const kv_client_t *client)
{
    return client->error;
}

const char *kv_client_endpoint (const kv_client_t *client)
{
    return client->endpoint.text;
}

const char *kv_version (void)
{
    return KVDB_VERSION;
}

/* --- Waiting --- */

/* Waits for the socket: KV_OK, KV_TIMEOUT at `until_ms`, KV_END after a signal, KV_IO. */
static kv_status_t s_wait (kv_client_t *self, short events, int64_t until_ms)
{
    for (;;) {
        int64_t left_ms = until_ms - s_now_ms ();
        zmq_pollitem_t item = {.socket = self->socket, .events = events};
        int ready = zmq_poll (&item, 1, left_ms > 0 ? (long)left_ms : 0);
        if (ready > 0)
            return KV_OK;
        if (ready == 0 && left_ms <= 0)
            return KV_TIMEOUT;
        if (ready < 0 && errno != EINTR)
            return s_fail (self, KV_IO, "ZeroMQ: %s", zmq_strerror (errno));
        if (ready < 0 && self->stop_on_signal)
            return s_fail (self, KV_END, "interrupted by a signal");
    }
}

/* Gives a reply to the flight it belongs to; without one it is dropped (K2). Takes `message`. */
static void s_deliver (kv_client_t *self, zmq_msg_t *message)
{
    uint64_t id;
    if (reply_tree_id (kv_slice (zmq_msg_data (message), zmq_msg_size (message)), &id)) {
        for (size_t i = 0; i < self->flight_count; i++) {
            flight_t *flight = s_flight (self, i);
            if (flight->ticket != id || flight->arrived)
                continue;
            zmq_msg_init (&flight->message);
            zmq_msg_move (&flight->message, message);
            flight->arrived = true;
            break;
        }
    }
    zmq_msg_close (message);
}

/* Takes the next whole message from the socket and leaves its last frame, the body. False: there is
 * none, or errno is not EAGAIN. */
static bool s_next_message (kv_client_t *self, zmq_msg_t *message)
{
    int size;
    do {
        size = zmq_msg_recv (message, self->socket, ZMQ_DONTWAIT);
    } while (size >= 0 && zmq_msg_more (message));
    return size >= 0;
}

/* Takes in what has arrived, up to a budget. */
static kv_status_t s_absorb (kv_client_t *self)
{
    for (size_t i = 0; i < KV_MESSAGES_PER_DRAIN_MAX; i++) {
        zmq_msg_t message;
        zmq_msg_init (&message);
        if (s_next_message (self, &message)) {
            s_deliver (self, &message);
            continue;
        }
        int code = errno;
        zmq_msg_close (&message);
        if (code == EAGAIN || code == EINTR)
            return KV_OK;
        return s_fail (self, KV_IO, "ZeroMQ: %s", zmq_strerror (code));
    }
    return KV_OK;
}

/* --- Sending --- */

static kv_status_t s_unsent (kv_client_t *self, kv_status_t status)
{
    if (status != KV_TIMEOUT)
        return status;
    return s_fail (
        self, KV_UNAVAILABLE,
        "no connection to %s within %d ms; nothing was sent. Is the server running there?",
        self->endpoint.text, self->timeout_ms);
}

static void s_free_body (void *data, void *hint)
{
    (void)hint;
    free (data);
}

static kv_status_t s_send (kv_client_t *self, const kv_batch_t *batch)
{
    writer_t body = writer_make (batch->commands.size + BATCH_REQUEST_BYTES_MAX);
    KV_ASSERT (writer_claim (&body, body.limit) != NULL); /* one allocation, of the full size */
    writer_reset (&body);
    batch_request (batch, self->next_ticket, (uint32_t)self->deadline_ms, &body);
    KV_ASSERT (!body.overflow);
    size_t size;
    uint8_t *data = writer_take (&body, &size);
    zmq_msg_t message;
    int failed = zmq_msg_init_data (&message, data, size, s_free_body, NULL);
    KV_ASSERT (failed == 0);
    int64_t until_ms = s_now_ms () + self->timeout_ms;
    while (zmq_msg_send (&message, self->socket, ZMQ_DONTWAIT) < 0) {
        kv_status_t status = KV_OK;
        if (errno == EAGAIN)
            status = s_wait (self, ZMQ_POLLOUT, until_ms);
        else if (errno != EINTR)
            status = s_fail (self, KV_IO, "ZeroMQ: %s", zmq_strerror (errno));
        if (status) {
            zmq_msg_close (&message);
            return s_unsent (self, status);
        }
    }
    return KV_OK;
}

kv_status_t kv_send (kv_client_t *client, const kv_batch_t *batch, uint64_t *ticket)
{
    if (batch->count == 0)
        return s_fail (client, KV_BAD_REQUEST, "the batch is empty");
    if (client->flight_count == client->flight_max) // L2
        return s_fail (client, KV_BUSY, "%zu batches are in flight; receive one first",
                       client->flight_count);
    kv_status_t status = s_send (client, batch);
    if (status)
        return status;
    flight_t *flight = s_flight (client, client->flight_count++);
    *flight = (flight_t){.ticket = client->next_ticket++, // L1
                         .commands = batch->count,
                         .expires_ms = s_now_ms () + client->timeout_ms};
    if (ticket)
        *ticket = flight->ticket;
    return KV_OK;
}

/* --- Receiving --- */

/* Waits until the flight's reply is there, its time is over (KV_TIMEOUT), `until_ms` has come or a
 * signal (KV_END). */
static kv_status_t s_await (kv_client_t *self, const flight_t *flight, int64_t until_ms)
{
    for (;;) {
        kv_status_t status = s_absorb (self);
        if (flight->arrived || status)
            return status;
        int64_t now_ms = s_now_ms ();
        if (now_ms >= flight->expires_ms)
            return s_fail (self, KV_TIMEOUT,
                           "no reply from %s within %d ms; what was sent may have been executed",
                           self->endpoint.text, self->timeout_ms);
        if (now_ms >= until_ms)
            return KV_END;
        int64_t first_ms = flight->expires_ms < until_ms ? flight->expires_ms : until_ms;
        status = s_wait (self, ZMQ_POLLIN, first_ms);
        if (status && status != KV_TIMEOUT)
            return status;
    }
}

static kv_status_t s_decode (kv_client_t *self, flight_t *flight, bool single, kv_reply_t **reply)
{
    kv_slice_t body = kv_slice (zmq_msg_data (&flight->message), zmq_msg_size (&flight->message));
    kv_status_t status =
        single ? reply_tree_single (body, reply) : reply_tree_batch (body, flight->commands, reply);
    zmq_msg_close (&flight->message);
    flight->arrived = false;
    if (status)
        s_fail (self, status, "the reply from %s cannot be used: %s", self->endpoint.text,
                kv_status_meaning (status));
    return status;
}

static void s_end_flight (flight_t *flight)
{
    if (flight->arrived)
        zmq_msg_close (&flight->message);
    flight->arrived = false;
}

kv_status_t kv_receive (kv_client_t *client, int wait_ms, uint64_t *ticket, kv_reply_t **replies)
{
    *replies = NULL;
    if (client->flight_count == 0)
        return s_fail (client, KV_NOT_FOUND, "no batch is in flight");
    flight_t *flight = s_flight (client, 0);
    if (ticket)
        *ticket = flight->ticket;
    kv_status_t status = s_await (client, flight, wait_ms < 0 ? INT64_MAX : s_now_ms () + wait_ms);
    if (status == KV_END)
        return status;
    if (status == KV_OK)
        status = s_decode (client, flight, false, replies);
    s_end_flight (flight);
    client->flight_first = (client->flight_first + 1) % client->flight_max;
    client->flight_count--;
    return status;
}

kv_status_t kv_call (kv_client_t *client, size_t argc, const char *const *argv, const size_t *lens,
                     kv_reply_t **reply)
{
    *reply = NULL;
    kv_batch_clear (client->single);
    kv_status_t status = kv_batch_add (client->single, argc, argv, lens);
    if (status)
        return s_fail (client, status, "the command cannot be sent: %s",
                       kv_status_meaning (status));
    status = kv_send (client, client->single, NULL);
    if (status)
        return status;
    flight_t *flight = s_flight (client, client->flight_count - 1);
    status = s_await (client, flight, INT64_MAX);
    if (status == KV_OK)
        status = s_decode (client, flight, true, reply);
    s_end_flight (flight);
    client->flight_count--;
    return status;
}

size_t kv_in_flight (const kv_client_t *client)
{
    return client->flight_count;
}

void kv_forget (kv_client_t *client)
{
    for (size_t i = 0; i < client->flight_count; i++)
        s_end_flight (s_flight (client, i));
    client->flight_count = 0;
}
