/* sim_identity - a node's identity on a simulated disk, as actors/identity.c keeps it on a real one:
 * replaced as a whole, so that after a crash it is the old one or the new one.
 *
 *   0..15 uuid | 16..31 cluster id | 32 has a cluster id | 33..40 FNV-1a of what is before
 *
 * Owner: the node's process. */
#ifndef KVDB_TEST_SIM_SIM_IDENTITY_H
#define KVDB_TEST_SIM_SIM_IDENTITY_H

#include "sim_random.h"

#include "actors/files.h"
#include "schema/message.h"

typedef struct {
    uint8_t uuid[KV_UUID_BYTES];
    uint8_t cluster_id[KV_UUID_BYTES]; /* if has_cluster */
    bool has_cluster;
} sim_identity_t;

/* Loads it, or makes one. KV_CORRUPT: there is something else in its file. KV_IO, KV_DISK_FULL. */
KV_CHECK_RESULT kv_status_t sim_identity_load (files_t *disk, sim_random_t *random,
                                               sim_identity_t *out);
KV_CHECK_RESULT kv_status_t sim_identity_save (files_t *disk, const sim_identity_t *identity);

#endif
