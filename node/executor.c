#include "node/executor.h"

#include "node/executor_parts.h"
#include "schema/slot.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RESULT_RESERVE_BYTES = 160, /* kept free for the error result of each command to come (X1) */
    DRAIN_MOST = 4096           /* entries freed for one command that needs memory */
};

static command_fn *const s_handlers[COMMAND_COUNT] = {
    [COMMAND_ALL] = command_all,
    [COMMAND_APPEND] = command_append,
    [COMMAND_BGSAVE] = command_bgsave,
    [COMMAND_COMMAND] = command_shared,
    [COMMAND_COPY] = command_copy,
    [COMMAND_DBSIZE] = command_dbsize,
    [COMMAND_DECR] = command_decr,
    [COMMAND_DECRBY] = command_decrby,
    [COMMAND_DEL] = command_del,
    [COMMAND_DELIFEQ] = command_delifeq,
    [COMMAND_DROP] = command_flushall,
    [COMMAND_ECHO] = command_shared,
    [COMMAND_EXISTS] = command_exists,
    [COMMAND_EXPIRE] = command_expire,
    [COMMAND_EXPIREAT] = command_expireat,
    [COMMAND_EXPIRETIME] = command_expiretime,
    [COMMAND_FLUSHALL] = command_flushall,
    [COMMAND_GET] = command_get,
    [COMMAND_GETDEL] = command_getdel,
    [COMMAND_GETEX] = command_getex,
    [COMMAND_GETRANGE] = command_getrange,
    [COMMAND_GETSET] = command_getset,
    [COMMAND_GETVER] = command_getver,
    [COMMAND_HELP] = command_shared,
    [COMMAND_INCR] = command_incr,
    [COMMAND_INCRBY] = command_incrby,
    [COMMAND_INCRBYFLOAT] = command_incrbyfloat,
    [COMMAND_INFO] = command_info,
    [COMMAND_KEYS] = command_keys,
    [COMMAND_LASTSAVE] = command_lastsave,
    [COMMAND_MEMORY] = command_memory,
    [COMMAND_MGET] = command_mget,
    [COMMAND_MSET] = command_mset,
    [COMMAND_MSETNX] = command_msetnx,
    [COMMAND_OBJECT] = command_object,
    [COMMAND_PERSIST] = command_persist,
    [COMMAND_PEXPIRE] = command_pexpire,
    [COMMAND_PEXPIREAT] = command_pexpireat,
    [COMMAND_PEXPIRETIME] = command_pexpiretime,
    [COMMAND_PING] = command_shared,
    [COMMAND_PSETEX] = command_psetex,
    [COMMAND_PTTL] = command_pttl,
    [COMMAND_RANDOMKEY] = command_randomkey,
    [COMMAND_RENAME] = command_rename,
    [COMMAND_RENAMENX] = command_renamenx,
    [COMMAND_SAVE] = command_save,
    [COMMAND_SCAN] = command_scan,
    [COMMAND_SET] = command_set,
    [COMMAND_SETEX] = command_setex,
    [COMMAND_SETNX] = command_setnx,
    [COMMAND_SETRANGE] = command_setrange,
    [COMMAND_SIZE] = command_dbsize,
    [COMMAND_STRLEN] = command_strlen,
    [COMMAND_TIME] = command_shared,
    [COMMAND_TOUCH] = command_touch,
    [COMMAND_TTL] = command_ttl,
    [COMMAND_TYPE] = command_type,
    [COMMAND_UNLINK] = command_del,
};

executor_t *executor_new (const executor_options_t *options)
{
    KV_ASSERT (options->shards >= 1 && options->shards <= KV_SHARDS_MAX);
    KV_ASSERT (options->max_value_bytes >= 1 && options->max_value_bytes <= KV_VALUE_BYTES_MAX);
    executor_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->hash_key = siphash_key (options->secret);
    self->pool = entry_pool_new ();
    self->host.pool = self->pool;
    self->host.ticks_by_turnover =
        options->max_memory && options->max_memory_policy == EVICT_ALLKEYS_LRU;
    self->sampler.state = siphash_13 (self->hash_key, kv_slice_text ("sampler"));
    self->eviction = (eviction_t){
        .sampler = &self->sampler, .host = &self->host, .policy = options->max_memory_policy};
    self->shards = calloc (options->shards, sizeof (shard_t *));
    KV_ASSERT (self->shards != NULL);
    self->kept = calloc (options->shards, sizeof (shard_t *));
    KV_ASSERT (self->kept != NULL);
    self->owners = calloc (options->shards, sizeof (owner_t *));
    KV_ASSERT (self->owners != NULL);
    for (int i = 0; i < EXECUTOR_WINDOW; i++)
        self->window[i].command = command_make ();
    return self;
}

