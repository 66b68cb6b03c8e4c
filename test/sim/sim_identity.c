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

static kv_status_t s_read (files_t *disk, uint8_t out[FILE_BYTES])
{
    file_t *file;
    file_error_t error;
    uint8_t bytes[FILE_BYTES + 1];
    size_t got = 0;
    kv_status_t status = files_open (disk, "identity", FILE_READ, &file, &error);
    if (status)
        return status;
    status = file_read (file, 0, bytes, sizeof bytes, &got, &error);
    file_close (&file);
    if (status == KV_OK && got != FILE_BYTES)
        status = KV_CORRUPT;
    if (status == KV_OK)
        memcpy (out, bytes, FILE_BYTES);
    return status;
}

kv_status_t sim_identity_load (files_t *disk, sim_random_t *random, sim_identity_t *out)
{
    uint8_t bytes[FILE_BYTES];
    uint8_t again[FILE_BYTES];
    *out = (sim_identity_t){.has_cluster = false};
    kv_status_t status = s_read (disk, bytes);
    if (status == KV_NOT_FOUND) {
        sim_random_bytes (random, out->uuid, sizeof out->uuid);
        return sim_identity_save (disk, out);
    }
    if (status)
        return status;
    memcpy (out->uuid, bytes, KV_UUID_BYTES);
    memcpy (out->cluster_id, bytes + KV_UUID_BYTES, KV_UUID_BYTES);
    out->has_cluster = bytes[2 * KV_UUID_BYTES];
    s_encode (out, again);
    return memcmp (again, bytes, sizeof again) == 0 ? KV_OK : KV_CORRUPT;
}

kv_status_t sim_identity_save (files_t *disk, const sim_identity_t *identity)
{
    file_t *file;
    file_error_t error;
    uint8_t bytes[FILE_BYTES];
    s_encode (identity, bytes);
    kv_status_t status = files_open (disk, "identity.new", FILE_CREATE, &file, &error);
    if (status)
        return status;
    status = file_write (file, 0, kv_slice (bytes, sizeof bytes), &error);
    if (status == KV_OK)
        status = file_sync (file, &error);
    file_close (&file);
    if (status == KV_OK)
        status = files_rename (disk, "identity.new", "identity", &error);
    if (status == KV_OK)
        status = files_sync_directory (disk, &error);
    return status;
}
