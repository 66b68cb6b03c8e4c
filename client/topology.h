/* topology - what servers say about who owns what: the reply to TOPOLOGY, and the details of errors.
 *
 * Keys of maps that are not known are passed over; what is known must have its form. Pure; the texts
 * come from outside, and every length is checked. Source: schema/PROTOCOL.md, 5 and 15. */
#ifndef KVDB_CLIENT_TOPOLOGY_H
#define KVDB_CLIENT_TOPOLOGY_H

#include "schema/limits.h"
#include "schema/reader.h"

typedef char topology_endpoint_t[KV_ENDPOINT_BYTES_MAX + 1]; /* "tcp://127.0.0.1:8081" */

typedef struct {
    uint64_t epoch;
    uint32_t shards;                /* 1 .. KV_SHARDS_MAX */
    uint32_t nodes;                 /* 1 .. KV_NODES_MAX */
    topology_endpoint_t *endpoints; /* owned array [nodes]; "" for a node without a direct door */
    uint16_t *owners;               /* owned array [shards]: indices into endpoints */
} topology_t;

/* Reads the value of TOPOLOGY's result. KV_OK or KV_CORRUPT; `out` is empty unless KV_OK. */
KV_CHECK_RESULT kv_status_t topology_read (kv_slice_t value, topology_t *out);
void topology_free (topology_t *self);

typedef struct {
    uint32_t shard;
    uint64_t epoch;
    topology_endpoint_t endpoint; /* "": whoever answered does not know the owner */
} moved_t;

/* Reads the details of a MOVED error. KV_OK, or KV_CORRUPT if no shard is named. */
KV_CHECK_RESULT kv_status_t topology_moved (kv_slice_t details, moved_t *out);

/* The retry_ms of an error's details; 0 if there is none. */
uint32_t topology_retry_ms (kv_slice_t details);

#endif
