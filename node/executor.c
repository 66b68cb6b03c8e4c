#include "node/executor.h"

#include "node/call.h"
#include "node/decimal.h"
#include "node/entry_pool.h"
#include "node/siphash.h"
#include "schema/limits.h"
#include "schema/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RESULT_RESERVE_BYTES = 160, /* kept free for the error result of each command to come (X1) */
    REFS_KEPT = 4096,           /* key references kept allocated between commands */
    CLEAR_AT_ONCE = 1024        /* a table of so few entries is freed on the spot */
};

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
    siphash_key_t hash_key;
    shard_t **shards; /* owned, by shard; NULL: not owned here */
    owner_t **owners; /* by shard; NULL: not known */
    store_t **doomed; /* tables being drained by executor_tick, owned */
    size_t doomed_count, doomed_capacity;
    uint32_t tick_shard; /* where the next tick begins */
    waiting_t window[EXECUTOR_WINDOW];
    key_ref_t *refs; /* of the running multi-key command */
    uint32_t refs_capacity;
    const char *info; /* borrowed from the shell, may be NULL */
    uint64_t commands, errors, hits, misses;
    uint64_t expired; /* by shards that are not owned any more */
};

static command_fn *const s_handlers[COMMAND_COUNT] = {
    [COMMAND_APPEND] = command_append,     [COMMAND_DBSIZE] = command_dbsize,
    [COMMAND_DECR] = command_decr,         [COMMAND_DECRBY] = command_decrby,
    [COMMAND_DEL] = command_del,           [COMMAND_ECHO] = command_echo,
    [COMMAND_EXISTS] = command_exists,     [COMMAND_EXPIRE] = command_expire,
    [COMMAND_FLUSHALL] = command_flushall, [COMMAND_GET] = command_get,
    [COMMAND_HELP] = command_help_text,    [COMMAND_INCR] = command_incr,
    [COMMAND_INCRBY] = command_incrby,     [COMMAND_INFO] = command_info,
    [COMMAND_KEYS] = command_keys,         [COMMAND_MGET] = command_mget,
    [COMMAND_MSET] = command_mset,         [COMMAND_PERSIST] = command_persist,
    [COMMAND_PEXPIRE] = command_pexpire,   [COMMAND_PING] = command_ping,
    [COMMAND_PTTL] = command_pttl,         [COMMAND_SCAN] = command_scan,
    [COMMAND_SET] = command_set,           [COMMAND_STRLEN] = command_strlen,
    [COMMAND_TTL] = command_ttl,           [COMMAND_UNLINK] = command_del,
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
    self->shards = calloc (options->shards, sizeof (shard_t *));
    KV_ASSERT (self->shards != NULL);
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
        free (self->owners[i]);
    }
    for (size_t i = 0; i < self->doomed_count; i++)
        store_destroy (&self->doomed[i]);
    for (int i = 0; i < EXECUTOR_WINDOW; i++)
        command_free (&self->window[i].command);
    entry_pool_destroy (&self->pool);
    free (self->doomed);
    free (self->shards);
    free (self->owners);
    free (self->refs);
    free (self);
    *self_p = NULL;
}

/* Takes a table to be freed at once or, if it is large, later. */
static void s_doom (executor_t *self, store_t *store, bool at_once)
{
    if (at_once || store_count (store) <= CLEAR_AT_ONCE) {
        store_destroy (&store);
        return;
    }
    if (self->doomed_count == self->doomed_capacity) {
        self->doomed_capacity = self->doomed_capacity ? 2 * self->doomed_capacity : 16;
        store_t **doomed = realloc (self->doomed, self->doomed_capacity * sizeof (store_t *));
        KV_ASSERT (doomed != NULL);
        self->doomed = doomed;
    }
    self->doomed[self->doomed_count++] = store;
}

void executor_own (executor_t *self, uint32_t shard, uint64_t epoch)
{
    KV_ASSERT (shard < self->options.shards);
    if (!self->shards[shard])
        self->shards[shard] = shard_new (shard, epoch, self->options.secret, self->pool);
}

void executor_disown (executor_t *self, uint32_t shard)
{
    KV_ASSERT (shard < self->options.shards);
    if (!self->shards[shard])
        return;
    self->expired += shard_expired_count (self->shards[shard]);
    s_doom (self, shard_retire (&self->shards[shard]), false);
}

bool executor_owns (const executor_t *self, uint32_t shard)
{
    return shard < self->options.shards && self->shards[shard];
}

