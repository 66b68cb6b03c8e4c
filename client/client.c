/* client - making and ending a client: its options, its context, its error text. */
#include "client/client_core.h"

#include <zmq.h>

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    TIMEOUT_MS_DEFAULT = KV_DEADLINE_MS_DEFAULT + 1000,
    TIMEOUT_MS_MAX = 24 * 3600 * 1000,
    IN_FLIGHT_DEFAULT = 64,
    IN_FLIGHT_MAX = 4096,
    WINDOW_DEFAULT = 1,
    WINDOW_MAX = 1024,
    PORT_DEFAULT = 7000,
    LEAVE_US = 1000 /* how often a client that ends looks whether all threads have left it */
};

_Static_assert((int)TIMEOUT_MS_DEFAULT > (int)KV_DEADLINE_MS_DEFAULT,
               "the server's error comes first");

/* Of shared clients: a text per thread, as errno is a number per thread. */
static _Thread_local char s_thread_error[ERROR_BYTES];

int64_t client_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

kv_status_t client_fail (kv_client_t *self, kv_status_t status, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->shared ? s_thread_error : self->error, ERROR_BYTES, format, arguments);
    va_end (arguments);
    return status;
}

/* --- Options --- */

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
        .access = KV_VIA_BROKER,
        .window = WINDOW_DEFAULT,
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
        !s_within (options->reply_bytes_max, 1024, INT32_MAX) ||
        !s_within (options->access, KV_VIA_BROKER, KV_DIRECT) ||
        !s_within (options->window, 0, WINDOW_MAX) || (options->shared && options->stop_on_signal))
        return KV_CONFIG;
    if (!options->endpoint)
        return endpoint_make (options->host ? options->host : "", options->port, endpoint);
    if (strlen (options->endpoint) > KV_ENDPOINT_BYTES_MAX)
        return KV_CONFIG;
    snprintf (endpoint->text, sizeof endpoint->text, "%s", options->endpoint);
    endpoint->ipv6 = strchr (options->endpoint, '[') != NULL;
    return KV_OK;
}

/* --- Making and ending --- */

static exchange_t *s_exchange (const kv_client_t *self, const kv_options_t *options)
{
    exchange_options_t made = {.seed = self->endpoint.text,
                               .direct = self->direct,
                               .retry_busy = options->retry_busy != 0,
                               .window = self->shared ? (uint32_t)options->window : 0,
                               .deadline_ms = self->deadline_ms,
                               .timeout_ms = options->timeout_ms};
    /* Direct, the library is what keeps the deadline. */
    if (self->direct && options->deadline_ms < options->timeout_ms)
        made.timeout_ms = options->deadline_ms;
    return exchange_new (&made);
}

static kv_status_t s_connect (kv_client_t *self, const kv_options_t *options)
{
    self->owns_context = options->zmq_context == NULL;
    self->context = self->owns_context ? zmq_ctx_new () : options->zmq_context;
    self->epoll = epoll_create1 (EPOLL_CLOEXEC);
    self->wake = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!self->context || self->epoll < 0 || self->wake < 0)
        return KV_IO;
    return drive_open_seed (self);
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
    self->deadline_ms = all.deadline_ms == KV_DEADLINE_MS_DEFAULT ? 0 : (uint32_t)all.deadline_ms;
    self->reply_bytes_max = all.reply_bytes_max;
    self->direct = all.access == KV_DIRECT;
    self->stop_on_signal = all.stop_on_signal != 0;
    self->shared = all.shared != 0;
    self->in_flight_max = (size_t)all.in_flight_max;
    self->outer = self->ready = self->timer = -1;
    self->timer_ms = INT64_MAX;
    self->driver_until_ms = INT64_MIN;
    self->single = kv_batch_new ();
    pthread_mutex_init (&self->lock, NULL);
    atomic_init (&self->inside, 0);
    self->exchange = s_exchange (self, &all);
    status = s_connect (self, &all);
    if (status)
        kv_client_destroy (&self);
    *client = self;
    return status;
}

/* Makes the calls of other threads end, and waits until they have left. Their last touch is of the
 * counter, so nothing may be told to them, nor by them, afterwards: it is looked at again and again. */
static void s_close (kv_client_t *self)
{
    if (!self->shared)
        return;
    drive_enter (self);
    self->closing = true;
    drive_wake_all (self);
    drive_leave (self);
    while (atomic_load (&self->inside) > 0)
        usleep (LEAVE_US);
}

static void s_close_fd (int fd)
{
    if (fd >= 0)
        close (fd);
}

void kv_client_destroy (kv_client_t **client)
{
    if (!client || !*client)
        return;
    kv_client_t *self = *client;
    s_close (self);
    if (self->exchange)
        calls_end_all (self);
    for (uint32_t i = 0; i < self->seat_count; i++)
        link_destroy (&self->seats[i].link);
    exchange_destroy (&self->exchange);
    if (self->owns_context && self->context) {
        while (zmq_ctx_term (self->context) != 0 && errno == EINTR)
            continue;
    }
    s_close_fd (self->outer);
    s_close_fd (self->ready);
    s_close_fd (self->timer);
    s_close_fd (self->epoll);
    s_close_fd (self->wake);
    kv_batch_destroy (&self->single);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *client = NULL;
}

const char *kv_client_error (const kv_client_t *client)
{
    return client->shared ? s_thread_error : client->error;
}

const char *kv_client_endpoint (const kv_client_t *client)
{
    return client->endpoint.text;
}

const char *kv_version (void)
{
    return KVDB_VERSION;
}
