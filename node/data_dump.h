/* data_dump - prints what a data directory holds, as lines of JSON.
 *
 *   state   {"key": "...", "value": "...", "expires_ms": 0, "version": 1, "shard": 0}
 *   log     {"shard": 0, "position": 1, "previous": 0, "lsn": 0, "effects": [{"kind": "put", ...}]}
 *
 * Bytes that are no UTF-8 are in base64, under "key_base64" and "value_base64". expires_ms is 0 for what
 * never expires; what has expired and was not deleted yet is there. It never writes to the directory.
 * Owner: one thread. */
#ifndef KVDB_NODE_DATA_DUMP_H
#define KVDB_NODE_DATA_DUMP_H

#include "node/data_output.h"
#include "node/data_read.h"
#include "node/store.h"

/* The state that recovery makes: nothing is printed if it refuses the directory. `secret` is for the
 * tables' hash. KV_CORRUPT, KV_BAD_VERSION, KV_IO, with what is wrong. */
KV_CHECK_RESULT kv_status_t data_dump_state (const data_place_t *place,
                                             const uint8_t secret[STORE_SECRET_BYTES],
                                             const data_output_t *out, file_error_t *error);

/* All whole records that there are, up to the first fault. The same statuses. */
KV_CHECK_RESULT kv_status_t data_dump_log (const data_place_t *place, const data_output_t *out,
                                           file_error_t *error);

#endif