void executor_set_owner (executor_t *self, uint32_t shard, const char *node_id,
                         const char *endpoint, uint64_t epoch)
{
    KV_ASSERT (shard < self->options.shards);
    owner_t *owner = self->owners[shard];
    if (!owner) {
        owner = calloc (1, sizeof *owner);
        KV_ASSERT (owner != NULL);
        self->owners[shard] = owner;
    }
    snprintf (owner->node_id, sizeof owner->node_id, "%s", node_id);
    snprintf (owner->endpoint, sizeof owner->endpoint, "%s", endpoint);
    owner->epoch = epoch;
}

void executor_set_info (executor_t *self, const char *text)
{
    self->info = text;
}

static key_ref_t s_ref (const executor_t *self, kv_slice_t key, uint32_t *shard)
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
    if (command->spec && command->spec->keys == KEYS_FIRST && command->argc >= 2) {
        waiting->has_key = true;
        waiting->key = s_ref (self, command->argv[1], &waiting->shard);
    }
}

static void s_execute (executor_t *self, const waiting_t *waiting, int64_t now_ms, writer_t *out)
{
    const command_t *command = &waiting->command;
    char text[KV_ERROR_TEXT_BYTES_MAX];
    kv_status_t status = command_check (command, text, sizeof text);
    if (status) {
        result_error (out, status, text);
        return;
    }
    call_t call = {.executor = self, .command = command, .now_ms = now_ms, .out = out};
    command_fn *handler = s_handlers[command->spec->id];
    if (!handler) {
        result_errorf (out, KV_NOT_SUPPORTED, "ERR '%s' is served by the broker",
                       command->spec->name);
    } else if (waiting->has_key && !waiting->key.shard) {
        call_moved (&call, waiting->shard); // X3
    } else {
        if (waiting->has_key)
            call.key = waiting->key;
        handler (&call);
    }
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
    s_execute (self, waiting, now_ms, out);
    size_t budget = out->limit - (size_t)after * RESULT_RESERVE_BYTES;
    if (out->overflow || out->size > budget) {
        writer_cut (out, start);
        s_too_large (&waiting->command, out); // X2
    }
    KV_ASSERT (!out->overflow);
    KV_ASSERT (out->size > start + 1); // X1
    self->commands++;
    self->errors +=
        out->data[start + 1] != KV_OK; /* a result is an array that begins with a code */
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
    kv_status_t status = request_decode (body, &request, &why);
    if (status && !request.has_id)
        return KV_BAD_REQUEST;
    if (status) {
        char text[KV_ERROR_TEXT_BYTES_MAX];
        snprintf (text, sizeof text, "ERR %s", why);
        reply_refuse (reply, request.id, status, text);
        return KV_OK;
    }
    why = request_unserved (&request);
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
    s_run_batch (self, &request, now_ms, reply);
    return KV_OK;
}

/* Frees what was flushed or disowned. */
static size_t s_drain_doomed (executor_t *self, size_t budget)
{
    size_t done = 0;
    while (self->doomed_count && done < budget) {
        store_t **last = &self->doomed[self->doomed_count - 1];
        size_t freed = store_drain (*last, budget - done);
        done += freed;
        if (freed == 0) {
            store_destroy (last);
            self->doomed_count--;
        }
    }
    return done;
}

size_t executor_tick (executor_t *self, int64_t now_ms, size_t budget)
{
    size_t done = s_drain_doomed (self, budget);
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
    return done;
}

executor_stats_t executor_stats (const executor_t *self)
{
    executor_stats_t stats = {.commands = self->commands,
                              .errors = self->errors,
                              .expired_keys = self->expired,
                              .keyspace_hits = self->hits,
                              .keyspace_misses = self->misses};
    for (uint32_t i = 0; i < self->options.shards; i++) {
        if (!self->shards[i])
            continue;
        const store_t *store = shard_store (self->shards[i]);
        stats.keys += store_count (store);
        stats.expiring_keys += store_expiring_count (store);
        stats.bytes += store_bytes (store);
        stats.expired_keys += shard_expired_count (self->shards[i]);
    }
    for (size_t i = 0; i < self->doomed_count; i++)
        stats.bytes += store_bytes (self->doomed[i]);
    return stats;
}

bool executor_is_valid (const executor_t *self)
{
    for (uint32_t i = 0; i < self->options.shards; i++) {
        if (self->shards[i] && !store_is_valid (shard_store (self->shards[i])))
            return false;
    }
    return entry_pool_is_valid (self->pool);
}

static entry_t *s_count_read (executor_t *self, entry_t *entry)
{
    if (entry)
        self->hits++;
    else
        self->misses++;
    return entry;
}