void executor_destroy (executor_t **self_p)
{
    executor_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->options.shards; i++) {
        shard_destroy (&self->shards[i]);
        shard_destroy (&self->kept[i]);
        free (self->owners[i]);
    }
    for (size_t i = 0; i < self->doomed_count; i++)
        store_destroy (&self->doomed[i]);
    for (int i = 0; i < EXECUTOR_WINDOW; i++)
        command_free (&self->window[i].command);
    entry_pool_destroy (&self->pool);
    sampler_free (&self->sampler);
    free (self->doomed);
    free (self->shards);
    free (self->kept);
    free (self->owners);
    free (self->refs);
    free (self);
    *self_p = NULL;
}

void executor_set_sink (executor_t *self, const shard_sink_t *sink)
{
    KV_ASSERT (!self->host.open);
    self->host.sink = sink;
}

void executor_set_info (executor_t *self, executor_info_fn *info, void *context)
{
    self->info = info;
    self->info_context = context;
}

key_ref_t executor_ref (const executor_t *self, kv_slice_t key, uint32_t *shard)
{
    *shard = kv_shard_of (key, self->options.shards);
    key_ref_t ref = {.shard = self->shards[*shard]};
    if (ref.shard) {
        ref.hash = siphash_13 (self->hash_key, key);
        store_prefetch_bucket (shard_store (ref.shard), ref.hash);
    }
    return ref;
}

/* Decodes the next command into the window, and locates its key. */
static void s_wait (executor_t *self, waiting_t *waiting, reader_t *at)
{
    command_t *command = &waiting->command;
    const char *why;
    kv_status_t status = command_read (command, at, &why);
    KV_ASSERT (status == KV_OK); /* Q1: request_decode has checked its form */
    waiting->has_key = false;
    if (!command->spec)
        return;
    uint32_t at_key = command->spec->keys == KEYS_FIRST    ? 1
                      : command->spec->keys == KEYS_SECOND ? 2
                                                           : UINT32_MAX;
    if (at_key < command->argc) {
        waiting->has_key = true;
        waiting->key = executor_ref (self, command->argv[at_key], &waiting->shard);
    }
}

static uint64_t s_bytes (executor_t *self)
{
    shard_host_account (&self->host);
    return self->host.bytes + self->doomed_bytes;
}

/* Brings the memory under its bound, as far as policy and budget go; false: it is still over. */
static bool s_make_room (executor_t *self, size_t budget)
{
    uint64_t most = self->options.max_memory;
    if (most == 0 || s_bytes (self) <= most)
        return true;
    (void)executor_drain_doomed (self, DRAIN_MOST);
    uint64_t left = most > self->doomed_bytes ? most - self->doomed_bytes : 0;
    (void)eviction_make_room (&self->eviction, left, budget);
    return s_bytes (self) <= most;
}

/* ---- running -------------------------------------------------------------------------------- */

/* Whether a command is answered whatever the node's data is. */
static bool s_is_apart (const command_t *command)
{
    return s_handlers[command->spec->id] == command_shared;
}

/* The same for one that says how the node is. */
static bool s_is_about_data (const command_t *command)
{
    return !s_is_apart (command) && command->spec->id != COMMAND_INFO;
}

/* Whether a command looks at more than keys, each of which is accounted for where it is looked up (H7). */
static bool s_looks_at_all (const command_t *command)
{
    return command->spec->keys == KEYS_EVERY || command->spec->keys == KEYS_CURSOR ||
           command->spec->id == COMMAND_INFO;
}

/* X5; also X6, by `busy`. */
static void s_refuse_for_space (executor_t *self, writer_t *out)
{
    self->busy = !self->disk_full;
    if (self->bound > self->log_wish)
        self->log_wish = self->bound;
    executor_no_space (self, out);
}

/* False: it has met an expired key that it could not log the end of, and so has said nothing (X5). */
static bool s_is_not_blocked (executor_t *self, writer_t *out, size_t start)
{
    self->host.no_log = false;
    if (!self->host.blocked)
        return true;
    self->host.blocked = false;
    writer_cut (out, start);
    s_refuse_for_space (self, out);
    return false;
}

