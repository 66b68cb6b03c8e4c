/* executor - runs the commands of one request against the shards a node owns: the pure core of a
 * node's service. A request in, a reply out; no sockets, no clock, no files.
 *
 * Commands are decoded EXECUTOR_WINDOW at a time; the table lines of the whole window are
 * prefetched (first the buckets, then the entries) before the first of them runs.
 *
 *   X1  the reply holds exactly one result per command, or one error for the whole request.
 *   X2  a result that would make the reply longer than its writer's limit is replaced by a
 *       TOO_LARGE error; whether a write took effect is decided before its result is written.
 *   X3  a key whose shard is not owned here is answered MOVED, never looked up.
 *   X4  all effects of one command on one shard are one record.
 *   X5  a command whose records the log has no space for is refused before it has done anything; so is
 *       one that only reads, if it would have to log that a key has expired (R20).
 *   X6  behind a command that was told BUSY, no other of its request touches data (R16).
 *
 * A shard is owned, or kept: then its data is here, and its keys are answered MOVED all the same. Recovery
 * restores shards as kept ones; who loses a shard keeps it.
 *
 * Owner: the node's thread. */
#ifndef KVDB_NODE_EXECUTOR_H
#define KVDB_NODE_EXECUTOR_H

#include "node/eviction.h"
#include "schema/command.h"
#include "schema/request.h"

typedef struct executor executor_t;

enum {
    EXECUTOR_WINDOW = 16,
    EXECUTOR_REPLY_BYTES_LEAST = 1024 /* a reply's writer has room for so much, whatever else */
};

typedef struct {
    uint32_t shards;                    /* of the cluster; 1 .. KV_SHARDS_MAX */
    int64_t max_value_bytes;            /* 1 .. KV_VALUE_BYTES_MAX */
    uint8_t secret[STORE_SECRET_BYTES]; /* for the tables' hash: random, never told */
    const char *node_id;                /* borrowed for the executor's life; for INFO */
    const char *version;                /* borrowed; for INFO */
    uint64_t max_memory;                /* bytes, see eviction.h; 0: no bound */
    eviction_policy_t max_memory_policy;
} executor_options_t;

executor_t *executor_new (const executor_options_t *options);
void executor_destroy (executor_t **self_p);

/* Starts owning a shard, with what is kept of it, under an epoch, which a record opens (R8); nothing
 * changes if it is owned under that epoch already. KV_BAD_VALUE: the epoch is not above the one that the
 * shard had, or not within 1 .. KV_EPOCH_MAX. KV_DISK_FULL: the log has no space for the record. */
KV_CHECK_RESULT kv_status_t executor_own (executor_t *self, uint32_t shard, uint64_t epoch);

/* Stops owning it, and keeps its data. */
void executor_disown (executor_t *self, uint32_t shard);
bool executor_owns (const executor_t *self, uint32_t shard);

/* Who owns a shard that is not here: the text MOVED names, "" if not known. Copied. */
void executor_set_owner (executor_t *self, uint32_t shard, const char *node_id,
                         const char *endpoint, uint64_t epoch);

/* Runs a whole request and appends a whole reply to `reply`, whose limit leaves room for
 * EXECUTOR_REPLY_BYTES_LEAST. A body that cannot be decoded gives a
 * refusing reply, or nothing at all (KV_BAD_REQUEST) if not even its id could be read. */
KV_CHECK_RESULT kv_status_t executor_run (executor_t *self, kv_slice_t body, int64_t now_ms,
                                          writer_t *reply);

/* Where records go from now on; borrowed until set again. NULL, as at first: nowhere. */
void executor_set_sink (executor_t *self, const shard_sink_t *sink);

/* The shard, owned or kept, or NULL. */
const shard_t *executor_shard (const executor_t *self, uint32_t shard);

/* The same for recovery, which makes a kept one if there is none. Only before any shard is owned. */
shard_t *executor_restore (executor_t *self, uint32_t shard);

/* The highest epoch of any shard here; 0: there is none. */
uint64_t executor_highest_epoch (const executor_t *self);

/* While loading, only what is not about the data is answered; all else is refused with KV_LOADING. */
void executor_set_loading (executor_t *self, bool loading);

/* The log is durable up to there. */
void executor_set_durable (executor_t *self, uint64_t lsn);

/* What the reply made last tells of is safe once the log is durable up to this lsn (R3); 0: it is. */
uint64_t executor_gate (const executor_t *self);

/* Whether the last request asked for durability 'fsync': its reply waits until the log is synced up to
 * executor_gate, whatever the flush policy is. */
bool executor_wants_sync (const executor_t *self);

/* How much room the log needs before a request is run: an upper bound of the bytes of records that it can
 * make, and what is kept for epochs to open. */
uint64_t executor_bound (executor_t *self, kv_slice_t body);

/* Bytes of records that a command refused for want of space would have made; 0: there was none since the
 * last call. */
uint64_t executor_take_log_wish (executor_t *self);

/* Whether space for the log is lacking for good, or only still being prepared: it is in what the refused
 * are told. */
void executor_set_disk_full (executor_t *self, bool full);

/* There is a log, so snapshots can be made. `last_save_s` is when the last one was, Unix seconds. */
void executor_set_persistent (executor_t *self, int64_t last_save_s);

typedef enum { SNAPSHOT_WISH_NONE, SNAPSHOT_WISH_BACKGROUND, SNAPSHOT_WISH_WAIT } snapshot_wish_t;

/* Whether the last request asked for a snapshot, and is to be answered only when it is there. */
snapshot_wish_t executor_take_snapshot_wish (executor_t *self);

/* Background work: frees what was flushed, then deletes expired entries over all shards, fairly, then
 * evicts, if that is due; at most `budget` entries in all. Returns how much was done, so that the caller comes back at once if
 * there may be more. */
size_t executor_tick (executor_t *self, int64_t now_ms, size_t budget);

/* Gauges and counters the shell adds to INFO: "# Section" lines and name:value lines, appended to what INFO
 * prints. Called when INFO is asked for; the text is borrowed until the next call. NULL, as at first: none. */
typedef const char *(executor_info_fn)(void *context);
void executor_set_info (executor_t *self, executor_info_fn *info, void *context);

typedef struct {
    uint64_t keys, expiring_keys, bytes;
    uint64_t commands, errors, expired_keys, evicted_keys, keyspace_hits, keyspace_misses;
} executor_stats_t;
executor_stats_t executor_stats (const executor_t *self);

/* Of one command: `rejected` is for its form, its place or want of memory; `failed` are calls. */
typedef struct {
    uint64_t calls, failed, rejected;
} command_stats_t;
const command_stats_t *executor_command_stats (const executor_t *self, command_id_t id);

/* Every table and the pool are as their headers say, by a full walk; for tests. */
bool executor_is_valid (const executor_t *self);

#endif
