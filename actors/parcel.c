#include "actors/parcel.h"

#include "actors/handover.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* A parcel that nobody took is let go of by libzmq, in whatever thread closes its socket. */
static void s_free (void *data, void *hint)
{
    (void)hint;
    handover_take (data);
    free (data);
}

void parcel_send (void *socket, const void *parcel, size_t bytes)
{
    zmq_msg_t message;
    void *data = malloc (bytes);
    KV_ASSERT (data != NULL);
    memcpy (data, parcel, bytes);
    int rc = zmq_msg_init_data (&message, data, bytes, s_free, NULL);
    KV_ASSERT (rc == 0);
    handover_give (data);
    if (zmq_msg_send (&message, socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close (&message);
}

kv_status_t parcel_receive (void *socket, void *parcel, size_t bytes)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    if (zmq_msg_recv (&message, socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&message);
        return KV_NOT_FOUND;
    }
    handover_take (zmq_msg_data (&message));
    bool is_parcel = zmq_msg_size (&message) == bytes;
    if (is_parcel)
        memcpy (parcel, zmq_msg_data (&message), bytes);
    zmq_msg_close (&message);
    return is_parcel ? KV_OK : KV_END;
}