/* Space for the command, in the log and in memory. False: there is none, and the error has been written. */
static bool s_find_space (executor_t *self, const command_t *command, writer_t *out)
{
    uint64_t evicted = self->eviction.evicted;
    bool may_run = executor_may_log (self, command);
    bool fits = !may_run || !command->spec->grows || s_make_room (self, EVICTION_MOST);
    if (evicted != self->eviction.evicted)
        may_run = executor_may_log (self, command); /* evictions took of the log's space */
    bool may_evict = self->options.max_memory_policy != EVICT_NOTHING;
    if (!may_run || (!fits && may_evict && !shard_host_has_room (&self->host, SHARD_DELETE_BYTES)))
        s_refuse_for_space (self, out);
    else if (!fits)
        result_error (out, KV_OUT_OF_MEMORY,
                      "OOM command not allowed when used memory > 'maxmemory'.");
    return may_run && fits;
}

/* False: the command is not for this node as it is, and the error has been written. */
static bool s_is_served (executor_t *self, const waiting_t *waiting, call_t *call)
{
    const command_t *command = &waiting->command;
    writer_t *out = call->out;
    char text[KV_ERROR_TEXT_BYTES_MAX];
    kv_status_t status = command_check (command, text, sizeof text);
    if (status)
        result_error (out, status, text);
    else if (!s_handlers[command->spec->id])
        result_errorf (out, KV_NOT_SUPPORTED, "ERR '%s' is served by the broker",
                       command->spec->name);
    else if (self->loading && s_is_about_data (command))
        result_error (out, KV_LOADING, "LOADING KvDB is loading the dataset in memory");
    else if (waiting->has_key && !waiting->key.shard)
        call_moved (call, waiting->shard); // X3
    else if (self->busy && s_is_about_data (command))
        executor_no_space (self, out); // X6
    else
        return true;
    return false;
}

/* False: the command was refused. */
static bool s_execute (executor_t *self, const waiting_t *waiting, int64_t now_ms, writer_t *out)
{
    size_t start = out->size;
    const command_t *command = &waiting->command;
    call_t call = {.executor = self, .command = command, .now_ms = now_ms, .out = out};
    if (!s_is_served (self, waiting, &call) || !s_find_space (self, command, out))
        return false;
    if (waiting->has_key)
        call.key = waiting->key;
    s_handlers[command->spec->id](&call);
    shard_host_end (&self->host);
    if (s_looks_at_all (command))
        shard_host_observe_all (&self->host); // H7
    return s_is_not_blocked (self, out, start);
}

/* Counts a command and its result, an array that begins with a code. */
static void s_count (executor_t *self, const command_t *command, bool executed, bool failed)
{
    self->commands++;
    self->errors += failed;
    if (!command->spec)
        return;
    command_stats_t *stats = &self->by_command[command->spec->id];
    stats->calls += executed;
    stats->failed += executed && failed;
    stats->rejected += !executed;
}

static void s_too_large (const command_t *command, writer_t *out)
{
    bool wrote = command->spec && command->spec->flags == COMMAND_WRITE;
    result_error (
        out, KV_TOO_LARGE,
        wrote ? "ERR the command was carried out, but its result does not fit into the reply"
              : "ERR the result does not fit into the reply; ask for less at a time");
}

/* Runs the command and sees to it that its result leaves room for the `after` results to come. */
static void s_run (executor_t *self, const waiting_t *waiting, int64_t now_ms, uint32_t after,
                   writer_t *out)
{
    size_t start = out->size;
    bool executed = s_execute (self, waiting, now_ms, out);
    size_t budget = out->limit - (size_t)after * RESULT_RESERVE_BYTES;
    if (out->overflow || out->size > budget) {
        writer_cut (out, start);
        s_too_large (&waiting->command, out); // X2
    }
    KV_ASSERT (!out->overflow);
    KV_ASSERT (out->size > start + 1); // X1
    s_count (self, &waiting->command, executed, out->data[start + 1] != KV_OK);
}

static void s_run_batch (executor_t *self, const request_t *request, int64_t now_ms,
                         writer_t *reply)
{
    reader_t at = request->commands;
    uint32_t left = request->command_count;
    while (left) {
        uint32_t count = left < EXECUTOR_WINDOW ? left : EXECUTOR_WINDOW;
        for (uint32_t i = 0; i < count; i++)
            s_wait (self, &self->window[i], &at);
        for (uint32_t i = 0; i < count; i++) {
            const waiting_t *waiting = &self->window[i];
            if (waiting->has_key && waiting->key.shard)
                store_prefetch_entry (shard_store (waiting->key.shard), waiting->key.hash);
        }
        for (uint32_t i = 0; i < count; i++)
            s_run (self, &self->window[i], now_ms, --left, reply);
    }
}

