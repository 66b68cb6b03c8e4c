#include "node/eviction.h"

enum {
    VISITS_MOST = 16,   /* buckets looked at for one sample */
    SHARDS_PER_UNIT = 8 /* a look at so many shards costs as much as deleting an entry */
};

static const char *const s_names[] = {"noeviction", "allkeys-lru", "volatile-ttl"};

enum { POLICIES = sizeof s_names / sizeof s_names[0] };

const char *eviction_policy_name (eviction_policy_t policy)
{
    KV_ASSERT ((unsigned)policy < POLICIES);
    return s_names[policy];
}

bool eviction_policy_read (const char *name, eviction_policy_t *policy)
{
    for (int i = 0; i < POLICIES; i++) {
        if (strcmp (name, s_names[i]) == 0) {
            *policy = (eviction_policy_t)i;
            return true;
        }
    }
    return false;
}

/* Whether the log has space for one more deletion. */
static bool s_may_delete (const eviction_t *self)
{
    return shard_host_has_room (self->host, SHARD_DELETE_BYTES);
}

/* ---- allkeys-lru ----------------------------------------------------------------------------- */

/* The entry of a sample that was used longest ago. */
typedef struct {
    shard_t *shard; /* being visited */
    shard_t *best_shard;
    const entry_t *best;
    uint16_t age; /* of the best */
} oldest_t;

static void s_compare (void *context, const entry_t *entry)
{
    oldest_t *oldest = context;
    uint16_t age = shard_age (oldest->shard, entry);
    if (oldest->best && age <= oldest->age)
        return;
    oldest->best = entry;
    oldest->best_shard = oldest->shard;
    oldest->age = age;
}

static void s_delete (eviction_t *self, shard_t *shard, const entry_t *entry)
{
    kv_slice_t key = entry_key (entry);
    entry_t *victim = store_find (shard_store (shard), key, store_hash (shard_store (shard), key));
    KV_ASSERT (victim == entry);
    shard_delete (shard, victim);
    shard_host_end (self->host);
    shard_host_account (self->host);
    self->evicted++;
}

static bool s_evict_oldest (eviction_t *self)
{
    oldest_t oldest = {0};
    size_t seen = 0;
    for (int i = 0; i < VISITS_MOST && seen < EVICTION_SAMPLE; i++) {
        oldest.shard = sampler_shard (self->sampler);
        if (!oldest.shard)
            return false;
        seen += sampler_visit (self->sampler, oldest.shard, s_compare, &oldest);
    }
    if (!oldest.best) {
        /* A shard of a few keys among empty buckets. */
        uint64_t cursor = 0;
        do
            cursor = store_scan (shard_store (oldest.shard), cursor, s_compare, &oldest);
        while (cursor);
    }
    s_delete (self, oldest.best_shard, oldest.best);
    return true;
}

static size_t s_make_room_lru (eviction_t *self, uint64_t most, size_t budget)
{
    size_t done = 0;
    while (self->host->bytes > most && done < budget && s_may_delete (self) &&
           s_evict_oldest (self))
        done++;
    return done;
}

/* ---- volatile-ttl ---------------------------------------------------------------------------- */

/* The shard whose next deadline is the earliest, and the earliest of the others. */
static shard_t *s_next_shard (const sampler_t *sampler, int64_t *until_ms)
{
    shard_t *best = NULL;
    int64_t best_ms = INT64_MAX;
    *until_ms = INT64_MAX;
    for (uint32_t i = 0; i < sampler->count; i++) {
        int64_t expires_ms;
        if (!store_next_to_expire (shard_store (sampler->owned[i]), &expires_ms))
            continue;
        if (!best || expires_ms < best_ms) {
            *until_ms = best ? best_ms : INT64_MAX;
            best = sampler->owned[i];
            best_ms = expires_ms;
        } else if (expires_ms < *until_ms) {
            *until_ms = expires_ms;
        }
    }
    return best;
}

static size_t s_make_room_ttl (eviction_t *self, uint64_t most, size_t budget)
{
    size_t done = 0;
    size_t work = 0;
    while (self->host->bytes > most && work < budget && s_may_delete (self)) {
        int64_t until_ms;
        shard_t *shard = s_next_shard (self->sampler, &until_ms);
        if (!shard)
            break;
        work += self->sampler->count / SHARDS_PER_UNIT;
        do {
            int64_t expires_ms;
            const entry_t *entry = store_next_to_expire (shard_store (shard), &expires_ms);
            if (!entry || expires_ms > until_ms)
                break;
            s_delete (self, shard, entry);
            done++;
            work++;
        } while (self->host->bytes > most && work < budget);
    }
    return done;
}

size_t eviction_make_room (eviction_t *self, uint64_t most, size_t budget)
{
    KV_ASSERT (!self->host->open);
    if (budget > EVICTION_MOST)
        budget = EVICTION_MOST; // V1
    shard_host_account (self->host);
    if (self->host->bytes <= most)
        return 0;
    switch (self->policy) {
    case EVICT_NOTHING: return 0;
    case EVICT_ALLKEYS_LRU: return s_make_room_lru (self, most, budget);
    case EVICT_VOLATILE_TTL: return s_make_room_ttl (self, most, budget);
    }
    KV_UNREACHABLE ("a policy");
}
