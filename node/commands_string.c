/* GET, MGET, MSET, APPEND, STRLEN; SET has a file of its own. */
#include "node/call.h"

void command_get (call_t *call)
{
    const entry_t *entry = call_read (call);
    if (entry)
        result_bytes (call->out, entry_value (entry));
    else
        result_nil (call->out);
}

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

void command_mset (call_t *call)
{
    call_keys_t keys;
    if (!call_resolve_keys (call, &keys))
        return;
    for (uint32_t i = 0; i < keys.count; i++) {
        if (!call_check_value (call, call_argument (call, 2 + 2 * i).size))
            return;
    }
    for (uint32_t i = 0; i < keys.count; i++) {
        call_prefetch_nth (&keys, i);
        shard_put (keys.refs[i].shard, call_argument (call, 1 + 2 * i), keys.refs[i].hash,
                   call_argument (call, 2 + 2 * i), 0);
    }
    result_text (call->out, "OK");
}

void command_append (call_t *call)
{
    kv_slice_t more = call_argument (call, 2);
    entry_t *entry = call_find (call);
    size_t bytes = (entry ? entry_value (entry).size : 0) + more.size;
    if (!call_check_value (call, bytes))
        return;
    if (!entry)
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, more, 0);
    else if (more.size)
        shard_append (call->key.shard, entry, more);
    result_int (call->out, (int64_t)bytes);
}

void command_strlen (call_t *call)
{
    const entry_t *entry = call_read (call);
    result_int (call->out, entry ? (int64_t)entry_value (entry).size : 0);
}
