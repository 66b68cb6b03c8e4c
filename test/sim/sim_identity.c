#include "sim_identity.h"

enum { BODY_BYTES = 2 * KV_UUID_BYTES + 1, FILE_BYTES = BODY_BYTES + 8 };

static void s_encode (const sim_identity_t *identity, uint8_t out[FILE_BYTES])
{
    memcpy (out, identity->uuid, KV_UUID_BYTES);
    memcpy (out + KV_UUID_BYTES, identity->cluster_id, KV_UUID_BYTES);
    out[2 * KV_UUID_BYTES] = identity->has_cluster;
    uint64_t hash = UINT64_C (0xcbf29ce484222325);
    for (int i = 0; i < BODY_BYTES; i++)
        hash = (hash ^ out[i]) * UINT64_C (0x100000001b3);
    memcpy (out + BODY_BYTES, &hash, sizeof hash);
}

kv_status_t sim_identity_load (sim_disk_t *disk, sim_random_t *random, sim_identity_t *out)
{
    kv_slice_t bytes;
    *out = (sim_identity_t){.has_cluster = false};
    if (sim_disk_read (disk, "identity", &bytes) != KV_OK) {
        sim_random_bytes (random, out->uuid, sizeof out->uuid);
        return sim_identity_save (disk, out);
    }
    uint8_t again[FILE_BYTES];
    if (bytes.size != FILE_BYTES)
        return KV_CORRUPT;
    memcpy (out->uuid, bytes.data, KV_UUID_BYTES);
    memcpy (out->cluster_id, bytes.data + KV_UUID_BYTES, KV_UUID_BYTES);
    out->has_cluster = bytes.data[2 * KV_UUID_BYTES];
    s_encode (out, again);
    return memcmp (again, bytes.data, sizeof again) == 0 ? KV_OK : KV_CORRUPT;
}

kv_status_t sim_identity_save (sim_disk_t *disk, const sim_identity_t *identity)
{
    uint8_t bytes[FILE_BYTES];
    s_encode (identity, bytes);
    kv_status_t status = sim_disk_create (disk, "identity.new");
    if (status == KV_OK)
        status = sim_disk_write (disk, "identity.new", 0, kv_slice (bytes, sizeof bytes));
    if (status == KV_OK)
        status = sim_disk_fsync (disk, "identity.new");
    if (status == KV_OK)
        status = sim_disk_rename (disk, "identity.new", "identity");
    if (status == KV_OK)
        sim_disk_sync_directory (disk);
    return status;
}
