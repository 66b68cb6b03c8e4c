/* SET with its options, SETNX, SETEX, PSETEX and GETEX.
 *
 * SET key value [NX|XX|IFEQ v|IFVER n] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL], with the semantics of
 * Redis 7 (and, for IFEQ, of Redis 8): options in any order, the same one twice is allowed where it
 * takes no value, and GET goes with any condition. IFVER compares the entry's version; 0 is that of an
 * absent key. */
#include "node/call.h"
#include "node/decimal.h"

typedef enum { IF_ANY, IF_ABSENT, IF_PRESENT, IF_EQUAL, IF_VERSION } condition_t;

typedef struct {
    condition_t condition;
    uint32_t operand_at; /* the argument behind IFEQ or IFVER */
    uint64_t version;    /* IFVER's, once read */
    bool get;
    bool keep_ttl;
    const call_unit_t *unit; /* NULL: no deadline given */
    uint32_t amount_at;      /* the argument behind it */
    int64_t deadline_ms;     /* once computed; 0: never */
} set_options_t;

/* NX, XX, IFEQ and IFVER exclude one another. Returns how many arguments were taken; 0: none. */
static uint32_t s_take_condition (const call_t *call, uint32_t i, set_options_t *options)
{
    static const struct {
        const char *name;
        condition_t condition;
        bool has_operand;
    } conditions[] = {{"NX", IF_ABSENT, false},
                      {"XX", IF_PRESENT, false},
                      {"IFEQ", IF_EQUAL, true},
                      {"IFVER", IF_VERSION, true}};
    for (size_t c = 0; c < sizeof conditions / sizeof conditions[0]; c++) {
        if (!kv_slice_is_word (call_argument (call, i), conditions[c].name))
            continue;
        bool has_operand = conditions[c].has_operand;
        bool again = options->condition == conditions[c].condition && !has_operand;
        if ((options->condition != IF_ANY && !again) ||
            (has_operand && i + 1 == call->command->argc))
            return 0;
        options->condition = conditions[c].condition;
        options->operand_at = i + 1;
        return has_operand ? 2 : 1;
    }
    return 0;
}

/* EX, PX, EXAT, PXAT and KEEPTTL exclude one another. Returns how many arguments were taken. */
static uint32_t s_take_unit (const call_t *call, uint32_t i, set_options_t *options)
{
    const call_unit_t *unit = call_unit (call, i);
    bool other = options->unit && options->unit != unit;
    if (!unit || other || options->keep_ttl || i + 1 == call->command->argc)
        return 0;
    options->unit = unit;
    options->amount_at = i + 1;
    return 2;
}

/* False on a syntax error. */
static bool s_read_options (const call_t *call, set_options_t *options)
{
    for (uint32_t i = 3; i < call->command->argc;) {
        kv_slice_t word = call_argument (call, i);
        uint32_t taken = 1;
        if (kv_slice_is_word (word, "GET"))
            options->get = true;
        else if (kv_slice_is_word (word, "KEEPTTL") && !options->unit)
            options->keep_ttl = true;
        else if ((taken = s_take_condition (call, i, options)) == 0)
            taken = s_take_unit (call, i, options);
        if (taken == 0)
            return false;
        i += taken;
    }
    return true;
}

/* False if a number is none or out of range; the error has been written then. */
static bool s_read_numbers (call_t *call, set_options_t *options)
{
    if (options->unit &&
        !call_unit_deadline (call, options->unit, options->amount_at, &options->deadline_ms))
        return false;
    if (options->condition != IF_VERSION ||
        decimal_read_unsigned (call_argument (call, options->operand_at), &options->version))
        return true;
    result_error (call->out, KV_BAD_VALUE, "ERR value is not an integer or out of range");
    return false;
}

static bool s_is_met (const call_t *call, const set_options_t *options, const entry_t *entry)
{
    switch (options->condition) {
    case IF_ANY: return true;
    case IF_ABSENT: return !entry;
    case IF_PRESENT: return entry != NULL;
    case IF_EQUAL:
        return entry &&
               kv_slice_equal (entry_value (entry), call_argument (call, options->operand_at));
    case IF_VERSION: return (entry ? entry_version (entry) : 0) == options->version;
    }
    KV_UNREACHABLE ("a condition");
}

