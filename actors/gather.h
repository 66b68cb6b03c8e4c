/* gather - puts the results of a request's pieces together into one reply.
 *
 *   G1  the reply has exactly one result per command of the batch, in order.
 *   G2  a command is settled once all its pieces are; the reply is complete once all commands are.
 *   G3  a command that was split and failed in part is never said to have had no effect: if any
 *       piece of a WRITE succeeded or is unknown, the command's outcome is unknown.
 *
 * Results are kept as references into the nodes' replies (gather_keep), copied once, when the
 * reply is written. The broker and a client that knows the topology share this. Pure. Owner: one
 * thread. */
#ifndef KVDB_ACTORS_GATHER_H
#define KVDB_ACTORS_GATHER_H

#include "actors/blob.h"
#include "actors/scatter.h"
#include "schema/request.h"

typedef struct gather gather_t;

/* For a request of `commands` commands, none of them settled. */
gather_t *gather_new (uint64_t id, uint32_t commands);
void gather_destroy (gather_t **self_p);

/* Announces the pieces of a command: how many, and how many keys it has in all. */
void gather_expect (gather_t *self, uint32_t command, const command_spec_t *spec, uint32_t pieces,
                    uint32_t keys);

/* Settles a whole command on the spot with the result that `result` holds encoded (an error or a
 * value, as request.h's result_ functions write them). Copied. */
void gather_settle (gather_t *self, uint32_t command, kv_slice_t result);

/* Keeps a reference to the blob that later results point into. */
void gather_keep (gather_t *self, blob_t *reply);

/* One piece's result, as it came from a node. `keys` is the scatter's list of keys; the slices of
 * the result must stay valid (gather_keep). */
void gather_piece (gather_t *self, const uint32_t *keys, const piece_t *piece,
                   const result_t *result);

/* One piece failed here. Copied. */
void gather_piece_failed (gather_t *self, const piece_t *piece, kv_status_t code, const char *text,
                          uint32_t retry_ms);

/* G2 */
bool gather_is_complete (const gather_t *self);

/* Writes the reply. Results that do not fit in the writer's limit become TOO_LARGE errors. */
void gather_write (const gather_t *self, writer_t *out);

#endif