kv_status_t executor_run (executor_t *self, kv_slice_t body, int64_t now_ms, writer_t *reply)
{
    KV_ASSERT (!reply->overflow);
    KV_ASSERT (reply->limit - reply->size >= EXECUTOR_REPLY_BYTES_LEAST);
    request_t request;
    const char *why;
    self->host.observed = 0;
    self->wants_sync = false;
    self->busy = false;
    kv_status_t status = request_decode (body, &request, &why);
    if (status && !request.has_id)
        return KV_BAD_REQUEST;
    if (status) {
        char text[KV_ERROR_TEXT_BYTES_MAX];
        snprintf (text, sizeof text, "ERR %s", why);
        reply_refuse (reply, request.id, status, text);
        return KV_OK;
    }
    self->wants_sync = request.durability == DURABILITY_FSYNC;
    why = request_unserved (&request);
    if (!why && self->wants_sync && !self->persistent && !self->loading)
        why =
            "ERR durability 'fsync' needs a log; set kvdb.persistence.fsync to always, interval or "
            "never, or ask for 'local' or 'replicated'";
    if (why) {
        reply_refuse (reply, request.id, KV_NOT_SUPPORTED, why);
        return KV_OK;
    }
    size_t room = reply->limit - reply->size;
    if ((size_t)request.command_count > room / RESULT_RESERVE_BYTES - 1) {
        reply_refuse (reply, request.id, KV_TOO_LARGE,
                      "ERR the reply has no room for so many results; send smaller batches");
        return KV_OK;
    }
    reply_begin (reply, request.id, request.command_count);
    shard_host_set_time (&self->host, now_ms);
    s_run_batch (self, &request, now_ms, reply);
    return KV_OK;
}

size_t executor_tick (executor_t *self, int64_t now_ms, size_t budget)
{
    shard_host_set_time (&self->host, now_ms);
    size_t done = executor_drain_doomed (self, budget);
    /* Round after round over the shards, each taking a small share, until none has more to do. */
    enum { SHARE = 16 };
    uint32_t idle = 0;
    while (done < budget && idle < self->options.shards) {
        shard_t *shard = self->shards[self->tick_shard];
        size_t share = budget - done < SHARE ? budget - done : SHARE;
        size_t expired = shard ? shard_expire (shard, now_ms, share) : 0;
        idle = expired ? 0 : idle + 1;
        done += expired;
        self->tick_shard = (self->tick_shard + 1) % self->options.shards;
    }
    shard_host_end (&self->host);
    uint64_t evicted = self->eviction.evicted;
    if (done < budget)
        (void)s_make_room (self, budget - done);
    return done + (size_t)(self->eviction.evicted - evicted);
}

executor_stats_t executor_stats (const executor_t *self)
{
    executor_stats_t stats = {.bytes = self->doomed_bytes,
                              .commands = self->commands,
                              .errors = self->errors,
                              .evicted_keys = self->eviction.evicted,
                              .keyspace_hits = self->hits,
                              .keyspace_misses = self->misses};
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_t *shard = executor_shard (self, i);
        if (!shard)
            continue;
        stats.bytes += store_bytes (shard_store (shard));
        stats.expired_keys += shard_expired_count (shard);
        if (!self->shards[i])
            continue; /* kept: its keys are not served */
        stats.keys += store_count (shard_store (shard));
        stats.expiring_keys += store_expiring_count (shard_store (shard));
    }
    return stats;
}

const command_stats_t *executor_command_stats (const executor_t *self, command_id_t id)
{
    KV_ASSERT ((unsigned)id < COMMAND_COUNT);
    return &self->by_command[id];
}

void executor_set_loading (executor_t *self, bool loading)
{
    self->loading = loading;
}

bool executor_is_valid (const executor_t *self)
{
    uint64_t bytes = 0;
    uint64_t entries = 0;
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_t *shard = executor_shard (self, i);
        if (!shard)
            continue;
        if (!store_is_valid (shard_store (shard)))
            return false;
        bytes += store_bytes (shard_store (shard));
        entries += store_count (shard_store (shard));
    }
    uint64_t doomed = 0;
    for (size_t i = 0; i < self->doomed_count; i++)
        doomed += store_bytes (self->doomed[i]);
    bool accounted = self->host.changed || bytes == self->host.bytes; // H5
    if (entries != self->host.entries)
        return false; // H6
    return accounted && doomed == self->doomed_bytes && !self->host.open &&
           entry_pool_is_valid (self->pool);
}
