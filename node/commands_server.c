/* OBJECT, MEMORY, SAVE, BGSAVE, LASTSAVE, and what a broker answers just as well: PING, ECHO, HELP, TIME,
 * COMMAND. */
#include "node/call.h"
#include "schema/command_answer.h"
#include "schema/subcommand.h"

void command_shared (call_t *call)
{
    bool answered = command_answer (call->command, call->now_ms, call->out);
    KV_ASSERT (answered);
}

/* The shell holds the reply until the snapshot is there (snapshot_wish_t). */
void command_save (call_t *call)
{
    if (call_wish_snapshot (call, SNAPSHOT_WISH_WAIT))
        result_text (call->out, "OK");
}

void command_bgsave (call_t *call)
{
    uint32_t argc = call->command->argc;
    if (argc > 2 || (argc == 2 && !kv_slice_is_word (call_argument (call, 1), "SCHEDULE"))) {
        call_syntax_error (call);
        return;
    }
    if (call_wish_snapshot (call, SNAPSHOT_WISH_BACKGROUND))
        result_text (call->out, COMMAND_BGSAVE_TEXT);
}

void command_lastsave (call_t *call)
{
    if (call_wish_snapshot (call, SNAPSHOT_WISH_NONE))
        result_int (call->out, call_last_save_s (call));
}

static void s_object (call_t *call, const entry_t *entry)
{
    switch (subcommand_of (call->command)) {
    case SUBCOMMAND_VERSION:
        result_value (call->out);
        writer_uint (call->out, entry_version (entry));
        return;
    case SUBCOMMAND_IDLETIME: result_int (call->out, shard_idle_s (call->key.shard, entry)); return;
    case SUBCOMMAND_ENCODING: result_text (call->out, "raw"); return;
    case SUBCOMMAND_REFCOUNT: result_int (call->out, 1); return;
    case SUBCOMMAND_FREQ:
        result_error (
            call->out, KV_NOT_SUPPORTED,
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
            "note that when switching between policies at runtime LRU and LFU data will "
            "take some time to adjust.");
        return;
    default: break;
    }
    KV_UNREACHABLE ("a subcommand with a key");
}

void command_object (call_t *call)
{
    if (command_answer (call->command, call->now_ms, call->out))
        return;
    const entry_t *entry = call_peek (call);
    if (entry)
        s_object (call, entry);
    else
        result_nil (call->out);
}

/* SAMPLES is for values made of parts, which there are none of here: it is checked, and has no effect. */
void command_memory (call_t *call)
{
    if (command_answer (call->command, call->now_ms, call->out))
        return;
    for (uint32_t i = 3; i < call->command->argc; i += 2) {
        int64_t samples;
        if (!kv_slice_is_word (call_argument (call, i), "SAMPLES") ||
            i + 1 == call->command->argc) {
            call_syntax_error (call);
            return;
        }
        if (!call_integer (call, i + 1, &samples))
            return;
        if (samples < 0) {
            call_syntax_error (call);
            return;
        }
    }
    const entry_t *entry = call_peek (call);
    if (entry)
        result_int (call->out, (int64_t)store_usage (shard_store (call->key.shard), entry));
    else
        result_nil (call->out);
}
