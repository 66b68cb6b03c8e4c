/* EXPIRE, PEXPIRE, TTL, PTTL, PERSIST, and deadlines for SET. */
#include "node/call.h"

bool call_deadline (int64_t amount, int64_t unit_ms, int64_t from_ms, int64_t *deadline_ms)
{
    int64_t relative_ms;
    return !__builtin_mul_overflow (amount, unit_ms, &relative_ms) &&
           !__builtin_add_overflow (relative_ms, from_ms, deadline_ms);
}

void call_bad_expiry (call_t *call)
{
    char lower[16] = {0};
    const char *name = call->command->spec->name;
    for (size_t i = 0; name[i] && i < sizeof lower - 1; i++)
        lower[i] = (char)(name[i] | 32);
    result_errorf (call->out, KV_BAD_VALUE, "ERR invalid expire time in '%s' command", lower);
}

static void s_expire (call_t *call, int64_t unit_ms)
{
    int64_t amount;
    int64_t deadline_ms;
    if (!call_integer (call, 2, &amount))
        return;
    if (!call_deadline (amount, unit_ms, call->now_ms, &deadline_ms)) {
        call_bad_expiry (call);
        return;
    }
    entry_t *entry = call_find (call);
    if (entry && deadline_ms <= call->now_ms)
        shard_delete (call->key.shard, entry);
    else if (entry)
        shard_set_expiry (call->key.shard, entry, deadline_ms);
    result_int (call->out, entry ? 1 : 0);
}

void command_expire (call_t *call)
{
    s_expire (call, 1000);
}

void command_pexpire (call_t *call)
{
    s_expire (call, 1);
}

/* Milliseconds left; -1 without expiry, -2 if absent. */
static int64_t s_left_ms (call_t *call)
{
    const entry_t *entry = call_read (call);
    if (!entry)
        return -2;
    int64_t expires_ms = store_expires_ms (shard_store (call->key.shard), entry);
    return expires_ms ? expires_ms - call->now_ms : -1;
}

void command_ttl (call_t *call)
{
    int64_t left_ms = s_left_ms (call);
    /* Rounded to the nearest second, as Redis does; written so that no deadline overflows. */
    result_int (call->out, left_ms < 0 ? left_ms : left_ms / 1000 + (left_ms % 1000 >= 500));
}

void command_pttl (call_t *call)
{
    result_int (call->out, s_left_ms (call));
}

void command_persist (call_t *call)
{
    entry_t *entry = call_find (call);
    bool expires = entry && store_expires_ms (shard_store (call->key.shard), entry) != 0;
    if (expires)
        shard_set_expiry (call->key.shard, entry, 0);
    result_int (call->out, expires ? 1 : 0);
}
