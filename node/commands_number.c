/* INCR, DECR, INCRBY, DECRBY. */
#include "node/call.h"
#include "node/decimal.h"

static void s_add (call_t *call, int64_t amount)
{
    entry_t *entry = call_find (call);
    int64_t before = 0;
    if (entry && !decimal_read (entry_value (entry), &before)) {
        result_error (call->out, KV_BAD_VALUE, "ERR value is not an integer or out of range");
        return;
    }
    int64_t after;
    if (__builtin_add_overflow (before, amount, &after)) {
        result_error (call->out, KV_BAD_VALUE, "ERR increment or decrement would overflow");
        return;
    }
    char text[DECIMAL_TEXT_BYTES];
    kv_slice_t value = kv_slice (text, decimal_write (text, after));
    if (!call_check_value (call, value.size))
        return;
    if (entry)
        shard_set_value (call->key.shard, entry, value);
    else
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
    result_int (call->out, after);
}

void command_incr (call_t *call)
{
    s_add (call, 1);
}

void command_decr (call_t *call)
{
    s_add (call, -1);
}

void command_incrby (call_t *call)
{
    int64_t amount;
    if (call_integer (call, 2, &amount))
        s_add (call, amount);
}

void command_decrby (call_t *call)
{
    int64_t amount;
    if (!call_integer (call, 2, &amount))
        return;
    if (amount == INT64_MIN)
        result_error (call->out, KV_BAD_VALUE, "ERR decrement would overflow");
    else
        s_add (call, -amount);
}
