/* shard - the unit of ordering: a table and the positions of its records.
 *
 *   position = epoch << 40 | n; n rises by one with every record of the shard's life (R1).
 *   record   = all that one command does to one shard: effects under one position
 *
 *   (closed) --first effect: the next position--> open --shard_host_end--> (closed)
 *
 * Every change goes through one of the shard_ functions below: it opens a record if none is open,
 * changes the table, and hands the effect to the host's sink, which is the one place from which
 * records go to the log and to the followers. Commands (commands_*.c) decide what to change; they
 * never touch the store, and need not think of records: the executor ends those of a command behind
 * it. So whatever a command does within one shard is atomic in log, stream and replay.
 *
 *   H1  shard->last is the position of the newest record; it only rises.
 *   H2  an entry's version is the position of the record that last wrote it.
 *   H3  an expired entry is never seen by a command: shard_find removes it (an effect: a delete).
 *   H4  the sink sees every effect once, those of a record back to back for its shard, then its end.
 *   H5  after shard_host_account, host->bytes is that of all its shards' tables.
 *   H6  host->entries is the number of entries in all its shards.
 *   H7  what a command has seen waits for the log (R3): after it, host->observed is at least the lsn
 *       behind the record that last wrote each entry it found; behind the shard's last record for each
 *       key it found absent; and behind each record it made. What is durable is nothing to wait for.
 *   H8  no record is begun while host->no_log: what has expired is not there, and stays; host->blocked
 *       tells that it was so (R20).
 *   H9  all records up to shard->settled are durable. It follows from mark to mark: once the record marked
 *       is durable it is settled, and the newest one is marked. An entry waits for that of the mark, if it
 *       is not younger, or else for the newest.
 *
 * An entry's clock is the tick of the host it was last used in, modulo 2^16. A tick is a second; or, under
 * allkeys-lru, the time in which a 64th of all entries came new, if that is shorter: so the ages of
 * entries can be told apart however fast they come and go. The host remembers the second of each tick.
 * What was not used for 2^16 ticks, 18 hours or 1000 turnovers, looks younger than it is.
 * Reads that are about the key and not its value (TTL, OBJECT) are no use of it.
 *
 * Pure: time comes in as now_ms, wall-clock milliseconds since 1970. Owner: the node's thread. */
#ifndef KVDB_NODE_SHARD_H
#define KVDB_NODE_SHARD_H

#include "node/store.h"
#include "schema/limits.h"
#include "schema/record.h"

typedef struct shard shard_t;

enum {
    SHARD_TICKS = 1 << 16,
    SHARD_TICKS_PER_TURN = 64,
    SHARD_TURN_LEAST = 1024,
    SHARD_OPEN_BYTES = 64, /* the most that a record takes which opens an epoch ... */
    SHARD_KEPT_BYTES =
        8 * SHARD_OPEN_BYTES, /* ... and what is kept for them: so often a node can be
                                               * started again while the disk is full */
    SHARD_DELETE_BYTES = KV_KEY_BYTES_MAX + 64 /* the most that one takes which deletes a key */
};

/* Where records go (H4). Their position is shard_last, the one before it shard_previous. An effect may be
 * kept until the end of its record, and takes no room before it. */
typedef struct {
    void (*effect) (void *context, const shard_t *shard, const effect_t *effect);
    uint64_t (*end) (void *context, const shard_t *shard); /* the log's lsn behind the record */
    uint64_t (*room) (void *context); /* bytes of records that there is space for */
    void *context;
} shard_sink_t;

/* What the shards of one node have in common; made by the executor, and outlives them. */
typedef struct {
    entry_pool_t *pool;
    const shard_sink_t *sink; /* NULL: records go nowhere */
    shard_t *open;            /* those with an open record, linked */
    shard_t *changed;         /* those that H5 does not hold for yet, linked */
    uint64_t bytes;           /* H5 */
    uint64_t entries;         /* H6 */
    bool ticks_by_turnover;   /* allkeys-lru */
    uint64_t end_lsn;         /* behind the newest record */
    uint64_t durable_lsn;     /* set by the shell */
    uint64_t observed;        /* H7; set to 0 by who asks */
    bool no_log, blocked;     /* H8 */
    uint64_t kept_room;       /* bytes of the log kept for epochs to open; set by the executor */
    uint64_t open_bytes;      /* the most that the open records take in the log */
    uint64_t created;         /* entries since the last tick */
    uint16_t clock;           /* the tick: what entries used now get */
    uint32_t now_s;
    uint32_t tick_s[SHARD_TICKS]; /* the second each tick began in */
} shard_host_t;

