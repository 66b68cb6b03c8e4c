#include "node/call.h"

#include "node/decimal.h"
#include "node/executor_parts.h"
#include "schema/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { REFS_KEPT = 4096 }; /* key references kept allocated between commands */

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

entry_t *call_peek (call_t *call)
{
    kv_slice_t key = call_argument (call, command_key_index (call->command, 0));
    entry_t *entry = shard_peek (call->key.shard, key, call->key.hash, call->now_ms);
    return s_count_read (call->executor, entry);
}

entry_t *call_read (call_t *call)
{
    return s_count_read (call->executor, call_find (call));
}

/* Whether all keys have one shard, wherever that is; else the error has been written. */
static bool s_live_together (call_t *call, uint32_t count)
{
    uint32_t shards = call->executor->options.shards;
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key = call_argument (call, command_key_index (call->command, i));
        uint32_t shard = kv_shard_of (key, shards);
        if (i == 0)
            first = shard;
        if (shard == first)
            continue;
        char text[KV_ERROR_TEXT_BYTES_MAX];
        command_cross_shard (call->command, text, sizeof text);
        result_error (call->out, KV_CROSS_SHARD, text);
        return false;
    }
    return true;
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
    if (command_keys_together (call->command->spec) && !s_live_together (call, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key = call_argument (call, command_key_index (call->command, i));
        uint32_t shard;
        self->refs[i] = executor_ref (self, key, &shard);
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

entry_t *call_peek_nth (call_t *call, const call_keys_t *keys, uint32_t n)
{
    call_prefetch_nth (keys, n);
    kv_slice_t key = call_argument (call, command_key_index (call->command, n));
    entry_t *entry = shard_peek (keys->refs[n].shard, key, keys->refs[n].hash, call->now_ms);
    return s_count_read (call->executor, entry);
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
    executor_doom (call->executor, shard_clear (shard), at_once);
}

sampler_t *call_sampler (call_t *call)
{
    return &call->executor->sampler;
}

const char *call_info (const call_t *call)
{
    const executor_t *executor = call->executor;
    return executor->info ? executor->info (executor->info_context) : "";
}

const executor_options_t *call_options (const call_t *call)
{
    return &call->executor->options;
}

bool call_wish_snapshot (call_t *call, snapshot_wish_t wish)
{
    executor_t *self = call->executor;
    if (!self->persistent) {
        result_error (call->out, KV_NOT_SUPPORTED,
                      "ERR persistence is off; set kvdb.persistence.fsync to always, interval or "
                      "never");
        return false;
    }
    if (wish > self->snapshot_wish)
        self->snapshot_wish = wish;
    return true;
}

int64_t call_last_save_s (const call_t *call)
{
    return call->executor->last_save_s;
}
