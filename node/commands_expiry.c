/* EXPIRE, EXPIREAT, TTL, EXPIRETIME, PERSIST and their milliseconds; deadlines for SET and GETEX. */
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

const call_unit_t *call_unit (const call_t *call, uint32_t index)
{
    static const call_unit_t units[] = {
        {"EX", 1000, false}, {"PX", 1, false}, {"EXAT", 1000, true}, {"PXAT", 1, true}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (kv_slice_is_word (call_argument (call, index), units[i].name))
            return &units[i];
    }
    return NULL;
}

bool call_unit_deadline (call_t *call, const call_unit_t *unit, uint32_t index,
                         int64_t *deadline_ms)
{
    int64_t amount;
    if (!call_integer (call, index, &amount))
        return false;
    int64_t from_ms = unit->absolute ? 0 : call->now_ms;
    if (amount > 0 && call_deadline (amount, unit->unit_ms, from_ms, deadline_ms))
        return true;
    call_bad_expiry (call);
    return false;
}

/* ---- EXPIRE ---------------------------------------------------------------------------------- */

typedef struct {
    bool nx, xx, gt, lt;
} expire_flags_t;

/* False if they are wrong; the error, Redis's, has been written then. */
static bool s_read_flags (call_t *call, expire_flags_t *flags)
{
    for (uint32_t i = 3; i < call->command->argc; i++) {
        kv_slice_t word = call_argument (call, i);
        if (kv_slice_is_word (word, "NX")) {
            flags->nx = true;
        } else if (kv_slice_is_word (word, "XX")) {
            flags->xx = true;
        } else if (kv_slice_is_word (word, "GT")) {
            flags->gt = true;
        } else if (kv_slice_is_word (word, "LT")) {
            flags->lt = true;
        } else {
            int quoted = word.size < 128 ? (int)word.size : 128;
            result_errorf (call->out, KV_SYNTAX, "ERR Unsupported option %.*s", quoted,
                           (const char *)word.data);
            return false;
        }
    }
    if (flags->nx && (flags->xx || flags->gt || flags->lt)) {
        result_error (call->out, KV_SYNTAX,
                      "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (flags->gt && flags->lt) {
        result_error (call->out, KV_SYNTAX,
                      "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* Whether the flags let a deadline replace the present one, 0: none, which counts as the latest. */
static bool s_may_replace (expire_flags_t flags, int64_t present_ms, int64_t deadline_ms)
{
    if (flags.nx)
        return present_ms == 0;
    if ((flags.xx || flags.gt) && present_ms == 0)
        return false;
    if (flags.gt && deadline_ms <= present_ms)
        return false;
    return !flags.lt || present_ms == 0 || deadline_ms < present_ms;
}

static void s_expire (call_t *call, int64_t unit_ms, int64_t from_ms)
{
    expire_flags_t flags = {0};
    int64_t amount;
    int64_t deadline_ms;
    if (!s_read_flags (call, &flags) || !call_integer (call, 2, &amount))
        return;
    if (!call_deadline (amount, unit_ms, from_ms, &deadline_ms)) {
        call_bad_expiry (call);
        return;
    }
    entry_t *entry = call_find (call);
    bool wanted =
        entry &&
        s_may_replace (flags, store_expires_ms (shard_store (call->key.shard), entry), deadline_ms);
    if (wanted && deadline_ms <= call->now_ms)
        shard_delete (call->key.shard, entry);
    else if (wanted)
        shard_set_expiry (call->key.shard, entry, deadline_ms);
    result_int (call->out, wanted ? 1 : 0);
}

void command_expire (call_t *call)
{
    s_expire (call, 1000, call->now_ms);
}

void command_pexpire (call_t *call)
{
    s_expire (call, 1, call->now_ms);
}

void command_expireat (call_t *call)
{
    s_expire (call, 1000, 0);
}

void command_pexpireat (call_t *call)
{
    s_expire (call, 1, 0);
}

void command_persist (call_t *call)
{
    entry_t *entry = call_find (call);
    bool expires = entry && store_expires_ms (shard_store (call->key.shard), entry) != 0;
    if (expires)
        shard_set_expiry (call->key.shard, entry, 0);
    result_int (call->out, expires ? 1 : 0);
}

/* ---- TTL ------------------------------------------------------------------------------------- */

/* Milliseconds from `from_ms` to the deadline; -1 without one, -2 if the key is absent. */
static int64_t s_deadline_from (call_t *call, int64_t from_ms)
{
    const entry_t *entry = call_peek (call);
    if (!entry)
        return -2;
    int64_t expires_ms = store_expires_ms (shard_store (call->key.shard), entry);
    return expires_ms ? expires_ms - from_ms : -1;
}

/* Rounded to the nearest second, as Redis does; written so that no deadline overflows. */
static int64_t s_seconds (int64_t ms)
{
    return ms < 0 ? ms : ms / 1000 + (ms % 1000 >= 500);
}

void command_ttl (call_t *call)
{
    result_int (call->out, s_seconds (s_deadline_from (call, call->now_ms)));
}

void command_pttl (call_t *call)
{
    result_int (call->out, s_deadline_from (call, call->now_ms));
}

void command_expiretime (call_t *call)
{
    result_int (call->out, s_seconds (s_deadline_from (call, 0)));
}

void command_pexpiretime (call_t *call)
{
    result_int (call->out, s_deadline_from (call, 0));
}