entry_t *call_find (call_t *call)
{
    return shard_find (call->key.shard, call_argument (call, 1), call->key.hash, call->now_ms);
}

entry_t *call_read (call_t *call)
{
    return s_count_read (call->executor, call_find (call));
}

bool call_resolve_keys (call_t *call, call_keys_t *keys)
{
    executor_t *self = call->executor;
    uint32_t count = command_key_count (call->command);
    if (count > self->refs_capacity || self->refs_capacity > REFS_KEPT) {
        uint32_t capacity = count < REFS_KEPT ? REFS_KEPT : count;
        key_ref_t *refs = realloc (self->refs, capacity * sizeof *refs);
        KV_ASSERT (refs != NULL);
        self->refs = refs;
        self->refs_capacity = capacity;
    }
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key = call_argument (call, command_key_index (call->command, i));
        uint32_t shard;
        self->refs[i] = s_ref (self, key, &shard);
        if (!self->refs[i].shard) {
            call_moved (call, shard); // X3
            return false;
        }
    }
    *keys = (call_keys_t){self->refs, count};
    return true;
}

/* At the start of each window: the entries of this one, and the buckets of the next. */
void call_prefetch_nth (const call_keys_t *keys, uint32_t n)
{
    if (n % EXECUTOR_WINDOW != 0)
        return;
    uint32_t middle = keys->count - n < EXECUTOR_WINDOW ? keys->count : n + EXECUTOR_WINDOW;
    uint32_t end = keys->count - middle < EXECUTOR_WINDOW ? keys->count : middle + EXECUTOR_WINDOW;
    for (uint32_t i = n; i < middle; i++)
        store_prefetch_entry (shard_store (keys->refs[i].shard), keys->refs[i].hash);
    for (uint32_t i = middle; i < end; i++)
        store_prefetch_bucket (shard_store (keys->refs[i].shard), keys->refs[i].hash);
}

entry_t *call_find_nth (call_t *call, const call_keys_t *keys, uint32_t n)
{
    call_prefetch_nth (keys, n);
    kv_slice_t key = call_argument (call, command_key_index (call->command, n));
    return shard_find (keys->refs[n].shard, key, keys->refs[n].hash, call->now_ms);
}

entry_t *call_read_nth (call_t *call, const call_keys_t *keys, uint32_t n)
{
    return s_count_read (call->executor, call_find_nth (call, keys, n));
}

bool call_integer (call_t *call, uint32_t index, int64_t *number)
{
    if (decimal_read (call_argument (call, index), number))
        return true;
    result_error (call->out, KV_BAD_VALUE, "ERR value is not an integer or out of range");
    return false;
}

bool call_check_value (call_t *call, size_t bytes)
{
    int64_t most = call->executor->options.max_value_bytes;
    if (bytes <= (size_t)most)
        return true;
    result_errorf (call->out, KV_TOO_LARGE, "ERR the value has %zu bytes; %" PRId64 " are allowed",
                   bytes, most);
    return false;
}

void call_syntax_error (call_t *call)
{
    result_error (call->out, KV_SYNTAX, "ERR syntax error");
}

/* The text is for people, the details are for clients: {shard, node, endpoint, epoch}. */
void call_moved (call_t *call, uint32_t shard)
{
    const owner_t *owner = call->executor->owners[shard];
    writer_t *out = call->out;
    char text[KV_ERROR_TEXT_BYTES_MAX];
    bool known = owner && owner->endpoint[0];
    snprintf (text, sizeof text, "MOVED %" PRIu32 " %s", shard,
              known ? owner->endpoint : "to a node unknown here; ask the broker");
    writer_array (out, 3);
    writer_uint (out, KV_MOVED);
    writer_cstr (out, text);
    writer_map (out, known ? 4 : 1);
    writer_cstr (out, "shard");
    writer_uint (out, shard);
    if (!known)
        return;
    writer_cstr (out, "node");
    writer_cstr (out, owner->node_id);
    writer_cstr (out, "endpoint");
    writer_cstr (out, owner->endpoint);
    writer_cstr (out, "epoch");
    writer_uint (out, owner->epoch);
}

uint32_t call_shard_count (const call_t *call)
{
    return call->executor->options.shards;
}

shard_t *call_shard (const call_t *call, uint32_t shard)
{
    return call->executor->shards[shard];
}

void call_clear_shard (call_t *call, shard_t *shard, bool at_once)
{
    s_doom (call->executor, shard_clear (shard), at_once);
}

const char *call_info (const call_t *call)
{
    return call->executor->info ? call->executor->info : "";
}

const executor_options_t *call_options (const call_t *call)
{
    return &call->executor->options;
}
