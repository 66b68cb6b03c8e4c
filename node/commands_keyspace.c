/* DEL, EXISTS, TOUCH, TYPE, RENAME, COPY, RANDOMKEY, DBSIZE, FLUSHALL and their kin. */
#include "node/call.h"

void command_del (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys))
        return;
    int64_t deleted = 0;
    for (uint32_t i = 0; i < keys.count; i++) {
        entry_t *entry = call_find_nth (call, &keys, i);
        if (!entry)
            continue;
        shard_delete (keys.refs[i].shard, entry);
        deleted++;
    }
    result_int (call->out, deleted);
}

void command_exists (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys))
        return;
    int64_t present = 0;
    for (uint32_t i = 0; i < keys.count; i++)
        present += call_peek_nth (call, &keys, i) != NULL;
    result_int (call->out, present);
}

void command_touch (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys))
        return;
    int64_t present = 0;
    for (uint32_t i = 0; i < keys.count; i++)
        present += call_read_nth (call, &keys, i) != NULL;
    result_int (call->out, present);
}

void command_type (call_t *call)
{
    result_text (call->out, call_peek (call) ? "string" : "none");
}

/* ---- RENAME and COPY, within one shard ------------------------------------------------------- */

/* Puts the value and the deadline of the first key under the second. Its entry stays where it is. */
static void s_put_second (call_t *call, const call_keys_t *keys, const entry_t *first)
{
    shard_t *shard = keys->refs[0].shard;
    shard_put (shard, call_argument (call, 2), keys->refs[1].hash, entry_value (first),
               store_expires_ms (shard_store (shard), first));
}

static bool s_same_key (const call_t *call)
{
    return kv_slice_equal (call_argument (call, 1), call_argument (call, 2));
}

/* Moves the first key to the second, which need not be absent unless `only_new`. Returns whether it
 * did; writes the error if the first is absent, and sets `failed`. */
static bool s_rename (call_t *call, bool only_new, bool *failed)
{
    call_keys_t keys;
    *failed = true;
    if (!call_resolve_keys (call, &keys))
        return false;
    entry_t *entry = call_find_nth (call, &keys, 0);
    if (!entry) {
        result_error (call->out, KV_BAD_VALUE, "ERR no such key");
        return false;
    }
    *failed = false;
    if (s_same_key (call))
        return !only_new;
    if (only_new && call_find_nth (call, &keys, 1))
        return false;
    s_put_second (call, &keys, entry);
    shard_delete (keys.refs[0].shard, entry);
    return true;
}

void command_rename (call_t *call)
{
    bool failed;
    (void)s_rename (call, false, &failed);
    if (!failed)
        result_text (call->out, "OK");
}

void command_renamenx (call_t *call)
{
    bool failed;
    bool renamed = s_rename (call, true, &failed);
    if (!failed)
        result_int (call->out, renamed ? 1 : 0);
}

/* There is one database, number 0. False if the options are wrong; the error has been written. */
static bool s_read_copy_options (call_t *call, bool *replace)
{
    for (uint32_t i = 3; i < call->command->argc; i++) {
        int64_t number;
        if (kv_slice_is_word (call_argument (call, i), "REPLACE")) {
            *replace = true;
        } else if (kv_slice_is_word (call_argument (call, i), "DB") &&
                   i + 1 < call->command->argc) {
            if (!call_integer (call, ++i, &number))
                return false;
            if (number != 0) {
                result_error (call->out, KV_BAD_VALUE, "ERR DB index is out of range");
                return false;
            }
        } else {
            call_syntax_error (call);
            return false;
        }
    }
    return true;
}

void command_copy (call_t *call)
{
    call_keys_t keys;
    bool replace = false;
    if (!s_read_copy_options (call, &replace) || !call_resolve_keys (call, &keys))
        return;
    if (s_same_key (call)) {
        result_error (call->out, KV_BAD_VALUE, "ERR source and destination objects are the same");
        return;
    }
    const entry_t *entry = call_find_nth (call, &keys, 0);
    bool wanted = entry && (replace || !call_find_nth (call, &keys, 1));
    if (wanted)
        s_put_second (call, &keys, entry);
    result_int (call->out, wanted ? 1 : 0);
}

/* ---- all keys -------------------------------------------------------------------------------- */

void command_randomkey (call_t *call)
{
    bool weighted = call->command->argc == 2;
    kv_slice_t key;
    if (weighted && !kv_slice_is_word (call_argument (call, 1), "WEIGHTED")) {
        call_syntax_error (call);
        return;
    }
    sampler_t *sampler = call_sampler (call);
    uint64_t keys = sampler_live_count (sampler, call->now_ms);
    bool found = keys > 0 && sampler_key (sampler, call->now_ms, &key) == KV_OK;
    result_value (call->out);
    if (weighted)
        writer_array (call->out, 3);
    if (found)
        writer_bin (call->out, key);
    else
        writer_nil (call->out);
    if (!weighted)
        return;
    writer_uint (call->out, found ? keys : 0);
    writer_uint (call->out, sampler_random (sampler));
}

void command_dbsize (call_t *call)
{
    size_t keys = 0;
    for (uint32_t i = 0; i < call_shard_count (call); i++) {
        const shard_t *shard = call_shard (call, i);
        keys += shard ? shard_live_count (shard, call->now_ms) : 0;
    }
    result_int (call->out, (int64_t)keys);
}

void command_flushall (call_t *call)
{
    bool has_mode = call->command->argc > 1;
    bool at_once = has_mode && kv_slice_is_word (call_argument (call, 1), "SYNC");
    bool known = at_once || (has_mode && kv_slice_is_word (call_argument (call, 1), "ASYNC"));
    if (call->command->argc > 2 || (has_mode && !known)) {
        call_syntax_error (call);
        return;
    }
    for (uint32_t i = 0; i < call_shard_count (call); i++) {
        shard_t *shard = call_shard (call, i);
        if (shard && store_count (shard_store (shard)) > 0)
            call_clear_shard (call, shard, at_once);
    }
    result_text (call->out, "OK");
}
