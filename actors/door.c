#include "actors/door.h"

#include "actors/handover.h"
#include "actors/clock.h"
#include "actors/door_guard.h"
#include "schema/limits.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

enum {
    HEARTBEAT_MS = 5000,
    HEARTBEAT_TIMEOUT_MS = 15000,
    HANDSHAKE_MS = 10000,
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 3,
    BACKLOG = 1024,
    EVENTS_QUEUED_MAX = 65536, /* libzmq's I/O thread waits when as many are unread */
    EVENTS_PER_TEND_MAX = 8192,
    VSM_BYTES = 33,    /* frames as small as that live inside zmq_msg_t */
    FRAME_BYTES = 64,  /* what each frame takes up in libzmq's queue */
    HELD_BYTES = 192,  /* a larger one beside its bytes: libzmq's content_t, a sent_t, a blob */
    COPY_BYTES = 1024, /* larger ones are kept in libzmq's memory */
    SHORT_FRAME_BYTES = 255, /* ZMTP: a frame's head has 2 bytes up to here, else 9 */
    MALFORMED_PER_RECEIVE_MAX = 64
};

struct door {
    const char *name;
    const log_t *log;
    void *router;
    void *monitor;
    door_guard_t *guard;
    bool is_tcp; /* else inproc: connections have no descriptor */
    bool accept_failing;
    char endpoint[KV_ENDPOINT_BYTES_MAX];
    door_stats_t stats; /* but for what the guard counts */
};

static kv_status_t s_fail (char *why, size_t why_bytes, const char *endpoint, int error)
{
    const char *reason = zmq_strerror (error);
    kv_status_t status = KV_IO;
    if (error == EADDRINUSE)
        reason =
            "the address is in use; stop the program that listens there or choose another port";
    if (error == EADDRNOTAVAIL || error == ENODEV)
        reason = "this machine has no such address";
    if (error == EACCES)
        reason = "no permission; ports below 1024 need privileges";
    if (error == EINVAL || error == EPROTONOSUPPORT) {
        reason = "not an endpoint; it has the form tcp://ADDRESS:PORT or inproc://NAME";
        status = KV_CONFIG;
    }
    if (why)
        snprintf (why, why_bytes, "cannot listen on %s: %s", endpoint, reason);
    return status;
}

static int s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value);
}

