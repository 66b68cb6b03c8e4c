/* wire - whole messages of blobs over a raw libzmq socket, without waiting; for the ends that
 * connect. (The ends that are connected to are doors.)
 *
 * Owner: the thread that owns the socket. */
#ifndef KVDB_ACTORS_WIRE_H
#define KVDB_ACTORS_WIRE_H

#include "actors/blob.h"

/* A DEALER connected to `endpoint`: no bound on its queues (its user bounds what is in flight),
 * ZMTP heartbeats on, reconnecting by itself with back-off. What a connection had not sent when it
 * ended is lost, and nothing is queued while there is none. Frames have no bound: with MAXMSGSIZE,
 * one frame too large would end the socket for good, as libzmq does not reconnect after it. KV_IO
 * with a reason in `why`. */
KV_CHECK_RESULT kv_status_t wire_dealer (void *context, const char *endpoint, void **socket,
                                         char *why, size_t why_bytes);

/* Closes, giving what is queued at most linger_ms to leave; takes NULL. */
void wire_close (void **socket_p, int linger_ms);

/* Sends frames as one message, all or none; takes the references over. KV_BUSY: there is
 * no connection. */
KV_CHECK_RESULT kv_status_t wire_send (void *socket, blob_t **frames, size_t count);

/* The next message, its frames as blobs the caller owns. KV_END: none there now. A message of more
 * than `most` frames is taken out and passed over. */
KV_CHECK_RESULT kv_status_t wire_receive (void *socket, blob_t **frames, size_t most,
                                          size_t *count);

#endif
