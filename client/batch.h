/* batch - commands encoded one after the other, ready to stand in a request.
 *
 * The public part is in kvdb.h. Pure; owner: one thread at a time. */
#ifndef KVDB_CLIENT_BATCH_H
#define KVDB_CLIENT_BATCH_H

#include "schema/writer.h"

#include "client/kvdb.h"

struct kv_batch {
    writer_t commands; /* the elements of the request's array of commands */
    uint32_t count;
};

/* Writes the whole request with an id that batch_set_id sets later; `deadline_ms` 0: no such option.
 * Returns where in `out` the commands begin. */
size_t batch_request (const kv_batch_t *self, uint32_t deadline_ms, writer_t *out);
void batch_set_id (writer_t *request, uint64_t id);

/* Writes the end of a request: its options, if there are any. */
void batch_options (uint32_t deadline_ms, writer_t *out);

/* Bytes that a request has beside those of its commands to those of the commands, at most. */
enum { BATCH_REQUEST_BYTES_MAX = 64 };

#endif
