/* configuration - who has a shard: what the coordinator decides, stores and tells, one codec for the wire
 * and the topology log.
 *
 *   [shard, epoch, owner, planned, [node, uuid, incarnation, ...]]
 *
 *   G1  1 <= epoch <= KV_EPOCH_MAX; configurations of a shard have epochs that rise.
 *   G2  1 <= count <= KV_MEMBERS_MAX; owner < count; no two members are of the same node.
 *   G3  the secondary WAL is a member like any other, but never the owner: node KV_SECONDARY, with the uuid
 *       of the coordinator's data directory and incarnation 0, the same over its restarts: all that it has
 *       acknowledged is durable (R13).
 *
 * Pure. A message struct: whoever holds it owns it, it borrows nothing. */
#ifndef KVDB_SCHEMA_CONFIGURATION_H
#define KVDB_SCHEMA_CONFIGURATION_H

#include "schema/limits.h"
#include "schema/message.h"

enum {
    KV_MEMBERS_MAX = 8,   /* an owner, its followers, the secondary WAL, and one who joins */
    KV_SECONDARY = 0xffff /* the node index that stands for the secondary WAL */
};

/* One life of one copy. A process start is a new incarnation, and so another member (R6). */
typedef struct {
    uint32_t node; /* index in the cluster's list, or KV_SECONDARY */
    uint8_t uuid[KV_UUID_BYTES];
    uint64_t incarnation;
} member_t;

typedef struct {
    uint32_t shard;
    uint64_t epoch;
    uint32_t owner; /* index in members */
    bool planned;   /* the former owner hands it over (R18) */
    uint32_t count;
    member_t members[KV_MEMBERS_MAX];
} configuration_t;

static inline bool member_equal (const member_t *a, const member_t *b)
{
    return a->node == b->node && a->incarnation == b->incarnation &&
           memcmp (a->uuid, b->uuid, KV_UUID_BYTES) == 0;
}

/* The member of that node, whatever its incarnation; NULL: there is none. */
const member_t *configuration_member (const configuration_t *self, uint32_t node);

void configuration_encode (writer_t *out, const configuration_t *configuration);

/* Reads one and checks G1 to G3. KV_BAD_REQUEST. */
KV_CHECK_RESULT kv_status_t configuration_decode (reader_t *at, configuration_t *out);

#endif
