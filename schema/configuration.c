#include "schema/configuration.h"

enum { FIELDS = 5, MEMBER_FIELDS = 3 };

const member_t *configuration_member (const configuration_t *self, uint32_t node)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->members[i].node == node)
            return &self->members[i];
    }
    return NULL;
}

void configuration_encode (writer_t *out, const configuration_t *configuration)
{
    writer_array (out, FIELDS);
    writer_uint (out, configuration->shard);
    writer_uint (out, configuration->epoch);
    writer_uint (out, configuration->owner);
    writer_bool (out, configuration->planned);
    writer_array (out, MEMBER_FIELDS * configuration->count);
    for (uint32_t i = 0; i < configuration->count; i++) {
        const member_t *member = &configuration->members[i];
        writer_uint (out, member->node);
        writer_bin (out, kv_slice (member->uuid, KV_UUID_BYTES));
        writer_uint (out, member->incarnation);
    }
}

/* A number of at most `most`; false: it is none. */
static bool s_number (reader_t *at, uint64_t most, uint64_t *number)
{
    return reader_uint (at, number) == KV_OK && *number <= most;
}

static bool s_member (reader_t *at, configuration_t *out)
{
    uint64_t node;
    kv_slice_t uuid;
    member_t *member = &out->members[out->count];
    if (!s_number (at, KV_SECONDARY, &node) || (node >= KV_NODES_MAX && node != KV_SECONDARY))
        return false;
    if (configuration_member (out, (uint32_t)node)) // G2
        return false;
    if (reader_bytes (at, &uuid) != KV_OK || uuid.size != KV_UUID_BYTES)
        return false;
    member->node = (uint32_t)node;
    memcpy (member->uuid, uuid.data, KV_UUID_BYTES);
    out->count++;
    return reader_uint (at, &member->incarnation) == KV_OK;
}

static bool s_decode (reader_t *at, configuration_t *out)
{
    uint32_t fields;
    uint64_t shard;
    uint64_t owner;
    uint32_t numbers;
    if (reader_array (at, &fields) != KV_OK || fields != FIELDS ||
        !s_number (at, KV_SHARDS_MAX - 1, &shard) || !s_number (at, KV_EPOCH_MAX, &out->epoch) ||
        !s_number (at, KV_MEMBERS_MAX - 1, &owner) || reader_bool (at, &out->planned) != KV_OK ||
        reader_array (at, &numbers) != KV_OK)
        return false;
    if (numbers % MEMBER_FIELDS != 0 || numbers > MEMBER_FIELDS * KV_MEMBERS_MAX)
        return false;
    out->shard = (uint32_t)shard;
    out->owner = (uint32_t)owner;
    while (out->count < numbers / MEMBER_FIELDS) {
        if (!s_member (at, out))
            return false;
    }
    return out->epoch > 0 && out->owner < out->count &&   // G1, G2
           out->members[out->owner].node != KV_SECONDARY; // G3
}

kv_status_t configuration_decode (reader_t *at, configuration_t *out)
{
    reader_t trial = *at;
    *out = (configuration_t){.count = 0};
    if (!s_decode (&trial, out))
        return KV_BAD_REQUEST;
    *at = trial;
    return KV_OK;
}
