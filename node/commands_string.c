/* Strings: whole values, parts of them, and values that are taken, exchanged or compared. SET and its
 * kin have a file of their own. */
#include "node/call.h"

/* Writes the value, or nil. */
static void s_result_value (call_t *call, const entry_t *entry)
{
    if (entry)
        result_bytes (call->out, entry_value (entry));
    else
        result_nil (call->out);
}

void command_get (call_t *call)
{
    s_result_value (call, call_read (call));
}

void command_getver (call_t *call)
{
    const entry_t *entry = call_read (call);
    if (!entry) {
        result_nil (call->out);
        return;
    }
    result_value (call->out);
    writer_array (call->out, 2);
    writer_bin (call->out, entry_value (entry));
    writer_uint (call->out, entry_version (entry));
}

void command_getdel (call_t *call)
{
    entry_t *entry = call_read (call);
    s_result_value (call, entry);
    if (entry)
        shard_delete (call->key.shard, entry);
}

void command_getset (call_t *call)
{
    kv_slice_t value = call_argument (call, 2);
    if (!call_check_value (call, value.size))
        return;
    s_result_value (call, call_read (call));
    shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
}

void command_delifeq (call_t *call)
{
    entry_t *entry = call_find (call);
    bool equal = entry && kv_slice_equal (entry_value (entry), call_argument (call, 2));
    if (equal)
        shard_delete (call->key.shard, entry);
    result_int (call->out, equal ? 1 : 0);
}

/* ---- several keys ---------------------------------------------------------------------------- */

void command_mget (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys))
        return;
    result_value (call->out);
    writer_array (call->out, keys.count);
    for (uint32_t i = 0; i < keys.count && !call->out->overflow; i++) {
        const entry_t *entry = call_read_nth (call, &keys, i);
        if (entry)
            writer_bin (call->out, entry_value (entry));
        else
            writer_nil (call->out);
    }
}

static bool s_check_values (call_t *call, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++) {
        if (!call_check_value (call, call_argument (call, 2 + 2 * i).size))
            return false;
    }
    return true;
}

static void s_put_pairs (call_t *call, const call_keys_t *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        call_prefetch_nth (keys, i);
        shard_put (keys->refs[i].shard, call_argument (call, 1 + 2 * i), keys->refs[i].hash,
                   call_argument (call, 2 + 2 * i), 0);
    }
}

void command_mset (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys) || !s_check_values (call, keys.count))
        return;
    s_put_pairs (call, &keys);
    result_text (call->out, "OK");
}

void command_msetnx (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys) || !s_check_values (call, keys.count))
        return;
    for (uint32_t i = 0; i < keys.count; i++) {
        if (call_find_nth (call, &keys, i)) {
            result_int (call->out, 0);
            return;
        }
    }
    s_put_pairs (call, &keys);
    result_int (call->out, 1);
}

/* ---- parts of a value ------------------------------------------------------------------------ */

void command_append (call_t *call)
{
    kv_slice_t more = call_argument (call, 2);
    entry_t *entry = call_find (call);
    size_t before = entry ? entry_value (entry).size : 0;
    size_t bytes = before + more.size;
    if (!call_check_value (call, bytes))
        return;
    if (!entry)
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, more, 0);
    else if (more.size)
        shard_write (call->key.shard, entry, before, more);
    result_int (call->out, (int64_t)bytes);
}

void command_strlen (call_t *call)
{
    const entry_t *entry = call_read (call);
    result_int (call->out, entry ? (int64_t)entry_value (entry).size : 0);
}

/* What GETRANGE means: both ends count from the end if negative, and are moved into the value. */
static kv_slice_t s_range (kv_slice_t value, int64_t start, int64_t end)
{
    int64_t size = (int64_t)value.size;
    if (start < 0 && end < 0 && start > end)
        return kv_slice ("", 0);
    if (start < 0)
        start = start < -size ? 0 : start + size;
    if (end < 0)
        end = end < -size ? 0 : end + size;
    if (end >= size)
        end = size - 1;
    if (start > end || size == 0)
        return kv_slice ("", 0);
    return kv_slice (value.data + start, (size_t)(end - start) + 1);
}

void command_getrange (call_t *call)
{
    int64_t start;
    int64_t end;
    if (!call_integer (call, 2, &start) || !call_integer (call, 3, &end))
        return;
    const entry_t *entry = call_read (call);
    result_bytes (call->out, entry ? s_range (entry_value (entry), start, end) : kv_slice ("", 0));
}

/* Sets an absent key to `offset` zero bytes and the value behind them. */
static void s_put_at (call_t *call, size_t offset, kv_slice_t bytes)
{
    entry_t *entry =
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, kv_slice ("", 0), 0);
    shard_write (call->key.shard, entry, offset, bytes);
}

void command_setrange (call_t *call)
{
    kv_slice_t bytes = call_argument (call, 3);
    int64_t offset;
    if (!call_integer (call, 2, &offset))
        return;
    if (offset < 0) {
        result_error (call->out, KV_BAD_VALUE, "ERR offset is out of range");
        return;
    }
    entry_t *entry = call_find (call);
    size_t before = entry ? entry_value (entry).size : 0;
    if (bytes.size == 0) {
        result_int (call->out, (int64_t)before);
        return;
    }
    size_t end = (size_t)offset + bytes.size;
    if (!call_check_value (call, end))
        return;
    if (entry)
        shard_write (call->key.shard, entry, (size_t)offset, bytes);
    else
        s_put_at (call, (size_t)offset, bytes);
    result_int (call->out, (int64_t)(end > before ? end : before));
}
