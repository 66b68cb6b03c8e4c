/* executor_parts - what executor.c and call.c share: the executor's own state. Nobody else includes
 * this. */
#ifndef KVDB_NODE_EXECUTOR_PARTS_H
#define KVDB_NODE_EXECUTOR_PARTS_H

#include "node/call.h"
#include "node/entry_pool.h"
#include "node/siphash.h"
#include "schema/limits.h"

typedef struct {
    char node_id[KV_NODE_ID_BYTES_MAX + 1];
    char endpoint[KV_ENDPOINT_BYTES_MAX + 1];
    uint64_t epoch;
} owner_t;

/* A decoded command that waits in the window. */
typedef struct {
    command_t command;
    key_ref_t key;
    uint32_t shard; /* of the key; the command is answered MOVED if key.shard is NULL */
    bool has_key;   /* key and shard are set */
} waiting_t;

struct executor {
    executor_options_t options;
    entry_pool_t *pool;
    shard_host_t host;
    sampler_t sampler;
    eviction_t eviction;
    siphash_key_t hash_key;
    shard_t **shards; /* owned, by shard; NULL: not owned here */
    shard_t **kept;   /* owned, by shard: here, and not owned; NULL: not here, or owned */
    bool loading, disk_full, persistent;
    int64_t last_save_s;
    snapshot_wish_t snapshot_wish;
    bool wants_sync;   /* of the last request */
    bool busy;         /* X6: a command of this request was told so */
    uint64_t bound;    /* of the command that found no space */
    uint64_t log_wish; /* bytes that were refused for want of space */
    owner_t **owners;  /* by shard; NULL: not known */
    store_t **doomed;  /* tables being drained by executor_tick, owned */
    size_t doomed_count, doomed_capacity;
    uint64_t doomed_bytes; /* in them */
    uint32_t tick_shard;   /* where the next tick begins */
    waiting_t window[EXECUTOR_WINDOW];
    key_ref_t *refs; /* of the running multi-key command */
    uint32_t refs_capacity;
    executor_info_fn *info; /* the shell's, may be NULL */
    void *info_context;
    uint64_t commands, errors, hits, misses;
    command_stats_t by_command[COMMAND_COUNT];
};

/* Locates a key: its shard, which may not be here, and its hash. Prefetches its bucket. */
key_ref_t executor_ref (const executor_t *self, kv_slice_t key, uint32_t *shard);

/* Takes a table to be freed at once or, if it is large, later. */
void executor_doom (executor_t *self, store_t *store, bool at_once);

/* Frees about so many entries of such tables; returns how many it freed. */
size_t executor_drain_doomed (executor_t *self, size_t budget);

/* Whether the log has space for whatever the command may write there. One that writes nothing may run
 * without (H8). */
bool executor_may_log (executor_t *self, const command_t *command);

/* The error of a command for which there was none. */
void executor_no_space (const executor_t *self, writer_t *out);

#endif
