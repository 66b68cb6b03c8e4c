/* reply_lane - a node's replies on their way to the broker: packed into bundles, and counted until
 * libzmq has sent them.
 *
 *   L1  a bundle has KV_BUNDLE_PARTS_MAX parts at most, and is sent once it has reached
 *       REPLY_LANE_BUNDLE_BYTES.
 *   L2  unsent bytes are those of bundles that libzmq has not let go of; it does so in a thread of
 *       its own, also after the lane is gone.
 *
 * The lane itself has no bound: its user takes no further requests while much is unsent.
 *
 * Owner: the node's thread. */
#ifndef KVDB_NODE_REPLY_LANE_H
#define KVDB_NODE_REPLY_LANE_H

#include "actors/blob.h"
#include "schema/writer.h"

typedef struct reply_lane reply_lane_t;

enum { REPLY_LANE_BUNDLE_BYTES = 256 * 1024 };

reply_lane_t *reply_lane_new (void);
void reply_lane_destroy (reply_lane_t **self_p);

/* Where the next reply is to be appended. Nothing else may be: what is there already is replies. */
writer_t *reply_lane_writer (reply_lane_t *self);

/* What was appended since the last call is the reply to the request with that tag. */
void reply_lane_add (reply_lane_t *self, uint64_t tag);

/* Whether it is time to send (L1): then no more may be added. */
bool reply_lane_is_full (const reply_lane_t *self);

/* Makes one bundle of what there is, and begins another: the frames of a message, which the caller
 * owns. Returns how many they are; 0 if there are no replies. */
size_t reply_lane_finish (reply_lane_t *self, uint64_t epoch, blob_t *frames[2]);

/* L2. */
size_t reply_lane_unsent_bytes (const reply_lane_t *self);

#endif