/* All of them before bind: later they would not apply to the listener's connections. */
static int s_set_options (void *router, const door_options_t *options)
{
    int64_t most = options->max_frame_bytes;
    int rc = zmq_setsockopt (router, ZMQ_MAXMSGSIZE, &most, sizeof most); // O1
    rc |= s_set (router, ZMQ_ROUTER_MANDATORY, 1);
    rc |= s_set (router, ZMQ_SNDTIMEO, 0); // O5
    rc |= s_set (router, ZMQ_RCVHWM, 0);   /* or libzmq may abort, see door.h */
    bool is_tcp = strncmp (options->endpoint, "tcp://", strlen ("tcp://")) == 0;
    rc |= s_set (router, ZMQ_SNDHWM, is_tcp ? 0 : options->inproc_high_water_mark);
    rc |= s_set (router, ZMQ_LINGER, 0);
    /* Where it is not needed, it would have addresses printed as ::ffff:127.0.0.1. */
    bool v6 = strchr (options->endpoint, '[') || strncmp (options->endpoint, "tcp://*:", 8) == 0;
    rc |= s_set (router, ZMQ_IPV6, v6);
    rc |= s_set (router, ZMQ_BACKLOG, BACKLOG);
    rc |= s_set (router, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    rc |= s_set (router, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    rc |= s_set (router, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    rc |= s_set (router, ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS);
    rc |= s_set (router, ZMQ_TCP_KEEPALIVE, 1);
    rc |= s_set (router, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    rc |= s_set (router, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    rc |= s_set (router, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    return rc;
}

static int s_open_monitor (door_t *self, void *context)
{
    char endpoint[64];
    snprintf (endpoint, sizeof endpoint, "inproc://door-monitor-%p", self->router);
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_ACCEPT_FAILED;
    if (zmq_socket_monitor (self->router, endpoint, events) != 0)
        return -1;
    self->monitor = zmq_socket (context, ZMQ_PAIR);
    if (!self->monitor || s_set (self->monitor, ZMQ_RCVHWM, EVENTS_QUEUED_MAX) != 0 ||
        s_set (self->monitor, ZMQ_LINGER, 0) != 0)
        return -1;
    return zmq_connect (self->monitor, endpoint);
}

/* libzmq binds to addresses and interfaces only: a host's name is resolved here, IPv4 first. */
static int s_bind_name (void *router, const char *endpoint)
{
    char host[KV_HOST_BYTES_MAX + 1];
    const char *start = endpoint + strlen ("tcp://");
    const char *colon = strrchr (start, ':');
    if (!colon || colon == start || (size_t)(colon - start) >= sizeof host) {
        errno = EINVAL;
        return -1;
    }
    memcpy (host, start, (size_t)(colon - start));
    host[colon - start] = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo (host, NULL, &hints, &found);
    hints.ai_family = AF_INET6;
    if (rc != 0 && getaddrinfo (host, NULL, &hints, &found) != 0) {
        errno = ENODEV;
        return -1;
    }
    char address[NI_MAXHOST];
    char resolved[NI_MAXHOST + KV_ENDPOINT_BYTES_MAX];
    rc = getnameinfo (found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0,
                      NI_NUMERICHOST);
    bool is_v6 = found->ai_family == AF_INET6;
    freeaddrinfo (found);
    if (rc != 0) {
        errno = ENODEV;
        return -1;
    }
    s_set (router, ZMQ_IPV6, is_v6);
    snprintf (resolved, sizeof resolved, is_v6 ? "tcp://[%s]%s" : "tcp://%s%s", address, colon);
    return zmq_bind (router, resolved);
}

/* libzmq would take the lower 16 bits of any number. */
static bool s_is_port (const char *endpoint)
{
    const char *port = strrchr (endpoint, ':') + 1;
    char *end;
    long number = strtol (port, &end, 10);
    return strcmp (port, "*") == 0 ||
           (*port >= '0' && *port <= '9' && *end == '\0' && number <= UINT16_MAX);
}

static int s_bind (door_t *self, const char *endpoint)
{
    if (self->is_tcp && !s_is_port (endpoint)) {
        errno = EINVAL;
        return -1;
    }
    int rc = zmq_bind (self->router, endpoint);
    if (rc != 0 && self->is_tcp && (errno == ENODEV || errno == EINVAL))
        rc = s_bind_name (self->router, endpoint);
    size_t bytes = sizeof self->endpoint;
    if (rc == 0)
        rc = zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, self->endpoint, &bytes);
    return rc;
}

static void s_new_guard (door_t *self, const door_options_t *options)
{
    const char *colon = strrchr (self->endpoint, ':');
    self->guard = door_guard_new (&(door_guard_options_t){
        .name = options->name,
        .log = options->log,
        .max_pending_bytes = options->max_pending_bytes,
        .max_stranger_bytes = options->max_stranger_bytes,
        .max_output_bytes = options->max_output_bytes,
        .max_total_output_bytes = options->max_total_output_bytes,
        .max_connections = options->max_connections,
        .port = (uint16_t)(self->is_tcp ? strtol (colon + 1, NULL, 10) : 0)});
}

kv_status_t door_open (const door_options_t *options, door_t **out, char *why, size_t why_bytes)
{
    KV_ASSERT (options->max_pending_bytes > options->max_frame_bytes);
    *out = NULL;
    bool is_tcp = strncmp (options->endpoint, "tcp://", strlen ("tcp://")) == 0;
    bool is_inproc = strncmp (options->endpoint, "inproc://", strlen ("inproc://")) == 0;
    if (!is_tcp && !is_inproc)
        return s_fail (why, why_bytes, options->endpoint, EINVAL);
    door_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->name = options->name;
    self->log = options->log;
    self->is_tcp = is_tcp;
    self->router = zmq_socket (options->context, ZMQ_ROUTER);
    bool is_open = self->router && s_set_options (self->router, options) == 0 &&
                   s_open_monitor (self, options->context) == 0 &&
                   s_bind (self, options->endpoint) == 0;
    if (!is_open) {
        int error = errno;
        door_close (&self, 0);
        return s_fail (why, why_bytes, options->endpoint, error);
    }
    s_new_guard (self, options);
    *out = self;
    return KV_OK;
}

/* One event of the monitor: false if there is none. */
static bool s_next_event (door_t *self)
{
    uint8_t event[6] = {0}; /* 16 bits event, 32 bits value */
    int bytes = zmq_recv (self->monitor, event, sizeof event, ZMQ_DONTWAIT);
    if (bytes < 0)
        return false;
    char address[KV_ENDPOINT_BYTES_MAX];
    int more = 0;
    size_t more_bytes = sizeof more;
    if (zmq_getsockopt (self->monitor, ZMQ_RCVMORE, &more, &more_bytes) == 0 && more)
        (void)zmq_recv (self->monitor, address, sizeof address, 0);
    uint16_t kind;
    int32_t value;
    memcpy (&kind, event, sizeof kind);
    memcpy (&value, event + sizeof kind, sizeof value);
    if (!self->guard)
        return true;
    if (kind == ZMQ_EVENT_ACCEPTED)
        door_guard_accepted (self->guard, value);
    if (kind == ZMQ_EVENT_DISCONNECTED)
        door_guard_disconnected (self->guard, value);
    if (kind == ZMQ_EVENT_ACCEPT_FAILED && !self->accept_failing)
        log_event (self->log, KV_LOG_ERROR, "event=accept_failed door=%s reason=\"%s\"", self->name,
                   zmq_strerror (value));
    self->accept_failing = kind == ZMQ_EVENT_ACCEPT_FAILED;
    return true;
}

/* False: there are more. */
static bool s_drain_events (door_t *self)
{
    for (int i = 0; i < EVENTS_PER_TEND_MAX; i++) {
        if (!s_next_event (self))
            return true;
    }
    return false;
}

void door_close (door_t **self_p, int linger_ms)
{
    door_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->monitor) {
        s_drain_events (self); /* or libzmq might wait for room to tell us the last one */
        zmq_socket_monitor (self->router, NULL, 0);
        zmq_close (self->monitor);
    }
    if (self->router) {
        s_set (self->router, ZMQ_LINGER, linger_ms);
        if (self->endpoint[0])
            zmq_unbind (self->router, self->endpoint);
        zmq_close (self->router);
    }
    door_guard_destroy (&self->guard);
    free (self);
}

const char *door_endpoint (const door_t *self)
{
    return self->endpoint;
}

void *door_socket (door_t *self)
{
    return self->router;
}

void *door_monitor (door_t *self)
{
    return self->monitor;
}

static kv_slice_t s_bytes (zmq_msg_t *frame)
{
    return kv_slice (zmq_msg_data (frame), zmq_msg_size (frame));
}

static void s_release_frame (void *owner)
{
    handover_give (zmq_msg_data (owner)); /* over inproc the sender frees it */
    zmq_msg_close (owner);
    free (owner);
}

/* The frame's bytes as a blob; the frame is closed. */
static blob_t *s_to_blob (zmq_msg_t *frame)
{
    if (zmq_msg_size (frame) <= COPY_BYTES) {
        blob_t *copy = blob_copy (s_bytes (frame));
        zmq_msg_close (frame);
        return copy;
    }
    zmq_msg_t *kept = malloc (sizeof *kept);
    KV_ASSERT (kept != NULL);
    zmq_msg_init (kept);
    zmq_msg_move (kept, frame);
    return blob_wrap (s_bytes (kept), kept, s_release_frame);
}

/* Receives the next frame; false: none, or the context ends. */
static bool s_next_frame (door_t *self, zmq_msg_t *frame)
{
    zmq_msg_init (frame);
    int rc;
    do
        rc = zmq_msg_recv (frame, self->router, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        zmq_msg_close (frame);
    else
        handover_take (zmq_msg_data (frame));
    return rc >= 0;
}

static uint64_t s_wire_bytes (zmq_msg_t *frame)
{
    size_t size = zmq_msg_size (frame);
    return size + (size > SHORT_FRAME_BYTES ? 9 : 2);
}

/* Finds or makes the record of who sent a message. Its connection is learnt from a frame behind the
 * identity: libzmq's own identity frame knows it only at times. */
static door_peer_t *s_sender (door_t *self, kv_slice_t identity, zmq_msg_t *frame)
{
    if (!self->is_tcp)
        return NULL;
    door_peer_t *peer = door_guard_find (self->guard, identity);
    if (peer)
        return peer;
    s_drain_events (self);
    return door_guard_meet (self->guard, identity, zmq_msg_get (frame, ZMQ_SRCFD));
}

static void s_count_in (door_t *self, door_peer_t *peer, uint64_t bytes, bool dropped)
{
    door_guard_delivered (self->guard, peer, bytes);
    self->stats.bytes_in += bytes;
    self->stats.messages_in += !dropped;
    self->stats.dropped_in += dropped;
}

static bool s_append (door_message_t *out, kv_slice_t frame)
{
    if (frame.size + 2 > sizeof out->envelope - out->envelope_bytes)
        return false;
    uint8_t *at = out->envelope + out->envelope_bytes;
    at[0] = (uint8_t)(frame.size >> 8);
    at[1] = (uint8_t)frame.size;
    if (frame.size)
        memcpy (at + 2, frame.data, frame.size);
    out->envelope_bytes += 2 + frame.size;
    return true;
}

/* The identity that begins a message; false: there is none. */
static bool s_begin (door_t *self, uint8_t *identity, size_t *identity_bytes)
{
    zmq_msg_t frame;
    if (!s_next_frame (self, &frame)) {
        door_guard_dry (self->guard);
        return false;
    }
    *identity_bytes = zmq_msg_size (&frame);
    KV_ASSERT (*identity_bytes >= 1 && *identity_bytes <= DOOR_IDENTITY_BYTES_MAX);
    memcpy (identity, zmq_msg_data (&frame), *identity_bytes);
    zmq_msg_close (&frame);
    return true;
}

/* KV_END: nothing there; KV_BAD_REQUEST: a message was passed over. */
static kv_status_t s_receive_one (door_t *self, door_message_t *out)
{
    uint8_t *identity = out->envelope + 2;
    size_t identity_bytes;
    if (!s_begin (self, identity, &identity_bytes))
        return KV_END;
    out->envelope[0] = 0;
    out->envelope[1] = (uint8_t)identity_bytes;
    out->envelope_bytes = 2 + identity_bytes;
    out->body = NULL;
    door_peer_t *peer = NULL;
    uint64_t bytes = 0;
    bool good = true;
    bool more = true;
    zmq_msg_t frame;
    for (size_t frames = 2; more && s_next_frame (self, &frame); frames++) {
        if (frames == 2)
            peer = s_sender (self, kv_slice (identity, identity_bytes), &frame);
        more = zmq_msg_more (&frame);
        bytes += s_wire_bytes (&frame);
        good = good && frames <= KV_CLIENT_FRAMES_MAX;
        if (more)
            good = good && s_append (out, s_bytes (&frame));
        if (more || !good)
            zmq_msg_close (&frame);
        else
            out->body = s_to_blob (&frame);
    }
    s_count_in (self, peer, bytes, !out->body);
    return out->body ? KV_OK : KV_BAD_REQUEST;
}

kv_status_t door_receive (door_t *self, door_message_t *out)
{
    for (int i = 0; i < MALFORMED_PER_RECEIVE_MAX; i++) {
        kv_status_t status = s_receive_one (self, out);
        if (status != KV_BAD_REQUEST)
            return status;
    }
    return KV_END; /* others have their turn first */
}

static kv_status_t s_receive_frames_one (door_t *self, uint8_t *identity, size_t *identity_bytes,
                                         blob_t **frames, size_t most, size_t *count)
{
    if (!s_begin (self, identity, identity_bytes))
        return KV_END;
    door_peer_t *peer = NULL;
    uint64_t bytes = 0;
    bool good = true;
    bool more = true;
    zmq_msg_t frame;
    *count = 0;
    while (more && s_next_frame (self, &frame)) {
        if (bytes == 0)
            peer = s_sender (self, kv_slice (identity, *identity_bytes), &frame);
        more = zmq_msg_more (&frame);
        bytes += s_wire_bytes (&frame);
        good = good && *count < most;
        if (good)
            frames[(*count)++] = s_to_blob (&frame);
        else
            zmq_msg_close (&frame);
    }
    good = good && *count > 0;
    for (; !good && *count > 0; (*count)--)
        blob_unref (&frames[*count - 1]);
    s_count_in (self, peer, bytes, !good);
    return good ? KV_OK : KV_BAD_REQUEST;
}

kv_status_t door_receive_frames (door_t *self, uint8_t *identity, size_t *identity_bytes,
                                 blob_t **frames, size_t most, size_t *count)
{
    for (int i = 0; i < MALFORMED_PER_RECEIVE_MAX; i++) {
        kv_status_t status =
            s_receive_frames_one (self, identity, identity_bytes, frames, most, count);
        if (status != KV_BAD_REQUEST)
            return status;
    }
    return KV_END;
}

static bool s_send_frame (door_t *self, zmq_msg_t *frame, bool more)
{
    int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
    int rc;
    handover_give (zmq_msg_data (frame));
    do
        rc = zmq_msg_send (frame, self->router, flags);
    while (rc < 0 && errno == EINTR);
    int error = errno;
    if (rc < 0)
        zmq_msg_close (frame);
    errno = error; /* s_send_identity looks at it */
    return rc >= 0;
}

static bool s_send_copy (door_t *self, kv_slice_t bytes, bool more)
{
    zmq_msg_t frame;
    int rc = zmq_msg_init_size (&frame, bytes.size);
    KV_ASSERT (rc == 0);
    if (bytes.size)
        memcpy (zmq_msg_data (&frame), bytes.data, bytes.size);
    return s_send_frame (self, &frame, more);
}

/* A claim on room for output (O3). */
typedef struct {
    door_account_t *account; /* NULL: none */
    size_t bytes;
} claim_t;

static size_t s_cost (size_t frame_bytes)
{
    return FRAME_BYTES + (frame_bytes > VSM_BYTES ? HELD_BYTES + frame_bytes : 0);
}

/* Counts a message that has room: now, or with a later one (G5 of door_guard.h). */
static claim_t s_claim (door_t *self, door_peer_t *peer, size_t cost, size_t body_bytes)
{
    bool can_wait = body_bytes <= VSM_BYTES;
    if (can_wait && !peer)
        return (claim_t){NULL, 0}; /* inproc_high_water_mark bounds them */
    size_t due = can_wait ? door_guard_bill (peer, cost) : cost;
    return (claim_t){due ? door_guard_claim (self->guard, peer, due) : NULL, due};
}

static void s_give_back (claim_t claim)
{
    if (claim.account)
        door_account_release (claim.account, claim.bytes);
}

/* What libzmq gives back once a body has gone out. */
typedef struct {
    blob_t *body;
    claim_t claim;
} sent_t;

/* Called by any thread. */
static void s_on_sent (void *data, void *hint)
{
    handover_take (data);
    sent_t *sent = hint;
    s_give_back (sent->claim);
    blob_unref (&sent->body);
    free (sent);
}

/* Takes over the body and the claim. */
static bool s_send_body (door_t *self, blob_t *body, claim_t claim, bool more)
{
    kv_slice_t bytes = blob_bytes (body);
    if (bytes.size <= VSM_BYTES && !claim.account) {
        bool sent = s_send_copy (self, bytes, more);
        blob_unref (&body);
        return sent;
    }
    sent_t *hint = malloc (sizeof *hint);
    KV_ASSERT (hint != NULL);
    *hint = (sent_t){body, claim};
    zmq_msg_t frame;
    /* libzmq reads the bytes only (B1 of blob.h). */
    int rc = zmq_msg_init_data (&frame, (void *)(uintptr_t)bytes.data, bytes.size, s_on_sent, hint);
    KV_ASSERT (rc == 0);
    return s_send_frame (self, &frame, more);
}

/* The frame that decides: afterwards libzmq takes the rest of the message, or drops all of it. */
static kv_status_t s_send_identity (door_t *self, door_peer_t *peer, kv_slice_t identity)
{
    if (s_send_copy (self, identity, true))
        return KV_OK;
    if (errno == EAGAIN)
        return KV_BUSY;
    if (peer)
        door_guard_lost (self->guard, peer);
    return KV_UNAVAILABLE;
}

static kv_slice_t s_envelope_frame (kv_slice_t *envelope)
{
    KV_ASSERT (envelope->size >= 2);
    size_t size = (size_t)envelope->data[0] << 8 | envelope->data[1];
    KV_ASSERT (size <= envelope->size - 2);
    kv_slice_t frame = kv_slice (envelope->data + 2, size);
    *envelope = kv_slice (envelope->data + 2 + size, envelope->size - 2 - size);
    return frame;
}

/* What a message takes up in libzmq: the envelope's frames behind the identity, and the body. */
static size_t s_message_cost (kv_slice_t envelope, size_t body_bytes)
{
    size_t cost = s_cost (body_bytes);
    while (envelope.size > 0)
        cost += s_cost (s_envelope_frame (&envelope).size);
    return cost;
}

static kv_status_t s_count_out (door_t *self, kv_status_t status, uint64_t bytes)
{
    if (status == KV_OK) {
        self->stats.messages_out++;
        self->stats.bytes_out += bytes;
    } else
        self->stats.dropped_out++;
    return status;
}

kv_status_t door_send (door_t *self, kv_slice_t envelope, blob_t *body)
{
    kv_slice_t identity = s_envelope_frame (&envelope);
    size_t bytes = blob_bytes (body).size;
    door_peer_t *peer = self->is_tcp ? door_guard_find (self->guard, identity) : NULL;
    kv_status_t status = self->is_tcp && !peer ? KV_UNAVAILABLE : KV_OK;
    size_t cost = s_message_cost (envelope, bytes);
    if (status == KV_OK && !door_guard_fits (self->guard, peer, cost))
        status = KV_BUSY; // O3
    if (status == KV_OK)
        status = s_send_identity (self, peer, identity); // O5
    if (status != KV_OK) {
        blob_unref (&body);
        return s_count_out (self, status, 0);
    }
    claim_t claim = s_claim (self, peer, cost, bytes);
    bool sent = true;
    while (sent && envelope.size > 0)
        sent = s_send_copy (self, s_envelope_frame (&envelope), true);
    if (sent)
        sent = s_send_body (self, body, claim, false);
    else { /* the context ends */
        s_give_back (claim);
        blob_unref (&body);
    }
    return s_count_out (self, sent ? KV_OK : KV_UNAVAILABLE, bytes);
}

kv_status_t door_send_frames (door_t *self, kv_slice_t identity, blob_t **frames, size_t count)
{
    KV_ASSERT (count > 0);
    door_peer_t *peer = self->is_tcp ? door_guard_find (self->guard, identity) : NULL;
    kv_status_t status = self->is_tcp && !peer ? KV_UNAVAILABLE : KV_OK;
    if (status == KV_OK)
        status = s_send_identity (self, peer, identity); // O5
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        blob_t *frame = frames[i];
        frames[i] = NULL;
        bytes += blob_bytes (frame).size;
        if (status != KV_OK)
            blob_unref (&frame);
        else if (!s_send_body (self, frame, (claim_t){NULL, 0}, i + 1 < count))
            status = KV_UNAVAILABLE; /* the context ends */
    }
    return s_count_out (self, status, bytes);
}

void door_trust (door_t *self, kv_slice_t identity)
{
    if (self->is_tcp && identity.size > 0)
        door_guard_trust (self->guard, door_guard_find (self->guard, identity));
}

void door_tend (door_t *self)
{
    if (s_drain_events (self) && self->is_tcp)
        door_guard_look (self->guard, clock_ms ());
}

kv_status_t door_next_gone (door_t *self, uint8_t *identity, size_t *identity_bytes)
{
    return door_guard_next_gone (self->guard, identity, identity_bytes);
}

door_stats_t door_stats (const door_t *self)
{
    door_guard_stats_t guard = door_guard_stats (self->guard);
    door_stats_t stats = self->stats;
    stats.connections = guard.connections;
    stats.accepted = guard.accepted;
    stats.refused = guard.refused;
    stats.shut_down = guard.shut_down;
    stats.output_bytes = guard.output_bytes;
    return stats;
}
