#include "actors/wire.h"

#include "actors/handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

enum {
    HEARTBEAT_MS = 1000,
    HEARTBEAT_TIMEOUT_MS = 5000,
    RECONNECT_MS = 50,
    RECONNECT_MAX_MS = 1000,
    CONNECT_TIMEOUT_MS = 3000,
    COPY_BYTES = 1024 /* smaller frames are copied out of libzmq's receive block */
};

static bool s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

static bool s_set_options (void *socket)
{
    return s_set (socket, ZMQ_SNDHWM, 0) && s_set (socket, ZMQ_RCVHWM, 0) &&
           s_set (socket, ZMQ_IMMEDIATE, 1) && /* what nobody is there to hear is not kept */
           s_set (socket, ZMQ_SNDTIMEO, 0) && s_set (socket, ZMQ_IPV6, 1) &&
           s_set (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           s_set (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) &&
           s_set (socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           s_set (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           s_set (socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS);
}

kv_status_t wire_dealer (void *context, const char *endpoint, void **socket, char *why,
                         size_t why_bytes)
{
    void *dealer = zmq_socket (context, ZMQ_DEALER);
    if (dealer && s_set_options (dealer) && zmq_connect (dealer, endpoint) == 0) {
        *socket = dealer;
        return KV_OK;
    }
    snprintf (why, why_bytes, "cannot connect to %s: %s", endpoint, zmq_strerror (errno));
    if (dealer)
        zmq_close (dealer);
    return KV_IO;
}

void wire_close (void **socket_p, int linger_ms)
{
    void *socket = *socket_p;
    *socket_p = NULL;
    if (!socket)
        return;
    s_set (socket, ZMQ_LINGER, linger_ms);
    zmq_close (socket);
}

static void s_free_sent (void *data, void *blob)
{
    handover_take (data);
    blob_t *sent = blob;
    blob_unref (&sent);
}

/* Sends one frame; the message takes the reference over. */
static int s_send_frame (void *socket, blob_t *blob, bool more)
{
    kv_slice_t bytes = blob_bytes (blob);
    zmq_msg_t message;
    /* libzmq wants a writable pointer; it does not write to what it sends. */
    int rc =
        zmq_msg_init_data (&message, (void *)(uintptr_t)bytes.data, bytes.size, s_free_sent, blob);
    KV_ASSERT (rc == 0);
    handover_give (zmq_msg_data (&message));
    rc = zmq_msg_send (&message, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    if (rc < 0)
        zmq_msg_close (&message);
    return rc;
}

kv_status_t wire_send (void *socket, blob_t **frames, size_t count)
{
    kv_status_t status = KV_OK;
    for (size_t i = 0; i < count; i++) {
        /* Only the first frame can be refused: libzmq takes the rest of a message it began. */
        if (status == KV_OK && s_send_frame (socket, frames[i], i + 1 < count) < 0) {
            KV_ASSERT (i == 0 || errno == EAGAIN || errno == ETERM);
            status = KV_BUSY;
        } else if (status) {
            blob_unref (&frames[i]);
        }
        frames[i] = NULL;
    }
    return status;
}

static void s_close_received (void *owner)
{
    handover_give (zmq_msg_data (owner)); /* over inproc the sender frees it */
    zmq_msg_close (owner);
    free (owner);
}

static blob_t *s_wrap (zmq_msg_t *message)
{
    kv_slice_t bytes = kv_slice (zmq_msg_data (message), zmq_msg_size (message));
    if (bytes.size <= COPY_BYTES) {
        blob_t *copy = blob_copy (bytes);
        zmq_msg_close (message);
        return copy;
    }
    zmq_msg_t *kept = malloc (sizeof *kept);
    KV_ASSERT (kept != NULL);
    zmq_msg_init (kept);
    zmq_msg_move (kept, message);
    zmq_msg_close (message);
    return blob_wrap (kv_slice (zmq_msg_data (kept), zmq_msg_size (kept)), kept, s_close_received);
}

kv_status_t wire_receive (void *socket, blob_t **frames, size_t most, size_t *count)
{
    *count = 0;
    bool more = true;
    bool too_many = false;
    while (more) {
        zmq_msg_t message;
        zmq_msg_init (&message);
        if (zmq_msg_recv (&message, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&message);
            break;
        }
        handover_take (zmq_msg_data (&message));
        more = zmq_msg_more (&message);
        too_many = too_many || *count == most;
        if (too_many)
            zmq_msg_close (&message);
        else
            frames[(*count)++] = s_wrap (&message);
    }
    if (!too_many)
        return *count ? KV_OK : KV_END;
    while (*count)
        blob_unref (&frames[--*count]);
    return KV_OK; /* an empty message: the caller goes on with the next */
}
