/* DEL and UNLINK, EXISTS, DBSIZE, FLUSHALL. */
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
        present += call_read_nth (call, &keys, i) != NULL;
    result_int (call->out, present);
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
    bool has_mode = call->command->argc == 2;
    bool at_once = has_mode && kv_slice_is_word (call_argument (call, 1), "SYNC");
    if (has_mode && !at_once && !kv_slice_is_word (call_argument (call, 1), "ASYNC")) {
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
