/* parcel - structs of one process, sent from thread to thread through a pair of inproc sockets: copied
 * into a message, whole. What they point to changes hands with them, as their headers say. */
#ifndef KVDB_ACTORS_PARCEL_H
#define KVDB_ACTORS_PARCEL_H

#include "schema/status.h"

#include <stddef.h>

/* Never blocks: the pipes of our actors have no high-water mark. An end that is gone hears nothing. */
void parcel_send (void *socket, const void *parcel, size_t bytes);

/* Without waiting. KV_NOT_FOUND: nothing is there. A message of another size is the actor's own (its
 * "$TERM"): KV_END. */
KV_CHECK_RESULT kv_status_t parcel_receive (void *socket, void *parcel, size_t bytes);

#endif
