/* shard - the unit of ordering: a table and the positions of its records.
 *
 *   position = epoch << 40 | n; n rises by one with every record of the shard's life (R1).
 *
 * Every change goes through one of the shard_ functions below: it assigns the position, changes
 * the table, and is the one place from which the record's effects will go to the log and to the
 * followers. Commands (commands_*.c) decide what to change; they never touch the store.
 *
 *   H1  shard->last is the position of the newest record; it only rises.
 *   H2  an entry's version is the position of the record that last wrote it.
 *   H3  an expired entry is never seen by a command: shard_find removes it (a record: a delete).
 *
 * Pure: time comes in as now_ms, wall-clock milliseconds since 1970. Owner: the node's thread. */
#ifndef KVDB_NODE_SHARD_H
#define KVDB_NODE_SHARD_H

#include "node/store.h"

typedef struct shard shard_t;

enum { POSITION_N_BITS = 40 };

shard_t *shard_new (uint32_t id, uint64_t epoch, const uint8_t secret[STORE_SECRET_BYTES],
                    entry_pool_t *pool);
void shard_destroy (shard_t **self_p);

/* Destroys the shard but for its table, which the caller drains (store_drain) and destroys: freeing
 * millions of entries at once would hold up the node. */
store_t *shard_retire (shard_t **self_p);

uint32_t shard_id (const shard_t *self);
uint64_t shard_epoch (const shard_t *self);
uint64_t shard_last (const shard_t *self);
const store_t *shard_store (const shard_t *self); /* to read and scan */

/* Entries that are there for a command at now_ms: those not expired. */
size_t shard_live_count (const shard_t *self, int64_t now_ms);

/* The live entry or NULL; one that has expired is deleted on the way (H3). */
entry_t *shard_find (shard_t *self, kv_slice_t key, uint64_t hash, int64_t now_ms);

/* Changes, each one record. `key` and `value` must not point into another entry. An entry returned
 * may have moved; it is valid until the next change. `expires_ms` lies in the future, or is 0. */
entry_t *shard_put (shard_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                    int64_t expires_ms);
entry_t *shard_set_value (shard_t *self, entry_t *entry, kv_slice_t value); /* the expiry stays */
entry_t *shard_append (shard_t *self, entry_t *entry, kv_slice_t bytes);
entry_t *shard_set_expiry (shard_t *self, entry_t *entry, int64_t expires_ms);
void shard_delete (shard_t *self, entry_t *entry);

/* Empties the shard, as one record, and hands over the old table as shard_retire does. */
store_t *shard_clear (shard_t *self);

/* Deletes at most `budget` entries that have expired; returns how many. The shard counts them. */
size_t shard_expire (shard_t *self, int64_t now_ms, size_t budget);
uint64_t shard_expired_count (const shard_t *self);

#endif
