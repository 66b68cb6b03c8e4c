#include "node/snapshot_load.h"

#include "actors/snapshot_file.h"

enum { WINDOW = 16 };

kv_status_t snapshot_load (store_t *store, kv_slice_t payload, uint64_t *entries)
{
    snapshot_entry_t entry[WINDOW];
    uint64_t hash[WINDOW];
    kv_status_t status = KV_OK;
    while (status == KV_OK) {
        unsigned count = 0;
        while (count < WINDOW &&
               (status = snapshot_entry_next (&payload, &entry[count])) == KV_OK) {
            hash[count] = store_hash (store, entry[count].key);
            store_prefetch_bucket (store, hash[count]);
            count++;
        }
        for (unsigned i = 0; i < count; i++)
            store_put (store, entry[i].key, hash[i], entry[i].value, entry[i].expires_ms,
                       entry[i].version);
        *entries += count;
    }
    return status == KV_END ? KV_OK : status;
}