/* To be called with the time before commands run. */
void shard_host_set_time (shard_host_t *self, int64_t now_ms);

/* Ends all open records. */
void shard_host_end (shard_host_t *self);

/* Whether the log has space for so many bytes more, beside the records that are open and what is kept for
 * epochs to open. */
bool shard_host_has_room (const shard_host_t *self, uint64_t bytes);

/* What somebody who has looked at all shards has observed (H7). */
void shard_host_observe_all (shard_host_t *self);

/* Establishes H5: looks at the shards that were changed since. */
void shard_host_account (shard_host_t *self);

shard_t *shard_new (uint32_t id, uint64_t epoch, const uint8_t secret[STORE_SECRET_BYTES],
                    shard_host_t *host);
void shard_destroy (shard_t **self_p);

/* Destroys the shard but for its table, which the caller drains (store_drain) and destroys: freeing
 * millions of entries at once would hold up the node. */
store_t *shard_retire (shard_t **self_p);

uint32_t shard_id (const shard_t *self);
uint64_t shard_epoch (const shard_t *self);
uint64_t shard_last (const shard_t *self);
uint64_t shard_previous (const shard_t *self);    /* the position before shard_last */
const store_t *shard_store (const shard_t *self); /* to read and scan */

/* Entries that are there for a command at now_ms: those not expired. */
size_t shard_live_count (const shard_t *self, int64_t now_ms);

/* The live entry or NULL; one that has expired is deleted on the way (H3). shard_peek leaves the
 * entry's clock as it is. */
entry_t *shard_find (shard_t *self, kv_slice_t key, uint64_t hash, int64_t now_ms);
entry_t *shard_peek (shard_t *self, kv_slice_t key, uint64_t hash, int64_t now_ms);

/* How long the entry was not used: in ticks, and in seconds. */
uint16_t shard_age (const shard_t *self, const entry_t *entry);
int64_t shard_idle_s (const shard_t *self, const entry_t *entry);

/* Effects. `key` and `value` of a put may point into any entry. An entry returned may have moved; it
 * is valid until it is changed again or removed. `expires_ms` lies in the future, or is 0. */
entry_t *shard_put (shard_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                    int64_t expires_ms);
entry_t *shard_set_value (shard_t *self, entry_t *entry, kv_slice_t value); /* the expiry stays */
entry_t *shard_write (shard_t *self, entry_t *entry, size_t offset, kv_slice_t bytes);
entry_t *shard_set_expiry (shard_t *self, entry_t *entry, int64_t expires_ms);
void shard_delete (shard_t *self, entry_t *entry);

/* Empties the shard, and hands over the old table as shard_retire does. */
store_t *shard_clear (shard_t *self);

/* The epoch begins: a record that says so. It is above shard_epoch. */
void shard_open_epoch (shard_t *self, uint64_t epoch);

/* Recovery: what is not told to the sink, and observed by nobody. */

/* A shard as a snapshot has it: the position of its last record then; its table is still to be loaded, and
 * may be as young as the snapshot's end. */
void shard_set_last (shard_t *self, uint64_t last);

/* Room for so many entries at once. */
void shard_reserve (shard_t *self, size_t entries);

/* The payload of a chunk (snapshot_load.h). `entries` is increased. KV_CORRUPT. */
KV_CHECK_RESULT kv_status_t shard_load (shard_t *self, kv_slice_t payload, uint64_t *entries);

/* Does what the next record says. KV_CORRUPT: it is not the one that follows shard_last, or is the last
 * that can be numbered. An effect on a key that is not there does nothing, or begins with an empty value:
 * the table may be that of a later time, and what was deleted since is going to be deleted again. */
KV_CHECK_RESULT kv_status_t shard_apply (shard_t *self, const record_t *record);

/* Deletes at most `budget` entries that have expired; returns how many. The shard counts them. */
size_t shard_expire (shard_t *self, int64_t now_ms, size_t budget);
uint64_t shard_expired_count (const shard_t *self);

#endif
