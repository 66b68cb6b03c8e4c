/* eviction - keeps the memory of a node's data within max_memory by deleting what is missed least.
 *
 *   noeviction    nothing is deleted
 *   allkeys-lru   of EVICTION_SAMPLE entries drawn at random, the one that was used longest ago
 *   volatile-ttl  of the entries with an expiry, the one whose deadline is next; exactly
 *
 * Memory is that of tables and entries as allocated (H5 of shard.h, and tables being freed); messages
 * on their way are bounded elsewhere. A command that may need more memory runs only if it is not over
 * the bound; so it is exceeded by the growth of one command at most, which is about the command's own
 * size, or the length of a value (SETRANGE, COPY, APPEND).
 *
 *   V1  one call of eviction_make_room deletes at most EVICTION_MOST entries.
 *
 * Each entry deleted is an effect (a delete), as an expiry is. Pure. Owner: the executor. */
#ifndef KVDB_NODE_EVICTION_H
#define KVDB_NODE_EVICTION_H

#include "node/sampler.h"

enum {
    EVICTION_SAMPLE = 12,
    EVICTION_MOST = 1024 /* about a millisecond */
};

typedef enum { EVICT_NOTHING, EVICT_ALLKEYS_LRU, EVICT_VOLATILE_TTL } eviction_policy_t;

/* The words of the option kvdb.max_memory_policy, in the enum's order. */
#define EVICTION_POLICIES "noeviction|allkeys-lru|volatile-ttl"

/* As the option has it: "allkeys-lru". Static text. */
const char *eviction_policy_name (eviction_policy_t policy);

/* The reverse; false: there is no such policy. */
bool eviction_policy_read (const char *name, eviction_policy_t *policy);

typedef struct {
    sampler_t *sampler; /* borrowed */
    shard_host_t *host; /* borrowed */
    eviction_policy_t policy;
    uint64_t evicted; /* ever */
} eviction_t;

/* Deletes until host->bytes <= `most`, `budget` entries are gone, or nothing may be deleted. Returns
 * how many it deleted. No record may be open; none is afterwards. */
size_t eviction_make_room (eviction_t *self, uint64_t most, size_t budget);

#endif