static void s_set (call_t *call, const set_options_t *options, entry_t *entry)
{
    kv_slice_t value = call_argument (call, 2);
    bool in_the_past = options->unit && options->deadline_ms <= call->now_ms;
    if (in_the_past && entry)
        shard_delete (call->key.shard, entry);
    else if (options->keep_ttl && entry)
        shard_set_value (call->key.shard, entry, value);
    else if (!in_the_past)
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value,
                   options->deadline_ms);
}

/* With options that depend on what is there already. */
static void s_set_with_options (call_t *call)
{
    set_options_t options = {0};
    if (!s_read_options (call, &options)) {
        call_syntax_error (call);
        return;
    }
    if (!s_read_numbers (call, &options))
        return;
    entry_t *entry = options.get ? call_read (call) : call_find (call);
    if (options.get) {
        if (entry)
            result_bytes (call->out, entry_value (entry));
        else
            result_nil (call->out);
    }
    bool wanted = s_is_met (call, &options, entry);
    if (wanted)
        s_set (call, &options, entry);
    if (!options.get) {
        if (wanted)
            result_text (call->out, "OK");
        else
            result_nil (call->out);
    }
}

void command_set (call_t *call)
{
    kv_slice_t value = call_argument (call, 2);
    if (!call_check_value (call, value.size))
        return;
    if (call->command->argc > 3) {
        s_set_with_options (call);
        return;
    }
    shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
    result_text (call->out, "OK");
}

void command_setnx (call_t *call)
{
    kv_slice_t value = call_argument (call, 2);
    if (!call_check_value (call, value.size))
        return;
    bool absent = !call_find (call);
    if (absent)
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
    result_int (call->out, absent ? 1 : 0);
}

static void s_setex (call_t *call, const call_unit_t *unit)
{
    kv_slice_t value = call_argument (call, 3);
    int64_t deadline_ms;
    if (!call_unit_deadline (call, unit, 2, &deadline_ms) || !call_check_value (call, value.size))
        return;
    shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, deadline_ms);
    result_text (call->out, "OK");
}

void command_setex (call_t *call)
{
    static const call_unit_t seconds = {"EX", 1000, false};
    s_setex (call, &seconds);
}

void command_psetex (call_t *call)
{
    static const call_unit_t milliseconds = {"PX", 1, false};
    s_setex (call, &milliseconds);
}

/* ---- GETEX ----------------------------------------------------------------------------------- */

typedef struct {
    bool persist;
    const call_unit_t *unit;
    uint32_t amount_at;
} getex_options_t;

static bool s_read_getex_options (const call_t *call, getex_options_t *options)
{
    for (uint32_t i = 2; i < call->command->argc; i++) {
        const call_unit_t *unit = call_unit (call, i);
        bool other = options->persist || (options->unit && options->unit != unit);
        if (kv_slice_is_word (call_argument (call, i), "PERSIST") && !options->unit) {
            options->persist = true;
        } else if (unit && !other && i + 1 < call->command->argc) {
            options->unit = unit;
            options->amount_at = ++i;
        } else {
            return false;
        }
    }
    return true;
}

void command_getex (call_t *call)
{
    getex_options_t options = {0};
    if (!s_read_getex_options (call, &options)) {
        call_syntax_error (call);
        return;
    }
    entry_t *entry = call_read (call);
    if (!entry) {
        result_nil (call->out);
        return;
    }
    shard_t *shard = call->key.shard;
    int64_t deadline_ms = 0;
    if (options.unit && !call_unit_deadline (call, options.unit, options.amount_at, &deadline_ms))
        return;
    result_bytes (call->out, entry_value (entry));
    if (options.unit && deadline_ms <= call->now_ms)
        shard_delete (shard, entry);
    else if (options.unit || (options.persist && store_expires_ms (shard_store (shard), entry)))
        shard_set_expiry (shard, entry, deadline_ms);
}
