/* call - one command being executed: what the handlers in commands_*.c see of the executor.
 *
 * A handler writes exactly one result to call->out. It decides before it changes anything (so that
 * an error means nothing was done), changes data only through the shard_ functions, and knows
 * neither the request nor the other commands of the batch.
 *
 * Only executor.c and commands_*.c include this. */
#ifndef KVDB_NODE_CALL_H
#define KVDB_NODE_CALL_H

#include "node/executor.h"
#include "node/shard.h"

/* Where a key is. */
typedef struct {
    shard_t *shard; /* NULL: not owned here */
    uint64_t hash;
} key_ref_t;

typedef struct {
    executor_t *executor;
    const command_t *command;
    key_ref_t key; /* of commands whose argument 1 is their key; its shard is owned */
    int64_t now_ms;
    writer_t *out;
} call_t;

typedef void (command_fn) (call_t *call);

/* A value that a command of one key makes out of what is there is no longer: INCRBYFLOAT's. */
enum { CALL_MADE_BYTES_MAX = 5120 };

/* One for each command a node serves; the table is in executor.c. */
command_fn command_all, command_append, command_bgsave, command_lastsave, command_copy,
    command_dbsize, command_decr, command_decrby, command_del, command_delifeq, command_exists,
    command_expire, command_expireat, command_expiretime, command_flushall, command_get,
    command_getdel, command_getex, command_getrange, command_getset, command_getver, command_incr,
    command_incrby, command_incrbyfloat, command_info, command_keys, command_memory, command_mget,
    command_mset, command_msetnx, command_object, command_persist, command_pexpire,
    command_pexpireat, command_pexpiretime, command_psetex, command_pttl, command_randomkey,
    command_rename, command_renamenx, command_save, command_scan, command_set, command_setex,
    command_setnx, command_setrange, command_shared, command_strlen, command_touch, command_ttl,
    command_type;

static inline kv_slice_t call_argument (const call_t *call, uint32_t index)
{
    return call->command->argv[index];
}

/* The live entry of the command's key, or NULL. call_read and call_peek count a keyspace hit or miss;
 * call_peek is no use of the entry (see shard.h). */
entry_t *call_find (call_t *call);
entry_t *call_read (call_t *call);
entry_t *call_peek (call_t *call);

/* The keys of a command that has several, all looked up by their places in `refs`. */
typedef struct {
    const key_ref_t *refs;
    uint32_t count;
} call_keys_t;

/* Resolves all keys; false if one of them is not owned, or they live in several shards and may not: the
 * error has been written then. The refs are valid until the handler returns. */
bool call_resolve_keys (call_t *call, call_keys_t *keys);

/* The live entry of the n-th key. To be called for n = 0, 1, 2...: it prefetches what is ahead. */
entry_t *call_find_nth (call_t *call, const call_keys_t *keys, uint32_t n);
entry_t *call_read_nth (call_t *call, const call_keys_t *keys, uint32_t n);
entry_t *call_peek_nth (call_t *call, const call_keys_t *keys, uint32_t n);

/* The prefetching alone, for a command that does not look the keys up. */
void call_prefetch_nth (const call_keys_t *keys, uint32_t n);

/* Reads an argument as an integer; false if it is none, in which case the error has been written. */
bool call_integer (call_t *call, uint32_t index, int64_t *number);

/* False if a value of so many bytes is not allowed; the error has been written then. */
bool call_check_value (call_t *call, size_t bytes);

void call_syntax_error (call_t *call);
void call_moved (call_t *call, uint32_t shard);

/* A deadline from `amount` of `unit_ms` each, counted from `from_ms` (0: absolute). False if it does
 * not fit into 64 bits. */
bool call_deadline (int64_t amount, int64_t unit_ms, int64_t from_ms, int64_t *deadline_ms);

/* The words that name a deadline in SET and GETEX: EX, PX, EXAT, PXAT. */
typedef struct {
    const char *name;
    int64_t unit_ms;
    bool absolute;
} call_unit_t;

/* The unit an argument names, or NULL. */
const call_unit_t *call_unit (const call_t *call, uint32_t index);

/* Reads the amount behind a unit into a deadline; false if it is no number, or no deadline from 1 on:
 * the error has been written then. */
bool call_unit_deadline (call_t *call, const call_unit_t *unit, uint32_t index,
                         int64_t *deadline_ms);

/* Writes the ERR for an amount that is no deadline. */
void call_bad_expiry (call_t *call);

/* The executor's shards: 0 .. count - 1, NULL if not owned. */
uint32_t call_shard_count (const call_t *call);
shard_t *call_shard (const call_t *call, uint32_t shard);

/* Empties a shard; its old table is freed at once, or bit by bit in executor_tick. */
void call_clear_shard (call_t *call, shard_t *shard, bool at_once);

/* Asks the shell for a snapshot; false: there is no log, and the error has been written. */
bool call_wish_snapshot (call_t *call, snapshot_wish_t wish);

/* When the last snapshot was made, Unix seconds. */
int64_t call_last_save_s (const call_t *call);

/* Random keys of all shards here. */
sampler_t *call_sampler (call_t *call);

/* The shell's text for INFO, "" if none; the options the executor was made with. */
const char *call_info (const call_t *call);
const executor_options_t *call_options (const call_t *call);

#endif
