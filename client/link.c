#include "client/link.h"

#include "actors/handover.h"

#include <zmq.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    HEARTBEAT_MS = 2000,
    HEARTBEAT_TIMEOUT_MS = 10000, /* a reply of many megabytes delays the answer */
    RECONNECT_MS = 50,
    RECONNECT_MAX_MS = 250, /* a failover takes no longer, and those who wait should not either */
    COPIED_BYTES_MAX = 1024 /* smaller messages are cheaper to copy than to share */
};

struct link {
    void *socket;
    void *monitor; /* NULL: none */
    int fd, monitor_fd;
    bool up;
};

static bool s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

static bool s_configure (void *socket, const link_options_t *options)
{
    int64_t most = options->reply_bytes_max;
    return s_set (socket, ZMQ_LINGER, 0) && s_set (socket, ZMQ_IMMEDIATE, 1) &&           // N1
           s_set (socket, ZMQ_SNDHWM, options->queue) && s_set (socket, ZMQ_RCVHWM, 0) && // N4
           s_set (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           s_set (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) &&
           s_set (socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           s_set (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           s_set (socket, ZMQ_IPV6, options->endpoint->ipv6) &&
           zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &most, sizeof most) == 0;
}

static bool s_get_fd (void *socket, int *fd)
{
    size_t size = sizeof *fd;
    return zmq_getsockopt (socket, ZMQ_FD, fd, &size) == 0;
}

/* The monitor's name must be of this link alone, in a context that may be the host program's. */
static bool s_open_monitor (link_t *self, void *context)
{
    struct timespec now;
    char name[96];
    clock_gettime (CLOCK_MONOTONIC, &now);
    snprintf (name, sizeof name, "inproc://kvdb-link-%p-%lld-%ld", (void *)self,
              (long long)now.tv_sec, now.tv_nsec);
    if (zmq_socket_monitor (self->socket, name,
                            ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        return false;
    self->monitor = zmq_socket (context, ZMQ_PAIR);
    return self->monitor && s_set (self->monitor, ZMQ_LINGER, 0) &&
           zmq_connect (self->monitor, name) == 0 && s_get_fd (self->monitor, &self->monitor_fd);
}

kv_status_t link_new (const link_options_t *options, link_t **out)
{
    link_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *out = NULL;
    self->monitor_fd = -1;
    self->socket = zmq_socket (options->context, ZMQ_DEALER);
    kv_status_t status = KV_IO;
    if (!self->socket || !s_configure (self->socket, options) ||
        !s_get_fd (self->socket, &self->fd) ||
        (options->monitored && !s_open_monitor (self, options->context)))
        goto fail;
    if (zmq_connect (self->socket, options->endpoint->text) != 0) {
        status = errno == EINVAL || errno == EPROTONOSUPPORT ? KV_CONFIG : KV_IO;
        goto fail;
    }
    *out = self;
    return KV_OK;
fail:
    link_destroy (&self);
    return status;
}

void link_destroy (link_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    link_t *self = *self_p;
    *self_p = NULL;
    if (self->monitor) {
        zmq_socket_monitor (self->socket, NULL, 0);
        zmq_close (self->monitor);
    }
    if (self->socket)
        zmq_close (self->socket);
    free (self);
}

int link_fd (const link_t *self)
{
    return self->fd;
}

int link_monitor_fd (const link_t *self)
{
    return self->monitor_fd;
}

bool link_is_open (link_t *self)
{
    int events;
    size_t size = sizeof events;
    if (self->monitor && !self->up)
        return false; // N2
    return zmq_getsockopt (self->socket, ZMQ_EVENTS, &events, &size) == 0 &&
           (events & ZMQ_POLLOUT) != 0;
}

static void s_release_blob (void *data, void *hint)
{
    handover_take (data);
    blob_t *blob = hint;
    blob_unref (&blob);
}

kv_status_t link_send (link_t *self, blob_t *blob)
{
    kv_slice_t bytes = blob_bytes (blob);
    zmq_msg_t message;
    int failed;
    if (bytes.size <= COPIED_BYTES_MAX) {
        failed = zmq_msg_init_size (&message, bytes.size);
        KV_ASSERT (failed == 0);
        memcpy (zmq_msg_data (&message), bytes.data, bytes.size);
    } else {
        /* libzmq asks for bytes that are not const, and does not change them. */
        failed = zmq_msg_init_data (&message, (void *)(uintptr_t)bytes.data, bytes.size,
                                    s_release_blob, blob_ref (blob));
        KV_ASSERT (failed == 0);
    }
    handover_give (zmq_msg_data (&message));
    while (zmq_msg_send (&message, self->socket, ZMQ_DONTWAIT) < 0) {
        if (errno == EINTR)
            continue;
        int code = errno;
        zmq_msg_close (&message);
        return code == EAGAIN ? KV_BUSY : KV_IO;
    }
    return KV_OK;
}

static void s_release_message (void *owner)
{
    handover_give (zmq_msg_data (owner)); /* over inproc the sender frees it */
    zmq_msg_close (owner);
    free (owner);
}

kv_status_t link_receive (link_t *self, blob_t **out)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    *out = NULL;
    int size;
    do {
        size = zmq_msg_recv (&message, self->socket, ZMQ_DONTWAIT);
    } while ((size >= 0 && zmq_msg_more (&message)) || (size < 0 && errno == EINTR));
    if (size < 0) {
        int code = errno;
        zmq_msg_close (&message);
        return code == EAGAIN ? KV_END : KV_IO;
    }
    handover_take (zmq_msg_data (&message));
    if (size <= COPIED_BYTES_MAX) {
        *out = blob_copy (kv_slice (zmq_msg_data (&message), (size_t)size));
        zmq_msg_close (&message);
        return KV_OK;
    }
    zmq_msg_t *kept = malloc (sizeof *kept);
    KV_ASSERT (kept != NULL);
    zmq_msg_init (kept);
    zmq_msg_move (kept, &message);
    zmq_msg_close (&message);
    *out = blob_wrap (kv_slice (zmq_msg_data (kept), (size_t)size), kept, s_release_message);
    return KV_OK;
}

/* The first frame of an event: 2 bytes of number, 4 of value; the second is the endpoint. */
link_change_t link_watch (link_t *self)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    uint16_t event = 0;
    while (self->monitor && event == 0) {
        int size = zmq_msg_recv (&message, self->monitor, ZMQ_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            break;
        if (size >= (int)sizeof event)
            memcpy (&event, zmq_msg_data (&message), sizeof event);
        while (zmq_msg_more (&message) && zmq_msg_recv (&message, self->monitor, ZMQ_DONTWAIT) >= 0)
            continue;
    }
    zmq_msg_close (&message);
    bool was_up = self->up;
    if (event == 0)
        return LINK_SAME;
    self->up = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    if (!self->up)
        return was_up ? LINK_LOST : LINK_OTHER;
    return LINK_UP;
}
