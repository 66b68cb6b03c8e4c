/* link - a DEALER socket that connects to one server, and, if asked for, the monitor that tells when its
 * connection comes and goes.
 *
 *   N1  a message is handed over only while a connection stands (ZMQ_IMMEDIATE), so that none waits
 *       for hours and is executed when the server comes back.
 *   N2  with a monitor the link is up from the end of a handshake until the connection breaks. When
 *       link_watch tells of the break, the replies that are left of it come out of link_receive, up to
 *       KV_END; no other will. Those that had arrived and were not received by then may be among them or
 *       not (ZMQ_IMMEDIATE takes them away with the connection): what they answered counts as unknown.
 *   N3  link_fd and link_monitor_fd become readable when something changes. They tell of edges only:
 *       link_receive must be called until KV_END, link_watch until it returns LINK_SAME.
 *   N4  there is no high-water mark for what comes in: libzmq 4.3.4 aborts the process when a connection
 *       ends whose input such a mark has stopped and a heartbeat is due (libzmq issues 3937, 4767). What
 *       bounds replies is what was asked for: in_flight_max batches of the user's, and reply_bytes_max
 *       each. The server is trusted not to send what nobody has asked for.
 *
 * Without a monitor (inproc has none) the link is open when its socket takes messages.
 * Owner: one thread at a time. */
#ifndef KVDB_CLIENT_LINK_H
#define KVDB_CLIENT_LINK_H

#include "actors/blob.h"
#include "client/endpoint.h"

typedef struct link link_t;

typedef struct {
    void *context; /* of ZeroMQ; borrowed for the link's life */
    const endpoint_t *endpoint;
    int queue; /* messages on their way to the server */
    int64_t reply_bytes_max;
    bool monitored;
} link_options_t;

/* KV_OK; KV_CONFIG: not an endpoint; KV_IO: ZeroMQ has no socket left. Does not wait. */
KV_CHECK_RESULT kv_status_t link_new (const link_options_t *options, link_t **out);
void link_destroy (link_t **self_p);

int link_fd (const link_t *self);
int link_monitor_fd (const link_t *self); /* -1 without a monitor */

/* Whether a message would be taken now. */
bool link_is_open (link_t *self);

/* KV_OK; KV_BUSY: no connection, or its queue is full; KV_IO. Takes a reference of its own. */
KV_CHECK_RESULT kv_status_t link_send (link_t *self, blob_t *message);

/* The last frame of the next message. KV_OK; KV_END: there is none now; KV_IO. */
KV_CHECK_RESULT kv_status_t link_receive (link_t *self, blob_t **message);

typedef enum {
    LINK_SAME,
    LINK_UP,
    LINK_LOST,
    LINK_OTHER /* a connection that never was up has failed */
} link_change_t;

/* The next thing the monitor has seen. */
link_change_t link_watch (link_t *self);

#endif
